"""How long lanes are silent when something dies: seconds, less is better.

Two core processes share the lanes of a platform; each lane gets a claim every 20 ms, and a consumer notes when its
events arrive. Then, three times each: kill -9 of one process, which is started again after 1 s; SIGSTOP of it, until
the other has its lanes; PostgreSQL stopped and started; the broker killed and started again. At the end every claim
that was appended has its coupon.

- `recovery`: from the kill until the last of its lanes has events again.
- `recovery_others`: the longest silence of a lane of the other process meanwhile.
- `recovery_sigstop`: from the stop until the last of its lanes has events again; limit: the session time-out.
- `recovery_postgresql`, `recovery_broker`: from when the server answers again until the last lane has events again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.claim_hot import created
from benchmarks.measure import RUNS, Figure
from benchmarks.platforms import Commands, log_of, platform
from contracts.commands import ClaimCoupon
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS, COUPON_EVENTS
from messaging.sending import producer_settings
from scrip.platform import CORE, Platform
from scrip.supervisor import FIRST_RESTART_SECONDS

EVERY = 0.02
"""Seconds between two claims of a lane."""
SESSION_SECONDS = 6.0
LONGEST_SECONDS = 60.0
STRAGGLERS_SECONDS = 0.5
"""For so long events may still arrive of what was decided before."""
AWAY_SECONDS = 1.0
STEADY_SECONDS = 1.0
"""For so long all lanes have events before something is done to them, and after."""
FIRST, OTHER = "coupon_core-1", "coupon_core"
FIGURES = {
    "recovery": "the second's pause before it is started again, and the start of a Python process",
    "recovery_others": "nothing: the others' lanes go on",
    "recovery_sigstop": "the session time-out, after which the group gives its lanes away",
    "recovery_postgresql": "core's pause between two tries to connect",
    "recovery_broker": "the broker's own recovery and the clients' finding it again",
}


def run() -> list[Figure]:
    """Seconds of each kind; the first is the headline."""
    figures = {name: Figure(name, "s", bound=bound) for name, bound in FIGURES.items()}
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its clients say at length that the broker is away
    settings = {"SCRIP_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS)}
    with platform(services=(CORE,), cores=2, extra_env={CORE.module: settings}) as running:
        claims = asyncio.run(_disturb(running, figures))
    figures["recovery_sigstop"].limit = [SESSION_SECONDS] * RUNS
    figures["recovery"].notes.append(f"{claims:,} claims were appended meanwhile; each has its coupon, none has two")
    for figure in figures.values():
        figure.notes.append(f"each time: {', '.join(f'{seconds:.2f}' for seconds in figure.ours)} s")
    return list(figures.values())


@dataclass
class Lanes:
    """The claims that are appended, and when each lane's events arrived."""

    campaigns: list[UUID]
    """By lane."""
    appended: int = 0
    arrivals: list[list[float]] = field(default_factory=list)
    """By lane, ascending."""

    async def claim(self, producer: AIOKafkaProducer, commands: Commands, lane: int, stop: asyncio.Event) -> None:
        """Append a claim every 20 ms until `stop`, and wait until all are acknowledged."""
        waiting = []
        due = time.monotonic()
        while not stop.is_set():
            record = commands.record(ClaimCoupon(user=uuid4().hex), self.campaigns[lane])
            waiting.append(
                await producer.send(COUPON_COMMANDS.name, record.value, record.key, lane, headers=list(record.headers))
            )
            self.appended += 1
            waiting = [each for each in waiting if not each.done()]
            due = max(due + EVERY, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        await asyncio.gather(*waiting)

    async def listen(self, consumer: AIOKafkaConsumer) -> None:
        """Note when events arrive."""
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                now = time.monotonic()
                if any(b"coupon.issued" in record.value for record in records):
                    self.arrivals[partition.partition].append(now)

    def after(self, lane: int, since: float) -> list[float]:
        """When the lane's events arrived that came later."""
        return self.arrivals[lane][bisect_right(self.arrivals[lane], since) :]

    async def back(self, lanes: Iterable[int], since: float) -> float:
        """Wait until each of these lanes has an event after `since`; when the last one's first arrived."""
        first: dict[int, float] = {}

        def all_are() -> bool:
            first.update({lane: times[0] for lane in lanes if (times := self.after(lane, since)[:1])})
            return first.keys() >= set(lanes)

        await self.until(all_are)
        return max(first.values())

    def silence(self, lane: int, since: float) -> float:
        """The longest time without an event since then."""
        times = self.after(lane, since)
        return max(later - earlier for earlier, later in zip([since, *times], [*times, time.monotonic()], strict=True))

    async def until(self, reached: Callable[[], bool]) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while not reached():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def steady(self) -> None:
        """Wait until every lane has had events without a pause for a while. Raises TimeoutError."""

        def all_are() -> bool:
            since = time.monotonic() - STEADY_SECONDS
            return all(self.silence(lane, since) < STEADY_SECONDS / 2 for lane in range(len(self.campaigns)))

        await self.until(all_are)


async def _disturb(running: Platform, figures: dict[str, Figure]) -> int:
    async with _lanes_of(running) as lanes:
        for _ in range(RUNS):
            own, others = await _killed(running, lanes)
            figures["recovery"].ours.append(own)
            figures["recovery_others"].ours.append(others)
        for _ in range(RUNS):
            figures["recovery_sigstop"].ours.append(await _stopped(running, lanes))
        for _ in range(RUNS):
            figures["recovery_postgresql"].ours.append(await _server(running, lanes, "postgres"))
        for _ in range(RUNS):
            figures["recovery_broker"].ours.append(await _server(running, lanes, "kafka"))
    await _check(running, lanes)
    return lanes.appended


@asynccontextmanager
async def _lanes_of(running: Platform) -> AsyncIterator[Lanes]:
    """A campaign in each lane, claims on their way until the block ends and then all acknowledged."""
    campaigns = []
    for lane in range(running.lanes):
        campaign = uuid4()
        while partition_of(str(campaign).encode(), running.lanes) != lane:
            campaign = uuid4()
        campaigns.append(campaign)
    commands, stop = Commands(running), asyncio.Event()
    lanes = Lanes(campaigns, arrivals=[[] for _ in campaigns])
    async with log_of(running) as log:
        await log.append(created(commands, campaigns))
    producer = AIOKafkaProducer(**producer_settings(running.bootstrap, client_id="recovery"))
    consumer = AIOKafkaConsumer(bootstrap_servers=running.bootstrap, fetch_max_wait_ms=100)
    async with producer, consumer:
        partitions = [TopicPartition(COUPON_EVENTS.name, lane) for lane in range(len(campaigns))]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        listening = asyncio.create_task(lanes.listen(consumer))
        claiming = [asyncio.create_task(lanes.claim(producer, commands, lane, stop)) for lane in range(len(campaigns))]
        try:
            yield lanes
            stop.set()
            await asyncio.wait_for(asyncio.gather(*claiming), LONGEST_SECONDS)
        finally:
            for task in (listening, *claiming):
                task.cancel()
            await asyncio.gather(listening, *claiming, return_exceptions=True)


async def _killed(running: Platform, lanes: Lanes) -> tuple[float, float]:
    """(seconds until the process's lanes are all back, the longest silence of another lane)."""
    own, others = await _shared(running, lanes)
    running.supervisor.child(FIRST).pause_seconds = FIRST_RESTART_SECONDS
    at = time.monotonic()
    running.kill(FIRST, signal.SIGKILL)
    took = await lanes.back(own, at + STRAGGLERS_SECONDS) - at
    await lanes.steady()
    return took, max(lanes.silence(lane, at) for lane in others)


async def _stopped(running: Platform, lanes: Lanes) -> float:
    """Seconds until the lanes of a process that sleeps are all back at the other one."""
    own, _ = await _shared(running, lanes)
    at = time.monotonic()
    running.kill(FIRST, signal.SIGSTOP)
    try:
        return await lanes.back(own, at + STRAGGLERS_SECONDS) - at
    finally:
        running.kill(FIRST, signal.SIGCONT)


async def _server(running: Platform, lanes: Lanes, name: str) -> float:
    """Seconds from when a server answers again until all lanes are back."""
    await _shared(running, lanes)
    running.supervisor.child(name).pause_seconds = FIRST_RESTART_SECONDS
    if name == "kafka":
        running.kill(name, signal.SIGKILL)
        gone = time.monotonic()
        await asyncio.sleep(STRAGGLERS_SECONDS)
        await asyncio.to_thread(running.wait_ready, name)
    else:
        await asyncio.to_thread(running.halt, name)
        gone = time.monotonic()
        await asyncio.sleep(AWAY_SECONDS)
        await asyncio.to_thread(running.resume, name)
    answers = time.monotonic()
    return max(0.0, await lanes.back(range(len(lanes.campaigns)), gone + STRAGGLERS_SECONDS) - answers)


async def _shared(running: Platform, lanes: Lanes) -> tuple[list[int], list[int]]:
    """Wait until both processes have lanes and all are steady; the lanes of the first and of the other one."""
    async with asyncio.timeout(LONGEST_SECONDS):
        while True:
            own, others = await _owned(running, FIRST), await _owned(running, OTHER)
            if own and others and sorted([*own, *others]) == list(range(len(lanes.campaigns))):
                break
            await asyncio.sleep(0.1)
    await lanes.steady()
    return own, others


async def _owned(running: Platform, name: str) -> list[int]:
    """The lanes a process has; none while it does not answer."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            text = (await http.get(f"{running.url(name)}/metrics")).text
    except httpx.HTTPError:
        return []
    lines = [line for line in text.splitlines() if line.startswith("scrip_core_lag_records{")]
    return [int(line.partition('partition="')[2].partition('"')[0]) for line in lines]


async def _check(running: Platform, lanes: Lanes) -> None:
    """Every claim appended has its coupon, and none has two."""
    connection = await asyncpg.connect(running.database_admin_url)
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            while (issued := await connection.fetchval("SELECT count(*) FROM core.coupon")) < lanes.appended:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        users = await connection.fetchval("SELECT count(DISTINCT user_id) FROM core.coupon")
    finally:
        await connection.close()
    if not issued == users == lanes.appended:
        raise RuntimeError(f"{lanes.appended:,} claims have {issued:,} coupons of {users:,} users")
