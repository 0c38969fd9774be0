"""The test support itself: databases are separate, roles reach only their schema, topics are the
contracts'.
"""

from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from contracts.topics import COUPON_EVENTS, TOPICS
from process.database import migrate
from scrip.backend import Backend
from tests.support.databases import Databases, FreshDatabase


async def test_a_role_creates_tables_in_its_own_schema_only(database: FreshDatabase) -> None:
    connection = await asyncpg.connect(database.url("core"))
    try:
        await connection.execute("CREATE TABLE campaign (id int)")
        assert (
            await connection.fetchval(
                "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'campaign'"
            )
            == "core"
        )
        for schema in ("gateway", "public"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"CREATE TABLE {schema}.intruder (id int)")
    finally:
        await connection.close()


async def test_each_role_migrates_its_own_schema_as_its_owner(database: FreshDatabase, tmp_path: Path) -> None:
    (tmp_path / "0001-campaigns.sql").write_text(
        "-- a table\n-- depends:\n\n-- migrate: apply\nCREATE TABLE campaign ();\n-- migrate: rollback\n"
    )
    for schema in ("core", "gateway"):
        assert await migrate(database.url(schema), tmp_path, schema) == ["0001-campaigns"]
        assert await migrate(database.url(schema), tmp_path, schema) == []
    admin = await asyncpg.connect(database.admin_url)
    try:
        owners = await admin.fetch("SELECT schemaname, tableowner FROM pg_tables WHERE tablename = 'campaign'")
    finally:
        await admin.close()
    assert {row["schemaname"] for row in owners} == {"core", "gateway"}
    assert all(row["tableowner"].endswith(row["schemaname"]) for row in owners)


async def test_a_role_cannot_enter_the_database_of_another_test(databases: Databases, database: FreshDatabase) -> None:
    other = databases.fresh()
    try:
        with pytest.raises(asyncpg.PostgresError):
            await asyncpg.connect(database.url("core").replace("_core:", "_gateway:wrong"))
        connection = await asyncpg.connect(other.admin_url)
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'campaign'") == 0
        await connection.close()
    finally:
        databases.drop(other)


async def test_the_contracts_topics_exist_with_their_partitions(topics: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=topics)
    await admin.start()
    try:
        found = await admin.describe_topics([topic.name for topic in TOPICS])
        partitions = {each["topic"]: len(each["partitions"]) for each in found}
        assert partitions == {topic.name: topic.partition_count(8) for topic in TOPICS}
    finally:
        await admin.close()


async def test_a_module_can_have_a_broker_of_its_own_and_kill_it(fresh_broker: Backend) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=fresh_broker.bootstrap, enable_idempotence=True, acks="all")
    await producer.start()
    await producer.send_and_wait(COUPON_EVENTS.name, b"kept", partition=3)
    await producer.stop()
    fresh_broker.restart("kafka")
    consumer = AIOKafkaConsumer(bootstrap_servers=fresh_broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(COUPON_EVENTS.name, 3)])
    record = await consumer.getone()
    assert record.value == b"kept"
    await consumer.stop()
