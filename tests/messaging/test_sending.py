"""Sending: signed, acknowledged or said not to be, and able to go on after an outage."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest

from contracts.topics import DAY_MS, MAX_RECORD_BYTES, Topic
from contracts.writers import verify
from messaging.outbox import OutboxRelay, enqueue
from messaging.sending import NotAcknowledged, OutgoingRecord, RecordTooLarge, Sender, own_writer
from messaging.subscribing import Subscriber
from messaging.topics_admin import create_topics
from messaging.trusting import Trust
from process.database import Pool
from process.settings import Secrets, SecretUnreadable
from scrip.backend import Backend
from tests.messaging.support import Trial, read_all, until
from tests.messaging.test_subscribing import command, effects, has_effects, subscription

TOPIC = Topic("trial.sending", "any", (), (), 2, DAY_MS)
COMMANDS = Topic("trial.outage.commands", "any", (), (), 2, DAY_MS)
DEAD_LETTERS = Topic("trial.outage.dead-letters", "any", (), (), 1, DAY_MS)


async def test_a_record_carries_a_signature_that_names_its_writer(
    trial: Trial, gateway: Sender, secrets: Secrets
) -> None:
    await gateway.send(trial.commands.name, b"key", b"value", headers=[("more", b"1")])
    (record,) = await read_all(trial.bootstrap, trial.commands)
    headers = dict(record.headers)
    keys = secrets.writer_keys()
    assert verify(headers["scrip-writer"], record.topic, b"key", b"value", keys, None) == ("gateway", 1)
    assert headers["more"] == b"1"


async def test_the_newest_key_signs_and_a_missing_one_is_said(secrets: Secrets) -> None:
    with pytest.raises(SecretUnreadable, match="'scheduler'"):
        own_writer(secrets, "scheduler")


async def test_a_record_over_the_limit_is_refused_by_size_before_anything_is_sent(
    trial: Trial, gateway: Sender
) -> None:
    small, large = (OutgoingRecord(trial.commands.name, b"k", b"x" * size) for size in (1, MAX_RECORD_BYTES))
    with pytest.raises(RecordTooLarge) as refused:
        await gateway.send_all([small, large])
    assert (refused.value.size, refused.value.limit) == (MAX_RECORD_BYTES + 1, MAX_RECORD_BYTES)
    assert await read_all(trial.bootstrap, trial.commands) == []
    await gateway.send(trial.commands.name, b"", b"x" * MAX_RECORD_BYTES)


async def test_many_at_once_keep_their_order_in_a_partition(trial: Trial, gateway: Sender) -> None:
    records = [OutgoingRecord(trial.commands.name, b"k", b"%d" % n) for n in range(5_000)]
    offsets = await gateway.send_all(records)
    assert offsets == list(range(5_000))
    assert [r.value for r in await read_all(trial.bootstrap, trial.commands)] == [r.value for r in records]


async def test_without_a_broker_it_says_so_in_time_and_stops(secrets: Secrets) -> None:
    sender = Sender("127.0.0.1:1", own_writer(secrets, "gateway"))
    with pytest.raises(NotAcknowledged):
        await sender.start(deadline_seconds=2)
    with pytest.raises(NotAcknowledged):
        await sender.send("t", b"k", b"v", deadline_seconds=2)
    await sender.stop()


async def test_a_frozen_broker_costs_a_deadline_and_a_new_producer_goes_on(
    fresh_broker: Backend, secrets: Secrets
) -> None:
    await create_topics(fresh_broker.bootstrap, [TOPIC], lanes=1)
    sender = Sender(fresh_broker.bootstrap, own_writer(secrets, "gateway"))
    await sender.send(TOPIC.name, b"k", b"before")
    broker = java_process(fresh_broker)
    os.kill(broker, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(NotAcknowledged):
            await sender.send(TOPIC.name, b"k", b"frozen", deadline_seconds=1.0)
        assert time.monotonic() - started < 5
    finally:
        os.kill(broker, signal.SIGCONT)

    async def acknowledged() -> bool:
        try:
            return await sender.send(TOPIC.name, b"k", b"after", deadline_seconds=2.0) >= 0
        except NotAcknowledged:
            return False

    await until(acknowledged)
    await sender.stop()
    values = [record.value for record in await read_all(fresh_broker.bootstrap, TOPIC)]
    assert values[0] == b"before"
    assert set(values) - {b"frozen"} == {b"before", b"after"}


async def test_a_killed_broker_loses_nothing_acknowledged_and_stop_does_not_hang(
    fresh_broker: Backend, secrets: Secrets
) -> None:
    sender = Sender(fresh_broker.bootstrap, own_writer(secrets, "gateway"))
    acknowledged: list[bytes] = []
    stop = asyncio.Event()

    async def send() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                await sender.send(TOPIC.name, b"x%d" % (number % 5), b"n%d" % number, deadline_seconds=1.0)
            except NotAcknowledged:
                await asyncio.sleep(0.1)
            else:
                acknowledged.append(b"n%d" % number)

    sending = asyncio.create_task(send())
    await asyncio.sleep(1)
    before = len(acknowledged)
    await asyncio.to_thread(fresh_broker.kill, "kafka")
    await asyncio.sleep(2)
    idle = Sender(fresh_broker.bootstrap, own_writer(secrets, "gateway"))
    await idle.stop()
    await asyncio.to_thread(fresh_broker.restart, "kafka")

    async def more() -> bool:
        return len(acknowledged) > before + 100

    await until(more, 60)
    stop.set()
    await sending
    async with asyncio.timeout(15):
        await sender.stop()
    found = {record.value for record in await read_all(fresh_broker.bootstrap, TOPIC)}
    assert set(acknowledged) <= found


async def test_a_relay_and_a_subscriber_go_on_after_the_broker_was_killed(
    fresh_broker: Backend, secrets: Secrets, pool: Pool
) -> None:
    trial = Trial(fresh_broker.bootstrap, COMMANDS, DEAD_LETTERS)
    await create_topics(trial.bootstrap, [COMMANDS, DEAD_LETTERS], lanes=1)
    sender = Sender(trial.bootstrap, own_writer(secrets, "gateway"))
    stop = asyncio.Event()
    subscriber = Subscriber(trial.bootstrap, pool, Trust(secrets), [subscription(trial)], service="trial", instance=0)
    relay = OutboxRelay(pool, sender)
    running = [asyncio.create_task(relay.run(stop)), asyncio.create_task(subscriber.run(stop))]
    sent = 0

    async def order() -> None:
        nonlocal sent
        value = command(thing=f"thing-{sent % 5}")
        async with pool.acquire() as connection, connection.transaction():
            await enqueue(connection, COMMANDS.name, value.thing.encode(), value.model_dump_json().encode())
        sent += 1

    for _ in range(50):
        await order()
    await until(has_effects(pool, 50), 60)
    await asyncio.to_thread(fresh_broker.kill, "kafka")
    for _ in range(50):
        await order()
        await asyncio.sleep(0.05)
    await asyncio.to_thread(fresh_broker.wait_ready, "kafka")
    await until(has_effects(pool, 100), 90)
    for _ in range(10):
        await order()
    await until(has_effects(pool, 110), 60)
    assert len(set(await effects(pool))) == 110
    assert subscriber.reasons() == []
    assert relay.reasons() == []
    stop.set()
    await asyncio.gather(*running)
    await sender.stop()


def java_process(backend: Backend) -> int:
    port = int(backend.bootstrap.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            return connection.pid
    raise AssertionError("no process listens on the broker's port")
