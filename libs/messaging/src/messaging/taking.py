"""One topic's consumer in a service: its transactions, holds and progress. Used by `subscribing` only."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from prometheus_client import Counter, Gauge, Histogram

from messaging.dead_letters import keep_dead_letter
from messaging.not_now import backoff_seconds, database_is_away
from messaging.opening import Dead, Record, Subscription, open_record, time_of
from messaging.outbox import Connection
from messaging.trusting import Trust
from process.database import Pool
from process.failpoints import declare, failpoint

AFTER_COMMIT = declare("subscriber.after_commit")
MAX_RECORDS = 500
MOSTLY_PASSED_OVER = {"max_records": 4_000, "fetch_min_bytes": 256 * 1024, "fetch_max_wait_ms": 250}
"""Of a topic of which little matters: to ask for each record as it comes, to look and to commit costs all services of a
machine a fifth of their time."""
POLL_MS = 50  # FastStream sleeps as long again after an empty poll
COMMIT_SECONDS = 5.0
LONGEST_HOLD_SECONDS = 5.0
WATCH_TIMEOUT_SECONDS = 5.0
SILENT_SECONDS = 8.0
"""The broker counts as away when it has not answered for so long: more than one question unanswered."""
STUCK_UNREADY_SECONDS = 60.0
STUCK_EXIT_SECONDS = 120.0

logger = structlog.get_logger()
_records = Counter("scrip_records_taken", "Records read, by what became of them.", ["topic", "outcome"])
_lag = Gauge("scrip_consumer_lag", "Records behind the end of the partition.", ["topic", "partition"])
_held = Gauge("scrip_partitions_held", "Partitions that wait for the database.", ["topic"])
_seconds = Histogram("scrip_records_transaction_seconds", "One transaction of records.", ["topic"])

_ENTER = """
INSERT INTO inbox (topic, id) SELECT $1, id FROM unnest($2::text[]) AS given (id) ORDER BY id
ON CONFLICT DO NOTHING RETURNING id"""


class HandlerFailed(Exception):
    """A handler raised what it must not: our bug, at the record the message names."""


class ConsumerStuck(Exception):
    """Records wait and none is taken, for no reason we know; a restart joins the group anew."""


class _Joined(ConsumerRebalanceListener):  # type: ignore[misc]
    """Only notes whether the consumer is in its group: no heartbeat runs while a listener works."""

    def __init__(self) -> None:
        self.joined = False

    async def on_partitions_revoked(self, revoked: object) -> None:
        self.joined = False

    async def on_partitions_assigned(self, assigned: object) -> None:
        self.joined = True


class Taker:
    """One topic's consumer and what is known of its partitions."""

    def __init__(self, pool: Pool, trust: Trust, subscription: Subscription[Any], settings: dict[str, Any]) -> None:
        self._pool = pool
        self._trust = trust
        self._subscription = subscription
        self._settings = settings
        self._listener = _Joined()
        self._endpoint: Any = None
        self._failures: dict[TopicPartition, int] = {}
        self._holds: dict[TopicPartition, asyncio.TimerHandle] = {}
        self._moved: dict[TopicPartition, tuple[int, float]] = {}
        self._stuck_seconds = 0.0
        self._answered = asyncio.get_running_loop().time()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def attach(self, broker: KafkaBroker) -> None:
        self._listener.joined = False
        self._answered = asyncio.get_running_loop().time()
        reading: dict[str, Any] = {"max_records": MAX_RECORDS}
        if self._subscription.interesting is not None:
            reading = MOSTLY_PASSED_OVER
        self._endpoint = broker.subscriber(
            self._subscription.topic.name,
            batch=True,
            batch_timeout_ms=POLL_MS,
            listener=self._listener,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            **reading,
            **self._settings,
        )
        self._endpoint(self._take)

    def close(self) -> None:
        for hold in self._holds.values():
            hold.cancel()
        self.failed.cancel()

    def reasons(self) -> list[str]:
        name = self._subscription.topic.name
        if not self._listener.joined:
            return [f"The consumer of {name} is not in its group."]
        if asyncio.get_running_loop().time() - self._answered > SILENT_SECONDS:
            return [f"The Kafka broker does not answer the consumer of {name}."]
        if self._failures:
            return [f"{name} waits for the database."]
        if self._stuck_seconds >= STUCK_UNREADY_SECONDS:
            return [f"Records of {name} wait and none was taken for {self._stuck_seconds:.0f} s."]
        return []

    async def _take(self, records: tuple[Record, ...]) -> None:
        # FastStream would drop what escapes from here, and with it the records.
        try:
            await self._take_polled(records)
        except Exception as error:
            self._fail(error, records)

    async def _take_polled(self, records: tuple[Record, ...]) -> None:
        consumer: AIOKafkaConsumer | None = self._endpoint.consumer
        by_partition: dict[TopicPartition, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[TopicPartition(record.topic, record.partition)].append(record)
        done: dict[TopicPartition, int] = {}
        for partition, part in by_partition.items():
            if self.failed.done() or consumer is None:
                return
            try:
                with _seconds.labels(partition.topic).time():
                    await self._take_part(part)
            except Exception as error:
                if not database_is_away(error):
                    raise
                self._hold(consumer, partition, part[0].offset, error)
            else:
                self._failures.pop(partition, None)
                done[partition] = part[-1].offset + 1
        failpoint(AFTER_COMMIT)
        if done and consumer is not None:
            await self._commit_offsets(consumer, done)

    async def _take_part(self, records: list[Record]) -> None:
        interesting = self._subscription.interesting
        if interesting is not None:
            keys = list({record.key for record in records if record.key is not None})
            async with self._pool.acquire() as connection:
                chosen = await interesting(connection, keys)
            others = sum(record.key not in chosen for record in records)
            _records.labels(self._subscription.topic.name, "passed over").inc(others)
            records = [record for record in records if record.key in chosen]
        if records:
            await self._take_all(records)

    async def _take_all(self, records: list[Record]) -> None:
        contents = [open_record(self._subscription, self._trust, record) for record in records]
        outcomes: dict[str, int] = defaultdict(int)
        async with self._pool.acquire() as connection, connection.transaction():
            fresh = await self._enter(connection, contents)
            for record, content in zip(records, contents, strict=True):
                outcome = await self._take_one(connection, record, content, fresh)
                outcomes[outcome] += 1
        for outcome, number in outcomes.items():
            _records.labels(self._subscription.topic.name, outcome).inc(number)

    async def _take_one(self, connection: Connection, record: Record, content: Any, fresh: set[str]) -> str:
        """Returns `done`, `repeated` or the dead letter's reason."""
        subscription = self._subscription
        if isinstance(content, Dead):
            await keep_dead_letter(
                connection,
                subscription.dead_letters.name,
                record,
                time_of(record),
                content.reason,
                content.detail,
                command=content.command,
                writer=content.writer,
            )
            logger.warning(
                "A record became a dead letter.",
                action="dead_letter",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=content.reason,
                detail=content.detail,
            )
            return content.reason
        name = subscription.command_id(content) if subscription.command_id else None
        if name is not None:
            if name not in fresh:
                return "repeated"
            fresh.remove(name)
        with structlog.contextvars.bound_contextvars(command=name):
            try:
                await subscription.handle(connection, content, time_of(record))
            except Exception as error:
                error.add_note(f"at {record.topic}-{record.partition}-{record.offset}")
                raise
        return "done"

    async def _enter(self, connection: Connection, contents: list[Any]) -> set[str]:
        """The ids that were not in the inbox before; they are now."""
        command_id = self._subscription.command_id
        if command_id is None:
            return set()
        names = list({command_id(content) for content in contents if not isinstance(content, Dead)})
        rows = await connection.fetch(_ENTER, self._subscription.topic.name, names) if names else []
        return {row["id"] for row in rows}

    def _hold(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int, error: Exception) -> None:
        """Take this offset again after a pause. No error is raised when the partition was taken from us."""
        failures = self._failures[partition] = self._failures.get(partition, 0) + 1
        seconds = backoff_seconds(failures, longest=LONGEST_HOLD_SECONDS)
        if failures == 1:
            logger.warning(
                "A partition waits for the database.",
                action="partition_held",
                topic=partition.topic,
                partition=partition.partition,
                offset=offset,
                reason=type(error).__name__,
            )
        with contextlib.suppress(KafkaError):
            consumer.pause(partition)
            consumer.seek(partition, offset)
        self._holds[partition] = asyncio.get_running_loop().call_later(seconds, self._resume, consumer, partition)
        _held.labels(partition.topic).set(len(self._holds))

    def _resume(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        self._holds.pop(partition, None)
        _held.labels(partition.topic).set(len(self._holds))
        with contextlib.suppress(KafkaError):
            if partition in consumer.assignment():
                consumer.resume(partition)
            else:
                self._failures.pop(partition, None)

    def _fail(self, error: Exception, records: tuple[Record, ...]) -> None:
        places = {f"{record.topic}-{record.partition}" for record in records}
        failure = HandlerFailed(f"Taking records of {', '.join(sorted(places))} failed: {type(error).__name__}.")
        failure.__cause__ = error
        if not self.failed.done():
            self.failed.set_exception(failure)

    async def _commit_offsets(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            # The partition went to another member, or the broker is away: the inbox absorbs the repeat.
            logger.info("Offsets could not be committed.", action="offsets_not_committed", reason=type(error).__name__)

    async def watch(self) -> None:
        """Note lag and movement; raises ConsumerStuck when records wait and the position stands still."""
        consumer: AIOKafkaConsumer | None = self._endpoint.consumer
        if consumer is None:
            return
        try:
            async with asyncio.timeout(WATCH_TIMEOUT_SECONDS):
                assigned = consumer.assignment()
                # With more processes than partitions this one may have none, and asks all the same.
                asked = assigned or {TopicPartition(self._subscription.topic.name, 0)}
                ends = await consumer.end_offsets(list(asked))
                positions = {partition: await consumer.position(partition) for partition in assigned}
        except (KafkaError, TimeoutError):
            return
        now = self._answered = asyncio.get_running_loop().time()
        longest = 0.0
        for partition in assigned:
            waiting = max(0, ends[partition] - positions[partition])
            _lag.labels(partition.topic, str(partition.partition)).set(waiting)
            position, since = self._moved.get(partition, (-1, now))
            if waiting == 0 or position != positions[partition] or partition in self._failures:
                since = now
            self._moved[partition] = (positions[partition], since)
            longest = max(longest, now - since)
        self._stuck_seconds = longest
        if longest >= STUCK_EXIT_SECONDS:
            raise ConsumerStuck(f"Records of {self._subscription.topic.name} wait and none is taken.")
