"""Dead letters: kept by the lane, to be looked at and sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from coupon_core.storage import Connection, columns

PAGE_CHARACTERS = 8_000_000
"""A dead letter holds a whole record; a page holds at most so much of them, but at least one."""


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    """A dead letter: `body` is contracts.answers.DeadLetter as JSON."""

    partition: int
    position: int
    body: str
    redriven_at: datetime | None


INSERT_DEAD = """
INSERT INTO dead_letter (partition, position, at, reason, command, body)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::text[], $5::uuid[], $6::text[])
ON CONFLICT (partition, position) DO UPDATE
SET at = excluded.at, reason = excluded.reason, command = excluded.command, body = excluded.body, redriven_at = NULL
WHERE dead_letter.body <> excluded.body
"""


async def write_dead_letters(
    connection: Connection, rows: Sequence[tuple[int, int, datetime, str, UUID | None, str]]
) -> None:
    """Keep dead letters by (partition, position) of the dead record.

    A log that an operator accepted after a loss uses places again: there the later record's counts. The topic
    `coupon.dead-letters` keeps both.
    """
    await connection.execute(INSERT_DEAD, *columns(rows))


PAGE = """
SELECT partition, position, body, redriven_at, found FROM (
    SELECT d.*, count(*) OVER () AS found,
        sum(length(d.body)) OVER (ORDER BY d.at, d.partition, d.position) - length(d.body) AS before
    FROM (
        SELECT * FROM dead_letter
        WHERE ($1::text IS NULL OR reason = $1) AND ($2::int IS NULL OR (at, partition, position) > (
            SELECT at, partition, position FROM dead_letter WHERE partition = $2 AND position = $3))
        ORDER BY at, partition, position LIMIT $4 + 1
    ) d
) page WHERE before < $5 ORDER BY at, partition, position LIMIT $4
"""


async def dead_letters_after(
    connection: Connection, reason: str | None, after: tuple[int, int] | None, limit: int
) -> tuple[list[DeadLetterView], bool]:
    """Dead letters in the order in which they came up, and whether there are more.

    `after` (partition, position) is the last one seen. A page has a limit in characters too.
    """
    partition, position = after or (None, None)
    rows = await connection.fetch(PAGE, reason, partition, position, limit, PAGE_CHARACTERS)
    page = [DeadLetterView(row["partition"], row["position"], row["body"], row["redriven_at"]) for row in rows]
    return page, bool(rows) and rows[0]["found"] > len(rows)


ONE = "SELECT partition, position, body, redriven_at FROM dead_letter WHERE partition = $1 AND position = $2"


async def dead_letter(connection: Connection, partition: int, position: int) -> DeadLetterView | None:
    """The dead letter of this record."""
    row = await connection.fetchrow(ONE, partition, position)
    return None if row is None else DeadLetterView(*row)


MARK = """
UPDATE dead_letter SET redriven_at = now() WHERE partition = $1 AND position = $2
RETURNING partition, position, body, redriven_at
"""


async def mark_redriven(connection: Connection, partition: int, position: int) -> DeadLetterView | None:
    """Note that the record was sent again, just now; the latest time counts."""
    row = await connection.fetchrow(MARK, partition, position)
    return None if row is None else DeadLetterView(*row)
