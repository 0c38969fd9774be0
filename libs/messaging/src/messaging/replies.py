"""Answers to commands: one partition of `coupon.replies`, read without a group by the process they are for.

Best effort: a reply can be lost (this process was away, core could not send); core's outcome row is the
truth.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge
from pydantic import ValidationError

from contracts.answers import Reply
from contracts.topics import COUPON_REPLIES

POLL_MS = 200
START_SECONDS = 10.0
STOP_SECONDS = 5.0

logger = structlog.get_logger()
_waiting = Gauge("scrip_replies_waiting", "Commands whose reply is awaited.")
_read = Counter("scrip_replies_read", "Replies read, by whether somebody waited for them.", ["awaited"])


class ExpectedReply:
    """A place where one reply will arrive; only valid inside `ReplyReader.expecting`."""

    def __init__(self, future: asyncio.Future[Reply]) -> None:
        self._future = future

    async def within(self, timeout_seconds: float) -> Reply | None:
        """The reply, or None when none came in time: ask core then. May be asked again for a longer wait."""
        # Unlike a time-out around the future, `wait` leaves it alive, and costs half of shielding it.
        if not self._future.done():
            await asyncio.wait((self._future,), timeout=timeout_seconds)
        return self._future.result() if self._future.done() else None


class ReplyReader:
    """Reads the partition of one gateway instance and hands each reply to those who wait for it."""

    def __init__(self, bootstrap: str, instance: int, *, topic: str = COUPON_REPLIES.name) -> None:
        self._partition = TopicPartition(topic, instance)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap.split(","),
            client_id="scrip-replies",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            fetch_max_wait_ms=500,
        )
        self._expected: dict[bytes, list[asyncio.Future[Reply]]] = defaultdict(list)
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Stand at the end of the partition; only then may a command be sent whose reply is awaited.

        Raises KafkaError or TimeoutError when the broker is away.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._consumer.start()
                self._consumer.assign([self._partition])
                await self._consumer.seek_to_end(self._partition)
                # seek_to_end alone is lazy: this fetches the offset.
                await self._consumer.position(self._partition)
        except BaseException:
            await self.stop()
            raise
        self._reading = asyncio.create_task(self._read())

    async def stop(self) -> None:
        """Stop reading; who still waits gets None at the end of their time."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        with contextlib.suppress(Exception):
            async with asyncio.timeout(STOP_SECONDS):
                await self._consumer.stop()

    async def ask_broker(self) -> None:
        """One question to the broker that holds the partition, for /readyz. Raises KafkaError while it is away."""
        await self._consumer.end_offsets([self._partition])

    def reasons(self) -> list[str]:
        """Why no replies come in at present; for /readyz."""
        reading = self._reading is not None and not self._reading.done()
        return [] if reading else ["Replies of coupon-core are not read."]

    @contextlib.contextmanager
    def expecting(self, command: UUID) -> Iterator[ExpectedReply]:
        """Send the command inside this block: a reply that comes before it is awaited is kept.

        Any number of callers may expect the same command's reply.
        """
        key = str(command).encode()
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._expected[key].append(future)
        _waiting.inc()
        try:
            yield ExpectedReply(future)
        finally:
            _waiting.dec()
            futures = self._expected[key]
            futures.remove(future)
            if not futures:
                del self._expected[key]

    async def await_reply(self, command: UUID, timeout: float) -> Reply | None:  # noqa: ASYNC109
        """The reply to a command sent while this runs, or None when none came in `timeout` seconds."""
        with self.expecting(command) as expected:
            return await expected.within(timeout)

    async def _read(self) -> None:
        while True:
            try:
                batches = await self._consumer.getmany(timeout_ms=POLL_MS)
            except KafkaError as error:
                logger.warning("Replies cannot be read.", action="replies_not_read", reason=type(error).__name__)
                await asyncio.sleep(0.5)
                continue
            for records in batches.values():
                for record in records:
                    self._hand_over(record.key, record.value)

    def _hand_over(self, key: bytes | None, value: bytes | None) -> None:
        futures = self._expected.get(key or b"")
        _read.labels("yes" if futures else "no").inc()
        if not futures or value is None:
            return
        try:
            reply = Reply.model_validate_json(value)
        except ValidationError as error:
            logger.error(
                "A reply cannot be read.",
                action="reply_unreadable",
                errors=error.error_count(),
                bytes=len(value),
            )
            return
        for future in futures:
            if not future.done():
                future.set_result(reply)
