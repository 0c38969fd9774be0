"""Claims over 64 campaigns drained by one core process (the limit's place) and by two."""

from __future__ import annotations

from benchmarks.claim_hot import CLAIMS, claims_over
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import platform

CAMPAIGNS = 64


def run() -> list[Figure]:
    """Claims per second of two processes; beside them, as `limit`, of one."""
    figure = Figure(
        "scale_workers",
        "claims/s",
        bound="(not profiled yet) two processors shared with PostgreSQL and Kafka",
    )
    drain = claims_over(CAMPAIGNS)
    with platform() as one, platform(cores=2) as two:
        alternate(
            [figure],
            ours=lambda: [drain.ours(two, CLAIMS, ("coupon_core", "coupon_core-1"))],
            limit=lambda: [drain.ours(one, CLAIMS)],
        )
    figure.notes.append("limit: one core process; to limit is what a second one brings")
    return [figure]
