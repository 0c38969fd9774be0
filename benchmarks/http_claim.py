"""HTTP claims end to end (gateway → Kafka → core → reply) on one hot campaign, closed loop.

Limit: the same gateway with a core that answers at once. Rival: FastAPI + asyncpg doing the transaction in the
request, with as many processes (2: ours are one gateway and one core).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from benchmarks import rival
from benchmarks.measure import RUNS, Figure
from benchmarks.platforms import platform, terms
from scrip.home import pick_free_port
from scrip.platform import Platform

CONNECTIONS = (64, 1, 16, 256)
SECONDS = 2.5
TOKEN = "rival-token"


def run() -> list[Figure]:
    """Claims per second at each number of connections; the first is the headline."""
    figures = {number: Figure(f"http_claim_{number}", "claims/s") for number in CONNECTIONS}
    latencies: dict[tuple[int, str], list[dict[str, Any]]] = {}
    with platform() as running:
        gateway = urlsplit(running.url("gateway"))
        campaign = _campaign(running)
        path = f"/internal/v1/campaigns/{campaign}/claim"
        asyncio.run(rival.new_tables(running.database_admin_url, [campaign]))

        def measure(kind: str, port: int, token: str) -> None:
            for number, figure in figures.items():
                result = _load(port, path, token, number)
                getattr(figure, kind).append(result["rate"])
                latencies.setdefault((number, kind), []).append(result)

        for _ in range(RUNS):
            measure("ours", gateway.port or 0, running.admin_token)
            with _rival(running) as port:
                measure("rival", port, TOKEN)
            running.halt("coupon_core")
            with _answering_core(running):
                measure("limit", gateway.port or 0, running.admin_token)
            running.resume("coupon_core")
            running.wait_ready("coupon_core")
    for number, figure in figures.items():
        for kind in ("ours", "limit", "rival"):
            results = latencies[number, kind]
            middle = sorted(results, key=lambda result: result["rate"])[len(results) // 2]
            bad = sum(result["bad"] for result in results)
            figure.notes.append(
                f"{kind}: p50 {middle['p50_ms']:.1f} ms, p99 {middle['p99_ms']:.1f} ms, {bad} answers not 2xx"
                + (f" ({middle['example']})" if bad and middle["example"] else "")
            )
    return list(figures.values())


def _campaign(running: Platform) -> Any:
    answer = httpx.post(
        f"{running.url('gateway')}/internal/v1/campaigns",
        headers={"Authorization": f"Bearer {running.admin_token}", "Idempotency-Key": str(uuid4())},
        json={"terms": terms().model_dump(mode="json"), "quantity": 100_000_000},
        timeout=30,
        trust_env=False,
    )
    answer.raise_for_status()
    return answer.json()["campaign"]


def _load(port: int, path: str, token: str, connections: int) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.http_load", "127.0.0.1", str(port), path, token),
            *(str(connections), str(SECONDS)),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def _rival(running: Platform) -> Iterator[int]:
    port = pick_free_port(set())
    environment = {**os.environ, "RIVAL_DATABASE_URL": running.database_admin_url, "RIVAL_TOKEN": TOKEN}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "benchmarks.rival_app:app", "--port", str(port), "--workers", "2"),
            *("--no-access-log", "--log-level", "error"),
        ],
        env=environment,
    )
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _answering_core(running: Platform) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.answering_core", running.bootstrap, str(running.lanes)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is not None:
            process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait(20)
