"""Sends what the journal holds: events, refusals, dead letters, continuations; then replies.

One chain per process keeps each lane's order. Everything is in the journal first, so that whatever happens here is
made good by the next take-over: repeats are identical.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from aiokafka import AIOKafkaProducer

from contracts.answers import DeadLetter, Reply
from contracts.events import SEQ_HEADER
from contracts.topics import (
    COUPON_COMMANDS,
    COUPON_DEAD_LETTERS,
    COUPON_EVENTS,
    COUPON_REFUSALS,
    MAX_RECORD_BYTES,
    Topic,
)
from contracts.writers import WRITER_HEADER, Writer, sign
from coupon_core.model.recording import instant
from coupon_core.operations.continuing import CONTINUATION_LIFE
from coupon_core.storage.journal import COMMANDS, DEAD_LETTERS, EVENTS, REFUSALS, JournalRow
from messaging.dead_letters import cut_to_fit
from messaging.sending import close_producer, producer_settings
from process.failpoints import declare, failpoint

MID_EMIT = declare("core.mid_emit")
ACKNOWLEDGEMENT_SECONDS = 30.0
REPLY_SECONDS = 5.0
STOP_SECONDS = 5.0
SENT_WITHIN = timedelta(days=1)
"""A continuation that lives no longer is given a new life when it is sent."""

Header = tuple[str, bytes]
Outgoing = tuple[bytes | None, bytes, list[Header]]

logger = structlog.get_logger()


class NotEmitted(Exception):
    """The broker did not acknowledge in time; the producer was thrown away."""


class Emitter:
    """One idempotent producer; a doubtful one is replaced."""

    def __init__(self, bootstrap: str, writer: Writer) -> None:
        self._bootstrap = bootstrap
        self._writer = writer
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._replying: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect, if not connected. Raises a KafkaError when no broker answers."""
        async with self._starting:
            if self._producer is not None:
                return
            producer = AIOKafkaProducer(**producer_settings(self._bootstrap, client_id="scrip-core"))
            try:
                await producer.start()
            except BaseException:
                await close_producer(producer, 0)
                raise
            self._producer = producer

    async def stop(self) -> None:
        """Close, within a few seconds whatever the broker does."""
        for task in self._replying:
            task.cancel()
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer, STOP_SECONDS)

    async def emit(self, rows: Sequence[JournalRow]) -> None:
        """Send all rows in order and wait until the broker has them.

        Raises:
            NotEmitted: not acknowledged in time; some may be in the log, all will be sent again.
        """
        streams: dict[tuple[str, int], list[Outgoing]] = {}
        for row in rows:
            topic, records = self._records(row)
            partition = 0 if row.kind == DEAD_LETTERS else row.partition
            fitting = [record for record in records if _can_be_sent(topic, row, record)]
            if fitting:
                streams.setdefault((topic.name, partition), []).extend(fitting)
        if not streams:
            return
        try:
            async with asyncio.timeout(ACKNOWLEDGEMENT_SECONDS):
                await self.start()
                acknowledgements = []
                for (name, partition), records in streams.items():
                    acknowledgements += await self._send(name, partition, records)
                    failpoint(MID_EMIT)
                await asyncio.gather(*acknowledgements)
        except Exception as error:
            await self.stop()
            raise NotEmitted(f"{type(error).__name__}: {error}") from error

    async def reply(self, replies: Sequence[tuple[str, int | None, Reply]]) -> None:
        """Send answers, best effort: the outcome row is the truth."""
        if self._producer is None or not replies:
            return
        streams: dict[tuple[str, int], list[Outgoing]] = {}
        for topic, partition, reply in replies:
            key, value = str(reply.command).encode(), reply.model_dump_json(exclude_none=True).encode()
            if len(value) > MAX_RECORD_BYTES:
                # Whoever waits for it asks for the outcome; the answers of others must not fail with it.
                logger.warning("An answer is too large to send.", action="reply_too_large", command=str(reply.command))
            elif partition is None:
                self._answer_tool(topic, key, value)
            else:
                streams.setdefault((topic, partition), []).append((key, value, []))
        for (topic, partition), records in streams.items():
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    await self._send(topic, partition, records)
            except Exception as error:
                logger.warning("Replies were not sent.", action="replies_not_sent", topic=topic, error=repr(error))

    def _answer_tool(self, topic: str, key: bytes, value: bytes) -> None:
        """A tool's topic may not exist: its answer must not hold up others."""

        async def answer() -> None:
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    if self._producer is not None:
                        await self._producer.send_and_wait(topic, value=value, key=key)
            except Exception as error:
                logger.warning("A tool was not answered.", action="tool_not_answered", topic=topic, error=repr(error))

        task = asyncio.create_task(answer())
        self._replying.add(task)
        task.add_done_callback(self._replying.discard)

    def emitted_up_to(self, partition: int, lane_seq: int) -> int:
        """How far the lane counts as emitted once its rows up to `lane_seq` were given to `emit`."""
        return lane_seq

    async def send_command(self, partition: int, key: bytes, value: bytes) -> None:
        """Append one command of core's own to a lane. Raises NotEmitted."""
        header = (WRITER_HEADER, sign(self._writer, COUPON_COMMANDS.name, key, value))
        try:
            async with asyncio.timeout(ACKNOWLEDGEMENT_SECONDS):
                await self.start()
                await asyncio.gather(*await self._send(COUPON_COMMANDS.name, partition, [(key, value, [header])]))
        except Exception as error:
            await self.stop()
            raise NotEmitted(f"{type(error).__name__}: {error}") from error

    def _records(self, row: JournalRow) -> tuple[Topic, Iterable[Outgoing]]:
        header: list[Header] = [(SEQ_HEADER, str(row.lane_seq).encode())]
        if row.kind == EVENTS:
            key = str(row.campaign).encode()
            return COUPON_EVENTS, [(key, line.encode(), header) for line in row.lines]
        if row.kind == COMMANDS:
            records = []
            for line in row.lines:
                key, value = json.loads(line)["subject"].encode(), _in_time(line).encode()
                signature = sign(self._writer, COUPON_COMMANDS.name, key, value)
                records.append((key, value, [(WRITER_HEADER, signature)]))
            return COUPON_COMMANDS, records
        if row.kind == REFUSALS:
            return COUPON_REFUSALS, [
                (json.loads(line)["subject"].encode(), line.encode(), header) for line in row.lines
            ]
        letters = []
        for line in row.lines:
            letter, value = json.loads(line), line.encode()
            key = f"{letter['topic']}-{letter['partition']}-{letter['offset']}".encode()
            if len(value) > COUPON_DEAD_LETTERS.most_content_bytes:  # written before letters were cut
                fitting = cut_to_fit(DeadLetter.model_validate(letter), COUPON_DEAD_LETTERS.most_content_bytes)
                value = fitting.model_dump_json().encode()
            letters.append((key, value, header))
        return COUPON_DEAD_LETTERS, letters

    async def _send(self, topic: str, partition: int, records: Sequence[Outgoing]) -> list[asyncio.Future[object]]:
        """Hand records to the producer in order; futures of their batches' acknowledgements."""
        producer = self._producer
        if producer is None:
            raise NotEmitted("there is no producer")
        futures: list[asyncio.Future[object]] = []
        batch = producer.create_batch()
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                batch.close()
                futures.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=headers)  # alone it may be of any size
        batch.close()
        futures.append(await producer.send_batch(batch, topic, partition=partition))
        return futures


def _in_time(line: str) -> str:
    """A continuation that may still act: after an outage or a rebuild it can be sent long after it was decided.

    Its own time is transport, and no part of what makes a command the same one; a record that somebody else sends
    again stays too late.
    """
    now, record = datetime.now(UTC), json.loads(line)
    if datetime.fromisoformat(record["notafter"]) - now > SENT_WITHIN:
        return line
    return json.dumps(
        record | {"notafter": instant(now + CONTINUATION_LIFE)}, ensure_ascii=False, separators=(",", ":")
    )


def _can_be_sent(topic: Topic, row: JournalRow, record: Outgoing) -> bool:
    """False for what no broker takes: waiting for it would keep the lane from all that follows.

    Commands and what follows from them are bounded so that there is none; should there be, the journal has it, and a
    reader who misses an event's number asks for it."""
    key, value, _ = record
    size = len(key or b"") + len(value)
    if size <= topic.most_content_bytes:
        return True
    logger.error("A record is too large to be sent: our bug.", action="record_too_large", topic=topic.name, size=size,
                 partition=row.partition, lane_seq=row.lane_seq)  # fmt: skip
    return False
