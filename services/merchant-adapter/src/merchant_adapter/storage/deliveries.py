"""Pushes of campaigns, and the delivery of each coupon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from merchant_adapter.storage import Connection


@dataclass(frozen=True, slots=True)
class Push:
    """A campaign that goes to a merchant's users."""

    id: UUID
    merchant: UUID
    campaign: UUID
    audience: str
    issued_to: str | None
    issue_chunks: int
    issuing: bool
    listed_to: int
    ended: bool


FILE = """
INSERT INTO push (id, merchant, campaign, audience, issuing) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET ended = false, issuing = push.issuing OR excluded.issuing,
    audience = CASE WHEN excluded.issuing THEN excluded.audience ELSE push.audience END,
    issued_to = CASE WHEN push.issuing OR NOT excluded.issuing THEN push.issued_to END
"""


async def file_push(connection: Connection, merchant: UUID, campaign: UUID, audience: str) -> UUID:
    """File a push; its id. Ordered again for all users, it goes on to those who have none from it yet."""
    push = uuid5(merchant, str(campaign))
    await connection.execute(FILE, push, merchant, campaign, audience, audience == "all_users")
    return push


FIND = """
SELECT id, merchant, campaign, audience, issued_to, issue_chunks, issuing, listed_to, ended FROM push WHERE id = $1
"""


async def find_push(connection: Connection, push: UUID) -> Push | None:
    """One push."""
    row = await connection.fetchrow(FIND, push)
    return None if row is None else Push(**dict(row))


PUSHED = (
    "SELECT DISTINCT p.campaign FROM unnest($1::text[]) AS k(campaign) JOIN push p ON p.campaign::text = k.campaign"
)


async def pushed_among(connection: Connection, campaigns: Sequence[str]) -> set[str]:
    """Which of these campaigns (ids as text) go to some merchant."""
    return {str(row["campaign"]) for row in await connection.fetch(PUSHED, campaigns)}


END_PUSH = "UPDATE push SET ended = true WHERE merchant = $1 AND campaign = $2"


async def end_push(connection: Connection, merchant: UUID, campaign: UUID) -> None:
    """Deliver no further coupons of the campaign to the merchant, until the push is ordered again."""
    await connection.execute(END_PUSH, merchant, campaign)


NEXT_USERS = """
SELECT user_id FROM merchant_user WHERE merchant = $1 AND user_id > $2 AND NOT gone ORDER BY user_id LIMIT $3
"""
GIVEN = """
INSERT INTO push_user (push, user_id) SELECT $1, user_id FROM unnest($2::text[]) AS given(user_id)
ON CONFLICT DO NOTHING RETURNING user_id
"""


async def next_users(connection: Connection, push: Push, limit: int) -> tuple[list[str], str | None]:
    """Of the next users by id those who have no coupon from this push, noted as having one; and the last id of all.

    The last id is None when there were fewer than `limit`: nobody is left.
    """
    users = [row["user_id"] for row in await connection.fetch(NEXT_USERS, push.merchant, push.issued_to or "", limit)]
    fresh = {row["user_id"] for row in await connection.fetch(GIVEN, push.id, users)}
    return [user for user in users if user in fresh], users[-1] if len(users) == limit else None


ISSUED = "UPDATE push SET issued_to = $2, issue_chunks = issue_chunks + $3, issuing = $4 WHERE id = $1"


async def note_issued(connection: Connection, push: UUID, up_to: str | None, *, chunks: int) -> None:
    """Coupons were ordered for the users up to this id, with so many commands; None: for all."""
    await connection.execute(ISSUED, push, up_to, chunks, up_to is not None)


LIST = """
INSERT INTO delivery (id, merchant, campaign, number, user_id, state)
SELECT d.id, $1, $2, d.number, d.user_id, 'pending'
FROM unnest($3::uuid[], $4::bigint[], $5::text[]) AS d(id, number, user_id)
ON CONFLICT (campaign, number, merchant) DO NOTHING
"""
LISTED = "UPDATE push SET listed_to = $2 WHERE id = $1 AND listed_to < $2"


async def list_deliveries(connection: Connection, push: Push, coupons: Sequence[tuple[int, str]], up_to: int) -> None:
    """Make a delivery of each (coupon number, user) and note how far the campaign was listed."""
    if coupons:
        await connection.execute(
            LIST,
            push.merchant,
            push.campaign,
            [uuid5(push.id, str(number)) for number, _ in coupons],
            [number for number, _ in coupons],
            [user for _, user in coupons],
        )
    await connection.execute(LISTED, push.id, up_to)


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery. Its id is the idempotency key for life."""

    id: UUID
    merchant: UUID
    campaign: UUID
    number: int
    user_id: str
    state: str
    attempts: int
    next_at: datetime
    receipt: str | None
    reason: str | None
    changed_at: datetime
    changes: int

    @property
    def coupon(self) -> str:
        """The coupon's public id."""
        return f"{self.campaign}.{self.number}"


COLUMNS = "id, merchant, campaign, number, user_id, state, attempts, next_at, receipt, reason, changed_at, changes"
LOST_TRACK = """
UPDATE delivery SET state = 'unknown', changed_at = now(), changes = changes + 1 WHERE merchant = $1 AND state = 'sent'
"""


async def lose_track_of_sent(connection: Connection, merchant: UUID) -> None:
    """What a worker that died had sent has an unknown outcome."""
    await connection.execute(LOST_TRACK, merchant)


DUE = f"""
SELECT {COLUMNS} FROM delivery
WHERE merchant = $1 AND next_at <= now() AND state IN ('pending', 'retrying', 'unknown', 'recalling')
ORDER BY next_at, number LIMIT $2
"""


async def deliveries_due(connection: Connection, merchant: UUID, limit: int) -> list[DeliveryRow]:
    """What can be tried now, earliest first."""
    return [DeliveryRow(**dict(row)) for row in await connection.fetch(DUE, merchant, limit)]


NEXT = """
SELECT extract(epoch FROM min(next_at) - now()) FROM delivery
WHERE merchant = $1 AND state IN ('pending', 'retrying', 'unknown', 'recalling')
"""


async def seconds_to_next_delivery(connection: Connection, merchant: UUID) -> float | None:
    """Seconds until something can be tried; None: nothing is open."""
    seconds = await connection.fetchval(NEXT, merchant)
    return None if seconds is None else max(0.0, float(seconds))


SENT = """
UPDATE delivery SET state = 'sent', attempts = attempts + 1, changed_at = now(), changes = changes + 1
WHERE id = ANY ($1::uuid[]) AND state IN ('pending', 'retrying', 'unknown') RETURNING id
"""


async def mark_sent(connection: Connection, deliveries: Sequence[UUID]) -> set[UUID]:
    """About to be sent; committed before the call, so that a crash leaves them unknown, not pending.

    Returns those that may be sent: the others were recalled meanwhile.
    """
    return {row["id"] for row in await connection.fetch(SENT, deliveries)}


# A recall that came while the call was under way is not lost: what the merchant may have is still to be taken back.
SETTLE = f"""
UPDATE delivery SET
    state = CASE WHEN delivery.state = 'recalling' AND NOT $6 AND new.state <> 'dead' THEN 'recalling'
        ELSE new.state END,
    receipt = coalesce(new.receipt, delivery.receipt), attempts = delivery.attempts + new.tried,
    reason = CASE WHEN delivery.state = 'recalling' AND NOT $6 THEN delivery.reason ELSE new.reason END,
    next_at = now() + make_interval(secs => new.pause), changed_at = now(), changes = delivery.changes + 1
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::float[], $7::int[])
    AS new(key, state, receipt, reason, pause, tried)
WHERE delivery.id = new.key
RETURNING {", ".join(f"delivery.{column}" for column in COLUMNS.split(", "))}
"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a delivery. `pause`: seconds until it may be tried again; `tried`: attempts not yet counted."""

    delivery: UUID
    state: str
    receipt: str | None = None
    reason: str | None = None
    pause: float = 0.0
    tried: int = 0


async def settle(
    connection: Connection, settlements: Sequence[Settlement], *, recall: bool = False
) -> list[DeliveryRow]:
    """Write what became of deliveries, or of their recall; the rows as they are then."""
    rows = await connection.fetch(
        SETTLE,
        [each.delivery for each in settlements],
        [each.state for each in settlements],
        [each.receipt for each in settlements],
        [each.reason for each in settlements],
        [each.pause for each in settlements],
        recall,
        [each.tried for each in settlements],
    )
    return [DeliveryRow(**dict(row)) for row in rows]


RECALL = f"""
UPDATE delivery SET
    state = CASE WHEN state IN ('confirmed', 'unknown', 'sent') THEN 'recalling' ELSE 'dead' END,
    reason = $3, next_at = now(), changed_at = now(), changes = changes + 1, attempts = 0
WHERE campaign = $1 AND ($2::bigint IS NULL OR number = $2) AND ($4::uuid IS NULL OR merchant = $4)
  AND state NOT IN ('dead', 'recalling', 'recalled')
RETURNING {COLUMNS}
"""


async def recall(
    connection: Connection, campaign: UUID, number: int | None, reason: str, merchant: UUID | None
) -> list[DeliveryRow]:
    """Take back what was or may have been delivered; what was not yet sent is dead and will not be. Those changed."""
    rows = await connection.fetch(RECALL, campaign, number, reason, merchant)
    return [DeliveryRow(**dict(row)) for row in rows]


REDRIVE = """
UPDATE delivery SET state = 'unknown', attempts = 0, next_at = now(), changed_at = now(), changes = changes + 1
WHERE merchant = $1 AND state = 'dead' AND ($2::uuid IS NULL OR id = $2)
"""


async def redrive(connection: Connection, merchant: UUID, delivery: UUID | None) -> int:
    """Try dead deliveries again under their old keys; how many. (Unknown: an earlier try may have been applied.)"""
    status = await connection.execute(REDRIVE, merchant, delivery)
    return int(status.rpartition(" ")[2])


SEARCH = f"""
SELECT {COLUMNS} FROM delivery
WHERE ($1::uuid IS NULL OR merchant = $1) AND ($2::uuid IS NULL OR campaign = $2)
  AND ($3::text IS NULL OR state = $3) AND id > $4
ORDER BY id LIMIT $5
"""


async def search(
    connection: Connection, merchant: UUID | None, campaign: UUID | None, state: str | None, after: UUID, limit: int
) -> list[DeliveryRow]:
    """Deliveries by id."""
    return [DeliveryRow(**dict(row)) for row in await connection.fetch(SEARCH, merchant, campaign, state, after, limit)]


FIND_DELIVERY = f"SELECT {COLUMNS} FROM delivery WHERE id = $1"


async def find_delivery(connection: Connection, delivery: UUID) -> DeliveryRow | None:
    """One delivery."""
    row = await connection.fetchrow(FIND_DELIVERY, delivery)
    return None if row is None else DeliveryRow(**dict(row))


COUNTS = """
SELECT state, count(*) AS n FROM delivery
WHERE ($1::uuid IS NULL OR campaign = $1) AND ($2::uuid IS NULL OR merchant = $2) GROUP BY state
"""


async def counts(connection: Connection, campaign: UUID | None, merchant: UUID | None) -> dict[str, Any]:
    """Deliveries by state."""
    return {row["state"]: row["n"] for row in await connection.fetch(COUNTS, campaign, merchant)}
