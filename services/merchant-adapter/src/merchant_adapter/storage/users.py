"""Users fetched from merchants, and the runs that fetched them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

from pydantic_core import to_json

from merchant_adapter.storage import Connection


@dataclass(frozen=True, slots=True)
class SyncRun:
    """A run over a merchant's whole listing, with its report so far."""

    id: UUID
    merchant: UUID
    task: UUID | None
    status: str
    cursor: str | None
    pages: int
    seen: int
    new: int
    changed: int
    gone: int
    refused: int
    detail: str | None
    made_at: datetime
    ended_at: datetime | None
    scan: UUID
    """What users of this listing are marked with as seen."""


COLUMNS = (
    "id, merchant, task, status, cursor, pages, seen, new, changed, gone, refused, detail, made_at, ended_at, "
    "coalesce(scan, id) AS scan"
)
FILE = "INSERT INTO sync_run (id, merchant, task) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"


async def file_run(connection: Connection, run: UUID, merchant: UUID, task: UUID | None) -> None:
    """File a run; the same run again changes nothing."""
    await connection.execute(FILE, run, merchant, task)


WAITING = "SELECT EXISTS (SELECT FROM sync_run WHERE merchant = $1 AND status = 'queued' AND id <> $2)"


async def another_waits(connection: Connection, merchant: UUID, run: UUID) -> bool:
    """Whether another run over the merchant's users is filed and has not begun."""
    return bool(await connection.fetchval(WAITING, merchant, run))


FIND = f"SELECT {COLUMNS} FROM sync_run WHERE id = $1"


async def find_run(connection: Connection, run: UUID) -> SyncRun | None:
    """One run."""
    row = await connection.fetchrow(FIND, run)
    return None if row is None else SyncRun(**dict(row))


RUNS = f"""
SELECT {COLUMNS} FROM sync_run WHERE ($1::uuid IS NULL OR merchant = $1) ORDER BY made_at DESC, id LIMIT $2
"""


async def latest_runs(connection: Connection, merchant: UUID | None, limit: int) -> list[SyncRun]:
    """Runs of one merchant or of all, newest first."""
    return [SyncRun(**dict(row)) for row in await connection.fetch(RUNS, merchant, limit)]


PAGE = """
WITH page AS (
    SELECT * FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bool[]) AS p(user_id, attributes, hash, deleted)
), old AS (
    -- By the index and never by a join, which would read all users of the merchant for every page of them.
    SELECT user_id, hash, gone, seen_run FROM merchant_user WHERE merchant = $1 AND user_id = ANY ($3::text[])
), stored AS (
    INSERT INTO merchant_user (merchant, user_id, attributes, hash, seen_run, gone)
    SELECT $1, user_id, attributes, hash, $2, deleted FROM page
    ON CONFLICT (merchant, user_id) DO UPDATE SET attributes = excluded.attributes, hash = excluded.hash,
        seen_run = excluded.seen_run, gone = excluded.gone,
        changed_at = CASE WHEN merchant_user.hash = excluded.hash AND merchant_user.gone = excluded.gone
            THEN merchant_user.changed_at ELSE now() END
)
SELECT count(*) FILTER (WHERE old.seen_run IS DISTINCT FROM $2) AS first_seen,
    count(*) FILTER (WHERE old.user_id IS NULL AND NOT page.deleted) AS new,
    count(*) FILTER (WHERE old.seen_run IS DISTINCT FROM $2 AND NOT page.deleted
        AND (old.hash <> page.hash OR old.gone)) AS changed,
    count(*) FILTER (WHERE page.deleted AND NOT old.gone) AS gone
FROM page LEFT JOIN old USING (user_id)
"""


@dataclass(frozen=True, slots=True)
class PageCounts:
    """What a page brought. `first_seen`: users not seen before in this run."""

    first_seen: int
    new: int
    changed: int
    gone: int


async def store_page(
    connection: Connection, run: SyncRun, users: Mapping[str, tuple[Mapping[str, Any], bool]]
) -> PageCounts:
    """Upsert a page of users (id → attributes, deleted) by the hash of their attributes."""
    written = [to_json({name: attributes[name] for name in sorted(attributes)}) for attributes, _ in users.values()]
    texts = [text.decode() for text in written]
    hashes = [int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True) for text in written]
    deleted = [gone for _, gone in users.values()]
    row = await connection.fetchrow(PAGE, run.merchant, run.scan, list(users), texts, hashes, deleted)
    return PageCounts(**dict(row)) if row is not None else PageCounts(0, 0, 0, 0)


ADVANCE = f"""
UPDATE sync_run SET status = 'running', cursor = $2, pages = pages + 1, seen = seen + $3, new = new + $4,
    changed = changed + $5, gone = gone + $6, refused = refused + $7
WHERE id = $1 RETURNING {COLUMNS}
"""


async def advance_run(
    connection: Connection, run: SyncRun, cursor: str | None, counts: PageCounts, refused: int
) -> SyncRun:
    """Add a page to the report and move the cursor, in the transaction of the page itself; the run after it."""
    row = await connection.fetchrow(
        ADVANCE, run.id, cursor, counts.first_seen, counts.new, counts.changed, counts.gone, refused
    )
    return run if row is None else SyncRun(**dict(row))


RESTART = f"""
UPDATE sync_run SET scan = $2, cursor = NULL, seen = 0, refused = 0 WHERE id = $1 RETURNING {COLUMNS}
"""


async def restart_run(connection: Connection, run: SyncRun) -> SyncRun:
    """Begin the listing anew: the merchant takes its cursor no more. Changes found so far stay in the report."""
    row = await connection.fetchrow(RESTART, run.id, uuid4())
    return run if row is None else SyncRun(**dict(row))


TOMBSTONES = """
UPDATE merchant_user SET gone = true, attributes = '{}', hash = 0, changed_at = now()
WHERE merchant = $1 AND seen_run <> $2 AND NOT gone
"""
END = """
UPDATE sync_run SET status = $2, detail = $3, gone = gone + $4, ended_at = now() WHERE id = $1
"""


async def end_run(connection: Connection, run: SyncRun, *, detail: str | None) -> SyncRun:
    """End a run: without `detail` it is done, and who was not seen is gone; with it, it failed."""
    gone = 0
    if detail is None:
        status = await connection.execute(TOMBSTONES, run.merchant, run.scan)
        gone = int(status.rpartition(" ")[2])
    await connection.execute(END, run.id, "done" if detail is None else "failed", detail, gone)
    ended = await find_run(connection, run.id)
    if ended is None:
        raise RuntimeError("a run that was filed is gone")
    return ended


USERS = """
SELECT user_id, attributes, gone, changed_at FROM merchant_user
WHERE merchant = $1 AND user_id > $2 AND (NOT gone OR $4) ORDER BY user_id LIMIT $3
"""


async def users_after(
    connection: Connection, merchant: UUID, after: str, limit: int, *, with_gone: bool = False
) -> list[dict[str, Any]]:
    """The next users by id: `{"id", "attributes", "gone", "changed_at"}`."""
    rows = await connection.fetch(USERS, merchant, after, limit, with_gone)
    return [_user(row) for row in rows]


USER = "SELECT user_id, attributes, gone, changed_at FROM merchant_user WHERE merchant = $1 AND user_id = $2"


async def find_user(connection: Connection, merchant: UUID, user: str) -> dict[str, Any] | None:
    """One user."""
    row = await connection.fetchrow(USER, merchant, user)
    return None if row is None else _user(row)


SOME = """
SELECT user_id, attributes FROM merchant_user WHERE merchant = $1 AND user_id = ANY ($2::text[]) AND NOT gone
"""


async def attributes_of(
    connection: Connection, merchant: UUID, users: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """These attributes of those of these users that are known and not gone, by user."""
    kept = set(names)
    return {
        row["user_id"]: {name: value for name, value in json.loads(row["attributes"]).items() if name in kept}
        for row in await connection.fetch(SOME, merchant, users)
    }


COUNT = "SELECT count(*) FILTER (WHERE NOT gone), count(*) FILTER (WHERE gone) FROM merchant_user WHERE merchant = $1"


async def count_users(connection: Connection, merchant: UUID) -> tuple[int, int]:
    """(present, gone)."""
    row = await connection.fetchrow(COUNT, merchant)
    return (row[0], row[1]) if row is not None else (0, 0)


def _user(row: Any) -> dict[str, Any]:
    return {
        "id": row["user_id"],
        "attributes": json.loads(row["attributes"]),
        "gone": row["gone"],
        "changed_at": row["changed_at"].isoformat(),
    }


def page_of(users: Sequence[Any], allowed: Sequence[str] | None) -> dict[str, tuple[dict[str, Any], bool]]:
    """A page by user id, with only the allowed attributes; of a user that stands in it twice the last counts."""
    kept = None if allowed is None else set(allowed)
    return {
        user.id: (
            {name: value for name, value in user.attributes.items() if kept is None or name in kept},
            user.deleted,
        )
        for user in users
    }
