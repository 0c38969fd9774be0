"""Claims drained on one hot campaign: Kafka record → committed coupon + emitted event, one core process.

Limit: the seconds inside core's own load and write statements over the same commands and batches, one connection.
Rival: one transaction per claim (SELECT … FOR UPDATE, insert, update, outbox), 16 connections, same PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from benchmarks import rival
from benchmarks.draining import Drain
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import Commands, Record, platform, terms
from contracts.commands import ClaimCoupon, GenerateCampaign
from coupon_core.storage import Connection
from scrip.platform import CORE, Platform

CLAIMS = 60_000
LIMIT_CLAIMS = 20_000
RIVAL_CLAIMS = 4_000
BAR = 0.6
CREATED = 3
"""Events of a new campaign."""
BOUND = (
    "processor time, of two processors for all that runs: first core's Python, half of it in its libraries, then "
    "PostgreSQL and Kafka (the notes say how much each takes of a claim)"
)


def run(campaigns: int = 1, name: str = "claim_hot") -> list[Figure]:
    """The figure in claims per second."""
    figure = Figure(name, "claims/s", bound=BOUND)
    drain = claims_over(campaigns)
    with platform(services=(CORE,)) as running:
        alternate(
            [figure],
            ours=lambda: [drain.ours(running, CLAIMS)],
            limit=lambda: [drain.limit(running, LIMIT_CLAIMS)],
            rival=lambda: [asyncio.run(_rival(running, campaigns))],
        )
        libraries = drain.libraries(running, LIMIT_CLAIMS)
    figure.notes += [*drain.notes(BAR), libraries]
    return [figure]


def claims_over(campaigns: int) -> Drain:
    """Claims, one per user and campaign."""
    return Drain(campaigns, created, claims)


def created(commands: Commands, ids: Sequence[UUID], _: int = 0) -> list[Record]:
    """A generated campaign for each id, once per user."""
    return [commands.record(GenerateCampaign(terms=terms(), quantity=rival.QUANTITY), campaign) for campaign in ids]


def claims(commands: Commands, ids: Sequence[UUID], count: int) -> list[Record]:
    """`count` claims in turn over the campaigns."""
    each = count // len(ids)
    return [commands.record(ClaimCoupon(user=f"user-{n}"), campaign) for n in range(each) for campaign in ids]


async def _rival(running: Platform, campaigns: int) -> float:
    url, ids = running.database_admin_url, [uuid4() for _ in range(campaigns)]
    await rival.new_tables(url, ids)

    async def claim(connection: Connection, number: int) -> None:
        await rival.claim(connection, ids[number % campaigns], f"user-{number}", uuid4())

    return RIVAL_CLAIMS / await rival.each(url, claim, range(RIVAL_CLAIMS))
