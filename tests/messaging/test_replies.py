"""Replies: read from the end, handed to whoever expects them, None in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from secrets import token_hex
from uuid import UUID, uuid4

import pytest

from contracts.answers import Reply
from contracts.topics import DAY_MS, Topic
from messaging.replies import ReplyReader
from messaging.sending import Sender, own_writer
from messaging.topics_admin import create_topics
from process.settings import Secrets
from tests.support.servers import Servers


@pytest.fixture
async def topic(backend: Servers) -> Topic:
    topic = Topic(f"trial-{token_hex(4)}.replies", "command id", (), (), 3, DAY_MS)
    await create_topics(backend.bootstrap, [topic], 1)
    return topic


@pytest.fixture
async def core(backend: Servers, secrets: Secrets) -> AsyncIterator[Sender]:
    sender = Sender(backend.bootstrap, own_writer(secrets, "adapter"))
    yield sender
    await sender.stop()


@pytest.fixture
async def reader(backend: Servers, topic: Topic) -> AsyncIterator[ReplyReader]:
    reader = ReplyReader(backend.bootstrap, 2, topic=topic.name)
    await reader.start()
    yield reader
    await reader.stop()


async def reply(core: Sender, topic: Topic, command: UUID, partition: int = 2) -> None:
    value = Reply(command=command, status="done", result={"n": 1}, as_of=datetime.now(UTC))
    await core.send(topic.name, str(command).encode(), value.model_dump_json().encode(), partition)


async def test_a_reply_reaches_all_who_expect_it(reader: ReplyReader, core: Sender, topic: Topic) -> None:
    command = uuid4()
    with reader.expecting(command) as one, reader.expecting(command) as other:
        await reply(core, topic, command)
        replies = [await one.within(10), await other.within(10)]
    assert [each.command if each else None for each in replies] == [command, command]
    assert reader.reasons() == []


async def test_await_reply_may_run_while_the_command_is_sent(reader: ReplyReader, core: Sender, topic: Topic) -> None:
    command = uuid4()
    waiting = asyncio.create_task(reader.await_reply(command, 10))
    await asyncio.sleep(0)
    await reply(core, topic, command)
    found = await waiting
    assert found is not None
    assert found.result == {"n": 1}


async def test_no_reply_in_time_is_none_and_nothing_is_left_behind(reader: ReplyReader) -> None:
    assert await reader.await_reply(uuid4(), 0.05) is None
    assert not reader._expected


async def test_what_stood_there_before_the_start_is_not_read(backend: Servers, core: Sender, topic: Topic) -> None:
    old, new = uuid4(), uuid4()
    await reply(core, topic, old)
    reader = ReplyReader(backend.bootstrap, 2, topic=topic.name)
    await reader.start()
    with reader.expecting(old) as never, reader.expecting(new) as expected:
        await reply(core, topic, new)
        assert await expected.within(10) is not None
        assert await never.within(0.05) is None
    await reader.stop()


async def test_another_instances_replies_and_unreadable_ones_do_no_harm(
    reader: ReplyReader, core: Sender, topic: Topic
) -> None:
    mine, garbled = uuid4(), uuid4()
    with reader.expecting(mine) as expected, reader.expecting(garbled) as broken:
        await reply(core, topic, mine, partition=1)
        await core.send(topic.name, str(garbled).encode(), b"{", 2)
        assert await expected.within(0.5) is None
        await reply(core, topic, mine)
        assert await expected.within(10) is not None
        assert await broken.within(0.05) is None


async def test_without_a_broker_the_start_fails_in_time() -> None:
    reader = ReplyReader("127.0.0.1:1", 0)
    with pytest.raises(Exception, match="bootstrap"):
        await reader.start()
    assert reader.reasons() == ["Replies of coupon-core are not read."]
