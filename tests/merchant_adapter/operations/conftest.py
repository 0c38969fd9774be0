"""An adapter and demo merchants for the tests of this folder.

Two adapters must not run on one broker at once, unless they are one platform: tests that start their own stand in
modules that do not use the fixture `adapter`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.adapter import Adapter, running_adapter
from tests.support.databases import Databases
from tests.support.demo_merchants import DemoMerchant, start_demo_merchant

Demo = Callable[..., DemoMerchant]


@pytest.fixture(scope="module")
async def adapter(
    databases: Databases, topics: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Adapter]:
    """One adapter for the tests that do not kill it."""
    async with running_adapter(databases, topics, tmp_path_factory.mktemp("adapter")) as adapter:
        yield adapter


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Starts demo merchants: `demo("--users", "250")`."""
    started: list[DemoMerchant] = []

    def start(*options: str) -> DemoMerchant:
        started.append(start_demo_merchant(tmp_path / f"merchant-{len(started)}.sqlite3", *options))
        return started[-1]

    yield start
    for merchant in started:
        if merchant.process.poll() is None:
            merchant.kill()
