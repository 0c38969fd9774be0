"""What the libraries alone take of core's processor time for a command, with nothing of ours between them.

Fetching with aiokafka, one HMAC and pydantic's reading of the record, asyncpg's part of core's statements, and putting
events of the same bytes into batches. Measured in the benchmark's own process, in microseconds of its thread.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.core_alone import CoreAlone
from benchmarks.platforms import Record
from contracts.commands import COMMAND_RECORD
from contracts.topics import COUPON_COMMANDS, COUPON_EVENTS
from messaging.sending import producer_settings
from scrip.platform import Platform

KEY = bytes(32)


async def libraries_alone(running: Platform, alone: CoreAlone, records: Sequence[Record]) -> dict[str, float]:
    """Microseconds per command. The log must end with as many commands and events at least."""
    count = len(records)
    events, _ = await _fetched(running, COUPON_EVENTS.name, count)
    _, fetching = await _fetched(running, COUPON_COMMANDS.name, count)
    started = time.thread_time()
    for record in records:
        hmac.digest(KEY, record.value, "sha256")
        COMMAND_RECORD.validate_json(record.value)
    reading = time.thread_time() - started
    before = alone.timed.processor
    await alone.decide(records)
    stating = alone.timed.processor - before
    batching = await _batched(running, events)
    return {
        "aiokafka to fetch": 1e6 * fetching / count,
        "HMAC and pydantic": 1e6 * reading / count,
        "asyncpg": 1e6 * stating / count,
        "batches of events": 1e6 * batching / len(events),
    }


async def _fetched(running: Platform, topic: str, count: int) -> tuple[list[bytes], float]:
    """The values of the last records of a topic, and the seconds of this thread that took."""
    consumer = AIOKafkaConsumer(bootstrap_servers=running.bootstrap, enable_auto_commit=False)
    async with consumer:
        partitions = [TopicPartition(topic, number) for number in range(running.lanes)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for partition, end in ends.items():
            consumer.seek(partition, max(0, end - count))
        values: list[bytes] = []
        left = sum(min(end, count) for end in ends.values())
        started = time.thread_time()
        while len(values) < left:
            for records in (await consumer.getmany(timeout_ms=1_000, max_records=4_000)).values():
                values += [record.value or b"" for record in records]
        taken = time.thread_time() - started
    return values, taken * count / len(values)


async def _batched(running: Platform, values: Sequence[bytes]) -> float:
    """Seconds of this thread to put these values into batches, keyed and numbered; they are not sent."""
    producer = AIOKafkaProducer(**producer_settings(running.bootstrap, client_id="libraries"))
    async with producer:
        key = bytes(36)  # as long as a campaign's id
        started = time.thread_time()
        batch = producer.create_batch()
        for value in values:
            if batch.append(key=key, value=value, timestamp=None, headers=[("seq", b"1")]) is None:
                batch.close()
                batch = producer.create_batch()
        batch.close()
        return time.thread_time() - started
