"""Coupons and redemptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from contracts.commands import CouponFilter
from coupon_core.model.campaign import EXPIRED, Campaign, Coupon, Redemption
from coupon_core.model.selecting import Tally
from coupon_core.storage import Connection, columns

COLUMNS = (
    "k.campaign, k.number, k.user_id, k.state, k.redemptions, k.issued_at, k.code, k.reserved_order, k.due_at, "
    "k.spent, k.reserved_units"
)


def _coupons(rows: Sequence[asyncpg.Record]) -> list[Coupon]:
    return [Coupon(*row) for row in rows]


# BETWEEN instead of `=` keeps the planner from the primary key: in a young table without statistics all coupons of one
# campaign look few, and each user's would be looked for among all of them. Of a range it expects a ninth of the table,
# and takes the index of users, by both its columns: a user may hold coupons of hundreds of campaigns. So with codes.
BY_USER = f"""
SELECT {COLUMNS} FROM unnest($1::bigint[], $2::text[]) AS wanted(campaign, user_id)
JOIN coupon k ON k.user_id = wanted.user_id AND k.campaign BETWEEN wanted.campaign AND wanted.campaign
ORDER BY k.campaign, k.number
"""


async def coupons_of_users(connection: Connection, pairs: Sequence[tuple[int, str]]) -> list[Coupon]:
    """All coupons these users hold or held in these campaigns, by (campaign number, user)."""
    return _coupons(await connection.fetch(BY_USER, [pair[0] for pair in pairs], [pair[1] for pair in pairs]))


BY_NUMBER = f"""
SELECT {COLUMNS} FROM unnest($1::bigint[], $2::bigint[]) AS wanted(campaign, number)
JOIN coupon k ON k.campaign = wanted.campaign AND k.number = wanted.number
"""


async def coupons_by_number(connection: Connection, pairs: Sequence[tuple[int, int]]) -> list[Coupon]:
    """Coupons by (campaign number, coupon number)."""
    return _coupons(await connection.fetch(BY_NUMBER, [pair[0] for pair in pairs], [pair[1] for pair in pairs]))


BY_CODE = f"""
SELECT {COLUMNS} FROM unnest($1::bigint[], $2::text[]) AS wanted(campaign, code)
JOIN coupon k ON k.code = wanted.code AND k.campaign BETWEEN wanted.campaign AND wanted.campaign
"""


async def coupons_by_code(connection: Connection, pairs: Sequence[tuple[int, str]]) -> list[Coupon]:
    """Coupons of uploaded and given supplies by (campaign number, normal code)."""
    return _coupons(await connection.fetch(BY_CODE, [pair[0] for pair in pairs], [pair[1] for pair in pairs]))


OPEN_AFTER = f"""
SELECT {COLUMNS} FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS wanted(campaign, after, most)
CROSS JOIN LATERAL (
    SELECT * FROM coupon WHERE campaign = wanted.campaign AND number > wanted.after AND state IN (1, 2)
    ORDER BY number LIMIT wanted.most
) k
"""


async def open_coupons_after(connection: Connection, wanted: Sequence[tuple[int, int, int]]) -> list[Coupon]:
    """Held and reserved coupons by (campaign number, after this coupon number, at most so many), by number."""
    coupons = _coupons(await connection.fetch(OPEN_AFTER, *columns(wanted)))
    coupons.sort(key=lambda coupon: (coupon.campaign, coupon.number))
    return coupons


MEANT = """k.campaign = $1 AND k.number > $2 AND k.number <= $3 AND k.state IN (1, 2)
    AND ($4::timestamptz IS NULL OR k.issued_at >= $4) AND ($5::timestamptz IS NULL OR k.issued_at < $5)
    AND ($6::text IS NULL OR starts_with(k.user_id, $6))"""
BY_ALL = f"coupon k WHERE {MEANT}"
BY_USERS = f"""(
    SELECT coupon.* FROM unnest($7::text[]) AS wanted(user_id)
    JOIN coupon ON coupon.user_id = wanted.user_id AND coupon.campaign = $1 OFFSET 0
) k WHERE {MEANT}"""


def _meant(matching: CouponFilter, campaign: int, above: int, upto: int) -> tuple[str, list[object]]:
    users = list(dict.fromkeys(matching.users))
    given: list[object] = [campaign, above, upto, matching.issued_from, matching.issued_before, matching.user_prefix]
    return (BY_USERS, [*given, users]) if users else (BY_ALL, given)


async def first_meant(
    connection: Connection, matching: CouponFilter, campaign: int, above: int, upto: int
) -> int | None:
    """The least number of a held or reserved coupon that is meant, its state aside."""
    rows, given = _meant(matching, campaign, above, upto)
    found: int | None = await connection.fetchval(f"SELECT k.number FROM {rows} ORDER BY k.number LIMIT 1", *given)
    return found


async def all_meant(
    connection: Connection, matching: CouponFilter, campaign: int, above: int, upto: int
) -> list[Coupon]:
    """Held and reserved coupons that are meant, their state aside, by number."""
    rows, given = _meant(matching, campaign, above, upto)
    return _coupons(await connection.fetch(f"SELECT {COLUMNS} FROM {rows} ORDER BY k.number", *given))


async def tally_of(
    connection: Connection, matching: CouponFilter, campaign: Campaign, above: int, upto: int, now: datetime
) -> Tally:
    """How many `all_meant` would give, as `model.selecting.tallied` sorts them."""
    rows, given = _meant(matching, campaign.number, above, upto)
    at = len(given) + 1
    overdue = f"coalesce(k.due_at <= ${at}, false)"
    statement = f"""SELECT k.state, {overdue} AS overdue,
        CASE WHEN ${at + 1} AND {overdue} THEN k.issued_at END AS issued_at, count(*) AS coupons
        FROM {rows} GROUP BY 1, 2, 3"""
    found = await connection.fetch(statement, *given, now, campaign.lasting)
    return Counter({(row["state"], row["overdue"], row["issued_at"]): row["coupons"] for row in found})


OVERDUE = """
SELECT state, CASE WHEN $3 THEN issued_at END AS issued_at, count(*) AS coupons FROM coupon
WHERE campaign = $1 AND due_at <= $2 AND due_at IS NOT NULL GROUP BY 1, 2
"""


async def tally_of_overdue(connection: Connection, campaign: Campaign, now: datetime) -> Tally:
    """Held and reserved coupons of which something of their own is overdue, as `model.selecting.tallied` sorts them."""
    found = await connection.fetch(OVERDUE, campaign.number, now, campaign.lasting)
    return Counter({(row["state"], True, row["issued_at"]): row["coupons"] for row in found})


# The index gives the order within a campaign, so that a slice of hundreds of thousands reads no more than itself.
DUE = f"""
SELECT {COLUMNS} FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted(campaign, place)
CROSS JOIN LATERAL (
    SELECT * FROM coupon WHERE campaign = wanted.campaign AND due_at <= $2 AND due_at IS NOT NULL
    ORDER BY due_at, number LIMIT $3
) k ORDER BY wanted.place, k.due_at, k.number LIMIT $3
"""


async def coupons_due(connection: Connection, campaigns: Sequence[int], now: datetime, limit: int) -> list[Coupon]:
    """Coupons whose reservation or own time has run out: campaigns as given, then by due time, then by number."""
    return _coupons(await connection.fetch(DUE, campaigns, now, limit))


NEXT_DUE = """
SELECT wanted.campaign, k.due_at FROM unnest($1::bigint[]) AS wanted(campaign)
CROSS JOIN LATERAL (
    SELECT due_at FROM coupon WHERE campaign = wanted.campaign AND due_at > $2 AND due_at IS NOT NULL
    ORDER BY due_at LIMIT 1
) k
"""


async def next_due(connection: Connection, campaigns: Sequence[int], now: datetime) -> dict[int, datetime]:
    """By campaign, the earliest due time of a coupon that lies ahead."""
    return {row["campaign"]: row["due_at"] for row in await connection.fetch(NEXT_DUE, campaigns, now)}


COPY_COLUMNS = (
    "campaign", "number", "user_id", "state", "redemptions", "issued_at", "code", "reserved_order", "due_at",
)  # fmt: skip
COPY_COUNTING = (*COPY_COLUMNS, "spent", "reserved_units")
FEW = 64
"""Up to so many rows an ordinary INSERT costs less than COPY, which the server plans anew and answers twice."""
INSERT_FEW = """
INSERT INTO coupon (campaign, number, user_id, state, redemptions, issued_at, code, reserved_order, due_at, spent,
    reserved_units)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::smallint[], $5::smallint[], $6::timestamptz[],
    $7::text[], $8::text[], $9::timestamptz[], $10::bigint[], $11::bigint[])
"""
UPDATE = """
UPDATE coupon SET state = new.state, redemptions = new.redemptions, reserved_order = new.reserved_order,
    due_at = new.due_at
FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::text[], $6::timestamptz[])
  AS new(campaign, number, state, redemptions, reserved_order, due_at)
WHERE coupon.campaign = new.campaign AND coupon.number = new.number
"""
UPDATE_COUNTING = """
UPDATE coupon SET state = new.state, redemptions = new.redemptions, reserved_order = new.reserved_order,
    due_at = new.due_at, spent = new.spent, reserved_units = new.reserved_units
FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::text[], $6::timestamptz[], $7::bigint[],
    $8::bigint[])
  AS new(campaign, number, state, redemptions, reserved_order, due_at, spent, reserved_units)
WHERE coupon.campaign = new.campaign AND coupon.number = new.number
"""
MOVE = """
UPDATE coupon SET state = new.state, due_at = NULL
FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS new(campaign, number, state)
WHERE coupon.campaign = new.campaign AND coupon.number = new.number
"""


async def write_coupons(connection: Connection, coupons: Sequence[Coupon]) -> None:
    """Write new and changed coupons back and mark them clean.

    Raises:
        RuntimeError: another number of rows was written than there are coupons (a broken invariant).
    """
    new = [k for k in coupons if k.new]
    changed = [k for k in coupons if k.changed and not k.new]
    if new:
        records: list[tuple[object, ...]] = [
            (k.campaign, k.number, k.user, k.state, k.redemptions, k.issued_at, k.code, k.reserved_order, k.due_at)
            for k in new
        ]
        names: tuple[str, ...] = COPY_COLUMNS
        if len(new) <= FEW or any(k.spent is not None or k.reserved_units is not None for k in new):
            names = COPY_COUNTING
            records = [(*record, k.spent, k.reserved_units) for record, k in zip(records, new, strict=True)]
        if len(new) <= FEW:
            await connection.execute(INSERT_FEW, *columns(records))
        else:
            await connection.copy_records_to_table("coupon", columns=names, records=records)
    if changed:
        keys = [k.campaign for k in changed], [k.number for k in changed], [k.state for k in changed]
        if all(k.state == EXPIRED and not (k.beyond_state or k.counting) for k in changed):
            # Expiry comes by the hundred thousand and changes the state alone.
            status = await connection.execute(MOVE, *keys)
        else:
            rest = (
                [k.redemptions for k in changed],
                [k.reserved_order for k in changed],
                [k.due_at for k in changed],
            )
            if any(k.counting for k in changed):
                spent, reserved = [k.spent for k in changed], [k.reserved_units for k in changed]
                status = await connection.execute(UPDATE_COUNTING, *keys, *rest, spent, reserved)
            else:
                status = await connection.execute(UPDATE, *keys, *rest)
        if status != f"UPDATE {len(changed)}":
            raise RuntimeError(f"{status} for {len(changed)} coupons: the ledger is not what was loaded")
    for coupon in (*new, *changed):
        coupon.new = coupon.changed = coupon.beyond_state = coupon.counting = False


REDEMPTIONS = """
SELECT r.campaign, r.coupon, r.number, r.order_id, r.amount, r.discount, r.party, r.actor, r.at, r.command,
    r.returned_at, r.return_reason, r.returned, r.restored
FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS wanted(campaign, coupon, most)
CROSS JOIN LATERAL (
    SELECT * FROM redemption WHERE campaign = wanted.campaign AND coupon = wanted.coupon
    ORDER BY number DESC LIMIT wanted.most
) r
"""


async def redemptions_of(
    connection: Connection, pairs: Sequence[tuple[int, int]], most: Sequence[int] | None = None
) -> list[Redemption]:
    """Redemptions of these coupons, by (campaign number, coupon number), in order of number.

    `most`: of each coupon, only so many, the latest; None: all.
    """
    limits = [None] * len(pairs) if most is None else list(most)
    rows = await connection.fetch(REDEMPTIONS, [pair[0] for pair in pairs], [pair[1] for pair in pairs], limits)
    found = [Redemption(*row) for row in rows]
    found.sort(key=lambda redemption: (redemption.campaign, redemption.coupon, redemption.number))
    return found


INSERT_REDEMPTIONS = """
INSERT INTO redemption (campaign, coupon, number, order_id, amount, discount, party, actor, at, command,
    returned_at, return_reason, returned, restored)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
    $8::text[], $9::timestamptz[], $10::uuid[], $11::timestamptz[], $12::text[], $13::bigint[], $14::bigint[])
"""
UPDATE_REDEMPTIONS = """
UPDATE redemption SET returned_at = new.at, return_reason = new.reason, returned = new.returned,
    restored = new.restored
FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::timestamptz[], $5::text[], $6::bigint[], $7::bigint[])
  AS new(campaign, coupon, number, at, reason, returned, restored)
WHERE redemption.campaign = new.campaign AND redemption.coupon = new.coupon AND redemption.number = new.number
"""


async def write_redemptions(connection: Connection, redemptions: Sequence[Redemption]) -> None:
    """Write new redemptions and those returned, and mark them clean. A redemption's key is unique for ever."""
    new = [r for r in redemptions if r.new]
    changed = [r for r in redemptions if r.changed and not r.new]
    if new:
        rows = [
            (r.campaign, r.coupon, r.number, r.order, r.amount, r.discount, r.party, r.actor, r.at, r.command,
             r.returned_at, r.return_reason, r.returned, r.restored)
            for r in new
        ]  # fmt: skip
        await connection.execute(INSERT_REDEMPTIONS, *columns(rows))
    if changed:
        returned = [
            (r.campaign, r.coupon, r.number, r.returned_at, r.return_reason, r.returned, r.restored) for r in changed
        ]
        await connection.execute(UPDATE_REDEMPTIONS, *columns(returned))
    for redemption in (*new, *changed):
        redemption.new = redemption.changed = False
