"""Claims drained on one hot campaign: Kafka record → committed coupon + emitted event, one core process.

Limit: the seconds inside core's own load and write statements over the same commands and batches, one connection.
Rival: one transaction per claim (SELECT … FOR UPDATE, insert, update, outbox), 16 connections, same PostgreSQL.
"""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from benchmarks import rival
from benchmarks.core_alone import core_alone
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import Commands, Record, log_of, platform, terms
from contracts.commands import ClaimCoupon, GenerateCampaign
from contracts.topics import COUPON_EVENTS
from coupon_core.storage import Connection
from scrip.platform import Platform

CLAIMS = 60_000
LIMIT_CLAIMS = 20_000
RIVAL_CLAIMS = 4_000
CREATED = 3
"""Events of a new campaign."""


def run(campaigns: int = 1, name: str = "claim_hot") -> list[Figure]:
    """The figure in claims per second."""
    figure = Figure(name, "claims/s")
    with platform() as running:
        parts: list[tuple[float, float]] = []
        alternate(
            [figure],
            ours=lambda: [asyncio.run(_ours(running, campaigns))],
            limit=lambda: [asyncio.run(_limit(running, campaigns, parts))],
            rival=lambda: [asyncio.run(_rival(running, campaigns))],
        )
    reading, writing = parts[len(parts) // 2]
    figure.notes.append(f"limit: {reading:.1f} µs of load and {writing:.1f} µs of write statements per claim")
    return [figure]


def _created(commands: Commands, ids: list[UUID]) -> list[Record]:
    return [commands.record(GenerateCampaign(terms=terms(), quantity=rival.QUANTITY), campaign) for campaign in ids]


def _claims(commands: Commands, ids: list[UUID], count: int) -> list[Record]:
    each = count // len(ids)
    return [commands.record(ClaimCoupon(user=f"user-{n}"), campaign) for n in range(each) for campaign in ids]


async def _ours(running: Platform, campaigns: int) -> float:
    commands, ids = Commands(running), [uuid4() for _ in range(campaigns)]
    async with log_of(running) as log:
        before = await log.count(COUPON_EVENTS.name)
        await log.append(_created(commands, ids))
        await log.reach(COUPON_EVENTS.name, before + CREATED * campaigns)
        running.halt("coupon_core")
        claims = _claims(commands, ids, CLAIMS)
        await log.append(claims)
        drained = asyncio.create_task(log.rate(COUPON_EVENTS.name, len(claims)))
        await asyncio.sleep(0.2)
        running.resume("coupon_core")
        return await drained


async def _limit(running: Platform, campaigns: int, parts: list[tuple[float, float]]) -> float:
    async with core_alone(running) as alone:
        ids = [uuid4() for _ in range(campaigns)]
        await alone.decide(_created(alone.commands, ids))
        claims = _claims(alone.commands, ids, LIMIT_CLAIMS)
        reading, writing = alone.timed.reading, alone.timed.writing
        await alone.decide(claims)
        reading, writing = alone.timed.reading - reading, alone.timed.writing - writing
    parts.append((1e6 * reading / len(claims), 1e6 * writing / len(claims)))
    return len(claims) / (reading + writing)


async def _rival(running: Platform, campaigns: int) -> float:
    url, ids = running.database_admin_url, [uuid4() for _ in range(campaigns)]
    await rival.new_tables(url, ids)

    async def claim(connection: Connection, number: int) -> None:
        await rival.claim(connection, ids[number % campaigns], f"user-{number}", uuid4())

    return RIVAL_CLAIMS / await rival.each(url, claim, range(RIVAL_CLAIMS))
