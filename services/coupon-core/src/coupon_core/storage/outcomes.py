"""Outcomes of commands, and refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from coupon_core.storage import Connection, columns
from coupon_core.work import Outcome

LOAD = """
SELECT o.command, o.campaign, o.hash, o.status, o.at, o.body
FROM unnest($1::uuid[]) AS wanted(command) JOIN outcome o ON o.command = wanted.command
"""


async def outcomes_of(connection: Connection, commands: Sequence[UUID]) -> list[Outcome]:
    """Outcomes of those commands that were decided before."""
    return [
        Outcome(row[0], row[1], row[2], row[3], row[4], None if row[5] is None else json.loads(row[5]))
        for row in await connection.fetch(LOAD, commands)
    ]


INSERT_REFUSALS = """
INSERT INTO refusal (command, row, at, campaign, party, code, user_id, order_id, coupon, body, seq)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::bigint[], $10::text[], $11::bigint[])
ON CONFLICT (command, row) DO UPDATE SET at = excluded.at, code = excluded.code, body = excluded.body,
    seq = excluded.seq
"""
RefusalRow = tuple[UUID, int, datetime, UUID | None, str, str, str | None, str | None, int | None, str, int | None]


async def write_refusals(connection: Connection, rows: Sequence[RefusalRow]) -> None:
    """Keep refusals, findable by user, order and command."""
    last = {(row[0], row[1]): row for row in rows}
    await connection.execute(INSERT_REFUSALS, *columns(last.values()))
