"""One HTTP request that issues coupons to 10,000 users, answered with every row.

Limit: core's own load and write statements over the same twenty commands, one connection.
Rival: its loop, one transaction per user, 16 connections.
"""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from benchmarks import rival
from benchmarks.claim_hot import created
from benchmarks.draining import Drain
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import make_campaign, median_run, platform, processor_microseconds, processor_seconds, staff
from benchmarks.redeem import issues
from coupon_core.storage import Connection
from scrip.platform import Platform

USERS = 10_000
RIVAL_USERS = 4_000


def run() -> list[Figure]:
    """The figure in coupons per second."""
    figure = Figure("bulk_issue", "coupons/s", bound="gateway and core in turn, each with every row: see its notes")
    taken: list[dict[str, float]] = []
    drain = Drain(1, created, lambda commands, ids, count: issues(commands, ids[0], count))
    with platform() as running:
        alternate(
            [figure],
            ours=lambda: [_ours(running, taken)],
            # The limit counts commands; each holds 500 coupons.
            limit=lambda: [500 * drain.limit(running, USERS)],
            rival=lambda: [asyncio.run(_rival(running))],
        )
    said, whole = median_run(taken)
    figure.notes.append(f"µs of processor time per coupon: {said}; {whole:.0f} in all")
    return [figure]


def _ours(running: Platform, taken: list[dict[str, float]]) -> float:
    campaign = make_campaign(running)
    users = [f"user-{n}" for n in range(USERS)]
    with staff(running) as client:
        before = processor_seconds(running)
        started = time.perf_counter()
        answer = client.post(
            f"/campaigns/{campaign}/issue", json={"users": users}, headers={"Idempotency-Key": str(uuid4())}
        )
        spent = time.perf_counter() - started
    taken.append(processor_microseconds(running, before, USERS))
    if answer.status_code != 200 or answer.json()["accepted"] != USERS:
        raise RuntimeError(f"the bulk issue was answered {answer.status_code}: {answer.text[:300]}")
    return USERS / spent


async def _rival(running: Platform) -> float:
    url, campaign = running.database_admin_url, uuid4()
    await rival.new_tables(url, [campaign])

    async def claim(connection: Connection, number: int) -> None:
        await rival.claim(connection, campaign, f"user-{number}", uuid4())

    return RIVAL_USERS / await rival.each(url, claim, range(RIVAL_USERS))
