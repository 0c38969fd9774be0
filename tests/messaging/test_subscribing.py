"""Taking records: once each, what cannot be taken becomes a dead letter, and nothing stops the rest."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import AwareDatetime

from contracts.answers import DeadLetter
from contracts.fields import Contract
from contracts.partitioner import partition_of
from contracts.writers import WRITER_HEADER, Writer, sign
from messaging.dead_letters import keep_dead_letter
from messaging.not_now import database_is_away
from messaging.outbox import Connection, OutboxRelay
from messaging.sending import Sender, own_writer
from messaging.subscribing import HandlerFailed, Subscriber, Subscription
from messaging.trusting import Trust
from process.database import Pool
from process.settings import Secrets
from tests.messaging.support import Trial, read_all, trial_pool, until
from tests.support.databases import Databases
from tests.support.servers import local_backend


class Do(Contract):
    """The command of these tests; its key is `thing`."""

    id: UUID
    thing: str
    notafter: AwareDatetime


async def note_effect(connection: Connection, command: Do, record_time: datetime) -> None:
    await connection.execute("INSERT INTO effect (command, at) VALUES ($1, $2)", str(command.id), record_time)


def subscription(trial: Trial, **changes: Any) -> Subscription[Do]:
    settings: dict[str, Any] = {
        "topic": trial.commands,
        "decode": Do.model_validate_json,
        "handle": note_effect,
        "dead_letters": trial.dead_letters,
        "writers": frozenset({"gateway"}),
        "command_id": lambda command: str(command.id),
        "not_after": lambda command: command.notafter,
        "key": lambda command: command.thing,
    }
    return Subscription(**(settings | changes))


@asynccontextmanager
async def subscribing(
    pool: Pool, trial: Trial, secrets: Secrets, *, instance: int = 0, **changes: Any
) -> AsyncIterator[tuple[Subscriber, asyncio.Task[None]]]:
    subscriber = Subscriber(
        trial.bootstrap,
        pool,
        Trust(secrets),
        [subscription(trial, **changes)],
        service=f"test-{trial.commands.name}",
        instance=instance,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(subscriber.run(stop))
    try:
        yield subscriber, running
    finally:
        stop.set()
        if not running.done():
            await running


def command(thing: str = "thing", **changes: Any) -> Do:
    return Do(**({"id": uuid4(), "thing": thing, "notafter": datetime.now(UTC) + timedelta(hours=1)} | changes))


async def send(sender: Sender, trial: Trial, command: Do) -> None:
    await sender.send(trial.commands.name, command.thing.encode(), command.model_dump_json().encode())


async def effects(pool: Pool) -> list[str]:
    return [row["command"] for row in await pool.fetch("SELECT command FROM effect ORDER BY number")]


def has_effects(pool: Pool, number: int) -> Callable[[], Any]:
    async def enough() -> bool:
        try:
            return len(await effects(pool)) >= number
        except Exception as error:
            if database_is_away(error):
                return False
            raise

    return enough


async def test_commands_take_effect_once_in_the_order_of_their_partition(
    pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender
) -> None:
    commands = [command(thing=f"thing-{n % 2}") for n in range(300)]
    async with subscribing(pool, trial, secrets) as (subscriber, _):
        for each in commands:
            await send(gateway, trial, each)
        await until(has_effects(pool, 300))
        for each in commands[:100]:
            await send(gateway, trial, each)
        last = command()
        await send(gateway, trial, last)
        await until(has_effects(pool, 301))
        assert subscriber.reasons() == []
    done = await effects(pool)
    assert len(done) == 301
    for n in range(2):
        of_thing = [str(each.id) for each in commands[n::2]]
        assert [each for each in done if each in of_thing] == of_thing


async def test_the_record_time_is_the_brokers(pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender) -> None:
    async with subscribing(pool, trial, secrets):
        await send(gateway, trial, command())
        await until(has_effects(pool, 1))
    (record,) = await read_all(trial.bootstrap, trial.commands)
    at = await pool.fetchval("SELECT at FROM effect")
    assert at == datetime.fromtimestamp(record.timestamp / 1000, UTC)


async def test_each_bad_record_is_one_dead_letter_with_its_reason_and_good_ones_go_on(
    pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender, adapter: Sender
) -> None:
    topic = trial.commands.name
    writer = own_writer(secrets, "gateway")
    raw = AIOKafkaProducer(bootstrap_servers=trial.bootstrap)
    await raw.start()
    good = command()
    body = good.model_dump_json().encode()

    async def write(value: bytes | None, headers: list[tuple[str, bytes]], key: bytes | None = b"thing") -> None:
        partition = partition_of(key or b"", 2)
        await raw.send_and_wait(topic, value, key=key, headers=headers, partition=partition)

    def signed(value: bytes, key: bytes = b"thing", by: Writer = writer) -> list[tuple[str, bytes]]:
        return [(WRITER_HEADER, sign(by, topic, key, value))]

    async def unreadable(value: bytes, key: bytes = b"thing") -> None:
        await write(value, signed(value, key), key)

    now = datetime.now(UTC)
    late = command(notafter=now - timedelta(seconds=1)).model_dump_json().encode()
    far = command(notafter=now + timedelta(days=31)).model_dump_json().encode()
    bad: dict[str, list[Awaitable[object]]] = {
        "unsigned_writer": [
            write(body, []),
            write(body, [(WRITER_HEADER, b"gateway")]),
            write(body, [(WRITER_HEADER, b"\xff\xfe;k=1;v1=x")]),
            write(body, signed(body) * 2),
            write(body, signed(body + b" ")),
            write(body, signed(body, by=Writer("gateway", 1, b"x" * 32))),
            write(body, signed(body, by=Writer("gateway", 9, writer.key))),
            write(body, signed(body, by=Writer("tool:any", 1, b"x" * 32))),
            write(body, [("other", b"\xff")]),
            write(None, []),
        ],
        "writer_not_allowed": [adapter.send(topic, b"thing", body)],
        "unreadable": [
            unreadable(value)
            for value in (b"", b"null", b"{", b"\xff\xfe", b"[" * 10_000, b'{"id": 1}', b'"\\ud800"', b"NaN")
        ],
        "wrong_key": [unreadable(body, b"other")],
        "wrong_partition": [
            raw.send_and_wait(topic, body, b"thing", 1 - partition_of(b"thing", 2), headers=signed(body))
        ],
        "too_late": [unreadable(late)],
        "too_far_ahead": [unreadable(far)],
    }
    async with subscribing(pool, trial, secrets):
        for records in bad.values():
            for write_record in records:
                await write_record
        await send(gateway, trial, good)
        await send(gateway, trial, command(thing="thing-1"))
        await until(has_effects(pool, 2))

        async def all_dead() -> bool:
            return bool(await pool.fetchval("SELECT count(*) >= $1 FROM dead_letter", sum(map(len, bad.values()))))

        await until(all_dead)
    await raw.stop()
    kept = await pool.fetch("SELECT reason, count(*) AS number FROM dead_letter GROUP BY reason")
    assert {row["reason"]: row["number"] for row in kept} == {reason: len(each) for reason, each in bad.items()}

    stop = asyncio.Event()
    stop.set()
    await OutboxRelay(pool, adapter).run(stop)  # one pass and out
    assert await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0
    told = [
        DeadLetter.model_validate_json(record.value) for record in await read_all(trial.bootstrap, trial.dead_letters)
    ]
    assert len(told) == sum(map(len, bad.values()))
    (refused,) = [letter for letter in told if letter.reason == "writer_not_allowed"]
    assert base64.b64decode(refused.value or "") == body
    assert refused.writer == "adapter"
    (too_late,) = [letter for letter in told if letter.reason == "too_late"]
    assert too_late.command == json.loads(late)["id"]


NO_UTF8 = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Name(str):
    def encode(self, *_):
        return b"\\xff\\xfe"

async def main(bootstrap, topic):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=50)
    await producer.start()
    names = ["good", Name("xx"), "good"]
    sent = [await producer.send(topic, b"{}", key=b"thing", headers=[(name, b"1")]) for name in names]
    await asyncio.gather(*sent)
    await producer.stop()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_header_name_that_is_no_utf8_does_not_block_its_partition(
    pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender
) -> None:
    async with subscribing(pool, trial, secrets):
        # aiokafka's parser in Python lets a test write such a name; its compiled one does not.
        writing = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", NO_UTF8, trial.bootstrap, trial.commands.name),
            env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"},
        )
        assert await writing.wait() == 0
        await send(gateway, trial, command())
        await until(has_effects(pool, 1))
    dead = await pool.fetch("SELECT headers::text FROM dead_letter ORDER BY id")
    assert [json.loads(row["headers"])[0][0] for row in dead] == ["good", "\\xff\\xfe", "good"]


async def test_a_very_large_dead_record_is_kept_whole_and_told_with_the_beginning_of_its_value(
    pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender
) -> None:
    value = b"x" * (850 * 1024)
    async with subscribing(pool, trial, secrets):
        await gateway.send(trial.commands.name, b"thing", value)
        await send(gateway, trial, command())
        await until(has_effects(pool, 1))
    assert await pool.fetchval("SELECT value FROM dead_letter") == value
    told = DeadLetter.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert told.cut == ["value"]
    assert value.startswith(base64.b64decode(told.value or ""))
    assert told.value


@pytest.mark.parametrize(
    ("key", "value", "headers", "cut"),
    [
        (b"k" * 1_000_000, b"", [], ["key"]),
        (b"k", b"v" * 3_000_000, [], ["value"]),
        (b"k", b"v", [("\x01" * 900_000, b"")], []),  # names are kept short
        (b"k", b"v", [("h", b"\x01" * 900_000)], ["headers"]),
        (b"k", b"v", [("", b"")] * 300_000, ["headers"]),
    ],
    ids=["key", "value", "header name", "header", "headers"],
)
async def test_a_dead_record_of_any_size_does_not_end_the_service(
    pool: Pool, key: bytes, value: bytes, headers: list[tuple[str, bytes]], cut: list[str]
) -> None:
    record: Any = SimpleNamespace(topic="t", partition=0, offset=1, key=key, value=value, headers=headers)
    async with pool.acquire() as connection, connection.transaction():
        await keep_dead_letter(connection, "t.dead", record, datetime.now(UTC), "unreadable", "\x01" * 900_000)
    told = DeadLetter.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert told.cut == cut
    assert base64.b64decode(told.key or "") == key[:6_144]


async def test_a_bug_in_a_handler_commits_nothing_and_a_restart_begins_with_that_record(
    pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender
) -> None:
    fatal = command()

    async def fail(connection: Connection, command: Do, record_time: datetime) -> None:
        await note_effect(connection, command, record_time)
        if command.id == fatal.id:
            raise KeyError("a bug")

    for each in (command(), fatal, command()):
        await send(gateway, trial, each)
    with pytest.raises(HandlerFailed) as failed:
        async with subscribing(pool, trial, secrets, handle=fail) as (_, running):
            await running
    assert isinstance(failed.value.__cause__, KeyError)
    assert f"at {trial.commands.name}-" in failed.value.__cause__.__notes__[0]
    assert await effects(pool) == []
    async with subscribing(pool, trial, secrets):
        await until(has_effects(pool, 3))
    assert await committed(trial) == 3


async def committed(trial: Trial) -> int:
    group = f"test-{trial.commands.name}.{trial.commands.name}"
    consumer = AIOKafkaConsumer(bootstrap_servers=trial.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        offsets = [await consumer.committed(TopicPartition(trial.commands.name, number)) for number in range(2)]
        return sum(offset or 0 for offset in offsets)
    finally:
        await consumer.stop()


async def test_while_the_database_is_down_the_partition_waits_and_then_goes_on(
    trial: Trial, secrets: Secrets, gateway: Sender
) -> None:
    with local_backend(kafka=False) as server:
        databases = Databases(server.admin_url)
        pool = await trial_pool(databases.fresh())
        async with subscribing(pool, trial, secrets) as (subscriber, _):
            await send(gateway, trial, command())
            await until(has_effects(pool, 1))
            await asyncio.to_thread(server.kill, "postgres")
            for _ in range(20):
                await send(gateway, trial, command())

            async def says_so() -> bool:
                return subscriber.reasons() == [f"{trial.commands.name} waits for the database."]

            await until(says_so)
            await asyncio.to_thread(server.restart, "postgres")
            await until(has_effects(pool, 21))
            assert subscriber.reasons() == []
        assert len(set(await effects(pool))) == 21
        await pool.close()


async def test_two_members_come_and_go_and_every_command_takes_effect_once(
    pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender
) -> None:
    commands = [command(thing=f"thing-{n % 7}") for n in range(600)]

    async def send_all() -> None:
        for each in commands:
            await send(gateway, trial, each)
            await asyncio.sleep(0.005)

    async with subscribing(pool, trial, secrets, instance=0):
        sending = asyncio.create_task(send_all())
        async with subscribing(pool, trial, secrets, instance=1) as (other, _):

            async def joined() -> bool:
                return other.reasons() == []

            await until(joined)
            await asyncio.sleep(1)
        await sending
        await until(has_effects(pool, 600), 60)
    assert sorted(await effects(pool)) == sorted(str(each.id) for each in commands)


async def test_records_of_keys_that_do_not_matter_are_passed_over_unread(
    pool: Pool, trial: Trial, secrets: Secrets, gateway: Sender
) -> None:
    async def interesting(connection: Connection, keys: list[bytes]) -> set[bytes]:
        return {key for key in keys if key == b"mine"}

    async with subscribing(pool, trial, secrets, interesting=interesting, writers=None):
        await gateway.send(trial.commands.name, b"theirs", b"not even JSON")
        mine = command(thing="mine")
        await send(gateway, trial, mine)
        await until(has_effects(pool, 1))
    assert await effects(pool) == [str(mine.id)]
    assert await pool.fetchval("SELECT count(*) FROM dead_letter") == 0


async def test_consumers_wait_for_a_broker_that_is_not_there_yet_and_stop_when_told(
    pool: Pool, trial: Trial, secrets: Secrets
) -> None:
    nowhere = Trial("127.0.0.1:1", trial.commands, trial.dead_letters)
    async with asyncio.timeout(10):
        async with subscribing(pool, nowhere, secrets) as (subscriber, running):

            async def waiting() -> bool:
                return subscriber.reasons() == ["The Kafka broker does not answer."]

            await until(waiting)
            assert not running.done()
