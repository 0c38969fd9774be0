"""PostgreSQL: a pool in which everything has a limit, and migrations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from pogo_core.util import migrate as pogo_migrate
from pogo_core.util import sql as pogo_sql

# Only asyncpg's type stubs know parameters of these classes.
if TYPE_CHECKING:
    from asyncpg.pool import PoolAcquireContext

    AsyncpgPool = asyncpg.Pool[asyncpg.Record]
else:
    AsyncpgPool = asyncpg.Pool

ACQUIRE_TIMEOUT_SECONDS = 2.0
# Any constant will do that no other program uses in the same database.
MIGRATION_LOCK = 0x5C219

logger = structlog.get_logger()


class Pool(AsyncpgPool):
    """An asyncpg pool that waits `ACQUIRE_TIMEOUT_SECONDS` for a connection, not for ever.

    `acquire`, and with it `fetch`, `execute` and the rest on the pool, raise TimeoutError then.
    Never acquire a second connection while holding one: under load that locks itself up.
    """

    def acquire(self, *, timeout: float | None = ACQUIRE_TIMEOUT_SECONDS) -> PoolAcquireContext[asyncpg.Record]:
        return super().acquire(timeout=timeout)


async def open_pool(
    url: str,
    *,
    application_name: str,
    min_size: int = 1,
    max_size: int = 10,
    statement_timeout_seconds: float = 10.0,
    lock_timeout_seconds: float = 5.0,
    idle_in_transaction_timeout_seconds: float = 5.0,
    command_timeout_seconds: float = 15.0,
    connect_timeout_seconds: float = 5.0,
    jsonb: bool = False,
    server_settings: Mapping[str, str] | None = None,
) -> Pool:
    """Open `min_size` connections and return the pool; close it with `await pool.close()`.

    Raises OSError or an asyncpg error when PostgreSQL cannot be reached. With `jsonb` the columns json and
    jsonb are read and written as Python values, otherwise as text. `server_settings` go on top of the limits
    (the planner settings of a loop, for instance).
    """
    settings = {
        "application_name": application_name,
        "jit": "off",
        "statement_timeout": _milliseconds(statement_timeout_seconds),
        "lock_timeout": _milliseconds(lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(idle_in_transaction_timeout_seconds),
        **(server_settings or {}),
    }
    pool = Pool(
        url,
        min_size=min_size,
        max_size=max_size,
        max_queries=1_000_000,
        max_inactive_connection_lifetime=300.0,
        init=_read_json_as_values if jsonb else None,
        loop=None,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        # The server's own limit comes first: a slow statement is an error, not a broken connection.
        command_timeout=command_timeout_seconds,
        timeout=connect_timeout_seconds,
        server_settings=settings,
    )
    await pool
    return pool


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


async def _read_json_as_values(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_to_json, decoder=json.loads, schema="pg_catalog")


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class SchemaNotCurrent(Exception):
    """The database lacks migrations this program needs; the message names them and what to run."""


# Advisory locks are held by the session: a migrator that dies gives it back.
_LOCK = "SELECT pg_advisory_lock($1)"
_SCHEMA_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
# Whoever makes the book-keeping tables lets every service's role see what is applied.
_LET_SERVICES_READ = "GRANT SELECT ON public._pogo_migration, public._pogo_version TO PUBLIC"


async def migrate(url: str, directory: Path, schema: str) -> list[str]:
    """Apply the migrations of `directory` that `schema` lacks, each in a transaction; returns their names.

    `url` names the role that owns the schema. Schema and book-keeping tables (`public._pogo_migration`,
    `public._pogo_version`) are made when they do not exist, else the role needs INSERT on these. Waits
    while another migrator runs on the same database. Raises pogo_core.error.BadMigrationError when a
    migration fails: what was applied before it stays.
    """
    connection = await asyncpg.connect(url, timeout=10.0)
    try:
        await connection.fetchval(_LOCK, MIGRATION_LOCK)
        if not await connection.fetchval(_SCHEMA_EXISTS, schema):
            await pogo_sql.create_schema(connection, schema_name=schema)
        await connection.execute(f'SET search_path TO "{schema}"')
        if await pogo_sql.get_pogo_version(connection) is None:
            await pogo_sql.ensure_pogo_sync(connection)
            await connection.execute(_LET_SERVICES_READ)
        before = await pogo_sql.get_applied_migrations(connection, schema_name=schema)
        await pogo_migrate.apply(connection, directory, schema_name=schema)
        after = await pogo_sql.get_applied_migrations(connection, schema_name=schema)
    finally:
        await connection.close()
    applied = sorted(after - before)
    logger.info("The schema is current.", action="migrated", schema=schema, applied=applied)
    return applied


_APPLIED = "SELECT migration_id FROM public._pogo_migration WHERE schema_name = $1"


async def check_current(pool: Pool, directory: Path, schema: str) -> None:
    """Raise SchemaNotCurrent when a migration of `directory` is not applied; newer ones are no fault."""
    async with pool.acquire() as connection:
        try:
            applied = {row["migration_id"] for row in await connection.fetch(_APPLIED, schema)}
        except asyncpg.UndefinedTableError:
            applied = set()
    missing = sorted(_names(directory) - applied)
    if missing:
        raise SchemaNotCurrent(
            f"The schema {schema} lacks the migrations {', '.join(missing)}; run `python -m <service> migrate` first."
        )


def _names(directory: Path) -> set[str]:
    return {path.stem for path in directory.glob("*.sql")}
