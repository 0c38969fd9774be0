"""How every batch ends: outcomes of its commands, its journal rows, its lanes' rows. One statement for three tables.

Each round trip to the server costs a process as much as a hundred rows do, and a batch of one claim has to pay it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from coupon_core.storage import Connection, columns
from coupon_core.storage.journal import JournalRow, packed
from coupon_core.work import Outcome

END = """
WITH answered AS (
    INSERT INTO outcome (partition, command, campaign, hash, status, at, body, position)
    SELECT * FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::bigint[], $5::smallint[], $6::timestamptz[],
        $7::text[], $8::bigint[])
    ON CONFLICT (command, partition) DO UPDATE
    SET campaign = excluded.campaign, hash = excluded.hash, status = excluded.status, at = excluded.at,
        body = excluded.body, position = excluded.position
), told AS (
    INSERT INTO journal (partition, lane_seq, kind, campaign, first_seq, count, at, body, chain)
    SELECT * FROM unnest($9::int[], $10::bigint[], $11::smallint[], $12::uuid[], $13::bigint[], $14::int[],
        $15::timestamptz[], $16::bytea[], $17::bytea[])
)
UPDATE lane SET clock = new.clock, lane_seq = new.lane_seq, campaigns = new.campaigns, blocks = new.blocks
FROM unnest($18::int[], $19::timestamptz[], $20::bigint[], $21::bigint[], $22::bigint[])
  AS new(partition, clock, lane_seq, campaigns, blocks)
WHERE lane.partition = new.partition
"""
LaneEnd = tuple[int, datetime | None, int, int, int]
"""Partition, clock, lane_seq, campaigns, blocks of a lane fenced in this transaction."""


async def end_batch(
    connection: Connection, outcomes: Sequence[Outcome], rows: Sequence[JournalRow], lanes: Sequence[LaneEnd]
) -> None:
    """Store outcomes, append journal rows, write the lanes' rows.

    Of one command of a lane the last outcome counts (work that went on, a redrive, an id used after `OUTCOME_LIFE`);
    a lane's sequence number taken twice violates the journal's key.
    """
    last = {(o.partition, o.command): o for o in outcomes}
    answered = [
        (*key, o.campaign, o.hash, o.status, o.at, None if o.body is None else _text(o.body), o.position)
        for key, o in last.items()
    ]
    told = [
        (r.partition, r.lane_seq, r.kind, r.campaign, r.first_seq, len(r.lines), r.at, packed(r.lines), r.chain)
        for r in rows
    ]
    await connection.execute(END, *columns(answered, 8), *columns(told, 9), *columns(lanes, 5))


def _text(body: dict[str, Any]) -> str:
    return to_json(body).decode()
