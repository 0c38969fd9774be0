"""Records to Kafka: signed, acknowledged by all in-sync replicas, within a deadline of our own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Histogram

from contracts.topics import MAX_RECORD_BYTES
from contracts.writers import WRITER_HEADER, Writer, sign
from process.settings import Secrets, SecretUnreadable

ACKNOWLEDGEMENT_SECONDS = 10.0
STOP_SECONDS = 5.0
Header = tuple[str, bytes]

logger = structlog.get_logger()
_sent = Counter("scrip_records_sent", "Records the broker has acknowledged.", ["topic"])
_not_acknowledged = Counter("scrip_records_not_acknowledged", "Records without an acknowledgement.", ["topic"])
_producers = Counter("scrip_producers_started", "Producers started; more than one: the others were thrown away.")
_seconds = Histogram(
    "scrip_acknowledgement_seconds",
    "From handing records to the producer to the broker's acknowledgement.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)


class NotAcknowledged(Exception):
    """The broker did not acknowledge the record in time: it may or may not be in the log. Send it again."""


class RecordTooLarge(Exception):
    """The record is larger than a record may be; nothing was sent. Sending it again is no use."""

    def __init__(self, topic: str, size: int) -> None:
        super().__init__(f"A record for {topic} has {size:,} bytes; at most {MAX_RECORD_BYTES:,} are allowed.")
        self.topic = topic
        self.size = size
        self.limit = MAX_RECORD_BYTES


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """What is to be sent. `partition` None: by the key, as Kafka's default partitioner does."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None
    headers: Sequence[Header] = ()


def refuse_too_large(record: OutgoingRecord) -> None:
    """Raise RecordTooLarge when key and value are more than `MAX_RECORD_BYTES`."""
    size = len(record.key) + len(record.value)
    if size > MAX_RECORD_BYTES:
        raise RecordTooLarge(record.topic, size)


def own_writer(secrets: Secrets, name: str) -> Writer:
    """The writer this process signs as, with its newest key; raises SecretUnreadable when it has none."""
    versions = secrets.writer_keys().get(name)
    if not versions:
        raise SecretUnreadable(f"{secrets.directory / 'writers.json'} holds no key for the writer {name!r}.")
    newest = max(versions)
    return Writer(name, newest, versions[newest])


def producer_settings(bootstrap: str, *, client_id: str, linger_ms: int = 0) -> dict[str, Any]:
    """Arguments of each AIOKafkaProducer of ours: idempotent, acknowledged by all, batches that hold bulk."""
    return {
        "bootstrap_servers": bootstrap.split(","),
        "client_id": client_id,
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": linger_ms,
        "max_batch_size": 256 * 1024,
        "max_request_size": 1024 * 1024,
        "request_timeout_ms": 10_000,
        "retry_backoff_ms": 100,
    }


class Sender:
    """One idempotent producer that signs what it sends as one writer.

    Safe to use from many tasks. A record without an acknowledgement makes the producer suspect (an idempotent
    one may stay broken after an outage): it is thrown away and the next record gets a new one. What the old
    one still held may reach the log later, so a record can stand in it twice, with the same bytes.
    """

    def __init__(self, bootstrap: str, writer: Writer, *, linger_ms: int = 0) -> None:
        self._settings = producer_settings(bootstrap, client_id=f"scrip-{writer.name}", linger_ms=linger_ms)
        self._writer = writer
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._thrown_away: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def start(self, *, deadline_seconds: float = ACKNOWLEDGEMENT_SECONDS) -> None:
        """Connect; without it the first record connects. Raises NotAcknowledged when no broker answers."""
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._live_producer()
        except (TimeoutError, KafkaError) as error:
            raise NotAcknowledged(f"No Kafka broker answers ({type(error).__name__}).") from error

    async def stop(self) -> None:
        """Give what is under way `STOP_SECONDS`, then close whatever state the broker is in."""
        self._stopped = True
        if self._producer is not None:
            self._throw_away(self._producer)
        if self._thrown_away:
            await asyncio.wait(self._thrown_away)

    async def send(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        partition: int | None = None,
        headers: Sequence[Header] = (),
        *,
        deadline_seconds: float = ACKNOWLEDGEMENT_SECONDS,
    ) -> int:
        """Send one record and wait for the acknowledgement; returns its offset.

        Raises NotAcknowledged, RecordTooLarge.
        """
        record = OutgoingRecord(topic, key, value, partition, headers)
        refuse_too_large(record)
        # Its own path and not `send_all` of one: that costs 66 µs where this costs 20, once per request.
        producer = self._producer
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(deadline_seconds):
                producer = producer or await self._live_producer()
                acknowledged = await (await producer.send(**self._arguments(record)))
        except (TimeoutError, KafkaError) as error:
            self._give_up([record], [None], error, producer)
            raise NotAcknowledged(
                f"No acknowledgement for a record of {topic} within {deadline_seconds:g} s."
            ) from error
        _seconds.observe(loop.time() - started)
        _counted(_sent, topic).inc()
        return int(acknowledged.offset)

    async def send_all(
        self, records: Sequence[OutgoingRecord], *, deadline_seconds: float = ACKNOWLEDGEMENT_SECONDS
    ) -> list[int | None]:
        """Send records in this order and wait for all; per record its offset, or None: not acknowledged.

        Records of one partition stand in the log in this order, and those acknowledged come before those that
        are not. Raises RecordTooLarge before anything is sent.
        """
        for record in records:
            refuse_too_large(record)
        futures: list[asyncio.Future[Any]] = []
        producer: AIOKafkaProducer | None = None
        failure: BaseException | None = None
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(deadline_seconds):
                producer = await self._live_producer()
                for record in records:
                    futures.append(await producer.send(**self._arguments(record)))
                await asyncio.wait(futures)
        except (TimeoutError, KafkaError) as error:
            failure = error
        _seconds.observe(asyncio.get_running_loop().time() - started)
        offsets = [_offset(future) for future in futures]
        offsets += [None] * (len(records) - len(offsets))
        if None in offsets:
            failure = failure or next((_failure(future) for future in futures if _failure(future)), None)
            for future in futures:
                future.cancel()
            self._give_up(records, offsets, failure, producer)
        else:
            for record in records:
                _counted(_sent, record.topic).inc()
        return offsets

    def _give_up(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Sequence[int | None],
        failure: BaseException | None,
        producer: AIOKafkaProducer | None,
    ) -> None:
        for record, offset in zip(records, offsets, strict=True):
            _counted(_sent if offset is not None else _not_acknowledged, record.topic).inc()
        logger.warning(
            "The broker did not acknowledge records; the producer is thrown away.",
            action="not_acknowledged",
            records=len(records),
            acknowledged=len(records) - offsets.count(None),
            reason=type(failure).__name__,
        )
        if producer is not None:
            self._throw_away(producer)

    def _arguments(self, record: OutgoingRecord) -> dict[str, Any]:
        signature = sign(self._writer, record.topic, record.key, record.value)
        return {
            "topic": record.topic,
            "key": record.key,
            "value": record.value,
            "partition": record.partition,
            "headers": [(WRITER_HEADER, signature), *record.headers],
        }

    async def _live_producer(self) -> AIOKafkaProducer:
        if self._stopped:
            raise KafkaError("the sender is stopped")
        if self._producer is None:
            async with self._starting:
                if self._producer is None:
                    producer = AIOKafkaProducer(**self._settings)
                    try:
                        await producer.start()
                    except BaseException:
                        await close_producer(producer, 0)
                        raise
                    _producers.inc()
                    self._producer = producer
        return self._producer

    def _throw_away(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            task = asyncio.create_task(close_producer(producer, STOP_SECONDS))
            self._thrown_away.add(task)
            task.add_done_callback(self._thrown_away.discard)


@cache
def _counted(counter: Counter, topic: str) -> Counter:
    """The counter of one topic: looking it up by its label costs more than counting."""
    return counter.labels(topic)


def _offset(future: asyncio.Future[Any]) -> int | None:
    if not future.done() or future.cancelled() or future.exception() is not None:
        return None
    return int(future.result().offset)


def _failure(future: asyncio.Future[Any]) -> BaseException | None:
    return future.exception() if future.done() and not future.cancelled() else None


async def close_producer(producer: AIOKafkaProducer, patience_seconds: float) -> None:
    """Close in the time given, flushing if it can: `stop()` alone waits for ever while the broker is away."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(patience_seconds):
            await producer.stop()
    # Without this a producer whose batches never expire would go on trying for ever.
    sender_task = producer._sender.sender_task
    if sender_task is not None and not sender_task.done():
        sender_task.cancel()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(STOP_SECONDS):
            await producer.client.close()
