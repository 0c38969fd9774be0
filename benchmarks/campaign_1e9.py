"""Create a campaign of 1,000,000,000 codes, beside (as the limit) one of 1 code: milliseconds, and bytes of database.

Afterwards a coupon is issued from the giant, 1,000 codes are exported and one of those is redeemed.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from uuid import uuid4

import asyncpg

from benchmarks.measure import Figure, alternate
from benchmarks.platforms import make_campaign, platform, staff
from scrip.platform import Platform

GIANT = 1_000_000_000
EACH = 15


def run() -> list[Figure]:
    """Milliseconds per campaign, less is better: to limit is how many times as long the giant takes."""
    figure = Figure("campaign_1e9", "ms", bound="one command's round trip; nothing in it depends on the quantity")
    with platform() as running:
        make_campaign(running)
        grown: dict[int, int] = {}
        alternate(
            [figure],
            ours=lambda: [_create(running, GIANT, grown)],
            limit=lambda: [_create(running, 1, grown)],
        )
        figure.notes.append(f"database growth of {EACH} campaigns: {grown[GIANT]:,} bytes, of 1 code each {grown[1]:,}")
        figure.notes.append(_use(running))
    return [figure]


def _create(running: Platform, quantity: int, grown: dict[int, int]) -> float:
    before = asyncio.run(_bytes(running))
    spent = []
    for _ in range(EACH):
        started = time.perf_counter()
        make_campaign(running, quantity)
        spent.append(time.perf_counter() - started)
    grown[quantity] = asyncio.run(_bytes(running)) - before
    return 1000 * median(spent)


async def _bytes(running: Platform) -> int:
    connection = await asyncpg.connect(running.database_admin_url)
    try:
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()


def _use(running: Platform) -> str:
    campaign = make_campaign(running, GIANT)
    with staff(running) as client:

        def post(path: str, body: dict[str, object]) -> dict[str, object]:
            answer = client.post(f"/campaigns/{campaign}/{path}", json=body, headers={"Idempotency-Key": str(uuid4())})
            answer.raise_for_status()
            found: dict[str, object] = answer.json()
            return found

        post("claim", {"user": "ann"})
        codes = post("export-codes", {"count": 1_000})["codes"]
        if not isinstance(codes, list) or len({row["code"] for row in codes}) != 1_000:
            raise RuntimeError("the export did not give 1,000 different codes")
        post("redeem", {"coupon": {"code": codes[500]["code"]}, "order": "order-1"})
    return "then one was claimed, 1,000 were exported and one of those was redeemed"
