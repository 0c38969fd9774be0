"""A platform of a benchmark's own, and commands signed as its gateway signs them."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.campaigns import AmountOff, Terms, Validity
from contracts.commands import record_for
from contracts.fields import PLATFORM, Contract
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS
from contracts.writers import WRITER_HEADER, Writer, sign
from messaging.sending import producer_settings
from scrip.platform import Platform

LIFE = timedelta(hours=2)


@contextmanager
def platform(**options: object) -> Iterator[Platform]:
    """A platform in a temporary home, erased afterwards."""
    with tempfile.TemporaryDirectory(prefix="scrip-bench-") as folder:
        running = Platform(Path(folder) / "home", **options)  # type: ignore[arg-type]
        running.start()
        try:
            yield running
        finally:
            running.stop()
            running.erase()


def terms(**more: object) -> Terms:
    """Five off, for years, once per user."""
    return Terms.model_validate(
        {
            "name": "benchmark",
            "currency": "USD",
            "discount": AmountOff(amount=500),
            "validity": Validity(
                starts=datetime(2020, 1, 1, tzinfo=UTC), ends=datetime(2040, 1, 1, tzinfo=UTC), zone="UTC"
            ),
            "per_user_limit": 1,
            **more,
        }
    )


class Commands:
    """Appends signed commands to a platform's log."""

    def __init__(self, running: Platform, producer: AIOKafkaProducer) -> None:
        keys = json.loads((running.home.secrets / "gateway" / "writers.json").read_text(encoding="utf-8"))
        self._writer = Writer("gateway", 1, base64.b64decode(keys["gateway"]["1"]))
        self._lanes = running.lanes
        self._producer = producer

    def value(self, command: Contract, campaign: UUID, party: str = PLATFORM) -> bytes:
        """The bytes of one command that asks for no reply."""
        record = record_for(
            command,
            id=uuid4(),
            source="/benchmark",
            subject=str(campaign),
            party=party,
            actor="staff:benchmark",
            notafter=datetime.now(UTC) + LIFE,
        )
        return record.model_dump_json(exclude_none=True).encode()

    async def append(self, campaign: UUID, values: Sequence[bytes]) -> None:
        """Append to the campaign's lane, in order, and wait for the broker."""
        key = str(campaign).encode()
        partition = partition_of(key, self._lanes)
        futures = []
        batch = self._producer.create_batch()
        for value in values:
            header = (WRITER_HEADER, sign(self._writer, COUPON_COMMANDS.name, key, value))
            if batch.append(key=key, value=value, timestamp=None, headers=[header]) is None:
                batch.close()
                futures.append(await self._producer.send_batch(batch, COUPON_COMMANDS.name, partition=partition))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=[header])
        batch.close()
        futures.append(await self._producer.send_batch(batch, COUPON_COMMANDS.name, partition=partition))
        await asyncio.gather(*futures)


@asynccontextmanager
async def commands_of(running: Platform) -> AsyncIterator[Commands]:
    """A producer for one platform."""
    producer = AIOKafkaProducer(**producer_settings(running.bootstrap, client_id="benchmark"))
    await producer.start()
    try:
        yield Commands(running, producer)
    finally:
        await producer.stop()


async def records_in(running: Platform, topic: str) -> int:
    """How many records a topic has been given so far."""
    consumer = AIOKafkaConsumer(bootstrap_servers=running.bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(running.lanes)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


async def drain_rate(running: Platform, topic: str, wanted: int, seconds: float = 110) -> float:
    """Records per second on `topic`, from the first that appears until `wanted` more than now are there."""
    consumer = AIOKafkaConsumer(bootstrap_servers=running.bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(running.lanes)]
        before = sum((await consumer.end_offsets(partitions)).values())
        clock = asyncio.get_running_loop().time
        first: tuple[float, int] | None = None
        async with asyncio.timeout(seconds):
            while True:
                there = sum((await consumer.end_offsets(partitions)).values()) - before
                if there and first is None:
                    first = (clock(), there)
                if there >= wanted and first is not None:
                    return float((there - first[1]) / (clock() - first[0]))
                await asyncio.sleep(0.02)
    finally:
        await consumer.stop()
