"""The live stream of `coupon.events`: one reader for all who watch, and a way to go on where one left off.

A position is the next offset of every partition, packed into a short text: the `id` of each server-sent event. Who
comes back with it is first read what was missed, then joined to the others. Nothing is kept here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from prometheus_client import Gauge

from contracts.topics import COUPON_EVENTS
from messaging.not_now import backoff_seconds

QUEUE_RECORDS = 5_000
"""So far one who watches may fall behind before being sent away."""
HEARTBEAT_SECONDS = 10.0
READ_RECORDS = 500
START_SECONDS = 10.0
UNWATCHED_SECONDS = 30.0
"""So long the reader goes on after the last who watched: streams often come back at once."""
TOO_SLOW = b'event: too_slow\ndata: {"detail":"The stream is ahead of its reader: come back."}\n\n'
RESET = b'event: reset\ndata: {"detail":"What was missed is not in the log any more."}\n\n'

logger = structlog.get_logger()
_watching = Gauge("scrip_gateway_streams", "Live streams served now.")


class PositionUnreadable(Exception):
    """The Last-Event-ID is none of ours, or of a platform with other lanes."""


class TooManyStreams(Exception):
    """As many streams are served as the settings allow. Answered 503."""


def pack(position: Mapping[int, int]) -> str:
    """The next offset of partitions 0, 1, … as text: variable-length numbers in base64url."""
    data = bytearray()
    for partition in range(len(position)):
        number = position[partition]
        while number >= 0x80:
            data.append(number & 0x7F | 0x80)
            number >>= 7
        data.append(number)
    return base64.urlsafe_b64encode(bytes(data)).decode().rstrip("=")


def unpack(text: str, partitions: int) -> dict[int, int]:
    """The other way. Raises PositionUnreadable."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise PositionUnreadable("it is not base64url") from None
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise PositionUnreadable("it holds a number that is too large")
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    if len(numbers) != partitions or shift:
        raise PositionUnreadable(f"it does not hold {partitions} offsets")
    return dict(enumerate(numbers))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events are wanted; None: all."""

    party: str | None = None
    campaign: str | None = None
    type: str | None = None
    """A type, or its beginning followed by `*`."""

    def fit(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is wanted."""
        if self.campaign is not None and str(event.get("stream", "")).partition("/")[0] != self.campaign:
            return False
        if self.party is not None and event.get("owner") != self.party:
            return False
        if self.type is None:
            return True
        kind = str(event.get("type", ""))
        return kind.startswith(self.type[:-1]) if self.type.endswith("*") else kind == self.type


Record: TypeAlias = Any
"""aiokafka's ConsumerRecord, which carries no types."""


@dataclass(eq=False)
class _Watcher:
    queue: asyncio.Queue[Record | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_RECORDS))
    too_slow: bool = False


class LiveStream:
    """Serves live streams. `run` reads the topic's end for all of them, while there are any."""

    def __init__(self, bootstrap: str, partitions: int, connections: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = [TopicPartition(COUPON_EVENTS.name, number) for number in range(partitions)]
        self._most = connections
        self._open = 0
        self._watchers: set[_Watcher] = set()
        self._position: dict[int, int] = {}
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Read the end of the topic while anybody watches, until `stop`; begins anew when the broker was away."""
        failures = 0
        stopper = asyncio.create_task(self._end_with(stop))
        try:
            while not stop.is_set():
                # Reading what nobody watches would cost as much as a tenth of answering the claims that caused it.
                await self._wanted.wait()
                if stop.is_set():
                    break
                consumer = self._consumer()
                try:
                    async with asyncio.timeout(START_SECONDS):
                        await consumer.start()
                        await self._begin(consumer)
                    failures = 0
                    await self._read_on(consumer)
                except (KafkaError, TimeoutError) as error:
                    failures += 1
                    if failures == 1:
                        logger.warning("Events are not read now.", action="stream_lost", reason=type(error).__name__)
                    await asyncio.sleep(backoff_seconds(failures))
                finally:
                    with contextlib.suppress(Exception):
                        async with asyncio.timeout(5):
                            await consumer.stop()
        finally:
            stopper.cancel()

    async def _read_on(self, consumer: Any) -> None:
        """Hand records over until the gateway stops, or nobody has watched for a while."""
        loop = asyncio.get_running_loop()
        watched = loop.time()
        while not self._stopping.is_set():
            batches = await consumer.getmany(timeout_ms=500)
            for records in batches.values():
                for record in records:
                    self._hand_over(record)
            if self._open:
                watched = loop.time()
            elif loop.time() - watched > UNWATCHED_SECONDS:
                self._wanted.clear()
                self._ready.clear()
                self._position = {}
                return

    async def watch(self, last_event_id: str | None, filters: Filters) -> AsyncIterator[bytes]:
        """Server-sent events from the position on, or from now on; ends when the gateway stops or the reader
        is too slow.

        Raises PositionUnreadable, TooManyStreams before the first piece.
        """
        position = None if not last_event_id else unpack(last_event_id, len(self._partitions))
        if self._open >= self._most:
            raise TooManyStreams
        return self._watch(position, filters)

    async def _watch(self, position: dict[int, int] | None, filters: Filters) -> AsyncIterator[bytes]:
        self._open += 1
        _watching.set(self._open)
        watcher = _Watcher()
        try:
            self._wanted.set()
            await self._ready.wait()
            if position is not None:
                async for piece in self._catch_up(position, filters):
                    yield piece
            if self._stopping.is_set():
                return
            # No await between the last look at the position and joining: nothing falls in between.
            self._watchers.add(watcher)
            behind = position is not None and any(
                position[partition] < offset for partition, offset in self._position.items()
            )
            if position is not None and behind:
                target = dict(self._position)
                async for piece in self._read(position, target, filters):
                    yield piece
            if position is None:
                position = dict(self._position)
            yield frame(position, None)
            while not self._stopping.is_set():
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        record = await watcher.queue.get()
                except TimeoutError:
                    if watcher.too_slow:
                        break
                    yield frame(position, None)
                    continue
                if record is None:
                    break
                if record.offset < position[record.partition]:
                    continue
                position[record.partition] = record.offset + 1
                wanted = _wanted(record, filters)
                if wanted is not None:
                    yield frame(position, wanted)
                if watcher.too_slow and watcher.queue.empty():
                    break
            if watcher.too_slow:
                yield TOO_SLOW
        finally:
            self._watchers.discard(watcher)
            self._open -= 1
            _watching.set(self._open)

    async def _catch_up(self, position: dict[int, int], filters: Filters) -> AsyncIterator[bytes]:
        """What was missed, up to where the common reader stands, as often as it moves on a good deal meanwhile."""
        while not self._stopping.is_set():
            target = dict(self._position)
            missed = sum(max(0, offset - position[partition]) for partition, offset in target.items())
            if missed <= READ_RECORDS:
                return
            async for piece in self._read(position, target, filters):
                yield piece

    async def _read(
        self, position: dict[int, int], target: Mapping[int, int], filters: Filters
    ) -> AsyncIterator[bytes]:
        """Records from `position` (moved on) up to `target`, by a reader of one's own."""
        consumer = self._consumer()
        try:
            await consumer.start()
            behind = [each for each in self._partitions if position[each.partition] < target[each.partition]]
            consumer.assign(behind)
            for each in behind:
                consumer.seek(each, position[each.partition])
            while any(position[each.partition] < target[each.partition] for each in behind):
                batches = await consumer.getmany(timeout_ms=500, max_records=READ_RECORDS)
                for records in batches.values():
                    for record in records:
                        position[record.partition] = record.offset + 1
                        wanted = _wanted(record, filters)
                        if wanted is not None:
                            yield frame(position, wanted)
                for each in behind:
                    # Offsets may have gaps at the end; the reader's own position passes them.
                    position[each.partition] = max(position[each.partition], await consumer.position(each))
                if self._stopping.is_set():
                    return
        except OffsetOutOfRangeError:
            yield RESET
            position.update(target)
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(5):
                    await consumer.stop()

    async def _begin(self, consumer: Any) -> None:
        consumer.assign(self._partitions)
        if not self._position:
            ends = await consumer.end_offsets(self._partitions)
            self._position = {each.partition: ends[each] for each in self._partitions}
        for each in self._partitions:
            consumer.seek(each, self._position[each.partition])
        self._ready.set()

    def _hand_over(self, record: Record) -> None:
        self._position[record.partition] = record.offset + 1
        for watcher in list(self._watchers):
            try:
                watcher.queue.put_nowait(record)
            except asyncio.QueueFull:
                watcher.too_slow = True
                self._watchers.discard(watcher)

    def _consumer(self) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap.split(","),
            client_id="scrip-stream",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=500,
            fetch_max_bytes=4 * 1024 * 1024,
        )

    async def _end_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stopping.set()
        self._wanted.set()
        self._ready.set()
        for watcher in self._watchers:
            with contextlib.suppress(asyncio.QueueFull):
                watcher.queue.put_nowait(None)


def frame(position: Mapping[int, int], event: bytes | None) -> bytes:
    """One server-sent event; without an event a heartbeat, which only moves the reader's Last-Event-ID on."""
    if event is None:
        return f": heartbeat\nid: {pack(position)}\n\n".encode()
    return b"id: " + pack(position).encode() + b"\ndata: " + event + b"\n\n"


def _wanted(record: Record, filters: Filters) -> bytes | None:
    """The event's bytes when it is wanted; what cannot be read is passed over."""
    value: bytes | None = record.value
    if value is None:
        return None
    if filters == Filters():
        return value
    try:
        event = json.loads(value)
    except ValueError:
        return None
    return value if isinstance(event, dict) and filters.fit(event) else None
