"""The topics on the broker, as the contracts say: made before any client starts, checked at every start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from contracts.topics import TOPICS, Topic

REQUEST_SECONDS = 30.0


class TopicMismatch(Exception):
    """A topic on the broker is not what the contracts say; the message names topic, found and expected."""


async def create_topics(bootstrap: str, topics: Sequence[Topic], lanes: int) -> list[str]:
    """Make the topics that are missing and check the others; returns the names of those made.

    `lanes` is the number of partitions of the topics that follow the lanes. Raises TopicMismatch, or a
    KafkaError when the broker is away or refuses.
    """
    async with _admin(bootstrap) as admin:
        existing = set(await admin.list_topics())
        await _check(admin, [topic for topic in topics if topic.name in existing], lanes)
        missing = [topic for topic in topics if topic.name not in existing]
        made: list[str] = []
        if missing:
            # {} (and not None) is how aiokafka is told that -1 means the broker's default.
            wanted = [NewTopic(topic.name, topic.partition_count(lanes), -1, {}, topic.config()) for topic in missing]
            response = await admin.create_topics(wanted)
            for name, code, *said in response.topic_errors:
                # Another one who starts at the same time may have made it.
                if code not in (0, TopicAlreadyExistsError.errno):
                    reason = said[0] if said and said[0] else for_code(code).__name__
                    raise TopicMismatch(f"Topic {name} cannot be made: {reason}.")
                if code == 0:
                    made.append(name)
            # The answer comes before all of the broker knows the topics.
            while not {topic.name for topic in missing} <= set(await admin.list_topics()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await _check(admin, missing, lanes)
    return made


async def check_topics(bootstrap: str, lanes: int, topics: Sequence[Topic] = TOPICS) -> None:
    """Raise TopicMismatch when a topic is missing or has other partitions or another configuration."""
    async with _admin(bootstrap) as admin:
        await _check(admin, topics, lanes)


async def _check(admin: AIOKafkaAdminClient, topics: Sequence[Topic], lanes: int) -> None:
    if not topics:
        return
    names = sorted(topic.name for topic in topics)
    found = {item["topic"]: len(item["partitions"]) for item in await admin.describe_topics(names)}
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise TopicMismatch(f"Topic {missing[0]} does not exist; topics are made when the platform starts.")
    configs = await _configs(admin, names)
    for topic in topics:
        expected = topic.partition_count(lanes)
        partitions = found[topic.name]
        if partitions != expected:
            raise TopicMismatch(
                f"Topic {topic.name} has {partitions} partitions where {expected} are expected; the "
                "count is part of the log's identity and cannot be changed: set SCRIP_PARTITIONS to what "
                "it was, or start with an empty broker and database."
            )
        for name, value in topic.config().items():
            actual = configs[topic.name].get(name)
            if actual != value:
                raise TopicMismatch(
                    f"Topic {topic.name} has {name}={actual} where {value} is expected; set it with "
                    f"kafka-configs --alter --topic {topic.name} --add-config {name}={value}"
                )


async def _configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _, name, entries in response.resources:
            if code:
                raise TopicMismatch(f"The configuration of topic {name} cannot be read: {message}.")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap.split(","), request_timeout_ms=round(REQUEST_SECONDS * 1000)
    )
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            await admin.start()
            yield admin
    finally:
        await admin.close()
