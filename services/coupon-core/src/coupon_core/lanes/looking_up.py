"""One command looked up in the log by its place, long after it was decided."""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.topics import COUPON_COMMANDS
from coupon_core.lanes.reading import Reader
from coupon_core.work import Entry

LOOK_UP_SECONDS = 4.0


class CommandLog:
    """The topic `coupon.commands`, read by place, one look-up at a time.

    The consumer is without a group, made by the first look-up and kept; `close` ends it.
    """

    def __init__(self, bootstrap: str, reader: Reader) -> None:
        self._servers = bootstrap.split(",")
        self._reader = reader
        self._one = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None

    async def entry_at(self, partition: int, offset: int) -> Entry | None:
        """The entry at this place; None: the log does not hold it any more. Raises KafkaError or TimeoutError."""
        place = TopicPartition(COUPON_COMMANDS.name, partition)
        async with asyncio.timeout(LOOK_UP_SECONDS), self._one:
            try:
                consumer = await self._started()
                consumer.assign([place])
                first = (await consumer.beginning_offsets([place]))[place]
                end = (await consumer.end_offsets([place]))[place]
                if not first <= offset < end:
                    return None
                consumer.seek(place, offset)
                record = await consumer.getone(place)
            except BaseException:
                await self.close()
                raise
        return self._reader.read(record) if record.offset == offset else None

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._servers,
                client_id="scrip-core-why",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                fetch_max_wait_ms=50,
                max_poll_records=1,
            )
            self._consumer = consumer
            await consumer.start()
        return self._consumer

    async def close(self) -> None:
        """End the consumer; the next look-up makes another."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 2)
