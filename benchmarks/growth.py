"""Claims where 10^4, 10^6 and 10^7 coupons are already there: core's whole batches, without broker.

The tables are filled with rows as claims leave them: coupons with their two indexes, and outcomes under random ids,
which is the one random index. The claims measured are of new users all over the index.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

from benchmarks.claim_hot import created
from benchmarks.core_alone import CoreAlone, core_alone
from benchmarks.measure import RUNS, Figure
from benchmarks.platforms import platform
from contracts.commands import ClaimCoupon
from scrip.platform import Platform

SIZES = (10_000, 1_000_000, 10_000_000)
CLAIMS = 20_000
FILL_COUPONS = """
INSERT INTO coupon (campaign, number, user_id, state, issued_at)
SELECT (SELECT number FROM campaign WHERE id = $1), n, md5(n::text), 1, now()
FROM generate_series($2::bigint, $3::bigint) AS n
"""
FILL_OUTCOMES = """
INSERT INTO outcome (command, campaign, hash, status, at, body)
SELECT gen_random_uuid(), $1, n, 1, now(), repeat('x', 190) FROM generate_series($2::bigint, $3::bigint) AS n
"""


def run(sizes: Sequence[int] = SIZES) -> list[Figure]:
    """Claims per second; `limit` is the size before, so that to limit says what the growth costs."""
    with platform(services=()) as running:
        rates = asyncio.run(_rates(running, sizes))
    figures = []
    for place, size in enumerate(sizes):
        before = rates[sizes[place - 1]] if place else []
        bound = "(not profiled yet) what no longer fits shared buffers"
        figures.append(
            Figure(f"growth_1e{len(str(size)) - 1}", "claims/s", ours=rates[size], limit=before, bound=bound)
        )
    return figures[::-1]


async def _rates(running: Platform, sizes: Sequence[int]) -> dict[int, list[float]]:
    rates: dict[int, list[float]] = {}
    async with core_alone(running) as alone:
        filler = uuid4()
        await alone.decide(created(alone.commands, [filler]))
        there = 0
        for size in sizes:
            for fill in (FILL_COUPONS, FILL_OUTCOMES):
                await alone.timed.connection.execute(fill, filler, there + 1, size, timeout=600)
            await alone.timed.connection.execute("ANALYZE")
            await alone.timed.connection.execute("CHECKPOINT", timeout=600)
            there = size
            rates[size] = [await _claims(alone) for _ in range(RUNS)]
    return rates


async def _claims(alone: CoreAlone) -> float:
    campaign = uuid4()
    await alone.decide(created(alone.commands, [campaign]))
    records = [alone.commands.record(ClaimCoupon(user=uuid4().hex), campaign) for _ in range(CLAIMS)]
    started = time.perf_counter()
    await alone.decide(records)
    return CLAIMS / (time.perf_counter() - started)
