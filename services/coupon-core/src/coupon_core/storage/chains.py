"""What the audit reads to follow the chains of events: pages of campaigns, and journal rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from coupon_core.storage import Connection


@dataclass(frozen=True, slots=True)
class Audited:
    """A campaign, and how much there is to look at."""

    number: int
    id: UUID
    issued: int
    seq: int


@dataclass(frozen=True, slots=True)
class ChainedRow:
    """A journal row of events. `before`: the chain's value stored with the campaign's row before; None: the first."""

    campaign: UUID
    first_seq: int
    count: int
    body: bytes
    chain: bytes | None
    before: bytes | None


CAMPAIGNS = """
SELECT number, id, issued, seq FROM campaign
WHERE number > $1 AND ($2::int[] IS NULL OR partition = ANY($2)) ORDER BY number LIMIT $3
"""


async def campaigns_after(
    connection: Connection, number: int, partitions: Sequence[int] | None, limit: int
) -> list[Audited]:
    """Campaigns by number, of these lanes or of all."""
    return [Audited(*row) for row in await connection.fetch(CAMPAIGNS, number, partitions, limit)]


CAMPAIGNS_OF = "SELECT number, id, issued, seq FROM campaign WHERE id = ANY($1::uuid[])"


async def campaigns_with(connection: Connection, campaigns: Sequence[UUID]) -> list[Audited]:
    """Those of the campaigns that exist."""
    return [Audited(*row) for row in await connection.fetch(CAMPAIGNS_OF, campaigns)]


ROWS = """
SELECT campaign, first_seq, count, body, chain FROM journal
WHERE kind = 1 AND campaign = $1 AND first_seq > $2 ORDER BY first_seq, lane_seq LIMIT $3
"""


async def rows_after(
    connection: Connection, campaign: UUID, first_seq: int, before: bytes | None, limit: int
) -> list[ChainedRow]:
    """A campaign's next journal rows in order; `before` is the value stored with the row before them."""
    rows = await connection.fetch(ROWS, campaign, first_seq, limit)
    chains = [before, *[row["chain"] for row in rows]]
    return [ChainedRow(*(*row, earlier)) for row, earlier in zip(rows, chains, strict=False)]


WHOLE = """
SELECT campaign, first_seq, count, body, chain,
    lag(chain) OVER (PARTITION BY campaign ORDER BY first_seq, lane_seq) AS before
FROM journal WHERE kind = 1 AND campaign = ANY($1::uuid[])
"""


async def all_rows_of(connection: Connection, campaigns: Sequence[UUID]) -> list[ChainedRow]:
    """All journal rows of campaigns that have few."""
    return [ChainedRow(*row) for row in await connection.fetch(WHOLE, campaigns)]


LATEST = "SELECT partition, lane_seq FROM lane WHERE partition = ANY($1::int[])"


async def ends_of(connection: Connection, partitions: Sequence[int]) -> dict[int, int]:
    """The sequence number of each lane's last journal row."""
    return {row["partition"]: row["lane_seq"] for row in await connection.fetch(LATEST, partitions)}


APPENDED = """
SELECT j.lane_seq, j.campaign, j.first_seq, j.count, j.body, j.chain, (
    SELECT p.chain FROM journal p WHERE p.kind = 1 AND p.campaign = j.campaign AND p.first_seq < j.first_seq
    ORDER BY p.first_seq DESC LIMIT 1
) AS before
FROM journal j WHERE j.partition = $1 AND j.lane_seq > $2 AND j.kind = 1 ORDER BY j.lane_seq LIMIT $3
"""


async def appended_after(
    connection: Connection, partition: int, lane_seq: int, limit: int
) -> list[tuple[int, ChainedRow]]:
    """What a lane has appended since: (lane's sequence number, row of events)."""
    rows = await connection.fetch(APPENDED, partition, lane_seq, limit)
    return [(row[0], ChainedRow(*tuple(row)[1:])) for row in rows]
