"""Topics are what the contracts say, or the start fails with a sentence."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex

import pytest

from contracts.topics import COUPON_COMMANDS, DAY_MS, TOPICS, Topic
from messaging.topics_admin import TopicMismatch, check_topics, create_topics
from tests.support.servers import Servers
from tests.support.topics import LANES


async def test_the_contracts_topics_pass_the_check(topics: str) -> None:
    await check_topics(topics, LANES)
    assert await create_topics(topics, TOPICS, LANES) == []


async def test_another_number_of_lanes_is_an_error_that_says_what_to_do(topics: str) -> None:
    with pytest.raises(TopicMismatch, match=r"coupon\.\w+ has 8 partitions where 64 .*SCRIP_PARTITIONS"):
        await check_topics(topics, 64)


async def test_missing_made_once_and_checked_for_its_configuration(backend: Servers) -> None:
    topic = Topic(f"trial-{token_hex(4)}", "any", (), (), 3, DAY_MS)
    with pytest.raises(TopicMismatch, match="does not exist"):
        await check_topics(backend.bootstrap, 1, [topic])
    assert await create_topics(backend.bootstrap, [topic], 1) == [topic.name]
    assert await create_topics(backend.bootstrap, [topic], 1) == []
    with pytest.raises(TopicMismatch, match=r"retention\.ms=86400000 where 1 is expected"):
        await create_topics(backend.bootstrap, [replace(topic, retention_ms=1)], 1)
    with pytest.raises(TopicMismatch, match="3 partitions where 4"):
        await create_topics(backend.bootstrap, [replace(topic, partitions=4)], 1)


def test_commands_follow_the_lanes() -> None:
    assert COUPON_COMMANDS.partition_count(LANES) == LANES
