"""Claims drained over 64 campaigns, as `claim_hot` is over one."""

from __future__ import annotations

from benchmarks import claim_hot
from benchmarks.measure import Figure


def run() -> list[Figure]:
    """The figure in claims per second."""
    return claim_hot.run(64, "claim_64")
