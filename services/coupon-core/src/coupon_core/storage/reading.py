"""What the read API asks of campaigns, coupons, outcomes and lanes.

Filters that are not given are NULL; the connection plans each statement anew, so that they fold away.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import cramjam

from coupon_core.model.campaign import VOIDED, Campaign
from coupon_core.model.lane import Facts, LaneState
from coupon_core.storage import Connection
from coupon_core.storage.campaigns import COLUMNS, Row, from_row
from coupon_core.storage.codes import voided_between
from coupon_core.storage.lanes import LaneRow
from coupon_core.work import Outcome
from process.database import Pool

PARTIES = "((c.terms::jsonb -> 'redeemable_by') || (c.terms::jsonb -> 'senders'))"
"""Written exactly as in the index campaign_parties."""
VISIBLE = f"($1::text IS NULL OR c.owner = $1 OR ({PARTIES} <> '[]'::jsonb AND {PARTIES} ? $1))"
"""Whether the party $1 may know of the campaign; NULL may know of all."""
REDEEMABLE = "($1::text IS NULL OR c.owner = $1 OR (c.terms::jsonb -> 'redeemable_by') ? $1)"
"""Whether coupons of the campaign may be used at the party $1."""


@dataclass(frozen=True, slots=True)
class CouponView:
    """A coupon as it is shown. `code` is the one stored, as the merchant wrote it; None: it follows from the number."""

    campaign: int
    number: int
    user: str | None
    state: int | None
    """None: nobody holds it yet (a code exported or uploaded)."""
    redemptions: int
    issued_at: datetime | None
    code: str | None
    spent: int | None = None
    """Units taken (`model.worth`)."""


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """A connection on which all reads see the same moment, and nothing can be written."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


# --- campaigns

CAMPAIGN = f"""
SELECT {COLUMNS}, l.clock FROM campaign c LEFT JOIN lane l ON l.partition = c.partition WHERE c.id = $1
"""


async def campaign_with_clock(connection: Connection, campaign: UUID) -> tuple[Campaign, datetime | None] | None:
    """The campaign and the clock of its lane."""
    row = await connection.fetchrow(CAMPAIGN, campaign)
    return None if row is None else (from_row(row), row["clock"])


ASKED = """($2::text IS NULL OR c.origin = $2) AND ($3::text IS NULL OR c.state = $3)
    AND ($4::uuid IS NULL OR c.id > $4)"""
CAMPAIGNS = f"""
SELECT {COLUMNS}, l.clock FROM campaign c LEFT JOIN lane l ON l.partition = c.partition
WHERE $1::text IS NULL AND {ASKED} ORDER BY c.id LIMIT $5
"""
CAMPAIGNS_OF_PARTY = f"""
WITH seen AS MATERIALIZED (
    (SELECT c.id FROM campaign c WHERE c.owner = $1 AND {ASKED} ORDER BY c.owner, c.id LIMIT $5)
    UNION (SELECT c.id FROM campaign c WHERE {PARTIES} <> '[]'::jsonb AND {PARTIES} ? $1 AND {ASKED})
)
SELECT {COLUMNS}, l.clock FROM seen JOIN campaign c ON c.id = seen.id LEFT JOIN lane l ON l.partition = c.partition
ORDER BY c.id LIMIT $5
"""


async def campaigns_after(
    connection: Connection, party: str | None, origin: str | None, state: str | None, after: UUID | None, limit: int
) -> list[tuple[Campaign, datetime | None]]:
    """Campaigns this party may know of, by id."""
    statement = CAMPAIGNS if party is None else CAMPAIGNS_OF_PARTY
    return _with_clocks(await connection.fetch(statement, party, origin, state, after, limit))


CATALOGUE = f"""
SELECT {COLUMNS}, l.clock FROM campaign c JOIN lane l ON l.partition = c.partition
WHERE c.listed AND c.state = 'active' AND c.supply <> 'given' AND c.ends > greatest(l.clock, $1)
    AND (c.supply <> 'uploaded' OR c.available > 0) AND ($2::uuid IS NULL OR c.id > $2)
ORDER BY c.id LIMIT $3
"""


async def campaigns_on_offer(
    connection: Connection, now: datetime | None, after: UUID | None, limit: int
) -> list[tuple[Campaign, datetime | None]]:
    """Campaigns that stand in the catalogue and from which a user can claim, by id; `now` None: lanes' clocks only."""
    return _with_clocks(await connection.fetch(CATALOGUE, now, after, limit))


NUMBERED = f"SELECT {COLUMNS} FROM unnest($1::bigint[]) AS wanted(number) JOIN campaign c ON c.number = wanted.number"


async def campaigns_by_number(connection: Connection, numbers: Sequence[int]) -> dict[int, Campaign]:
    """Campaigns by their numbers."""
    return {row["number"]: from_row(row) for row in await connection.fetch(NUMBERED, numbers)}


def _with_clocks(rows: Sequence[Row]) -> list[tuple[Campaign, datetime | None]]:
    return [(from_row(row), row["clock"]) for row in rows]


# --- coupons of a campaign

# A look-up per coupon: a join could be planned as one over all codes of the campaign.
SHOWN = """
    k.campaign, k.number, k.user_id, k.state, k.redemptions, k.issued_at, CASE WHEN k.code IS NOT NULL THEN coalesce(
        (SELECT u.shown FROM uploaded_code u WHERE u.campaign = k.campaign AND u.position = k.number), k.code
    ) END AS code, k.spent
"""
COUPONS = f"""
SELECT {SHOWN} FROM coupon k
WHERE k.campaign = $1 AND k.number > $2 AND ($3::smallint IS NULL OR k.state = $3)
    AND ($5::bigint IS NULL OR k.number <= $5) ORDER BY k.number LIMIT $4
"""
COUPONS_OF_USER = f"""
WITH held AS MATERIALIZED (SELECT * FROM coupon WHERE user_id = $6 AND campaign = $1)
SELECT {SHOWN} FROM held k
WHERE k.number > $2 AND ($3::smallint IS NULL OR k.state = $3) AND ($5::bigint IS NULL OR k.number <= $5)
ORDER BY k.number LIMIT $4
"""


async def coupons_after(
    connection: Connection,
    campaign: int,
    after: int,
    state: int | None,
    user: str | None,
    limit: int,
    last: int | None = None,
) -> list[CouponView]:
    """Coupons of a campaign by number, up to `last`, optionally only in one state or of one user."""
    if user is not None:
        return views(await connection.fetch(COUPONS_OF_USER, campaign, after, state, limit, last, user))
    return views(await connection.fetch(COUPONS, campaign, after, state, limit, last))


STATES = "SELECT number, state FROM coupon WHERE campaign = $1 AND number > $2 AND number <= $3"


async def states_between(connection: Connection, campaign: int, after: int, last: int) -> dict[int, int]:
    """States of the coupons with numbers in (after, last] that somebody holds or held, and of codes that are void."""
    states: dict[int, int] = {}
    for first, end in await voided_between(connection, campaign, after, last, max(last - after, 0)):
        states |= dict.fromkeys(range(max(first, after + 1), min(end, last) + 1), VOIDED)
    states |= {row["number"]: row["state"] for row in await connection.fetch(STATES, campaign, after, last)}
    return states


UPLOADED = """
SELECT u.position, u.shown,
    (SELECT k.state FROM coupon k WHERE k.campaign = u.campaign AND k.number = u.position) AS state
FROM uploaded_code u WHERE u.campaign = $1 AND u.position > $2 ORDER BY u.position LIMIT $3
"""


async def uploaded_after(
    connection: Connection, campaign: int, after: int, limit: int
) -> list[tuple[int, str, int | None]]:
    """(number, code as uploaded, state or None: not given out) in the order they came."""
    rows = await connection.fetch(UPLOADED, campaign, after, limit)
    return [(row["position"], row["shown"], row["state"]) for row in rows]


def views(rows: Sequence[Row]) -> list[CouponView]:
    """Rows that begin with SHOWN."""
    return [CouponView(*tuple(row)[:8]) for row in rows]


# --- journal

EVENT_ROWS = """
SELECT first_seq, count, body FROM (
    SELECT first_seq, count, body, sum(count) OVER (ORDER BY first_seq) - count AS before FROM (
        SELECT first_seq, count, body FROM journal
        WHERE campaign = $1 AND kind = 1 AND at >= $3 AND first_seq >= coalesce(
            (SELECT max(first_seq) FROM journal WHERE campaign = $1 AND kind = 1 AND first_seq <= $2), 0)
        ORDER BY first_seq LIMIT $4
    ) following
) page WHERE before < $4 ORDER BY first_seq
"""


async def event_bodies(
    connection: Connection, campaign: UUID, seq: int, since: datetime, most: int
) -> list[tuple[int, int, bytes]]:
    """(first sequence number, how many, body) of rows from the one that holds `seq` on, none older than `since`.

    As many rows as hold about `most` events, one at least; none: there is nothing from `seq` on. Bodies are as
    `journal.unpacked` takes them.
    """
    return [tuple(row) for row in await connection.fetch(EVENT_ROWS, campaign, seq, since, most)]


def lines_with(text: bytes, bodies: Sequence[bytes]) -> list[str]:
    """Those lines of the bodies in which the text stands, in order; the others are not even decoded."""
    found: list[str] = []
    for body in bodies:
        lines = bytes(cramjam.zstd.decompress(body))
        place = lines.find(text)
        while place >= 0:
            end = lines.find(b"\n", place)
            end = len(lines) if end < 0 else end
            found.append(lines[lines.rfind(b"\n", 0, place) + 1 : end].decode())
            place = lines.find(text, end)
    return found


# --- outcomes

OUTCOME = f"""
SELECT o.partition AS lane, o.command, o.campaign AS campaign_id, o.hash, o.status, o.at, o.body, o.position AS place,
    {COLUMNS}
FROM outcome o LEFT JOIN campaign c ON c.id = o.campaign WHERE o.command = $1 ORDER BY o.at, o.partition LIMIT 1
"""


async def outcome_with_campaign(connection: Connection, command: UUID) -> tuple[Outcome, Campaign | None] | None:
    """What became of a command, and the campaign it concerned, where that exists; of several lanes' the earliest."""
    row = await connection.fetchrow(OUTCOME, command)
    if row is None:
        return None
    body = None if row["body"] is None else json.loads(row["body"])
    decided = row["campaign_id"], row["hash"], row["status"], row["at"]
    outcome = Outcome(row["lane"], row["command"], *decided, body, position=row["place"])
    return outcome, None if row["number"] is None else from_row(row)


SEQ_OF_REFUSALS = "SELECT min(seq) FROM refusal WHERE command = $1 AND partition = $2"


async def seq_of_refusals(connection: Connection, command: UUID, partition: int) -> int | None:
    """How many events its campaign had when a command, or the first of its rows, was refused."""
    found: int | None = await connection.fetchval(SEQ_OF_REFUSALS, command, partition)
    return found


BEHIND = "SELECT command FROM outcome WHERE command = ANY($1) AND campaign = $2 AND at = $3 AND position > $4"


async def decided_behind(connection: Connection, outcome: Outcome, commands: Sequence[UUID]) -> list[UUID]:
    """Those of the commands to its campaign that were decided at the same moment and stand behind it in the log."""
    rows = await connection.fetch(BEHIND, commands, outcome.campaign, outcome.at, outcome.position)
    return [row["command"] for row in rows]


# --- lanes

LANES = """
SELECT partition, epoch, position, clock, lane_seq, emitted_lane_seq, campaigns, blocks FROM lane ORDER BY partition
"""


async def all_lanes(connection: Connection) -> list[LaneRow]:
    """Every lane that was ever taken over."""
    return [LaneRow(**dict(row)) for row in await connection.fetch(LANES)]


LANE_FOR = """
SELECT l.partition, l.clock, l.lane_seq, l.campaigns, l.blocks, f.version, f.data
FROM lane l LEFT JOIN lane_fact f ON f.partition = l.partition AND f.kind = 'merchant' AND f.key = $2
WHERE l.partition = $1
"""


async def lane_for(connection: Connection, partition: int, party: str) -> LaneState:
    """The lane as a decision about this party needs it: its clock, and the party's state if it was told."""
    row = await connection.fetchrow(LANE_FOR, partition, party)
    if row is None:
        return LaneState(partition, None, 0, 0, 0, Facts())
    facts = Facts(merchants={} if row["version"] is None else {party: (row["version"], row["data"])})
    return LaneState(partition, row["clock"], row["lane_seq"], row["campaigns"], row["blocks"], facts)
