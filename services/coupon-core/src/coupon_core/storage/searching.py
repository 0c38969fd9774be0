"""Finding coupons and refusals by code, user and order, and the campaigns a code may belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from coupon_core.model.campaign import VOIDED, Campaign
from coupon_core.storage import Connection
from coupon_core.storage.campaigns import COLUMNS, Row, from_row
from coupon_core.storage.reading import REDEEMABLE, SHOWN, VISIBLE, CouponView, views

Keys = Sequence[tuple[int, int]]
"""(campaign number, coupon number)."""

OVER = ("ended", "stopped", "failed")
LONGEST_PREFIX = 20

# --- which campaigns a code may belong to. $1 is the party, `FIRST` puts its own and those that are not over first.

FIRST = (
    "(c.owner = $1) IS TRUE DESC, (c.state <> ALL($4::text[]) AND ($3::timestamptz IS NULL OR c.ends > $3)) DESC, c.id"
)
SHARED = f"""
SELECT {COLUMNS}, held.number AS coupon FROM campaign c
LEFT JOIN LATERAL (
    SELECT k.number FROM coupon k WHERE k.user_id = $6 AND k.campaign = c.number
    ORDER BY (k.state IN (1, 2)) DESC, k.number DESC LIMIT 1
) held ON true
WHERE c.code_normal = $2 AND {REDEEMABLE} AND ($6::text IS NULL OR held.number IS NOT NULL)
ORDER BY {FIRST} LIMIT $5
"""
UPLOADED = f"""
SELECT {COLUMNS}, u.position AS coupon FROM uploaded_code u JOIN campaign c ON c.number = u.campaign
WHERE u.code = $2 AND {REDEEMABLE} ORDER BY {FIRST} LIMIT $5
"""
GIVEN = f"""
SELECT {COLUMNS}, k.number AS coupon FROM coupon k JOIN campaign c ON c.number = k.campaign
WHERE k.code = $2 AND c.supply = 'given' AND {REDEEMABLE} ORDER BY {FIRST} LIMIT $5
"""


async def campaigns_with_code(
    connection: Connection, party: str | None, code: str, user: str | None, now: datetime | None, limit: int
) -> list[tuple[Campaign, int | None]]:
    """Campaigns at which this party may take that code (in normal form), with the coupon's number where it is clear.

    Generated codes are not looked at. Of a shared code with a user: only where that user has or had one.
    """
    found: list[tuple[Campaign, int | None]] = []
    for statement in (SHARED, UPLOADED, GIVEN):
        more = (user,) if statement is SHARED else ()
        rows = await connection.fetch(statement, party, code, now, OVER, limit, *more)
        found += [(from_row(row), row["coupon"]) for row in rows]
    return found


BLOCK = f"""
SELECT {COLUMNS}, b.idx, b.version FROM code_block b JOIN campaign c ON c.number = b.campaign
WHERE b.block = $2 AND {REDEEMABLE}
"""
BLOCK_VISIBLE = f"""
SELECT {COLUMNS}, b.idx, b.version FROM code_block b JOIN campaign c ON c.number = b.campaign
WHERE b.block = $2 AND {VISIBLE}
"""


async def campaign_of_block(
    connection: Connection, party: str | None, block: int, *, redeemable: bool
) -> tuple[Campaign, int, int] | None:
    """(campaign, the block's index there, its key version), if the party may redeem (else: may know of) it."""
    row = await connection.fetchrow(BLOCK if redeemable else BLOCK_VISIBLE, party, block)
    return None if row is None else (from_row(row), row["idx"], row["version"])


# Those of the longest prefix first would not help: each is tried, and arithmetic tells in 30 microseconds.
PATTERNED = f"""
SELECT {COLUMNS} FROM unnest($2::text[]) AS begins(head)
JOIN campaign c ON c.code_head = begins.head AND c.code_length = $3
WHERE c.last_number > 0 AND {{may}} ORDER BY (c.state <> ALL($4::text[])) DESC, c.created_at DESC, c.id LIMIT $5
"""
PATTERNED_REDEEMABLE, PATTERNED_VISIBLE = PATTERNED.format(may=REDEEMABLE), PATTERNED.format(may=VISIBLE)
MOST_PATTERNED = 1_000


async def campaigns_with_pattern(
    connection: Connection, party: str | None, code: str, *, redeemable: bool
) -> list[Campaign]:
    """Campaigns whose pattern a code in normal form fits, if the party may redeem at (else: know of) them.

    At most `MOST_PATTERNED`, those that go on and the newest first.
    """
    heads = [code[:end] for end in range(min(LONGEST_PREFIX, len(code)) + 1)]
    statement = PATTERNED_REDEEMABLE if redeemable else PATTERNED_VISIBLE
    rows = await connection.fetch(statement, party, heads, len(code), OVER, MOST_PATTERNED)
    return [from_row(row) for row in rows]


# --- coupons

BY_USER = f"""
SELECT {SHOWN} FROM coupon k JOIN campaign c ON c.number = k.campaign
WHERE k.user_id = $2 AND {VISIBLE} ORDER BY k.issued_at DESC, k.campaign, k.number DESC LIMIT $3
"""


async def coupons_of_user(connection: Connection, party: str | None, user: str, limit: int) -> list[CouponView]:
    """The user's coupons in all campaigns this party may know of, latest first."""
    return views(await connection.fetch(BY_USER, party, user, limit))


BY_ORDER = f"""
WITH wanted AS MATERIALIZED (
    SELECT r.campaign, r.coupon AS number, r.party FROM redemption r WHERE r.order_id = $2
    UNION
    SELECT k.campaign, k.number, NULL FROM coupon k WHERE k.reserved_order = $2
)
SELECT DISTINCT {SHOWN} FROM wanted w JOIN coupon k ON k.campaign = w.campaign AND k.number = w.number
JOIN campaign c ON c.number = k.campaign
WHERE {VISIBLE} AND ($1::text IS NULL OR c.owner = $1 OR w.party = $1) ORDER BY k.campaign, k.number LIMIT $3
"""


async def coupons_of_order(connection: Connection, party: str | None, order: str, limit: int) -> list[CouponView]:
    """Coupons redeemed or held by this order; of campaigns of others only those redeemed at the party itself."""
    return views(await connection.fetch(BY_ORDER, party, order, limit))


BY_KEYS = f"""
SELECT {SHOWN} FROM unnest($2::bigint[], $3::bigint[]) AS wanted(campaign, number)
JOIN coupon k ON k.campaign = wanted.campaign AND k.number = wanted.number
JOIN campaign c ON c.number = k.campaign WHERE {VISIBLE}
"""


async def coupons_at(connection: Connection, party: str | None, keys: Keys) -> list[CouponView]:
    """Those of the coupons that exist and that the party may know of."""
    return views(await connection.fetch(BY_KEYS, party, [key[0] for key in keys], [key[1] for key in keys]))


BY_STORED_CODE = f"""
SELECT {SHOWN} FROM coupon k JOIN campaign c ON c.number = k.campaign
WHERE k.code = $2 AND {VISIBLE} ORDER BY k.campaign, k.number LIMIT $3
"""
FREE_BY_CODE = f"""
SELECT u.campaign, u.position AS number, NULL::text AS user_id, NULL::smallint AS state, 0 AS redemptions,
    NULL::timestamptz AS issued_at, u.shown AS code, NULL::bigint AS spent
FROM uploaded_code u JOIN campaign c ON c.number = u.campaign
WHERE u.code = $2 AND NOT u.taken AND {VISIBLE} ORDER BY u.campaign, u.position LIMIT $3
"""
BY_SHARED_CODE = f"""
WITH wanted AS MATERIALIZED (SELECT c.number FROM campaign c WHERE c.code_normal = $2 AND {VISIBLE})
SELECT {SHOWN} FROM wanted w CROSS JOIN LATERAL (
    SELECT * FROM coupon WHERE campaign = w.number AND ($4::text IS NULL OR user_id = $4) ORDER BY number LIMIT $3
) k ORDER BY k.campaign, k.number LIMIT $3
"""
BY_SHARED_CODE_OF_USER = f"""
WITH wanted AS MATERIALIZED (SELECT c.number FROM campaign c WHERE c.code_normal = $2 AND {VISIBLE})
SELECT {SHOWN} FROM wanted w JOIN coupon k ON k.user_id = $4 AND k.campaign = w.number
ORDER BY k.campaign, k.number LIMIT $3
"""


async def coupons_with_code(
    connection: Connection, party: str | None, code: str, user: str | None, limit: int
) -> list[CouponView]:
    """Coupons and codes nobody holds yet, by a code in normal form; generated codes are not looked at."""
    found = views(await connection.fetch(BY_STORED_CODE, party, code, limit))
    found += views(await connection.fetch(FREE_BY_CODE, party, code, limit))
    shared = BY_SHARED_CODE if user is None else BY_SHARED_CODE_OF_USER
    return found + views(await connection.fetch(shared, party, code, limit, user))


RANGE = """
SELECT EXISTS (SELECT 1 FROM exported_range WHERE campaign = $1 AND first <= $2 AND last >= $2) AS exported,
    EXISTS (SELECT 1 FROM voided_range WHERE campaign = $1 AND first <= $2 AND last >= $2) AS void
"""


async def code_nobody_holds(connection: Connection, campaign: int, number: int) -> CouponView | None:
    """A number of a generated supply that left the platform as a bearer code and is no coupon's; void or not."""
    row = await connection.fetchrow(RANGE, campaign, number)
    if row is None or not row["exported"]:
        return None
    return CouponView(campaign, number, None, VOIDED if row["void"] else None, 0, None, None)


# --- redemptions and refusals


@dataclass(frozen=True, slots=True)
class RefusalView:
    """A refusal that is kept. `body` is `{"code", "message", "facts"}` as JSON."""

    command: UUID
    at: datetime
    campaign: UUID | None
    user: str | None
    order: str | None
    coupon: int | None
    body: str
    owner: str | None
    """Of the campaign; None: there is no such campaign."""


REFUSALS = """
SELECT r.command, r.at, r.campaign, r.user_id, r.order_id, r.coupon, r.body, c.owner
FROM refusal r LEFT JOIN campaign c ON c.id = r.campaign
WHERE ($1::text IS NULL OR r.party = $1 OR (c.owner = $1 AND r.code <> 'campaign_not_found'))
    AND ($2::text IS NULL OR r.user_id = $2) AND ($3::text IS NULL OR r.order_id = $3)
    AND ($4::uuid[] IS NULL OR (r.campaign, r.coupon) IN (SELECT * FROM unnest($4::uuid[], $5::bigint[])))
ORDER BY r.at DESC, r.command, r.row LIMIT $6
"""


async def refusals_about(
    connection: Connection,
    party: str | None,
    user: str | None,
    order: str | None,
    coupons: Sequence[tuple[UUID, int]] | None,
    limit: int,
) -> list[RefusalView]:
    """Refusals, latest first: what this party asked for, and what others asked of its campaigns.

    `coupons` (campaign id, number) None: whatever coupon was meant. One of the three must be given.
    """
    ids = None if coupons is None else [pair[0] for pair in coupons]
    numbers = None if coupons is None else [pair[1] for pair in coupons]
    rows: list[Row] = await connection.fetch(REFUSALS, party, user, order, ids, numbers, limit)
    return [RefusalView(*row) for row in rows]
