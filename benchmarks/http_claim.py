"""HTTP claims end to end (gateway → Kafka → core → reply), closed loop, on one hot campaign.

Limit: the same gateway with a core that answers at once. Rival: FastAPI + asyncpg doing the transaction in the
request, with as many processes (2: ours are one gateway and one core).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from benchmarks import rival
from benchmarks.measure import RUNS, Figure
from benchmarks.platforms import make_campaign, platform, staff
from benchmarks.processes import beside, measured_by
from scrip.home import pick_free_port
from scrip.platform import Platform

SECONDS = 2.5
TOKEN = "rival-token"
BOUND = (
    "processor time, of two processors for five processes: at 256 connections the gateway takes 430 µs per claim, core "
    "140, Kafka 90, PostgreSQL 50, the adapter 30; at 16 the gateway takes 710, core 590, Kafka 520, PostgreSQL 240, "
    "the adapter 70: to be woken costs more than the work; at one connection eight round trips to PostgreSQL and two "
    "ways through Kafka (schedstat, py-spy)"
)


def run(campaigns: int = 1, connections: Sequence[int] = (64, 1, 16, 256), name: str = "http_claim") -> list[Figure]:
    """Claims per second at each number of connections; the first is the headline."""
    figures = {number: Figure(f"{name}_{number}", "claims/s", bound=BOUND) for number in connections}
    latencies: dict[tuple[int, str], list[dict[str, Any]]] = {}
    with platform() as running:
        gateway = urlsplit(running.url("gateway"))
        ids = [make_campaign(running, rival.QUANTITY) for _ in range(campaigns)]
        paths = [f"/internal/v1/campaigns/{campaign}/claim" for campaign in ids]
        asyncio.run(rival.new_tables(running.database_admin_url, ids))

        def measure(kind: str, port: int, token: str) -> None:
            for number, figure in figures.items():
                result = _load(port, paths, token, number)
                getattr(figure, kind).append(result["rate"])
                latencies.setdefault((number, kind), []).append(result)

        half: list[dict[str, Any]] = []
        for _ in range(RUNS):
            measure("ours", gateway.port or 0, running.admin_token)
            peak = max(figure.ours[-1] for figure in figures.values())
            half.append(_load(gateway.port or 0, paths, running.admin_token, max(connections), peak / 2))
            with _rival(running) as port:
                measure("rival", port, TOKEN)
            running.halt("coupon_core")
            with beside("benchmarks.answering_core", running.bootstrap, str(running.lanes)):
                measure("limit", gateway.port or 0, running.admin_token)
            running.resume("coupon_core")
            _catch_up(running, paths)
    for number, figure in figures.items():
        for kind in ("ours", "limit", "rival"):
            figure.notes.append(_said(kind, latencies[number, kind]))
    figures[connections[0]].notes.append(_said("ours at half the peak's rate", half))
    return list(figures.values())


def _said(what: str, results: list[dict[str, Any]]) -> str:
    middle = sorted(results, key=lambda result: float(result["p99_ms"]))[len(results) // 2]
    bad = sum(result["bad"] for result in results)
    example = f" ({middle['example']})" if bad and middle["example"] else ""
    return f"{what}: p50 {middle['p50_ms']:.1f} ms, p99 {middle['p99_ms']:.1f} ms, {bad} answers not 2xx{example}"


def _catch_up(running: Platform, paths: Sequence[str]) -> None:
    """Wait until core has decided the claims that were answered in its place: then it answers new ones at once."""
    with staff(running) as client:
        for path in paths:
            claim = {"json": {"user": f"waiting-{time.time_ns()}"}, "headers": {"Idempotency-Key": str(uuid4())}}
            for _ in range(20):  # each waits up to 5 s
                if client.post(path.removeprefix("/internal/v1"), **claim).status_code == 200:  # type: ignore[arg-type]
                    break


def _load(port: int, paths: Sequence[str], token: str, connections: int, rate: float = 0) -> dict[str, Any]:
    arguments = (str(port), ",".join(paths), token, str(connections), str(SECONDS), str(rate))
    result: dict[str, Any] = measured_by("benchmarks.http_load", *arguments, seconds=60)
    return result


@contextmanager
def _rival(running: Platform) -> Iterator[int]:
    port = pick_free_port(set())

    def ready() -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
        except httpx.HTTPError:
            return False
        return True

    environment = {"RIVAL_DATABASE_URL": running.database_admin_url, "RIVAL_TOKEN": TOKEN}
    arguments = ("benchmarks.rival_app:app", "--port", str(port), "--workers", "2", "--no-access-log")
    with beside("uvicorn", *arguments, "--log-level", "error", environment=environment, ready=ready):
        yield port
