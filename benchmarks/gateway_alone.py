"""Signed claims of a merchant, verified, validated and acknowledged by the broker: the gateway alone, core away.

Limit: the same server reading the same requests and answering at once, with no work behind it. Beside it, in the
notes: that server when it hands each body to the broker and waits, with nothing of ours between.
"""

from __future__ import annotations

import os
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.measure import Figure, alternate
from benchmarks.platforms import busy, platform, processor_seconds, staff, terms
from benchmarks.processes import beside, measured_by
from scrip.platform import CORE, GATEWAY, Platform

CONNECTIONS = 64
SECONDS = 6.0
BOUND = (
    "the gateway's Python, spread thin (py-spy: sending and its acknowledgement 14 %, the claim 11 %, the answer 8 %, "
    "the signature 6 %, the HTTP server and the event loop 30 %)"
)


def run() -> list[Figure]:
    """Requests per second of one gateway process."""
    figure = Figure("gateway_alone", "requests/s", bound=BOUND)
    said: dict[int, list[dict[str, Any]]] = {}
    """What was measured, by port."""
    with (
        platform(services=(GATEWAY, CORE)) as running,
        beside("benchmarks.bare_server", os.devnull) as bare,
        beside("benchmarks.bare_server", os.devnull, running.bootstrap) as sending,
    ):
        token, path = _merchant(running)
        running.halt("coupon_core")

        def measure(port: int) -> float:
            arguments = (str(port), path, token, str(CONNECTIONS), str(SECONDS))
            before = processor_seconds(running)
            result = measured_by("benchmarks.http_load", *arguments, seconds=60)
            if result["bad"]:
                raise RuntimeError(f"{result['bad']} answers were none of 2xx, such as {result['example']}")
            taken = processor_seconds(running)["gateway"] - before["gateway"]
            said.setdefault(port, []).append(
                {**result, "taken": taken / (result["rate"] * SECONDS), "busy": busy(running, before, SECONDS)}
            )
            return float(result["rate"])

        port = urlsplit(running.url("gateway")).port or 0
        measure(port)  # the first requests find nothing remembered
        said.clear()

        def limit() -> list[float]:
            measure(int(sending))
            return [measure(int(bare))]

        alternate([figure], ours=lambda: [measure(port)], limit=limit)
    middle = sorted(said[port], key=lambda each: float(each["p99_ms"]))[len(said[port]) // 2]
    figure.notes.append(
        f"{CONNECTIONS} connections: p50 {middle['p50_ms']:.1f} ms, p99 {middle['p99_ms']:.1f} ms; "
        f"{1e6 * middle['taken']:.0f} µs of the gateway's processor a request; {middle['busy']}"
    )
    least = median(float(each["rate"]) for each in said[int(sending)])
    figure.notes.append(
        f"server and Kafka client alone, each body sent and its acknowledgement awaited, with nothing of ours: "
        f"{least:,.0f} requests/s, {least / median(figure.limit):.2f} of the limit; ours is "
        f"{median(figure.ours) / least:.2f} of that"
    )
    return [figure]


def _merchant(running: Platform) -> tuple[str, str]:
    """A merchant whose terminal signs, with a campaign: what its requests are signed with, and where they go."""
    with staff(running) as client:

        def post(path: str, document: dict[str, Any]) -> dict[str, Any]:
            answer = client.post(path, json=document, headers={"Idempotency-Key": str(uuid4())})
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

        shown = post(
            "/merchants",
            {"name": "Busy", "dialect": "scrip", "authentication": "signed", "requests_per_second": 100_000},
        )["credentials"]
        campaign = post("/campaigns", {"terms": terms().model_dump(mode="json"), "quantity": 1_000_000})["campaign"]
    return f"{shown['scrip_key']}={shown['secret']}", f"/merchant/v1/campaigns/{campaign}/claim"
