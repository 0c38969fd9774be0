"""Commands drained: a backlog in the log → committed, and its events emitted, by one core process or several.

Core runs alone beside PostgreSQL and Kafka, as the rival and the limit do beside PostgreSQL: who else reads its events
takes a share of the same processors, and is no part of the figure.

Limit: the seconds inside core's own load and write statements over the same commands and batches, one connection.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from benchmarks.core_alone import CoreAlone, core_alone
from benchmarks.core_libraries import libraries_alone
from benchmarks.platforms import Commands, Record, log_of, median_run, processor_microseconds, processor_seconds
from scrip.platform import Platform

Make = Callable[[Commands, Sequence[UUID], int], list[Record]]
"""Records for these campaigns: so many commands in all."""


@dataclass
class Drain:
    """One kind of command over some campaigns."""

    campaigns: int
    prepare: Make
    measured: Make
    statements: list[tuple[float, float]] = field(default_factory=list)
    """Microseconds per command inside the statements that read and those that write, of each run of `limit`."""
    by_tables: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Of those, by the tables they name, of all runs together."""
    processors: list[dict[str, float]] = field(default_factory=list)
    """Microseconds of processor time per command that each process took, of each run of `ours`."""

    def ours(self, running: Platform, count: int, processes: Sequence[str] = ("coupon_core",)) -> float:
        """Commands per second, from the first batch to the last event, by these processes of core."""
        return asyncio.run(self._ours(running, count, processes))

    async def _ours(self, running: Platform, count: int, processes: Sequence[str]) -> float:
        commands, ids = Commands(running), [uuid4() for _ in range(self.campaigns)]
        async with log_of(running) as log:
            await log.append(self.prepare(commands, ids, count))
            await log.decided(running.database_admin_url)
            for name in processes:
                running.halt(name)
            backlog = self.measured(commands, ids, count)
            await log.append(backlog)
            before_it: dict[str, float] = {}  # from the first batch on: a process's start is not a command's work
            drained = asyncio.create_task(
                log.decided(running.database_admin_url, began=lambda: before_it.update(processor_seconds(running)))
            )
            await asyncio.sleep(0.2)
            # Beside the counting, and all at once: who came first would be given the others' lanes.
            await asyncio.gather(*(asyncio.to_thread(running.resume, name) for name in processes))
            rate = await drained
        self.processors.append(processor_microseconds(running, before_it, len(backlog)))
        return rate

    def limit(self, running: Platform, count: int) -> float:
        """Commands per second of the statements alone."""
        return asyncio.run(self._limit(running, count))

    async def _limit(self, running: Platform, count: int) -> float:
        async with self._prepared(running, count) as (alone, records):
            reading, writing = alone.timed.reading, alone.timed.writing
            alone.timed.by_tables.clear()
            await alone.decide(records)
            for tables, seconds in alone.timed.by_tables.items():
                self.by_tables[tables] += seconds
            reading, writing = alone.timed.reading - reading, alone.timed.writing - writing
        self.statements.append((1e6 * reading / len(records), 1e6 * writing / len(records)))
        return len(records) / (reading + writing)

    def libraries(self, running: Platform, count: int) -> str:
        """A note: what the libraries alone take of core's part. Call it after `ours`, whose records it reads."""
        return asyncio.run(self._libraries(running, count))

    async def _libraries(self, running: Platform, count: int) -> str:
        async with self._prepared(running, count) as (alone, records):
            taken = await libraries_alone(running, alone, records)
        said = ", ".join(f"{name} {each:.0f}" for name, each in taken.items())
        return f"of core's part the libraries alone take {sum(taken.values()):.0f} µs: {said}"

    @asynccontextmanager
    async def _prepared(self, running: Platform, count: int) -> AsyncIterator[tuple[CoreAlone, list[Record]]]:
        """Core alone, with what the commands need decided, and the commands to measure."""
        async with core_alone(running) as alone:
            ids = [uuid4() for _ in range(self.campaigns)]
            await alone.decide(self.prepare(alone.commands, ids, count))
            yield alone, self.measured(alone.commands, ids, count)

    def notes(self, bar: float) -> list[str]:
        """What the statements cost and where processor time went, beside what `bar` of the limit would leave."""
        reading, writing = sorted(self.statements, key=sum)[len(self.statements) // 2]
        said, whole = median_run(self.processors)
        processors = os.cpu_count() or 1
        inside, by_tables = sum(self.by_tables.values()), sorted(self.by_tables.items(), key=lambda each: -each[1])
        greatest = ", ".join(f"{tables} {seconds / inside:.0%}" for tables, seconds in by_tables[:6])
        return [
            f"limit: {reading:.1f} µs of load and {writing:.1f} µs of write statements per command: {greatest}",
            f"µs of processor time per command: {said}; {whole:.0f} in all. {bar:g} of the limit is "
            f"{(reading + writing) / bar:.0f} µs, or {processors * (reading + writing) / bar:.0f} on {processors} "
            "processors, for all of them, with none ever waiting for another",
        ]
