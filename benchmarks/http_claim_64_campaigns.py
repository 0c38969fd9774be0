"""HTTP claims end to end over 64 campaigns, as `http_claim` is on one."""

from __future__ import annotations

from benchmarks import http_claim
from benchmarks.measure import Figure


def run() -> list[Figure]:
    """Claims per second at 64, 16 and 256 connections."""
    return http_claim.run(64, (64, 16, 256), "http_claim_64_campaigns")
