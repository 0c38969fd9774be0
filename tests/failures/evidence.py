"""What a run left behind: every record of core's topics, every row of its tables, and the clients' own journal.

Read as anybody could read it, by a plain consumer and plain SELECTs; nothing here asks core.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.answers import Reply
from contracts.commands import CommandRecord
from contracts.topics import (
    COUPON_COMMANDS,
    COUPON_DEAD_LETTERS,
    COUPON_EVENTS,
    COUPON_REFUSALS,
    COUPON_REPLIES,
    Topic,
)
from coupon_core.storage.journal import unpacked
from messaging.header_names import read_any_header_name

Row = dict[str, Any]
READ_SECONDS = 60.0


@dataclass(slots=True)
class LogRecord:
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds; the broker's append time."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def place(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(slots=True)
class Sent:
    """A command as its client remembers it: written down before it is sent for the first time."""

    record: CommandRecord
    acknowledged: int = 0
    """How often the broker acknowledged it."""
    answers: list[Reply] = field(default_factory=list)


ClientJournal = dict[UUID, Sent]


@dataclass(slots=True)
class Topics:
    """All records of core's topics, by partition in order of offset."""

    commands: list[LogRecord] = field(default_factory=list)
    events: list[LogRecord] = field(default_factory=list)
    refusals: list[LogRecord] = field(default_factory=list)
    dead_letters: list[LogRecord] = field(default_factory=list)
    replies: list[LogRecord] = field(default_factory=list)
    command_ends: dict[int, int] = field(default_factory=dict)
    """End offset of each partition of the command log."""


@dataclass(slots=True)
class Tables:
    """All rows of core's tables, each in the order of its key. `journal` rows have their `lines` unpacked."""

    lane: list[Row] = field(default_factory=list)
    lane_fact: list[Row] = field(default_factory=list)
    lane_fact_history: list[Row] = field(default_factory=list)
    campaign: list[Row] = field(default_factory=list)
    coupon: list[Row] = field(default_factory=list)
    period_count: list[Row] = field(default_factory=list)
    redemption: list[Row] = field(default_factory=list)
    uploaded_code: list[Row] = field(default_factory=list)
    exported_range: list[Row] = field(default_factory=list)
    voided_range: list[Row] = field(default_factory=list)
    code_block: list[Row] = field(default_factory=list)
    outcome: list[Row] = field(default_factory=list)
    refusal: list[Row] = field(default_factory=list)
    dead_letter: list[Row] = field(default_factory=list)
    journal: list[Row] = field(default_factory=list)


ORDER = {
    "lane": "partition",
    "lane_fact": "partition, kind, key",
    "lane_fact_history": "partition, kind, key, position",
    "campaign": "number",
    "coupon": "campaign, number",
    "period_count": "campaign, period, first",
    "redemption": "campaign, coupon, number",
    "uploaded_code": "campaign, position",
    "exported_range": "campaign, first",
    "voided_range": "campaign, first",
    "code_block": "block",
    "outcome": "command, partition",
    "refusal": "command, partition, row",
    "dead_letter": "partition, position",
    "journal": "partition, lane_seq",
}


@dataclass(slots=True)
class Evidence:
    """All of it."""

    topics: Topics
    tables: Tables
    journal: ClientJournal
    partitions: int


async def read_evidence(bootstrap: str, database_url: str, journal: ClientJournal, partitions: int) -> Evidence:
    """Read everything, the tables first: what they hold must be on the topics, or get there.

    A lane's owner may just then have appended a command of its own, of what is due: it is given time to decide that.
    """
    for last in (False,) * 9 + (True,):
        evidence = Evidence(
            tables=await read_tables(database_url),
            topics=await read_topics(bootstrap),
            journal=journal,
            partitions=partitions,
        )
        positions = {row["partition"]: row["position"] for row in evidence.tables.lane}
        if last or all(positions.get(lane, 0) == end for lane, end in evidence.topics.command_ends.items()):
            break
        await asyncio.sleep(0.5)
    return evidence


async def read_tables(database_url: str) -> Tables:
    """All tables in one snapshot."""
    connection = await asyncpg.connect(database_url)
    try:
        tables = Tables()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, order in ORDER.items():
                rows = await connection.fetch(f"SELECT * FROM {name} ORDER BY {order}")
                setattr(tables, name, [dict(row) for row in rows])
    finally:
        await connection.close()
    for row in tables.journal:
        row["lines"] = unpacked(row.pop("body"))
    return tables


async def read_topics(bootstrap: str) -> Topics:
    """All topics from their beginning to the end they have now."""
    ends, records = await read_to_end(
        bootstrap, (COUPON_COMMANDS, COUPON_EVENTS, COUPON_REFUSALS, COUPON_DEAD_LETTERS, COUPON_REPLIES)
    )
    return Topics(
        commands=records[COUPON_COMMANDS.name],
        events=records[COUPON_EVENTS.name],
        refusals=records[COUPON_REFUSALS.name],
        dead_letters=records[COUPON_DEAD_LETTERS.name],
        replies=records[COUPON_REPLIES.name],
        command_ends={place.partition: end for place, end in ends.items() if place.topic == COUPON_COMMANDS.name},
    )


async def read_to_end(
    bootstrap: str, topics: Iterable[Topic]
) -> tuple[dict[TopicPartition, int], dict[str, list[LogRecord]]]:
    """End offsets, and all records below them by topic, sorted by partition and offset."""
    names = [topic.name for topic in topics]
    read_any_header_name()
    consumer = AIOKafkaConsumer(
        *names,
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        places = sorted(consumer.assignment())  # without a group: every partition
        ends = await consumer.end_offsets(places)
        found: dict[str, list[LogRecord]] = {name: [] for name in names}
        async with asyncio.timeout(READ_SECONDS):
            waiting = {place for place in places if ends[place] > 0}
            while waiting:
                for place, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[place.topic] += [
                        LogRecord(
                            place.topic,
                            place.partition,
                            record.offset,
                            record.timestamp,
                            record.key,
                            record.value,
                            tuple(record.headers),
                        )
                        for record in records
                        if record.offset < ends[place]
                    ]
                waiting = {place for place in waiting if await consumer.position(place) < ends[place]}
    finally:
        await consumer.stop()
    for records in found.values():
        records.sort(key=lambda record: (record.partition, record.offset))
    return dict(ends), found


def as_json(value: bytes | str | None) -> Any:
    """The JSON value, or None where there is none or it cannot be read."""
    try:
        return None if value is None else json.loads(value)
    except (ValueError, RecursionError):
        return None
