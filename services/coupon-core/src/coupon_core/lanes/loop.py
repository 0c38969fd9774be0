"""The loop of a core process: which lanes are ours, what is read, decided and emitted, and what is due.

Tasks joined by bounded buffers: fetch (Kafka → records) → read (records → entries; both in `intake.py`) → decide
(entries → committed transaction) → emit (journal rows → Kafka, replies), and a look at what is due. They share one
processor: while a decision waits for the database, the next batch is read and the last one emitted. The Kafka group
only says who should own which lane; the truth is the lane's row.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid5

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from contracts.commands import RunDue
from contracts.identifiers import SCRIP
from contracts.topics import COUPON_COMMANDS
from coupon_core.codes.generated import GeneratedCodes
from coupon_core.lanes.belonging import Belonging
from coupon_core.lanes.deciding import decide_batch, is_barrier
from coupon_core.lanes.emitting import Emitter, NotEmitted
from coupon_core.lanes.intake import Intake
from coupon_core.lanes.lane import DecisionBroke, Lane, LaneDamaged, LanesLost
from coupon_core.lanes.metrics import (
    BATCH_SECONDS,
    BUGS,
    DEAD,
    DECIDED,
    EMITTED,
    NOT_KEPT,
    REFUSED,
    TAKEN,
)
from coupon_core.lanes.reading import Reader
from coupon_core.lanes.taking_over import take_over_lane
from coupon_core.lanes.watching import LaneWatch
from coupon_core.operations.continuing import due_record
from coupon_core.storage import Connection
from coupon_core.storage.faults import ANY_FAULT, DATABASE_AWAY, is_not_now
from coupon_core.storage.journal import COMMANDS, JournalRow
from coupon_core.storage.planning import SMALL_RECORDS, Planning
from coupon_core.work import Entry, Work
from process.failpoints import declare, failpoint

BEFORE_REPLY = declare("core.before_reply")
BEFORE_CONTINUATION = declare("core.between_slice_and_continuation")
TOPIC = COUPON_COMMANDS.name
DUE_AGAIN_SECONDS = 5.0
DAMAGED_SECONDS = 3.0

logger = structlog.get_logger()


@dataclass(slots=True)
class Decided:
    """A committed batch that is to be emitted."""

    lanes: list[Lane]
    rows: list[JournalRow]
    work: Work


class Core:
    """One core process. `run` returns when `stop` is set and everything committed is emitted."""

    def __init__(
        self,
        *,
        consumer: AIOKafkaConsumer,
        emitter: Emitter,
        reader: Reader,
        connect: Any,
        codes: GeneratedCodes,
        partitions: int,
        told: bool,
        batch_records: int,
        batch_effects: int,
        belonging: Belonging,
    ) -> None:
        self.consumer = consumer
        self.emitter = emitter
        self.connect = connect
        """Coroutine function giving a fresh database connection with the loop's planner settings."""
        self.codes = codes
        self.partitions = partitions
        self.told = told
        self.batch_records = batch_records
        self.batch_effects = batch_effects
        self.belonging = belonging
        self.lanes: dict[int, Lane] = {}
        self.watch = LaneWatch(consumer, self.lanes)
        self.intake = Intake(
            consumer, reader, self.lanes, told=told, most_records=batch_records, most_effects=batch_effects
        )
        self.problems: dict[int, str] = {}
        """Lanes that cannot be taken over, and why."""
        self.database_away = False
        self._connection: Connection | None = None
        self._planning: Planning | None = None
        self._to_emit: asyncio.Queue[Decided] = asyncio.Queue(maxsize=4)
        self._taking: dict[int, asyncio.Task[None]] = {}
        self._next_lane = 0
        self._not_deciding = asyncio.Event()
        self._not_deciding.set()
        self._stopping = False

    # --- who owns what

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`; then finish the batch under way, emit what is committed and leave."""
        self.consumer.subscribe([TOPIC], listener=_Listener(self))
        intake = [
            asyncio.create_task(work, name=name)
            for name, work in (("fetch", self.intake.fetch()), ("read", self.intake.read()),
                               ("due", self._look_at_due()), ("commit", self._commit_offsets()),
                               ("watch", self.watch.run()))
        ]  # fmt: skip
        deciding = asyncio.create_task(self._decide(), name="decide")
        emitting = asyncio.create_task(self._emit(), name="emit")
        stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        tasks = [*intake, deciding, emitting, stopping]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self._stopping = True
        for task in (*intake, *self._taking.values()):
            task.cancel()
        self.intake.work_waits.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._drained(), 12)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close(timeout=2)
        for task in done - {stopping}:
            task.result()

    async def _drained(self) -> None:
        await self._not_deciding.wait()
        await self._to_emit.join()

    def assigned_now(self, partitions: Iterable[int]) -> None:
        """The group gave us these partitions: take each over."""
        logger.info("The group gave us lanes.", action="lanes_given", partitions=sorted(partitions))
        for partition in partitions:
            self._start_taking(partition, confirm=False)

    def revoked_now(self, partitions: Iterable[int]) -> None:
        """The group took these away: decide nothing more in them; the fence guards what is under way."""
        for partition in partitions:
            self._drop(partition)
            self.watch.settled(partition)

    def _drop(self, partition: int) -> None:
        """Forget a lane. It is paused, so that nothing fetched for it reaches the lane that takes its place."""
        lane = self.lanes.pop(partition, None)
        if lane is not None:
            lane.lost = True
            self.watch.dropped(lane)
        topic_partition = TopicPartition(TOPIC, partition)
        if topic_partition in self.consumer.assignment():
            self.consumer.pause(topic_partition)

    def _take_anew(self, lane: Lane) -> None:
        """Give up a lane that does not stand as we hold it, and take it over again.

        Not when it was dropped meanwhile: what has taken its place, or will, knows better."""
        lane.lost = True
        if self.lanes.get(lane.partition) is lane:
            self._drop(lane.partition)
            self._start_taking(lane.partition, confirm=True)

    def _start_taking(self, partition: int, *, confirm: bool) -> None:
        old = self._taking.pop(partition, None)
        if old is not None:
            old.cancel()
        self._taking[partition] = asyncio.create_task(self._take(partition, confirm))

    async def _take(self, partition: int, confirm: bool) -> None:
        """Take one lane over, again and again until it works or the partition is not ours any more.

        With `confirm` the group's coordinator must first accept a commit from us: a process that slept through
        a rebalance must not steal the lane back from its new owner.
        """
        topic_partition = TopicPartition(TOPIC, partition)
        pause = 0.1
        while topic_partition in self.consumer.assignment():
            try:
                if confirm:
                    await self._confirm_membership(topic_partition)
                connection = await self.connect()
                try:
                    lane = await take_over_lane(
                        connection, self.consumer, self.emitter, self.belonging, partition, self._found_unsent
                    )
                finally:
                    await connection.close(timeout=2)
            except LaneDamaged as damage:
                if self.problems.get(partition) != str(damage):
                    logger.error("A lane is damaged and stands still.", action="lane_damaged", partition=partition,
                                 detail=str(damage))  # fmt: skip
                self.problems[partition] = str(damage)
                await asyncio.sleep(DAMAGED_SECONDS)  # an operator may have mended it meanwhile
                continue
            except (*DATABASE_AWAY, KafkaError, NotEmitted, ANY_FAULT) as error:
                logger.warning("A lane could not be taken over yet.", action="take_over_failed",
                               partition=partition, error=repr(error))  # fmt: skip
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
                continue
            if topic_partition not in self.consumer.assignment():
                return
            self.problems.pop(partition, None)
            self.watch.settled(partition)
            self.consumer.seek(topic_partition, lane.position)
            lane.read_up_to = lane.position
            self.lanes[partition] = lane
            self.consumer.resume(topic_partition)
            TAKEN.inc()
            logger.info("A lane was taken over.", action="lane_taken", partition=partition, epoch=lane.epoch,
                        position=lane.position)  # fmt: skip
            return

    def _found_unsent(self, partition: int, at: datetime | None) -> None:
        self.watch.found_unsent(partition, None if self.told else at)

    async def _confirm_membership(self, topic_partition: TopicPartition) -> None:
        await asyncio.sleep(0.3)
        committed = await self.consumer.committed(topic_partition)
        await asyncio.wait_for(self.consumer.commit({topic_partition: committed or 0}), 5)

    # --- decide

    def _cut(self) -> list[tuple[Lane, list[Entry]]]:
        """Take a batch from the buffers of all lanes, a fair share of each, cut by effects."""
        ready = [lane for lane in self.lanes.values() if lane.buffer and not lane.lost]
        if not ready:
            return []
        share = max(1, self.batch_records // len(ready))
        batch: list[tuple[Lane, list[Entry]]] = []
        effects = records = 0
        self._next_lane = (self._next_lane + 1) % len(ready)
        for lane in ready[self._next_lane :] + ready[: self._next_lane]:
            entries: list[Entry] = []
            most = min(share, self.batch_records - records)
            while lane.buffer and len(entries) < most and effects < self.batch_effects:
                entry = lane.take()
                entries.append(entry)
                effects += entry.effects
            if entries:
                batch.append((lane, entries))
                records += len(entries)
        self.intake.made_room()
        return batch

    async def _decide(self) -> None:
        pause = 0.1
        while True:
            batch = [] if self._stopping else self._cut()
            if not batch:
                self.intake.work_waits.clear()
                await self.intake.work_waits.wait()
                continue
            self._not_deciding.clear()
            try:
                await self._decide_with_care(batch)
                pause = 0.1
                if self.database_away:
                    self.database_away = False
                    logger.info("The database is back.", action="database_back")
            except LanesLost as lost:
                self._put_back(batch)
                for lane, _ in batch:
                    if lane.partition in lost.partitions:
                        logger.warning("A lane was lost.", action="lane_lost", partition=lane.partition)
                        self._take_anew(lane)
            except Exception as error:
                if not is_not_now(error):
                    raise
                self._put_back(batch)
                self.database_away = True
                logger.warning("The database is away; lanes hold.", action="database_away", error=repr(error))
                await self._disconnect()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            finally:
                self._not_deciding.set()

    async def _decide_with_care(self, batch: list[tuple[Lane, list[Entry]]]) -> None:
        """Decide; a record that breaks us becomes a dead letter, found by its exception or by bisection."""
        if self._connection is None or self._planning is None or self._connection.is_closed():
            self._connection = await self.connect()
            self._planning = Planning(self._connection)
        records = sum(len(entries) for _, entries in batch)
        ranges = records <= SMALL_RECORDS and any(is_barrier(entry) for _, entries in batch for entry in entries)
        await self._planning.suit(records, ranges=ranges)
        while True:
            started = time.monotonic()
            try:
                work, rows = await decide_batch(
                    self._connection, batch, told=self.told, partitions=self.partitions, codes=self.codes
                )
            except DecisionBroke as broke:
                BUGS.inc()
                logger.error("A decision broke: our bug.", action="decision_broke", stack=broke.detail,
                             **_place(broke.entry))  # fmt: skip
                broke.entry.dead = ("our_bug", broke.detail)
                continue
            except Exception as error:
                if isinstance(error, LanesLost) or is_not_now(error):
                    raise
                if await self._bisect(batch, error):
                    return
                continue
            BATCH_SECONDS.observe(time.monotonic() - started)
            DECIDED.inc(sum(len(entries) for _, entries in batch))
            REFUSED.inc(len(work.refusals))
            NOT_KEPT.inc(work.not_kept)
            DEAD.inc(len(work.dead))
            for lane, _ in batch:
                lane.unsent.append(time.monotonic())
            await self._to_emit.put(Decided([lane for lane, _ in batch], rows, work))
            return

    async def _bisect(self, batch: list[tuple[Lane, list[Entry]]], error: Exception) -> bool:
        """Split a batch that cannot be loaded or written; True: its halves are decided, False: one record is marked."""
        flat = [(lane, entry) for lane, entries in batch for entry in entries]
        if len(flat) == 1:
            BUGS.inc()
            logger.error("A decision could not be loaded or written: our bug.", action="write_refused",
                         error=repr(error), **_place(flat[0][1]))  # fmt: skip
            flat[0][1].dead = ("our_bug", repr(error)[:4_000])
            return False
        for part in (flat[: len(flat) // 2], flat[len(flat) // 2 :]):
            grouped: dict[int, tuple[Lane, list[Entry]]] = {}
            for lane, entry in part:
                grouped.setdefault(lane.partition, (lane, []))[1].append(entry)
            await self._decide_with_care(list(grouped.values()))
        return True

    def _put_back(self, batch: list[tuple[Lane, list[Entry]]]) -> None:
        for lane, entries in batch:
            lane.put_back(entries)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                await self._connection.close(timeout=1)
            self._connection = None

    # --- emit

    async def _emit(self) -> None:
        while True:
            decided = await self._to_emit.get()
            if any(row.kind == COMMANDS for row in decided.rows):
                failpoint(BEFORE_CONTINUATION)
            # What a lost lane committed is emitted by its take-over, from the journal. Emitting it here too would be
            # harmless, but what comes after a batch that was not emitted would overtake that batch.
            live = {lane.partition for lane in decided.lanes if not lane.lost}
            try:
                failpoint(BEFORE_REPLY)
                await self.emitter.reply(decided.work.replies)
                await self.emitter.emit([row for row in decided.rows if row.partition in live])
            except NotEmitted as error:
                logger.warning(
                    "Events were not acknowledged; their lanes are taken over anew.",
                    action="not_emitted",
                    error=str(error),
                )
                for lane in decided.lanes:
                    self._take_anew(lane)
            else:
                for lane in decided.lanes:
                    if not lane.lost:
                        lane.unsent.popleft()
                        lane_seq = decided.work.lanes[lane.partition].lane_seq
                        lane.emitted = self.emitter.emitted_up_to(lane.partition, lane_seq)
                EMITTED.inc(sum(len(row.lines) for row in decided.rows if row.partition in live))
            self._to_emit.task_done()

    # --- due

    async def _look_at_due(self) -> None:
        """Append a RunDue to each lane in which the earliest due time has passed."""
        while True:
            await asyncio.sleep(0.2)
            for lane in list(self.lanes.values()):
                if lane.stopped is not None:
                    continue
                due = lane.state.next_due
                clock = lane.state.clock if self.told else datetime.now(UTC)
                waited = time.monotonic() - lane.due_sent_at
                if due is None or clock is None or due > clock or waited < DUE_AGAIN_SECONDS or lane.buffer:
                    continue
                if self.told and lane.due_sent_at == 0.0:
                    lane.due_sent_at = time.monotonic()  # the clock's own continuations come first
                    continue
                lane.due_sent_at = time.monotonic()
                try:
                    await self._send_due(lane, clock)
                except NotEmitted as error:
                    logger.warning("What is due waits for the broker.", action="due_not_sent", error=str(error))

    async def _send_due(self, lane: Lane, until: datetime) -> None:
        id = uuid5(SCRIP, f"due\n{lane.partition}\n{lane.position}\n{until.isoformat()}")
        command = RunDue(partition=lane.partition, until=until)
        record = due_record(command, id, datetime.now(UTC) + timedelta(hours=1))
        value = record.model_dump_json(exclude_none=True).encode()
        await self.emitter.send_command(lane.partition, record.subject.encode(), value)

    # --- for lag tools only

    async def _commit_offsets(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            offsets = {
                TopicPartition(TOPIC, lane.partition): lane.position for lane in self.lanes.values() if not lane.lost
            }
            if offsets:
                with contextlib.suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(self.consumer.commit(offsets), 5)


def _place(entry: Entry) -> dict[str, Any]:
    """What a log line says of a record: where it stands, and what it is as far as it could be read."""
    record = entry.record
    said = {} if record is None else {"command": str(record.id), "campaign": record.subject, "party": record.party}
    return {"partition": entry.partition, "offset": entry.offset, **said}


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Only notes and starts tasks: no heartbeat runs while it works, and its exceptions are only logged."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._core.revoked_now([tp.partition for tp in revoked])

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        for topic_partition in assigned:
            self._core.consumer.pause(topic_partition)
        self._core.assigned_now([tp.partition for tp in assigned])
