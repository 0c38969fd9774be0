"""The journal: everything core sends is a row here first. Kept; never deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import cramjam

from coupon_core.storage import Connection

EVENTS, REFUSALS, COMMANDS, DEAD_LETTERS = 1, 2, 3, 4
_LEVEL = 1


@dataclass(slots=True)
class JournalRow:
    """What one batch sends of one kind for one campaign: `lines` of JSON, one record each."""

    partition: int
    lane_seq: int
    kind: int
    campaign: UUID | None
    first_seq: int | None
    at: datetime | None
    lines: list[str]
    chain: bytes | None = None
    """Of the campaign, after the last of these events; only of events."""


def packed(lines: Sequence[str]) -> bytes:
    """The body of a row: zstd of lines joined by newlines (JSON holds none)."""
    return bytes(cramjam.zstd.compress("\n".join(lines).encode(), level=_LEVEL))


def unpacked(body: bytes) -> list[str]:
    """The lines of a body."""
    return bytes(cramjam.zstd.decompress(body)).decode().split("\n")


AFTER = """
SELECT partition, lane_seq, kind, campaign, first_seq, at, body FROM journal
WHERE partition = $1 AND lane_seq > $2 ORDER BY lane_seq LIMIT $3
"""


async def rows_after(connection: Connection, partition: int, lane_seq: int, limit: int) -> list[JournalRow]:
    """The next rows of a lane, in order."""
    rows = await connection.fetch(AFTER, partition, lane_seq, limit)
    return [JournalRow(r[0], r[1], r[2], r[3], r[4], r[5], unpacked(r[6])) for r in rows]
