"""Claims over 64 campaigns drained by one core process (the limit's place) and by two."""

from __future__ import annotations

import time

from benchmarks.claim_hot import CLAIMS, claims_over
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import busy, platform, processor_seconds
from scrip.platform import CORE, Platform

CAMPAIGNS = 64


def run() -> list[Figure]:
    """Claims per second of two processes; beside them, as `limit`, of one."""
    figure = Figure(
        "scale_workers", "claims/s", bound="the machine's processors, which core shares with PostgreSQL and Kafka"
    )
    drain = claims_over(CAMPAIGNS)
    said: dict[int, str] = {}

    def measure(running: Platform, processes: tuple[str, ...]) -> list[float]:
        began, before = time.monotonic(), processor_seconds(running)
        # A process that is started again begins at 0.
        before |= dict.fromkeys(processes, 0.0)
        rate = drain.ours(running, CLAIMS, processes)
        said[len(processes)] = busy(running, before, time.monotonic() - began)
        return [rate]

    with platform(services=(CORE,)) as one, platform(services=(CORE,), cores=2) as two:
        alternate(
            [figure],
            ours=lambda: measure(two, ("coupon_core", "coupon_core-1")),
            limit=lambda: measure(one, ("coupon_core",)),
        )
    figure.notes.append("limit: one core process; to limit is what a second one brings")
    figure.notes += [f"with {count}, making the backlog included: {each}" for count, each in said.items()]
    return [figure]
