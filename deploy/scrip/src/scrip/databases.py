"""The database of a platform: one schema and one role for each service, out of reach for everybody else."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from pogo_core.util.sql import ensure_pogo_sync

SCHEMAS = ("gateway", "core", "adapter", "scheduler")
DEFAULT_DATABASE = "scrip"


@dataclass(frozen=True)
class ServiceDatabase:
    """Where one service finds its schema. The role's search_path is the schema."""

    schema: str
    role: str
    url: str


def role_name(database: str, schema: str) -> str:
    """Roles belong to the whole server: in another database than `scrip` they carry its name in front."""
    return schema if database == DEFAULT_DATABASE else f"{database}_{schema}"


async def ensure_database(admin_url: str, database: str, passwords: dict[str, str]) -> dict[str, ServiceDatabase]:
    """Make the database, schemas and roles that are missing, set the roles' passwords.

    Returns where each service finds its schema, by schema.

    `admin_url` names a role that may create databases and roles. Safe to repeat.
    """
    admin = await asyncpg.connect(admin_url)
    try:
        if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
            await admin.execute(f"CREATE DATABASE {quoted(database)}")
        await admin.execute(f"REVOKE ALL ON DATABASE {quoted(database)} FROM PUBLIC")
        for schema in SCHEMAS:
            role = role_name(database, schema)
            if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await admin.execute(f"CREATE ROLE {quoted(role)} LOGIN")
            literal = await admin.fetchval("SELECT quote_literal($1)", passwords[schema])
            await admin.execute(f"ALTER ROLE {quoted(role)} PASSWORD {literal}")
            await admin.execute(f"ALTER ROLE {quoted(role)} SET search_path = {quoted(schema)}")
            await admin.execute(f"GRANT {quoted(role)} TO CURRENT_USER")  # to make a schema for it, if no superuser
            await admin.execute(f"GRANT CONNECT ON DATABASE {quoted(database)} TO {quoted(role)}")
    finally:
        await admin.close()
    await ensure_schemas(with_database(admin_url, database), database)
    return service_databases(admin_url, database, passwords)


async def ensure_schemas(url: str, database: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        await admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        # The migrations' book-keeping lies in `public`: made here, so that each role can migrate its own
        # schema without a right to make anything outside it.
        await ensure_pogo_sync(admin)
        for schema in SCHEMAS:
            role = quoted(role_name(database, schema))
            await admin.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)} AUTHORIZATION {role}")
            await admin.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
            await admin.execute(
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON public._pogo_migration, public._pogo_version TO {role}"
            )
    finally:
        await admin.close()


async def applied_migrations(url: str) -> dict[str, set[str]]:
    """Names of the migrations applied in this database, by schema."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT schema_name, migration_id FROM public._pogo_migration")
    finally:
        await connection.close()
    applied: dict[str, set[str]] = {schema: set() for schema in SCHEMAS}
    for row in rows:
        applied.setdefault(row["schema_name"], set()).add(row["migration_id"])
    return applied


def service_databases(
    admin_url: str, database: str, passwords: dict[str, str], owner: str | None = None
) -> dict[str, ServiceDatabase]:
    """The services' addresses in `database`, whose roles are named after `owner` (a copy's original)."""
    return {
        schema: ServiceDatabase(
            schema,
            role_name(owner or database, schema),
            with_database(admin_url, database, role_name(owner or database, schema), passwords[schema]),
        )
        for schema in SCHEMAS
    }


def with_database(url: str, database: str, role: str | None = None, password: str = "") -> str:
    """The same server's address with another database and, if given, another role."""
    parts = urlsplit(url)
    place = parts.netloc
    if role is not None:
        place = f"{quote(role, safe='')}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=place, path=f"/{database}"))


def quoted(identifier: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", identifier):
        raise ValueError(f"{identifier!r} is no plain identifier")
    return f'"{identifier}"'
