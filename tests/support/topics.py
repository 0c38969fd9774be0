"""Topics for tests: the contracts' own, made, emptied or on a broker of their own."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from contracts.topics import COUPON_COMMANDS, TOPICS
from messaging.topics_admin import create_topics
from scrip.waiting import run_coroutine

LANES = 8
DELETED_WITHIN_SECONDS = 15.0


def ensure_topics(bootstrap: str, lanes: int = LANES) -> None:
    """Make the contracts' topics that are missing."""
    run_coroutine(create_topics(bootstrap, TOPICS, lanes))


def reset_topics(bootstrap: str, lanes: int = LANES) -> None:
    """Delete the contracts' topics with all records and make them again (about a second)."""
    run_coroutine(_delete(bootstrap))
    ensure_topics(bootstrap, lanes)


async def _delete(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = {topic.name for topic in TOPICS}
        present = names & set(await admin.list_topics())
        if present:
            await admin.delete_topics(sorted(present))
        async with asyncio.timeout(DELETED_WITHIN_SECONDS):
            while names & set(await admin.list_topics()):
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


def take_the_senders_time(bootstrap: str) -> None:
    """As a broker with a wrong clock would: records of commands get the time their sender says."""
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, COUPON_COMMANDS.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(10)
