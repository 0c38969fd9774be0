"""A platform of a benchmark's own, and commands signed as its gateway signs them."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.campaigns import AmountOff, Terms, Validity
from contracts.commands import CommandRecord, record_for
from contracts.events import SEQ_HEADER
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import lane_key
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS, COUPON_EVENTS
from contracts.writers import WRITER_HEADER, Writer, sign
from coupon_core.storage import Connection
from messaging.sending import producer_settings
from process.settings import Secrets
from scrip.keys import ensure_secrets
from scrip.platform import Platform

LIFE = timedelta(hours=2)


@contextmanager
def platform(**options: object) -> Iterator[Platform]:
    """A platform in a temporary home, erased afterwards, also when it does not start."""
    with tempfile.TemporaryDirectory(prefix="scrip-bench-") as folder:
        running = Platform(Path(folder) / "home", **options)  # type: ignore[arg-type]
        try:
            running.start()
            yield running
        finally:
            running.stop()
            running.erase()


def processor_seconds(running: Platform) -> dict[str, float]:
    """What each of the platform's processes has taken so far, with all it started."""
    taken = {}
    for name, pid in running.processes().items():
        process = psutil.Process(pid)
        seconds = 0.0
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile: its parent says how long it took
                times = child.cpu_times()
                seconds += times.user + times.system
        times = process.cpu_times()
        taken[name] = seconds + times.user + times.system + times.children_user + times.children_system
    return taken


def busy(running: Platform, before: dict[str, float], seconds: float) -> str:
    """How busy each process was in these seconds, in words; 100 % is one processor."""
    shares = {name: (now - before.get(name, 0.0)) / seconds for name, now in processor_seconds(running).items()}
    busiest = sorted(shares.items(), key=lambda each: -each[1])
    said = (f"{name} {share:.0%}" for name, share in busiest if share >= 0.005)
    return f"of a processor: {', '.join(said)}"


def processor_microseconds(running: Platform, before: dict[str, float], count: int) -> dict[str, float]:
    """What each process has taken since `before` (`processor_seconds`) for each of `count` pieces of work."""
    return {name: 1e6 * (now - before.get(name, 0.0)) / count for name, now in processor_seconds(running).items()}


def median_run(runs: Sequence[dict[str, float]]) -> tuple[str, float]:
    """Of several such measurements the middle one: each process in words, the greatest first, and their sum."""
    middle = sorted(runs, key=lambda run: sum(run.values()))[len(runs) // 2]
    said = (f"{name} {each:.1f}" for name, each in sorted(middle.items(), key=lambda one: -one[1]))
    return ", ".join(said), sum(middle.values())


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


def staff(running: Platform) -> httpx.Client:
    """A client of the internal API with the admin's token."""
    return httpx.Client(
        base_url=f"{running.url('gateway')}/internal/v1",
        headers={"Authorization": f"Bearer {running.admin_token}"},
        timeout=60,
        trust_env=False,
    )


def make_campaign(running: Platform, quantity: int = 100_000_000) -> UUID:
    """A campaign of generated codes, made over HTTP; its id."""
    with staff(running) as client:
        answer = client.post(
            "/campaigns",
            headers={"Idempotency-Key": str(uuid4())},
            json={"terms": terms().model_dump(mode="json"), "quantity": quantity},
        )
    answer.raise_for_status()
    return UUID(answer.json()["campaign"])


@dataclass(frozen=True, slots=True)
class Record:
    """One signed record for `coupon.commands`."""

    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Commands:
    """Makes commands as the platform's own writers sign them."""

    def __init__(self, running: Platform) -> None:
        self.keys = Secrets(ensure_secrets(running.home, "coupon_core")).writer_keys()
        self.lanes = running.lanes

    def record(
        self,
        command: Contract,
        subject: UUID | str,
        *,
        party: str = PLATFORM,
        partition: int | None = None,
        **more: Any,
    ) -> Record:
        """The gateway's record of one command that asks for no reply; the subject tells the partition if not given."""
        envelope = {"id": uuid4(), "source": "/benchmark", "subject": str(subject), "party": party}
        envelope |= {"actor": "staff:benchmark", "notafter": datetime.now(UTC) + LIFE}
        made = record_for(command, **(envelope | more))
        return self.signed(
            "gateway", made, partition_of(made.subject.encode(), self.lanes) if partition is None else partition
        )

    def signed(self, writer: str, record: CommandRecord, partition: int) -> Record:
        """A record signed by one of the services."""
        key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
        signature = sign(Writer(writer, 1, self.keys[writer][1]), COUPON_COMMANDS.name, key, value)
        return Record(partition, key, value, ((WRITER_HEADER, signature),))

    def to_every_lane(self, make: Callable[[int], Contract]) -> list[Record]:
        """A lane-wide command for each lane."""
        return [self.record(make(lane), lane_key(lane), partition=lane) for lane in range(self.lanes)]


class Log:
    """The platform's broker: appends commands, counts what came out."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, lanes: int) -> None:
        self._producer = producer
        self._consumer = consumer
        self._lanes = lanes

    async def append(self, records: Iterable[Record]) -> None:
        """Append, each lane's records in order, and wait for the broker."""
        by_lane: dict[int, list[Record]] = {}
        for record in records:
            by_lane.setdefault(record.partition, []).append(record)
        await asyncio.gather(*(self._append(partition, some) for partition, some in by_lane.items()))

    async def _append(self, partition: int, records: Sequence[Record]) -> None:
        futures = []
        batch = self._producer.create_batch()
        for record in records:
            given = {"key": record.key, "value": record.value, "timestamp": None, "headers": list(record.headers)}
            if batch.append(**given) is None:
                batch.close()
                futures.append(await self._producer.send_batch(batch, COUPON_COMMANDS.name, partition=partition))
                batch = self._producer.create_batch()
                batch.append(**given)
        batch.close()
        futures.append(await self._producer.send_batch(batch, COUPON_COMMANDS.name, partition=partition))
        await asyncio.gather(*futures)

    async def count(self, topic: str) -> int:
        """How many records a topic with lanes has been given so far."""
        return sum((await self._consumer.end_offsets(self._places(topic))).values())

    async def reach(self, topic: str, count: int, seconds: float = 110) -> None:
        """Wait until a topic has been given `count` records since it exists. Raises TimeoutError."""
        there = -1
        try:
            async with asyncio.timeout(seconds):
                while (there := await self.count(topic)) < count:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise TimeoutError(f"{topic} holds {there:,} records after {seconds:g} s, not {count:,}") from None

    async def decided(self, url: str, *, began: Callable[[], None] = lambda: None, seconds: float = 110) -> float:
        """Wait until all commands of the log are decided, and the last event of each lane is on its topic.

        Commands per second, from the first batch that core commits from now on (`began`). Events are not counted: who
        takes a lane over tells again what may not have been told. Raises TimeoutError.
        """
        clock = asyncio.get_running_loop().time
        connection = await asyncpg.connect(url)
        try:
            whole, before = await self.count(COUPON_COMMANDS.name), await _positions(connection)
            first: tuple[float, int] | None = None
            async with asyncio.timeout(seconds):
                while True:
                    there = await _positions(connection)
                    if there > before and first is None:
                        first = (clock(), there)
                        began()
                    if there >= whole and await self._told(connection):
                        return 0.0 if first is None else (there - first[1]) / (clock() - first[0])
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()

    async def _told(self, connection: Connection) -> bool:
        """Whether the last event of each lane carries the number of the lane's last journal row of events."""
        rows = await connection.fetch("SELECT partition, max(lane_seq) FROM core.journal WHERE kind = 1 GROUP BY 1")
        wanted = {TopicPartition(COUPON_EVENTS.name, lane): str(seq).encode() for lane, seq in rows}
        self._consumer.assign(list(wanted))
        ends = await self._consumer.end_offsets(list(wanted))
        for place, seq in wanted.items():
            self._consumer.seek(place, max(0, ends[place] - 1))
            record = await asyncio.wait_for(self._consumer.getone(place), 5)
            if dict(record.headers).get(SEQ_HEADER) != seq:
                return False
        return True

    def _places(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._lanes)]


async def _positions(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT coalesce(sum(position), 0) FROM core.lane"))


@asynccontextmanager
async def log_of(running: Platform) -> AsyncIterator[Log]:
    """A connection to one platform's broker."""
    producer = AIOKafkaProducer(**producer_settings(running.bootstrap, client_id="benchmark"))
    consumer = AIOKafkaConsumer(bootstrap_servers=running.bootstrap)
    async with producer, consumer:
        yield Log(producer, consumer, running.lanes)
