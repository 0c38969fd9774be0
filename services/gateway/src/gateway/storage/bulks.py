"""Bulk requests: which rows each of their commands holds, and which rows the gateway refused itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from process.database import Pool


@dataclass(frozen=True, slots=True)
class NewBulk:
    """A bulk request before its first command is sent."""

    id: UUID
    party: str
    operation: str
    campaign: UUID | None
    hash: bytes
    total: int
    refused: list[dict[str, Any]]
    parts: list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class StoredBulk:
    """A bulk request as it was remembered."""

    id: UUID
    party: str
    operation: str
    campaign: UUID | None
    total: int
    parts: int
    refused: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One command of a bulk request: its number and the numbers of its rows."""

    number: int
    rows: Sequence[int]


_INSERT = """
INSERT INTO bulk (id, party, operation, campaign, hash, total, parts, refused)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO NOTHING
RETURNING true
"""
_HASH = "SELECT hash FROM bulk WHERE id = $1"
# row_numbers only where the rows of a part do not follow one another.
_INSERT_PARTS = """
INSERT INTO bulk_part (bulk, number, first_row, row_count, row_numbers) VALUES ($1, $2, $3, $4, $5)
"""


async def remember(pool: Pool, bulk: NewBulk) -> bytes | None:
    """Store the request; None when it is new, else the hash of the one that came before under this id."""
    async with pool.acquire() as connection, connection.transaction():
        made = await connection.fetchval(
            _INSERT,
            bulk.id,
            bulk.party,
            bulk.operation,
            bulk.campaign,
            bulk.hash,
            bulk.total,
            len(bulk.parts),
            bulk.refused,
        )
        if not made:
            return bytes(await connection.fetchval(_HASH, bulk.id))
        await connection.executemany(
            _INSERT_PARTS,
            [
                (
                    bulk.id,
                    number,
                    rows[0],
                    len(rows),
                    None if rows[-1] - rows[0] == len(rows) - 1 else list(rows),
                )
                for number, rows in enumerate(bulk.parts)
            ],
        )
    return None


_FIND = """
SELECT id, party, operation, campaign, total, parts, refused FROM bulk
WHERE id = $1 AND ($2::text IS NULL OR party = $2)
"""


async def find(pool: Pool, bulk: UUID, party: str | None) -> StoredBulk | None:
    """The request of this party; `party` None: of anybody."""
    row = await pool.fetchrow(_FIND, bulk, party)
    return None if row is None else StoredBulk(**dict(row))


_PARTS = """
SELECT number, first_row, row_count, row_numbers FROM bulk_part
WHERE bulk = $1 AND coalesce(row_numbers[array_upper(row_numbers, 1)], first_row + row_count - 1) > $2
ORDER BY number
"""


async def parts(pool: Pool, bulk: UUID) -> list[StoredPart]:
    """All commands of the request, in order."""
    return [_part(row) for row in await pool.fetch(_PARTS, bulk, -1)]


async def parts_after(pool: Pool, bulk: UUID, after: int, limit: int) -> list[StoredPart]:
    """The commands that hold the next `limit` rows after row `after`, in order."""
    found: list[StoredPart] = []
    rows = 0
    for row in await pool.fetch(_PARTS, bulk, after):
        if rows >= limit:
            break
        part = _part(row)
        rows += sum(1 for number in part.rows if number > after)
        found.append(part)
    return found


def _part(row: Any) -> StoredPart:
    numbers = row["row_numbers"]
    return StoredPart(
        row["number"],
        numbers if numbers is not None else range(row["first_row"], row["first_row"] + row["row_count"]),
    )


_FORGET = "DELETE FROM bulk WHERE created_at < now() - make_interval(days => $1)"


async def forget_older(pool: Pool, days: int) -> None:
    """Drop requests whose outcomes core has forgotten too."""
    await pool.execute(_FORGET, days)
