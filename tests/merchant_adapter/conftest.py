"""A demo merchant for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo_merchants import DemoMerchant, running_demo_merchant


@pytest.fixture(scope="session")
def shared_merchant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMerchant]:
    """One process with 250 users for all tests that plant faults and clear them."""
    state: Path = tmp_path_factory.mktemp("merchant") / "state.sqlite3"
    with running_demo_merchant(state, "--users", "250", "--base-path", "/scrip") as running:
        yield running


@pytest.fixture
def merchant(shared_merchant: DemoMerchant) -> Iterator[DemoMerchant]:
    """The shared demo merchant, without planted faults."""
    shared_merchant.clear()
    yield shared_merchant
    shared_merchant.clear()
