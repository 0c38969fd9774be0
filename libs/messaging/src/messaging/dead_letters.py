"""Records that could not be read or trusted: kept whole in the service's schema, and told on a topic.

What a stranger wrote can be of any size once it is unpacked and stands as JSON in base64; a letter that no broker takes
would keep all that follow it from being sent. `cut_to_fit` is the one place where that is prevented.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from contracts.answers import DeadLetter, DeadLetterReason
from contracts.topics import MAX_RECORD_BYTES
from messaging.outbox import Connection, enqueue

if TYPE_CHECKING:
    from messaging.opening import Record

LONGEST_PART = 64 * 1024
"""Bytes of JSON. A part of no more stays whole in a letter that would be too large; of a larger one its beginning."""

_KEEP = """
INSERT INTO dead_letter (id, reason, detail, command, writer, record_time, record_key, value, headers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb)
ON CONFLICT (id) DO NOTHING RETURNING id"""


async def keep_dead_letter(
    connection: Connection,
    topic: str,
    record: Record,
    record_time: datetime,
    reason: DeadLetterReason,
    detail: str,
    *,
    command: str | None = None,
    writer: str | None = None,
) -> None:
    """Keep the record and enqueue it for `topic`, within the caller's transaction; a record seen before:
    nothing.
    """
    letter = DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        detail=_printable(detail),
        key=_base64(record.key),
        value=_base64(record.value),
        headers=[(_printable(name), base64.b64encode(value).decode()) for name, value in record.headers],
        record_time=record_time,
        command=command,
        writer=_printable(writer) if writer else None,
    )
    name = f"{record.topic}-{record.partition}-{record.offset}"
    kept = await connection.fetchval(
        _KEEP,
        name,
        letter.reason,
        letter.detail,
        letter.command,
        letter.writer,
        record_time,
        record.key,
        record.value,
        json.dumps(letter.headers),
    )
    if kept is None:
        return
    told = cut_to_fit(letter, MAX_RECORD_BYTES - len(name))
    await enqueue(connection, topic, name.encode(), told.model_dump_json().encode())


def cut_to_fit(letter: DeadLetter, most: int) -> DeadLetter:
    """The letter as it is where its JSON has at most so many bytes; else with each large part cut, and saying so."""
    if _size(letter.model_dump_json()) <= most:
        return letter
    cut: dict[str, Any] = {}
    for name in ("key", "value", "detail"):
        text = getattr(letter, name)
        if text is not None and _size(json.dumps(text)) > LONGEST_PART:
            # Of base64 whole groups of four; of a detail few enough characters, each at most 6 bytes of JSON.
            cut[name] = text[: LONGEST_PART // 8]
    headers: list[tuple[str, str]] = []
    left = LONGEST_PART
    for header in letter.headers:
        left -= _size(json.dumps(header))
        if left < 0:
            cut["headers"] = headers
            break
        headers.append(header)
    return letter.model_copy(update={**cut, "cut": list(cut)})


def _size(text: str) -> int:
    return len(text.encode())


_LIST = """
SELECT id, reason, detail, command, writer, record_time, record_key, value, headers::text, made_at
FROM dead_letter
WHERE ($1::text IS NULL OR (made_at, id) > (SELECT made_at, id FROM dead_letter WHERE id = $1))
  AND ($2::text IS NULL OR reason = $2)
ORDER BY made_at, id LIMIT $3"""
_ONE = """
SELECT id, reason, detail, command, writer, record_time, record_key, value, headers::text, made_at
FROM dead_letter WHERE id = $1"""


async def list_dead_letters(
    connection: Connection, after: str | None, reason: str | None, limit: int
) -> list[dict[str, Any]]:
    """The dead letters behind the one with the id `after`, oldest first, as JSON objects with an `id`."""
    return [_as_json(row) for row in await connection.fetch(_LIST, after, reason, limit)]


async def find_dead_letter(connection: Connection, name: str) -> dict[str, Any] | None:
    """One dead letter, as JSON."""
    row = await connection.fetchrow(_ONE, name)
    return None if row is None else _as_json(row)


def _as_json(row: Any) -> dict[str, Any]:
    topic, partition, offset = str(row["id"]).rsplit("-", 2)
    return {
        "id": row["id"],
        "topic": topic,
        "partition": int(partition),
        "offset": int(offset),
        "reason": row["reason"],
        "detail": row["detail"],
        "key": _base64(row["record_key"]),
        "value": _base64(row["value"]),
        "headers": json.loads(row["headers"]),
        "record_time": row["record_time"].isoformat(),
        "command": row["command"],
        "writer": row["writer"],
        "made_at": row["made_at"].isoformat(),
    }


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _printable(text: str) -> str:
    """PostgreSQL takes neither NUL nor lone surrogates, and a detail should be short."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:500]
