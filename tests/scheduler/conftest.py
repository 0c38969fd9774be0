"""A scheduler's database, and schedulers as processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from messaging.sending import Sender
from process.database import Pool, open_pool
from tests.support.databases import Databases, FreshDatabase
from tests.support.services import Service, make_secrets, sending_as


@pytest.fixture
def scheduler_database(databases: Databases) -> Iterator[FreshDatabase]:
    """A new database with the scheduler's tables."""
    fresh = databases.fresh("scheduler")
    yield fresh
    databases.drop(fresh)


@pytest.fixture
async def pool(scheduler_database: FreshDatabase) -> AsyncIterator[Pool]:
    pool = await open_pool(scheduler_database.url("scheduler"), application_name="test", max_size=12)
    yield pool
    await pool.close()


@pytest.fixture
def schedulers(scheduler_database: FreshDatabase, topics: str, tmp_path: Path) -> Iterator[Service]:
    """Scheduler processes, none started yet."""
    secrets = make_secrets(tmp_path / "secrets")
    service = Service("scheduler", scheduler_database.url("scheduler"), topics, tmp_path, secrets)
    yield service
    service.close()


@pytest.fixture
async def gateway(schedulers: Service) -> AsyncIterator[Sender]:
    """Sends as the gateway."""
    async with sending_as("gateway", schedulers.bootstrap, schedulers.secrets_folder) as sender:
        yield sender
