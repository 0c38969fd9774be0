"""From Kafka into the lanes' buffers: records are fetched ahead, and read a few at a time between decisions.

Two steps, so that none waits for the other: the client asks the broker for more only when it has handed out all it had,
and to read a record takes as long as to decide it. Both are bounded in bytes or in effects, whatever a record holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.topics import COUPON_COMMANDS
from coupon_core.lanes.lane import Lane
from coupon_core.lanes.reading import Reader, size_of

TOPIC = COUPON_COMMANDS.name
FETCHED_BYTES = 1024 * 1024
"""A lane is hungry while less than so much of it is fetched and not read: over 2,000 claims."""
FETCHED_AT_ONCE = 1_000
READ_AT_ONCE = 64
"""Records read before a decision that has what it waited for gets its turn: a millisecond."""
AHEAD = 2
"""A lane has room while less than so many batches of it are read and not decided."""
NOWHERE = TopicPartition(TOPIC, -1)
"""Is asked for when every lane has enough: nothing comes, and the group sees that this process lives."""
AHEAD_LIMIT = timedelta(seconds=30)

logger = structlog.get_logger()


class Intake:
    """Fetches and reads for all lanes of a process; `most_records` and `most_effects` are those of a batch."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        reader: Reader,
        lanes: Mapping[int, Lane],
        *,
        told: bool,
        most_records: int,
        most_effects: int,
    ) -> None:
        self.last_read = time.monotonic()
        """When the group last saw us ask (monotonic)."""
        self.work_waits = asyncio.Event()
        """Set whenever something was read."""
        self._consumer = consumer
        self._reader = reader
        self._lanes = lanes
        self._told = told
        self._most_records = most_records
        self._most_effects = most_effects
        self._fetch_more = asyncio.Event()
        self._read_more = asyncio.Event()

    async def fetch(self) -> None:
        """Keep something of each lane fetched. Runs until it is cancelled; raises what the client raises."""
        while True:
            self._go_on_after_stops()
            going = [lane for lane in self._lanes.values() if lane.stopped is None]
            hungry = [TopicPartition(TOPIC, lane.partition) for lane in going if lane.fetched_bytes < FETCHED_BYTES]
            # A lane that has enough now must not wait long for those that have nothing.
            patience = 200 if len(hungry) == len(going) else 10
            if going and not hungry:
                self._fetch_more.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._fetch_more.wait(), 0.2)
                hungry, patience = [NOWHERE], 0
            batch = await self._consumer.getmany(*hungry, timeout_ms=patience, max_records=FETCHED_AT_ONCE)
            self.last_read = time.monotonic()
            for topic_partition, records in batch.items():
                lane = self._lanes.get(topic_partition.partition)
                if lane is not None and lane.stopped is None:
                    lane.fetched.extend(records)
                    lane.fetched_bytes += sum(map(size_of, records))
            self._read_more.set()

    async def read(self) -> None:
        """Read a little of every lane that has room, again and again. Runs until it is cancelled."""
        while True:
            ready = [lane for lane in self._lanes.values() if lane.fetched and self._has_room(lane)]
            if not ready:
                self._read_more.clear()
                await self._read_more.wait()
                continue
            limit, at_once = datetime.now(UTC) + AHEAD_LIMIT, 0
            for lane in ready:
                if not lane.lost:
                    at_once += self._read_some(lane, limit)
                if at_once >= READ_AT_ONCE:
                    at_once = 0
                    await asyncio.sleep(0)
            # Only now: what came for several lanes at once is one batch.
            self.work_waits.set()
            await asyncio.sleep(0)

    def made_room(self) -> None:
        """Something was taken out of a buffer."""
        self._read_more.set()

    def _has_room(self, lane: Lane) -> bool:
        return len(lane.buffer) < AHEAD * self._most_records and lane.buffer_effects < AHEAD * self._most_effects

    def _read_some(self, lane: Lane, limit: datetime) -> int:
        count = min(READ_AT_ONCE, len(lane.fetched))
        for _ in range(count):
            record = lane.fetched.popleft()
            lane.fetched_bytes -= size_of(record)
            if record.offset < lane.read_up_to:
                continue
            entry = self._reader.read(record)
            if not self._told and entry.time > limit:
                self._stop(lane, record.offset, entry.time)
                break  # what came before it is decided
            lane.add(entry)
        if lane.fetched_bytes < FETCHED_BYTES:
            self._fetch_more.set()
        return count

    def _go_on_after_stops(self) -> None:
        for lane in self._lanes.values():
            if lane.stopped_until is not None and datetime.now(UTC) >= lane.stopped_until:
                lane.stopped = lane.stopped_until = None
                self._consumer.seek(TopicPartition(TOPIC, lane.partition), lane.read_up_to)
                self._consumer.resume(TopicPartition(TOPIC, lane.partition))
                logger.info("A lane goes on: this clock is near its record.", action="lane_goes_on",
                            partition=lane.partition)  # fmt: skip

    def _stop(self, lane: Lane, offset: int, at: datetime) -> None:
        """A record from the future waits, with all behind it, until this clock is near: one of two clocks is wrong,
        and what is decided counts for good.
        """
        lane.stopped_until = at - AHEAD_LIMIT
        lane.stopped = (
            f"record {offset} is of {at.isoformat()}, more than 30 s ahead of this machine's clock: set the clocks of "
            "this machine and the broker right; the lane goes on by itself when this one is near that time"
        )
        lane.fetched.clear()
        lane.fetched_bytes = 0
        self._consumer.pause(TopicPartition(TOPIC, lane.partition))
        logger.error("A lane stands still.", action="lane_stopped", partition=lane.partition, detail=lane.stopped)
