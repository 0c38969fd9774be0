"""Commands and events from Kafka, each taken once: the loop of the ordinary services, on FastStream.

For each record, in the order of its partition: writer's signature → decoding from bytes → time limit → a row
of the inbox (the command's id, unique) and the handler's effect → commit; then the offset is committed in
Kafka, which is only a note: a record seen again meets its row in the inbox. The records of one poll share a
transaction.

Outcomes. *Unreadable, unsigned, too late*: a dead letter in the same transaction, and on. *Database away*:
the partition is held where it stands, and tried again with growing pauses while heartbeats go on. *Our bug*
(any other exception of a handler): nothing is committed, it is logged once and `run` raises; the restarted
process begins with the same record.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER

from messaging.header_names import read_any_header_name
from messaging.not_now import backoff_seconds
from messaging.opening import Record, Subscription
from messaging.taking import ConsumerStuck, HandlerFailed, Taker
from messaging.trusting import Trust
from process.database import Pool

__all__ = ["ConsumerStuck", "HandlerFailed", "Subscriber", "Subscription", "consumer_settings"]

WATCH_SECONDS = 2.0

logger = structlog.get_logger()


def consumer_settings(*, group: str, instance: int, session_seconds: float = 10.0) -> dict[str, Any]:
    """Settings of consumers in groups: nothing skipped, nothing committed by itself, static membership."""
    return {
        "group_id": group,
        "group_instance_id": f"{group}-{instance}",
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "session_timeout_ms": round(session_seconds * 1000),
        "heartbeat_interval_ms": 3_000,
        "rebalance_timeout_ms": 30_000,
        "fetch_max_bytes": 16 * 1024 * 1024,
    }


class Subscriber:
    """Takes the records of some topics into the service's database; one consumer group per topic."""

    def __init__(
        self,
        bootstrap: str,
        pool: Pool,
        trust: Trust,
        subscriptions: Sequence[Subscription[Any]],
        *,
        service: str,
        instance: int,
        session_seconds: float = 10.0,
    ) -> None:
        read_any_header_name()
        self._bootstrap = bootstrap
        self._pool = pool
        self._takers = [
            Taker(
                pool,
                trust,
                subscription,
                consumer_settings(
                    group=f"{service}.{subscription.topic.name}",
                    instance=instance,
                    session_seconds=session_seconds,
                ),
            )
            for subscription in subscriptions
        ]
        self._trouble: str | None = "The consumers have not started."

    def reasons(self) -> list[str]:
        """Why records are not taken at present; for /readyz."""
        if self._trouble:
            return [self._trouble]
        return [reason for taker in self._takers for reason in taker.reasons()]

    async def run(self, stop: asyncio.Event) -> None:
        """Take records until `stop` is set, finish what is in hand, and return.

        Waits for the broker at the start and through outages. Raises HandlerFailed or ConsumerStuck.
        """
        broker = await self._connected(stop)
        if broker is None:
            return
        watch = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(stop.wait())
        failures: list[asyncio.Future[None]] = [taker.failed for taker in self._takers]
        try:
            ends: list[asyncio.Future[Any]] = [stopping, watch, *failures]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._trouble = "The consumers have stopped."
            stopping.cancel()
            watch.cancel()
            await broker.stop()
            for taker in self._takers:
                taker.close()
        for finished in (*failures, watch):
            if finished.done() and not finished.cancelled():
                finished.result()

    async def _connected(self, stop: asyncio.Event) -> KafkaBroker | None:
        failures = 0
        while not stop.is_set():
            broker = KafkaBroker(
                self._bootstrap.split(","),
                client_id="scrip-subscriber",
                consumer_only=True,
                allow_auto_create_topics=False,
                logger=None,
                apply_types=False,
                ack_policy=AckPolicy.MANUAL,
                parser=_unparsed,
                decoder=_undecoded,
            )
            for taker in self._takers:
                taker.attach(broker)
            try:
                await broker.start()
            except (KafkaError, OSError) as error:
                failures += 1
                self._trouble = "The Kafka broker does not answer."
                if failures == 1:
                    logger.warning("The consumers wait for the broker.", action="consumers_waiting", reason=str(error))
                await broker.stop()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(backoff_seconds(failures, longest=5.0)):
                        await stop.wait()
            else:
                self._trouble = None
                return broker
        return None

    async def _watch(self) -> None:
        """Look at the positions now and then, and whether the broker answers; raises ConsumerStuck."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await asyncio.gather(*(taker.watch() for taker in self._takers))


async def _unparsed(records: tuple[Record, ...]) -> KafkaMessage:
    """FastStream's own parser decodes headers and drops a message whose header is no UTF-8."""
    first = records[0]
    return KafkaMessage(
        raw_message=records,
        body=b"",
        headers={},
        message_id=f"{first.topic}-{first.partition}-{first.offset}",
        consumer=FAKE_CONSUMER,
    )


async def _undecoded(message: KafkaMessage) -> Any:
    return message.raw_message
