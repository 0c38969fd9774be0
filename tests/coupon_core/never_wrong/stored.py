"""Two lanes on a real database: records signed and read, decided by the loop's own batch, written, journalled, sent.

The log and the topics are lists; everything between them is coupon-core as it runs. Its owner may die before or after
a commit, and an owner that lost its lanes may wake up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID, uuid5

import asyncpg

from contracts.answers import Reply
from contracts.commands import CommandRecord, RunDue, record_for
from contracts.identifiers import SCRIP, lane_key
from contracts.topics import COUPON_COMMANDS, COUPON_DEAD_LETTERS, COUPON_EVENTS, COUPON_REFUSALS
from contracts.writers import WRITER_HEADER, Writer, sign
from coupon_core.lanes.deciding import decide_batch
from coupon_core.lanes.lane import Lane, LanesLost
from coupon_core.lanes.reading import TOPIC, Reader
from coupon_core.model.lane import LaneState
from coupon_core.storage import Connection, journal
from coupon_core.storage import lanes as lane_rows
from coupon_core.storage.journal import COMMANDS, DEAD_LETTERS, EVENTS, REFUSALS, JournalRow
from coupon_core.work import Entry
from tests.coupon_core.never_wrong.simulated import LANES
from tests.failures.evidence import Evidence, LogRecord, Sent, Topics, read_tables
from tests.support.deciding import CODES, KEYS, TOOL_MASTER

SENT_ON = {EVENTS: COUPON_EVENTS, REFUSALS: COUPON_REFUSALS, DEAD_LETTERS: COUPON_DEAD_LETTERS}


class Died(Exception):
    """The owner died before its commit."""


@dataclass
class StoredLanes:
    """All of it; `time` is the time of the records appended."""

    connection: Connection
    database_url: str
    time: datetime
    told_time: bool = True
    log: dict[int, list[LogRecord]] = field(default_factory=lambda: {lane: [] for lane in range(LANES)})
    topics: Topics = field(default_factory=Topics)
    told: dict[UUID, list[Reply]] = field(default_factory=lambda: defaultdict(list))
    """Replies by command, all of them."""
    heard: list[Reply] = field(default_factory=list)
    """Replies since these were last taken."""
    following: list[tuple[int, str]] = field(default_factory=list)
    """Continuations on their way into the log: lane, and the record."""
    lanes: dict[int, Lane] = field(default_factory=dict)
    asleep: dict[int, Lane] = field(default_factory=dict)
    _offsets: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(LANES), 0))
    _dues: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.reader = Reader(LANES, KEYS, TOOL_MASTER)

    # --- the log

    def append(self, record: CommandRecord, lane: int, writer: str = "gateway", gap: int = 0) -> None:
        """Sign a command and put it into its lane; a transaction's markers may leave a gap before it."""
        key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
        header = (WRITER_HEADER, sign(Writer(writer, 1, KEYS[writer][1]), TOPIC, key, value))
        offset = self._offsets[lane] + gap
        self._offsets[lane] = offset + 1
        milliseconds = round(self.time.timestamp() * 1000)
        written = LogRecord(COUPON_COMMANDS.name, lane, offset, milliseconds, key, value, (header,))
        self.log[lane].append(written)
        self.topics.commands.append(written)
        self.topics.command_ends[lane] = offset + 1

    def append_due(self, lane: int) -> None:
        """As the lane's owner sends it when the earliest due time has passed."""
        record = record_for(
            RunDue(partition=lane, until=self.time),
            id=uuid5(SCRIP, f"due {next(self._dues)}"),
            source="/coupon-core",
            subject=lane_key(lane),
            party="platform",
            actor="service:core",
            notafter=self.time + timedelta(hours=1),
        )
        self.append(record, lane, "core")

    def waiting(self, lane: int) -> list[LogRecord]:
        """Records not yet decided."""
        return [record for record in self.log[lane] if record.offset >= self.lanes[lane].position]

    def quiet(self, lane: int) -> bool:
        """Whether nothing is under way and nothing due in this lane."""
        return not self.waiting(lane) and lane not in self.due() and all(of != lane for of, _ in self.following)

    def due(self) -> list[int]:
        """Lanes in which something is due."""
        found = []
        for partition, lane in self.lanes.items():
            due, clock = lane.state.next_due, lane.state.clock
            if due is not None and clock is not None and due <= clock:
                found.append(partition)
        return found

    # --- owners

    async def take_over(self) -> None:
        """Every lane gets a new owner, who sends what the last one had committed and not sent."""
        self.asleep = self.lanes
        self.lanes = {}
        for partition in range(LANES):
            row = await lane_rows.take_over(self.connection, partition)
            left = await journal.rows_after(self.connection, partition, row.emitted_lane_seq, 1_000)
            self._send(left)
            if left:
                await lane_rows.mark_emitted(self.connection, partition, row.epoch, left[-1].lane_seq)
            facts = await lane_rows.facts_of(self.connection, partition)
            due = await lane_rows.next_due(self.connection, partition)
            state = LaneState(partition, row.clock, row.lane_seq, row.campaigns, row.blocks, facts, due)
            self.lanes[partition] = Lane(partition, row.epoch, row.position, state, row.lane_seq)

    async def wake_the_sleeper(self) -> None:
        """Who owned the lanes before decides on from what it remembers; it must find that they are lost."""
        batch = [(lane, self._read(self.log[lane.partition][-1:])) for lane in self.asleep.values()]
        batch = [(lane, entries) for lane, entries in batch if entries]
        if batch:
            try:
                await self._decide(batch)
            except LanesLost:
                self.asleep = {}
                return
            raise AssertionError("an owner that lost its lanes decided in them")
        self.asleep = {}

    async def decide(self, most: int, *, dies: str | None = None) -> None:
        """Decide a batch of at most so many records of each lane; its owner may die `before` or `after` the commit."""
        batch = [(lane, self._read(self.waiting(partition)[:most])) for partition, lane in self.lanes.items()]
        batch = [(lane, entries) for lane, entries in batch if entries]
        if not batch:
            return
        if dies == "before":
            try:
                async with self.connection.transaction():
                    await self._decide(batch)
                    raise Died
            except Died:
                await self.take_over()
            return
        replies, rows = await self._decide(batch)
        if dies == "after":
            await self.take_over()
            return
        for reply in replies:
            self.heard.append(reply)
            self.told[reply.command].append(reply)
        self._send(rows)
        for lane, _ in batch:
            lane.emitted = lane.state.lane_seq

    async def _decide(self, batch: Sequence[tuple[Lane, list[Entry]]]) -> tuple[list[Reply], list[JournalRow]]:
        work, rows = await decide_batch(self.connection, batch, told=self.told_time, partitions=LANES, codes=CODES)
        return [reply for _, _, reply in work.replies], rows

    def _read(self, records: Sequence[LogRecord]) -> list[Entry]:
        return [self.reader.read(record) for record in records]

    def _send(self, rows: Sequence[JournalRow]) -> None:
        """Send what the journal holds."""
        for row in rows:
            for line in row.lines:
                if row.kind == COMMANDS:
                    continue
                topic = SENT_ON[row.kind]
                place = getattr(self.topics, {EVENTS: "events", REFUSALS: "refusals"}.get(row.kind, "dead_letters"))
                key = str(row.campaign).encode() if row.campaign else None
                place.append(LogRecord(topic.name, row.partition, len(place), 0, key, line.encode()))
        self.following += [(row.partition, line) for row in rows if row.kind == COMMANDS for line in row.lines]

    # --- what is left

    async def evidence(self, journal_of_clients: dict[UUID, Sent]) -> Evidence:
        """For the checker."""
        return Evidence(self.topics, await read_tables(self.database_url), journal_of_clients, LANES)


async def emptied(admin: asyncpg.Connection[asyncpg.Record]) -> None:
    """An empty database again; to delete few rows is quicker than to truncate."""
    names = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'core' AND tablename <> 'platform'")
    tables = [row["tablename"] for row in names if not row["tablename"].startswith(("_", "pogo"))]
    await admin.execute("SET session_replication_role = replica")  # past the trigger that keeps the journal whole
    await admin.execute("; ".join(f"DELETE FROM core.{name}" for name in tables))
