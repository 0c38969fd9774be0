"""Outcomes of commands, and refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from coupon_core.storage import Connection, columns
from coupon_core.work import Outcome

LOAD = """
SELECT o.partition, o.command, o.campaign, o.hash, o.status, o.at, o.body, o.position
FROM unnest($1::int[], $2::uuid[]) AS wanted(partition, command)
JOIN outcome o ON o.command = wanted.command AND o.partition = wanted.partition
"""


async def outcomes_of(connection: Connection, commands: Sequence[tuple[int, UUID]]) -> list[Outcome]:
    """Outcomes of those commands, by lane and id, that were decided before."""
    rows = await connection.fetch(LOAD, [lane for lane, _ in commands], [command for _, command in commands])
    return [
        Outcome(row[0], row[1], row[2], row[3], row[4], row[5], row[6] and json.loads(row[6]), position=row[7])
        for row in rows
    ]


INSERT_REFUSALS = """
INSERT INTO refusal (command, partition, row, at, campaign, party, code, user_id, order_id, coupon, body, seq)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bigint[])
ON CONFLICT (command, partition, row) DO UPDATE SET at = excluded.at, code = excluded.code, body = excluded.body,
    seq = excluded.seq
"""
RefusalRow = tuple[UUID, int, int, datetime, UUID | None, str, str, str | None, str | None, int | None, str, int | None]


async def write_refusals(connection: Connection, rows: Sequence[RefusalRow]) -> None:
    """Keep refusals, findable by user, order and command."""
    last = {row[:3]: row for row in rows}
    await connection.execute(INSERT_REFUSALS, *columns(last.values()))
