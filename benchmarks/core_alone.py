"""Core's own transactions over given records, without broker and loop: what its statements alone take.

The limit beside core's figures. The same records, batches, connection settings and statements as core's; only the
seconds inside a statement, arguments included, are counted, apart for those that read and those that write.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast
from uuid import uuid4

import asyncpg

from benchmarks.platforms import Commands, Record
from coupon_core.__main__ import LOOP_PLANNER, MIGRATIONS, SCHEMA
from coupon_core.codes.generated import GeneratedCodes
from coupon_core.lanes.deciding import decide_batch
from coupon_core.lanes.lane import Lane
from coupon_core.lanes.reading import Reader
from coupon_core.model.lane import Facts, LaneState
from coupon_core.storage import Connection
from coupon_core.storage import lanes as lane_rows
from coupon_core.work import Entry
from process.database import migrate
from scrip.databases import quoted, with_database
from scrip.platform import Platform

TABLE = re.compile(r"\b(?:INSERT INTO|UPDATE|FROM|JOIN) (?!unnest)(\w+)")
BATCH_RECORDS, BATCH_EFFECTS = 2_000, 10_000
"""As core's settings have them."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A record as a Kafka client gives it."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass
class Timed:
    """A connection that counts the seconds its statements take."""

    connection: asyncpg.Connection[asyncpg.Record]
    reading: float = 0.0
    writing: float = 0.0
    processor: float = 0.0
    """Of those, the seconds this thread worked: asyncpg's, to make arguments and read rows."""
    by_tables: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds by kind and the tables a statement names."""

    async def fetch(self, *arguments: Any) -> list[asyncpg.Record]:
        with self._counted("reading", arguments[0]):
            return await self.connection.fetch(*arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        with self._counted("reading", arguments[0]):
            return await self.connection.fetchval(*arguments)

    async def execute(self, *arguments: Any) -> str:
        with self._counted("writing", arguments[0]):
            return await self.connection.execute(*arguments)

    async def copy_records_to_table(self, table: str, **more: Any) -> str:
        with self._counted("writing", f"INSERT INTO {table}"):
            return await self.connection.copy_records_to_table(table, **more)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        transaction = self.connection.transaction()
        with self._counted("writing", "BEGIN"):
            await transaction.start()
        try:
            yield
        except BaseException:
            await transaction.rollback()
            raise
        with self._counted("writing", "COMMIT"):
            await transaction.commit()

    @contextmanager
    def _counted(self, kind: Literal["reading", "writing"], statement: str) -> Iterator[None]:
        started, worked = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            taken = time.perf_counter() - started
            setattr(self, kind, getattr(self, kind) + taken)
            self.by_tables[_tables(kind, statement)] += taken
            self.processor += time.thread_time() - worked


def _tables(kind: str, statement: str) -> str:
    tables = dict.fromkeys(TABLE.findall(statement))
    return f"{kind} {', '.join(tables)}" if tables else statement


@dataclass
class CoreAlone:
    """The lanes of a database of its own."""

    timed: Timed
    commands: Commands
    reader: Reader
    codes: GeneratedCodes
    told: bool
    lanes: dict[int, Lane] = field(default_factory=dict)

    async def decide(self, records: Sequence[Record]) -> None:
        """Decide the records, each lane's in order, and the continuations that follow from them."""
        waiting = [self._read(record) for record in records]
        while waiting:
            batch: dict[int, list[Entry]] = {}
            taken = effects = 0
            while taken < min(len(waiting), BATCH_RECORDS) and effects < BATCH_EFFECTS:
                entry = waiting[taken]
                batch.setdefault(entry.partition, []).append(entry)
                taken, effects = taken + 1, effects + entry.effects
            del waiting[:taken]
            work, _ = await decide_batch(
                cast("Connection", self.timed),
                [(self.lanes[partition], entries) for partition, entries in batch.items()],
                told=self.told,
                partitions=self.commands.lanes,
                codes=self.codes,
            )
            if work.dead:
                raise RuntimeError(f"a command of the benchmark died: {work.dead[0][1:]}")
            waiting += [
                self._read(self.commands.signed("core", record, partition)) for partition, record in work.continuations
            ]

    def _read(self, record: Record) -> Entry:
        lane = self.lanes[record.partition]
        lane.read_up_to += 1
        now = round(datetime.now(UTC).timestamp() * 1000)
        return self.reader.read(
            _Read(record.partition, lane.read_up_to - 1, now, record.key, record.value, record.headers)
        )


@asynccontextmanager
async def core_alone(running: Platform, *, told: bool = False) -> AsyncIterator[CoreAlone]:
    """Core's tables in a new database on the platform's server, dropped afterwards."""
    database = f"alone_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(running.database_admin_url)
    await admin.execute(f"CREATE DATABASE {quoted(database)}")
    try:
        url = with_database(running.database_admin_url, database)
        await migrate(url, MIGRATIONS, SCHEMA)
        connection = await asyncpg.connect(url, server_settings={**LOOP_PLANNER, "search_path": SCHEMA})
        try:
            commands = Commands(running)
            reader = Reader(running.lanes, commands.keys, None)
            alone = CoreAlone(Timed(connection), commands, reader, GeneratedCodes({1: bytes(range(32))}), told)
            for number in range(running.lanes):
                row = await lane_rows.take_over(connection, number)
                alone.lanes[number] = Lane(number, row.epoch, 0, LaneState(number, None, 0, 0, 0, Facts()), 0)
            yield alone
        finally:
            await connection.close()
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {quoted(database)}")
        await admin.close()
