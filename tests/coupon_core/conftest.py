"""Fixtures of coupon-core's tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.coupon_core.one_lane import OneLane, one_lane
from tests.support.databases import Databases


@pytest_asyncio.fixture
async def lane(databases: Databases) -> AsyncIterator[OneLane]:
    """A lane on a new database."""
    async with one_lane(databases) as lane:
        yield lane
