"""Fixtures of coupon-core's tests."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from contracts.commands import AdvanceClock
from contracts.identifiers import lane_key
from coupon_core.__main__ import LOOP_PLANNER
from tests.coupon_core.one_campaign import LANE, START, Lanes
from tests.support.databases import Databases


@pytest_asyncio.fixture
async def lanes(databases: Databases) -> AsyncIterator[Lanes]:
    """Two lanes on a new database."""
    database = databases.fresh("core")
    connection = await asyncpg.connect(database.url("core"), server_settings=LOOP_PLANNER)
    lanes = Lanes(connection, database.url("core"))
    await lanes.stored.take_over()
    lanes.append(AdvanceClock(partition=LANE, to=START), lane_key(LANE))
    await lanes.stored.decide(1)
    lanes.stored.heard.clear()
    yield lanes
    await connection.close()
    databases.drop(database)
