"""What every lane must be told (a merchant's state, building rules, a tool's rights), until every lane has answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from gateway.storage.connections import Connection
from process.database import Pool

Kind = Literal["merchant", "rules", "tool", "code_key"]


@dataclass(frozen=True, slots=True)
class LaneOrder:
    """One version of one fact. `command` lacks only the partition; `lanes_done` have answered."""

    id: UUID
    kind: Kind
    subject: str
    version: int
    command: dict[str, Any]
    lanes_done: list[int]
    attempt: int


_FILE = """
INSERT INTO lane_order (id, kind, subject, version, command, next_try_at)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
"""


async def file_order(connection: Connection, order: LaneOrder, first_retry_seconds: float) -> None:
    """Remember, in the transaction of the change, that all lanes must hear of it."""
    await connection.execute(
        _FILE, order.id, order.kind, order.subject, order.version, order.command, first_retry_seconds
    )


# Skip locked, and pushed into the future: each open order is tried by one process at a time.
_TAKE_OPEN = """
UPDATE lane_order SET next_try_at = now() + make_interval(secs => $1)
WHERE id IN (
    SELECT id FROM lane_order WHERE settled_at IS NULL AND next_try_at <= now()
    ORDER BY next_try_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING id, kind, subject, version, command, lanes_done, attempt
"""


async def take_open_orders(pool: Pool, again_seconds: float, limit: int) -> list[LaneOrder]:
    """Orders that are not settled and due to be tried again; they are not due once more for `again_seconds`."""
    return [LaneOrder(**dict(row)) for row in await pool.fetch(_TAKE_OPEN, again_seconds, limit)]


_PROGRESS = """
UPDATE lane_order SET
    lanes_done = (SELECT array_agg(DISTINCT lane ORDER BY lane) FROM unnest(lanes_done || $2::int[]) AS lane),
    attempt = greatest(attempt, $3),
    refusal = $4
WHERE id = $1
"""


async def progress(
    pool: Pool, order: UUID, lanes_done: list[int], attempt: int, refusal: dict[str, Any] | None
) -> None:
    """Note which lanes have answered; a refusal means that the next try needs another command id (`attempt`)."""
    await pool.execute(_PROGRESS, order, lanes_done, attempt, refusal)


_SETTLE = "UPDATE lane_order SET settled_at = now() WHERE id = $1 AND settled_at IS NULL RETURNING true"


async def settle(connection: Connection, order: UUID) -> bool:
    """All lanes have answered; False: another process said so before."""
    return bool(await connection.fetchval(_SETTLE, order))


# A later version of the same fact makes an earlier one needless.
_SUPERSEDE = """
UPDATE lane_order SET settled_at = now() WHERE kind = $1 AND subject = $2 AND version < $3 AND settled_at IS NULL
"""


async def supersede(connection: Connection, kind: Kind, subject: str, version: int) -> None:
    """Give up telling of versions before this one."""
    await connection.execute(_SUPERSEDE, kind, subject, version)


_OPEN = "SELECT count(*) FROM lane_order WHERE settled_at IS NULL AND kind = $1 AND subject = $2"


async def open_orders(pool: Pool, kind: Kind, subject: str) -> int:
    """How many orders of a subject some lane has not answered yet."""
    return int(await pool.fetchval(_OPEN, kind, subject))


_NEWEST = "SELECT max(version) FROM lane_order WHERE kind = $1 AND subject = $2"


async def newest_version(connection: Connection | Pool, kind: Kind, subject: str) -> int | None:
    """The highest version of a fact that was ever filed."""
    found: int | None = await connection.fetchval(_NEWEST, kind, subject)
    return found


_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"


async def lock(connection: Connection, kind: Kind, subject: str) -> None:
    """Wait until nobody else files this fact; to the end of the transaction."""
    await connection.execute(_LOCK, f"lane order {kind} {subject}")
