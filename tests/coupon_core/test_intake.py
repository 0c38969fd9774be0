"""From the log into the lanes: each record once and in order, never too many, and no lane waits for another."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.topics import COUPON_COMMANDS, MIB
from coupon_core.lanes.intake import AHEAD, FETCHED_BYTES, READ_AT_ONCE, Intake
from coupon_core.lanes.lane import Lane
from coupon_core.lanes.reading import BYTES_OF_AN_EFFECT, Reader
from coupon_core.model.lane import Facts, LaneState
from messaging.sending import producer_settings
from tests.messaging.support import until
from tests.support.deciding import KEYS
from tests.support.servers import Servers
from tests.support.topics import LANES, reset_topics, take_the_senders_time

MOST_RECORDS, MOST_EFFECTS = 500, 1_000
FULL, OTHER = 0, 1


@asynccontextmanager
async def taking_in(backend: Servers) -> AsyncIterator[tuple[Intake, dict[int, Lane]]]:
    """Two lanes from their beginning, fetched and read; what the tasks raise fails the test."""
    lanes = {lane: Lane(lane, 1, 0, LaneState(lane, None, 0, 0, 0, Facts()), 0) for lane in (FULL, OTHER)}
    consumer = AIOKafkaConsumer(bootstrap_servers=backend.bootstrap, group_id=None, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition(COUPON_COMMANDS.name, lane) for lane in lanes])
        intake = Intake(
            consumer,
            Reader(LANES, KEYS, None),
            lanes,
            told=False,
            most_records=MOST_RECORDS,
            most_effects=MOST_EFFECTS,
        )
        tasks = [asyncio.create_task(intake.fetch()), asyncio.create_task(intake.read())]
        try:
            yield intake, lanes
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def append(backend: Servers, lane: int, values: list[bytes]) -> None:
    async with AIOKafkaProducer(**producer_settings(backend.bootstrap, client_id="test")) as producer:
        sent = [await producer.send(COUPON_COMMANDS.name, value, key=b"key", partition=lane) for value in values]
        await asyncio.gather(*sent)


async def all_of(intake: Intake, lane: Lane, count: int) -> list[int]:
    """The offsets of what comes, taken out a few at a time."""
    taken: list[int] = []
    async with asyncio.timeout(60):
        while len(taken) < count:
            for _ in range(min(100, len(lane.buffer))):
                taken.append(lane.take().offset)
            intake.made_room()
            await asyncio.sleep(0.001)
    return taken


async def test_every_record_is_read_once_in_order_and_a_full_lane_keeps_no_other_waiting(backend: Servers) -> None:
    await asyncio.to_thread(reset_topics, backend.bootstrap)
    many = [b"%d" % number for number in range(9_000)]
    await append(backend, FULL, many)
    async with taking_in(backend) as (intake, lanes):
        full, other = lanes[FULL], lanes[OTHER]

        async def is_full() -> bool:
            return len(full.buffer) >= AHEAD * MOST_RECORDS

        await until(is_full)
        await append(backend, OTHER, many[:10])

        async def came() -> bool:
            return len(other.buffer) == 10

        await until(came)
        assert len(full.buffer) < AHEAD * MOST_RECORDS + READ_AT_ONCE
        assert await all_of(intake, full, len(many)) == list(range(len(many)))
        await asyncio.sleep(0.3)
        assert (full.fetched_bytes, full.buffer_effects, len(full.buffer)) == (0, 0, 0)


async def test_large_records_are_taken_in_by_their_bytes(backend: Servers) -> None:
    await asyncio.to_thread(reset_topics, backend.bootstrap)
    large = [os.urandom(400_000) for _ in range(120)]
    await append(backend, FULL, large)
    async with taking_in(backend) as (intake, lanes):
        lane, each = lanes[FULL], 400_000 // BYTES_OF_AN_EFFECT

        async def is_full() -> bool:
            return lane.buffer_effects >= AHEAD * MOST_EFFECTS

        await until(is_full)
        await asyncio.sleep(0.5)
        assert lane.buffer_effects < AHEAD * MOST_EFFECTS + READ_AT_ONCE * each
        assert lane.fetched_bytes < FETCHED_BYTES + 2 * MIB  # a megabyte, and what one answer of the broker holds
        assert await all_of(intake, lane, len(large)) == list(range(len(large)))


async def test_what_came_before_a_record_from_the_future_is_decided(backend: Servers) -> None:
    await asyncio.to_thread(reset_topics, backend.bootstrap)
    await asyncio.to_thread(take_the_senders_time, backend.bootstrap)
    async with AIOKafkaProducer(**producer_settings(backend.bootstrap, client_id="test")) as producer:

        async def taken() -> bool:
            told = await producer.send_and_wait(COUPON_COMMANDS.name, b"value", key=b"key", partition=OTHER)
            return bool(told.timestamp_type == 0)

        await until(taken)  # the broker does at once what it has answered, or a little later
        soon = round(time.time() * 1000)
        batch = producer.create_batch()
        for late in (0, 0, 3_600_000, 0):
            batch.append(key=b"key", value=b"value", timestamp=soon + late, headers=[])
        batch.close()
        await (await producer.send_batch(batch, COUPON_COMMANDS.name, partition=FULL))
    async with taking_in(backend) as (intake, lanes):
        lane = lanes[FULL]

        async def stands() -> bool:
            return lane.stopped is not None

        lanes.pop(OTHER)
        await until(stands)
        assert intake.work_waits.is_set()
        assert ([entry.offset for entry in lane.buffer], lane.read_up_to) == ([0, 1], 2)
        assert "record 2 is of" in (lane.stopped or "")
