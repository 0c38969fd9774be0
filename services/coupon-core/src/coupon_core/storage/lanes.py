"""Lanes and what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from contracts.commands import BuildingRules, SetTool
from coupon_core.model.lane import Facts
from coupon_core.storage import Connection, columns


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane's row."""

    partition: int
    epoch: int
    position: int
    clock: datetime | None
    lane_seq: int
    emitted_lane_seq: int
    campaigns: int
    blocks: int


TAKE_OVER = """
INSERT INTO lane (partition, epoch) VALUES ($1, 1)
ON CONFLICT (partition) DO UPDATE SET epoch = lane.epoch + 1
RETURNING partition, epoch, position, clock, lane_seq, emitted_lane_seq, campaigns, blocks
"""


async def take_over(connection: Connection, partition: int) -> LaneRow:
    """Raise the lane's epoch and return its row; waits for an open transaction of the old owner."""
    row = await connection.fetchrow(TAKE_OVER, partition)
    if row is None:
        raise RuntimeError("take over returned no row")
    return LaneRow(**dict(row))


FENCE = """
UPDATE lane SET position = new.position, emitted_lane_seq = greatest(lane.emitted_lane_seq, new.emitted)
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
  AS new(partition, epoch, held, position, emitted)
WHERE lane.partition = new.partition AND lane.epoch = new.epoch AND lane.position = new.held
RETURNING lane.partition
"""


async def move_fenced(
    connection: Connection,
    partitions: Sequence[int],
    epochs: Sequence[int],
    held: Sequence[int],
    positions: Sequence[int],
    emitted: Sequence[int],
) -> set[int]:
    """Move each lane's position if it still is ours and stands where we hold it; the partitions that moved."""
    rows = await connection.fetch(FENCE, partitions, epochs, held, positions, emitted)
    return {row["partition"] for row in rows}


MARK_EMITTED = """
UPDATE lane SET emitted_lane_seq = $3 WHERE partition = $1 AND epoch = $2 AND emitted_lane_seq < $3
"""


async def mark_emitted(connection: Connection, partition: int, epoch: int, lane_seq: int) -> None:
    """Remember that the journal is emitted up to here; nothing happens in another epoch."""
    await connection.execute(MARK_EMITTED, partition, epoch, lane_seq)


FACTS = "SELECT kind, key, version, data FROM lane_fact WHERE partition = $1"


async def facts_of(connection: Connection, partition: int) -> Facts:
    """All the lane was told."""
    return _facts(await connection.fetch(FACTS, partition))


FACTS_BEFORE = """
SELECT DISTINCT ON (kind, key) kind, key, version, data FROM lane_fact_history
WHERE partition = $1 AND position < $2 ORDER BY kind, key, position DESC
"""


async def facts_before(connection: Connection, partition: int, position: int) -> Facts:
    """All the lane had been told when it decided the command at this position of its log."""
    return _facts(await connection.fetch(FACTS_BEFORE, partition, position))


def _facts(rows: Sequence[asyncpg.Record]) -> Facts:
    facts = Facts()
    for row in rows:
        if row["kind"] == "rules":
            facts.rules[row["key"]] = (row["version"], BuildingRules.model_validate_json(row["data"]))
        elif row["kind"] == "merchant":
            facts.merchants[row["key"]] = (row["version"], row["data"])
        elif row["kind"] == "code_key":
            facts.code_key = row["version"]
        else:
            facts.tools[row["key"]] = SetTool.model_validate_json(row["data"])
    return facts


WRITE_FACTS = """
INSERT INTO lane_fact (partition, kind, key, version, data)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::text[])
ON CONFLICT (partition, kind, key) DO UPDATE SET version = excluded.version, data = excluded.data
WHERE lane_fact.version < excluded.version
"""


KEEP_FACTS = """
INSERT INTO lane_fact_history (partition, kind, key, version, data, position)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[])
"""


async def write_facts(connection: Connection, facts: Sequence[tuple[int, str, str, int, str, int]]) -> None:
    """Store (partition, kind, key, version, data, position); an older version changes nothing. All are kept, too."""
    newest = {fact[:3]: fact[3:5] for fact in facts}
    rows = [(*key, *value) for key, value in newest.items()]
    await connection.execute(WRITE_FACTS, *columns(rows, 5))
    await connection.execute(KEEP_FACTS, *columns(facts, 6))


EVENTS_ACCEPTED = "SELECT coalesce(events_accepted, 0) FROM lane WHERE partition = $1"


async def events_accepted(connection: Connection, partition: int) -> int:
    """The offset of `coupon.events` below which an operator accepted that events are ahead of the database."""
    return int(await connection.fetchval(EVENTS_ACCEPTED, partition) or 0)


POSITIONS = "SELECT partition, position FROM lane"


async def positions(connection: Connection) -> dict[int, int]:
    """Where each lane that was ever taken over stands."""
    return {row["partition"]: row["position"] for row in await connection.fetch(POSITIONS)}


ACCEPT = "UPDATE lane SET epoch = epoch + 1, position = $2, events_accepted = $3 WHERE partition = $1"


async def accept(connection: Connection, partition: int, position: int, events: int) -> None:
    """An operator's word: the lane goes on at this position; who owned it loses it."""
    await connection.execute(ACCEPT, partition, position, events)


FORGET_FACTS = "DELETE FROM lane_fact_history WHERE partition = $1 AND position >= $2"
KEEP_FACTS_BEFORE = """
INSERT INTO lane_fact_history (partition, kind, key, version, data, position)
SELECT partition, kind, key, version, data, $2::bigint - 1 FROM lane_fact WHERE partition = $1
ON CONFLICT (partition, kind, key, position) DO UPDATE SET version = excluded.version, data = excluded.data
"""


async def forget_places(connection: Connection, partition: int, first: int) -> None:
    """Other records will stand in the lane's log from this offset on: what the lane knows, it knew before.

    Dead letters stay until another one takes their place; an outcome is told from another by the command's id.
    """
    await connection.execute(FORGET_FACTS, partition, first)
    await connection.execute(KEEP_FACTS_BEFORE, partition, first)


ANY_LANE = "SELECT EXISTS (SELECT FROM lane)"


async def any_lane(connection: Connection) -> bool:
    """Whether a lane was ever taken over in this database."""
    return bool(await connection.fetchval(ANY_LANE))


NEXT_DUE = "SELECT min(next_due) FROM campaign WHERE partition = $1 AND next_due IS NOT NULL"


async def next_due(connection: Connection, partition: int) -> datetime | None:
    """Earliest due time of any campaign of the lane."""
    found: datetime | None = await connection.fetchval(NEXT_DUE, partition)
    return found


NEXT_DUE_AFTER = "SELECT min(next_due) FROM campaign WHERE partition = $1 AND next_due > $2"


async def next_due_after(connection: Connection, partition: int, now: datetime) -> datetime | None:
    """Earliest due time of the lane's campaigns later than `now`."""
    found: datetime | None = await connection.fetchval(NEXT_DUE_AFTER, partition, now)
    return found
