import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from pogo_core.error import BadMigrationError

from process.database import Pool, SchemaNotCurrent, check_current, migrate, open_pool
from tests.support.databases import FreshDatabase

MIGRATION = """-- {name}
-- depends: {depends}

-- migrate: apply
{apply}

-- migrate: rollback
"""


def a_migration(directory: Path, name: str, apply: str, depends: str = "") -> None:
    (directory / f"{name}.sql").write_text(MIGRATION.format(name=name, depends=depends, apply=apply))


@pytest.fixture
async def pool(database: FreshDatabase) -> AsyncIterator[Pool]:
    opened = await open_pool(
        database.url("core"),
        application_name="trial",
        max_size=2,
        statement_timeout_seconds=0.2,
        lock_timeout_seconds=0.1,
        idle_in_transaction_timeout_seconds=0.2,
    )
    yield opened
    opened.terminate()


class TestPool:
    async def test_everything_has_a_limit(self, pool: Pool) -> None:
        settings = {
            "statement_timeout": "200ms",
            "lock_timeout": "100ms",
            "idle_in_transaction_session_timeout": "200ms",
            "jit": "off",
            "application_name": "trial",
            "search_path": "core",
        }
        for name, value in settings.items():
            assert await pool.fetchval("SELECT current_setting($1)", name) == value

    async def test_a_slow_statement_ends_and_leaves_the_connection_usable(self, pool: Pool) -> None:
        async with pool.acquire() as connection:
            with pytest.raises(asyncpg.QueryCanceledError):
                await connection.execute("SELECT pg_sleep(30)")
            assert await connection.fetchval("SELECT 1") == 1

    async def test_a_connection_that_sits_in_a_transaction_is_cut_off_and_replaced(self, pool: Pool) -> None:
        async def dawdle() -> None:
            async with pool.acquire() as connection, connection.transaction():
                await asyncio.sleep(0.5)
                await connection.execute("SELECT 1")

        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await dawdle()
        assert await pool.fetchval("SELECT 1") == 1

    async def test_waiting_for_a_connection_ends(self, pool: Pool) -> None:
        async with pool.acquire(), pool.acquire():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30), pool.acquire(timeout=0.05):
                    pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await pool.fetchval("SELECT 1")
        assert await pool.fetchval("SELECT 1") == 1

    async def test_is_whole_again_after_the_server_ended_its_connections(
        self, pool: Pool, database: FreshDatabase
    ) -> None:
        assert await pool.fetchval("SELECT 1") == 1
        admin = await asyncpg.connect(database.admin_url)
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trial'")
        await admin.close()
        await asyncio.sleep(0.1)
        assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(20))) == [1] * 20

    async def test_reads_and_writes_json_as_values_when_asked(self, database: FreshDatabase) -> None:
        value = {"name": "Köln \U0001f381", "amounts": [1, None, True]}
        opened = await open_pool(database.url("core"), application_name="trial", jsonb=True)
        try:
            assert await opened.fetchval("SELECT $1::jsonb", value) == value
            with pytest.raises(asyncpg.DataError):
                await opened.fetchval("SELECT $1::jsonb", float("nan"))
        finally:
            await opened.close()

    async def test_takes_planner_settings(self, database: FreshDatabase) -> None:
        opened = await open_pool(
            database.url("core"), application_name="trial", server_settings={"enable_seqscan": "off"}
        )
        try:
            assert await opened.fetchval("SELECT current_setting('enable_seqscan')") == "off"
        finally:
            await opened.close()


class TestMigrations:
    async def test_are_applied_in_order_and_once(self, database: FreshDatabase, pool: Pool, tmp_path: Path) -> None:
        a_migration(tmp_path, "0001_first", "CREATE TABLE thing (id int PRIMARY KEY);")
        a_migration(tmp_path, "0002_second", "ALTER TABLE thing ADD COLUMN name text;", depends="0001_first")
        with pytest.raises(SchemaNotCurrent, match="core lacks the migrations 0001_first, 0002_second"):
            await check_current(pool, tmp_path, "core")
        assert await migrate(database.url("core"), tmp_path, "core") == ["0001_first", "0002_second"]
        assert await migrate(database.url("core"), tmp_path, "core") == []
        await pool.execute("INSERT INTO core.thing (id, name) VALUES (1, 'x')")
        await check_current(pool, tmp_path, "core")
        (tmp_path / "0002_second.sql").unlink()
        await check_current(pool, tmp_path, "core")

    async def test_of_two_services_may_have_the_same_names(self, database: FreshDatabase, tmp_path: Path) -> None:
        a_migration(tmp_path, "0001_first", "CREATE TABLE thing (id int PRIMARY KEY);")
        for schema in ("core", "gateway"):
            assert await migrate(database.url(schema), tmp_path, schema) == ["0001_first"]

    async def test_run_at_once_by_several_processes_are_applied_by_one(
        self, database: FreshDatabase, tmp_path: Path
    ) -> None:
        a_migration(tmp_path, "0001_first", "CREATE TABLE thing (id int); SELECT pg_sleep(0.2);")
        applied = await asyncio.gather(*(migrate(database.url("core"), tmp_path, "core") for _ in range(4)))
        assert sorted(applied) == [[], [], [], ["0001_first"]]

    async def test_one_that_fails_leaves_nothing_of_itself(
        self, database: FreshDatabase, pool: Pool, tmp_path: Path
    ) -> None:
        a_migration(tmp_path, "0001_first", "CREATE TABLE thing (id int);")
        a_migration(tmp_path, "0002_broken", "CREATE TABLE other (id int); SELECT 1 / 0;", depends="0001_first")
        with pytest.raises(BadMigrationError, match="0002_broken"):
            await migrate(database.url("core"), tmp_path, "core")
        assert await pool.fetchval("SELECT to_regclass('core.thing')") is not None
        assert await pool.fetchval("SELECT to_regclass('core.other')") is None
        with pytest.raises(SchemaNotCurrent, match="0002_broken"):
            await check_current(pool, tmp_path, "core")

    async def test_make_schema_and_book_keeping_for_an_owner_of_an_empty_database(
        self, database: FreshDatabase, tmp_path: Path
    ) -> None:
        admin = await asyncpg.connect(database.admin_url)
        await admin.execute("DROP TABLE public._pogo_migration, public._pogo_version")
        await admin.close()
        a_migration(tmp_path, "0001_first", "CREATE TABLE thing (id int);")
        assert await migrate(database.admin_url, tmp_path, "anew") == ["0001_first"]
        opened = await open_pool(database.url("gateway"), application_name="trial")
        try:
            await check_current(opened, tmp_path, "anew")
        finally:
            await opened.close()
