"""What the tests of messaging share: reading a topic to its end, waiting for a fact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

import messaging
from contracts.topics import Topic
from process.database import Pool, open_pool
from tests.support.databases import FreshDatabase

assert messaging.__file__ is not None
TABLES = Path(messaging.__file__).parent / "tables.sql"


@dataclass(frozen=True)
class Trial:
    """Where a test works."""

    bootstrap: str
    commands: Topic
    dead_letters: Topic


async def trial_pool(database: FreshDatabase) -> Pool:
    """A pool of the adapter's role, with messaging's tables and a small one for effects."""
    connection = await asyncpg.connect(database.url("adapter"))
    await connection.execute(TABLES.read_text())
    await connection.execute("CREATE TABLE effect (number bigserial, command text, at timestamptz)")
    await connection.close()
    return await open_pool(database.url("adapter"), application_name="test", max_size=30)


async def read_all(bootstrap: str, topic: Topic, lanes: int = 1) -> list[ConsumerRecord[bytes, bytes]]:
    """All records of a topic, in the order of partitions and offsets."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partition_count(lanes))]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


async def until(true: Callable[[], Awaitable[Any]], seconds: float = 30.0) -> Any:
    """Wait for a fact; returns what `true` returned."""
    async with asyncio.timeout(seconds):
        while not (found := await true()):
            await asyncio.sleep(0.05)
    return found
