"""Topics, tables and writers' keys of one test's own."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_bytes, token_hex

import pytest

from contracts.topics import DAY_MS, Topic
from messaging.sending import Sender, own_writer
from messaging.topics_admin import create_topics
from process.database import Pool
from process.settings import Secrets
from tests.messaging.support import Trial, trial_pool
from tests.support.databases import FreshDatabase
from tests.support.servers import Servers


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    """Keys of the writers `gateway` and `adapter`."""
    keys = {name: {"1": base64.b64encode(token_bytes(32)).decode()} for name in ("gateway", "adapter")}
    (tmp_path / "writers.json").write_text(json.dumps(keys))
    return Secrets(tmp_path)


@pytest.fixture
async def trial(backend: Servers) -> Trial:
    """A topic of commands with 2 partitions and one of dead letters, under names nobody else uses."""
    name = f"trial-{token_hex(4)}"
    commands = Topic(f"{name}.commands", "any", ("gateway",), ("adapter",), 2, DAY_MS)
    dead_letters = Topic(f"{name}.dead-letters", "any", ("adapter",), ("gateway",), 1, DAY_MS)
    await create_topics(backend.bootstrap, [commands, dead_letters], lanes=1)
    return Trial(backend.bootstrap, commands, dead_letters)


@pytest.fixture
async def pool(database: FreshDatabase) -> AsyncIterator[Pool]:
    """A pool of the adapter's role, with messaging's tables and a small one for effects."""
    pool = await trial_pool(database)
    yield pool
    await pool.close()


@pytest.fixture
async def gateway(trial: Trial, secrets: Secrets) -> AsyncIterator[Sender]:
    """Sends as the gateway."""
    sender = Sender(trial.bootstrap, own_writer(secrets, "gateway"))
    yield sender
    await sender.stop()


@pytest.fixture
async def adapter(trial: Trial, secrets: Secrets) -> AsyncIterator[Sender]:
    """Sends as the adapter."""
    sender = Sender(trial.bootstrap, own_writer(secrets, "adapter"))
    yield sender
    await sender.stop()
