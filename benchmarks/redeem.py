"""Redemptions drained on one hot campaign: Kafka record → committed redemption + emitted event, one core process.

Coupons are named by number. Limit: core's own load and write statements over the same commands, one connection.
Rival: one transaction per redemption (SELECT … FOR UPDATE, update, insert, outbox), 16 connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from benchmarks import rival
from benchmarks.claim_hot import created
from benchmarks.draining import Drain
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import Commands, Record, platform
from contracts.commands import MAX_ROWS, CouponReference, IssueCoupons, IssueRow, RedeemCoupon
from coupon_core.storage import Connection
from scrip.platform import CORE, Platform

BAR = 0.5
REDEMPTIONS = 40_000
LIMIT_REDEMPTIONS = 20_000
RIVAL_REDEMPTIONS = 4_000


def run() -> list[Figure]:
    """The figure in redemptions per second."""
    figure = Figure("redeem", "redemptions/s", bound="the Python of one core process; beside it, PostgreSQL's writes")
    drain = Drain(1, _issued, _redemptions)
    with platform(services=(CORE,)) as running:
        alternate(
            [figure],
            ours=lambda: [drain.ours(running, REDEMPTIONS)],
            limit=lambda: [drain.limit(running, LIMIT_REDEMPTIONS)],
            rival=lambda: [asyncio.run(_rival(running))],
        )
    figure.notes += drain.notes(BAR)
    return [figure]


def issues(commands: Commands, campaign: UUID, count: int) -> list[Record]:
    """A coupon to each of `count` users, in commands of 500."""
    rows = [IssueRow(user=f"user-{n}") for n in range(count)]
    return [
        commands.record(IssueCoupons(rows=tuple(rows[first : first + MAX_ROWS])), campaign)
        for first in range(0, count, MAX_ROWS)
    ]


def _issued(commands: Commands, ids: Sequence[UUID], count: int) -> list[Record]:
    return created(commands, ids) + issues(commands, ids[0], count)


def _redemptions(commands: Commands, ids: Sequence[UUID], count: int) -> list[Record]:
    return [
        commands.record(
            RedeemCoupon(coupon=CouponReference(number=number), order=f"order-{number}", amount=2_000), ids[0]
        )
        for number in range(1, count + 1)
    ]


async def _rival(running: Platform) -> float:
    url, campaign = running.database_admin_url, uuid4()
    await rival.new_tables(url, [campaign])

    async def claim(connection: Connection, number: int) -> None:
        await rival.claim(connection, campaign, f"user-{number}", uuid4())

    async def redeem(connection: Connection, number: int) -> None:
        if not await rival.redeem(connection, campaign, f"user-{number}", f"order-{number}", uuid4()):
            raise RuntimeError("the rival's coupon was not taken")

    await rival.each(url, claim, range(RIVAL_REDEMPTIONS))
    return RIVAL_REDEMPTIONS / await rival.each(url, redeem, range(RIVAL_REDEMPTIONS))
