"""Claims where 10^4, 10^6 and 10^7 coupons are already there: core's whole batches, without broker.

The tables are filled with rows as claims leave them: coupons with their two indexes, and outcomes under random ids,
which is the one random index. The claims measured are of new users all over the index.

After a checkpoint PostgreSQL writes each page whole when it is first changed. A large random index has many pages: in
the first run nearly every claim meets a new one, in those that follow ever fewer do. The figure is the middle run; the
notes say what each wrote.
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
CLAIMS = 100_000
FILL_COUPONS = """
INSERT INTO coupon (campaign, number, user_id, state, issued_at)
SELECT (SELECT number FROM campaign WHERE id = $1), n, md5(n::text), 1, now()
FROM generate_series($2::bigint, $3::bigint) AS n
"""
FILL_OUTCOMES = """
INSERT INTO outcome (command, partition, campaign, hash, status, at, body)
SELECT gen_random_uuid(), n % 16, $1, n, 1, now(), repeat('x', 190) FROM generate_series($2::bigint, $3::bigint) AS n
"""

COUNTED = """
SELECT blks_read, wal_fpi, wal_bytes FROM pg_stat_database, pg_stat_wal WHERE datname = current_database()
"""
BOUND = "the statements of core's batches; with size come the index blocks that are not in shared buffers"


def run(sizes: Sequence[int] = SIZES) -> list[Figure]:
    """Claims per second; `limit` is the size before, so that to limit says what the growth costs."""
    with platform(services=()) as running:
        rates, said = asyncio.run(_rates(running, sizes))
    figures = []
    for place, size in enumerate(sizes):
        before = rates[sizes[place - 1]] if place else []
        name = f"growth_1e{len(str(size)) - 1}"
        figures.append(Figure(name, "claims/s", ours=rates[size], limit=before, bound=BOUND, notes=[said[size]]))
    return figures[::-1]


async def _rates(running: Platform, sizes: Sequence[int]) -> tuple[dict[int, list[float]], dict[int, str]]:
    rates: dict[int, list[float]] = {}
    said: dict[int, str] = {}
    async with core_alone(running) as alone:
        filler = uuid4()
        await alone.decide(created(alone.commands, [filler]))
        there = 0
        for size in sizes:
            await alone.timed.connection.execute("SET statement_timeout = 0")  # core's own holds for what is measured
            for fill in (FILL_COUPONS, FILL_OUTCOMES):
                await alone.timed.connection.execute(fill, filler, there + 1, size, timeout=600)
            await alone.timed.connection.execute("ANALYZE")
            await alone.timed.connection.execute("CHECKPOINT", timeout=600)
            await alone.timed.connection.execute("RESET statement_timeout")
            there = size
            rates[size], runs = [], []
            for _ in range(RUNS):
                before = await _counted(alone)
                rates[size].append(await _claims(alone))
                read, whole, log = (
                    after - earlier for after, earlier in zip(await _counted(alone), before, strict=True)
                )
                runs.append(
                    f"{rates[size][-1]:,.0f}/s ({read / CLAIMS:.2f} blocks not in shared buffers, {whole / CLAIMS:.2f} "
                    f"whole pages and {log / CLAIMS:,.0f} bytes of log a claim)"
                )
            said[size] = f"run after run: {', '.join(runs)}"
    return rates, said


async def _counted(alone: CoreAlone) -> tuple[int, int, int]:
    """Blocks this database had to ask the system for; whole pages and bytes that the server wrote to its log."""
    await alone.timed.connection.execute("SELECT pg_stat_force_next_flush()")
    row = await alone.timed.connection.fetchrow(COUNTED)
    if row is None:
        raise RuntimeError("the server has no such database")
    return int(row[0]), int(row[1]), int(row[2])


async def _claims(alone: CoreAlone) -> float:
    campaign = uuid4()
    await alone.decide(created(alone.commands, [campaign]))
    records = [alone.commands.record(ClaimCoupon(user=uuid4().hex), campaign) for _ in range(CLAIMS)]
    started = time.perf_counter()
    await alone.decide(records)
    return CLAIMS / (time.perf_counter() - started)
