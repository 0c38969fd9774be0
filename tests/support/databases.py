"""Fresh databases for tests, copied from a template: all schemas and roles, with or without tables."""

import itertools
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field

import asyncpg

from scrip.databases import (
    SCHEMAS,
    ServiceDatabase,
    ensure_database,
    quoted,
    service_databases,
    with_database,
)
from scrip.waiting import run_coroutine

MODULES = {
    "gateway": "gateway",
    "core": "coupon_core",
    "adapter": "merchant_adapter",
    "scheduler": "scheduler",
}
PASSWORDS = dict.fromkeys(SCHEMAS, "test-password")


@dataclass(frozen=True)
class FreshDatabase:
    """A database of one test's own. Each service has its role there; the admin may do everything."""

    name: str
    admin_url: str
    services: dict[str, ServiceDatabase]

    def url(self, schema: str) -> str:
        """DSN for `gateway`, `core`, `adapter` or `scheduler`: its role, whose search_path is its schema."""
        return self.services[schema].url


@dataclass
class Databases:
    """Makes and drops databases on one server. Blocking; may be called while an event loop runs."""

    server_url: str
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    _templates: dict[frozenset[str], str] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def fresh(self, *migrated: str) -> FreshDatabase:
        """A new database; the schemas named in `migrated` ("core", …) have their service's tables."""
        template = self._template(frozenset(migrated))
        name = f"test_{self.run}_{next(self._numbers)}"
        run_coroutine(execute(self.server_url, f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)}"))
        for schema in SCHEMAS:
            role = quoted(f"{template}_{schema}")
            run_coroutine(execute(self.server_url, f"GRANT CONNECT ON DATABASE {quoted(name)} TO {role}"))
        services = service_databases(self.server_url, name, PASSWORDS, owner=template)
        return FreshDatabase(name, with_database(self.server_url, name), services)

    def drop(self, database: FreshDatabase) -> None:
        run_coroutine(execute(self.server_url, f"DROP DATABASE IF EXISTS {quoted(database.name)} WITH (FORCE)"))

    def close(self) -> None:
        """Drop what is left, templates and roles (matters for servers that live on)."""
        for name in run_coroutine(names_like(self.server_url, f"test_{self.run}_%")):
            run_coroutine(execute(self.server_url, f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)"))
        for template in self._templates.values():
            run_coroutine(execute(self.server_url, f"DROP DATABASE IF EXISTS {quoted(template)} WITH (FORCE)"))
            for schema in SCHEMAS:
                run_coroutine(execute(self.server_url, f"DROP ROLE IF EXISTS {quoted(f'{template}_{schema}')}"))

    def _template(self, migrated: frozenset[str]) -> str:
        if migrated not in self._templates:
            name = f"template_{self.run}_{len(self._templates)}"
            services = run_coroutine(ensure_database(self.server_url, name, PASSWORDS))
            for schema in sorted(migrated):
                migrate(MODULES[schema], services[schema].url)
            self._templates[migrated] = name
        return self._templates[migrated]


def migrate(module: str, url: str) -> None:
    """Run a service's own migrations, as the platform does."""
    done = subprocess.run(
        [sys.executable, "-m", module, "migrate"],
        env={**os.environ, "SCRIP_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"`python -m {module} migrate` failed with exit code {done.returncode}:\n{done.stderr}")


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def names_like(url: str, pattern: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE $1", pattern)
    finally:
        await connection.close()
    return [str(row["datname"]) for row in rows]


async def server_answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    await connection.close()
    return True
