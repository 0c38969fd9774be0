"""One command of each kind a service must not carry out, put into its topic as its writer would, or should not.

expected = await send_bad_commands(service, SCHEDULE_COMMANDS, make)
await all_dead(service, expected)       # each is a dead letter with its reason
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from contracts.partitioner import partition_of
from contracts.topics import Topic
from contracts.writers import WRITER_HEADER, Writer, sign
from messaging.sending import own_writer
from process.settings import Secrets
from tests.support.services import Service, logs_of, until

LIFE = timedelta(hours=1)


async def send_bad_commands(service: Service, topic: Topic, make: Callable[[UUID, datetime], bytes]) -> dict[UUID, str]:
    """`make` gives a good command of what has this id, with this time limit. The reason each must get, by that id."""
    secrets = Secrets(service.secrets_folder)
    gateway, core = own_writer(secrets, "gateway"), own_writer(secrets, "core")
    forger = Writer("gateway", gateway.version, bytes(32))
    expected: dict[UUID, str] = {}
    producer = AIOKafkaProducer(bootstrap_servers=service.bootstrap, acks="all")
    await producer.start()

    async def send(
        reason: str, writer: Writer | None, life: timedelta = LIFE, key: str | None = None, misplaced: int = 0
    ) -> None:
        name = uuid4()
        shown = (key or str(name)).encode()
        value = make(name, datetime.now(UTC) + life)
        headers = [] if writer is None else [(WRITER_HEADER, sign(writer, topic.name, shown, value))]
        partition = (partition_of(shown, topic.partitions or 1) + misplaced) % (topic.partitions or 1)
        await producer.send_and_wait(topic.name, value, key=shown, partition=partition, headers=headers)
        expected[UUID(key) if key else name] = reason

    try:
        await send("unsigned_writer", None)
        await send("unsigned_writer", forger)
        await send("writer_not_allowed", core)
        await send("too_late", gateway, life=timedelta(seconds=-1))
        await send("too_far_ahead", gateway, life=timedelta(days=31))
        await send("wrong_key", gateway, key=str(uuid4()))
        await send("wrong_partition", gateway, misplaced=1)
    finally:
        await producer.stop()
    return expected


async def all_dead(service: Service, expected: dict[UUID, str]) -> None:
    """Each of these is one dead letter with its reason."""

    async def reasons() -> dict[UUID, str]:
        letters = (await service.read("/dead-letters", limit=1000))["dead_letters"]
        keys = [(base64.b64decode(letter["key"] or ""), letter["reason"]) for letter in letters]
        return {UUID(key.decode()): reason for key, reason in keys if len(key) == 36}

    async def found() -> bool:
        seen = await reasons()
        return {name: seen.get(name) for name in expected} == expected

    try:
        await until(found, 20)
    except AssertionError:
        seen = await reasons()
        wrong = {reason: seen.get(name) for name, reason in expected.items() if seen.get(name) != reason}
        raise AssertionError(f"expected → found: {wrong}\n{logs_of([service])}") from None
