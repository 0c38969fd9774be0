"""After an operator accepted another log, records stand in places at which the first log had others."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from coupon_core.storage import Connection, dead_letters, lanes
from tests.support.databases import Databases

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
Fact = tuple[int, str, str, int, str, int]


@pytest.fixture
async def connection(databases: Databases) -> AsyncIterator[Connection]:
    database = databases.fresh("core")
    connection = await asyncpg.connect(database.url("core"))
    yield connection
    await connection.close()
    databases.drop(database)


def merchant(version: int, state: str, position: int) -> Fact:
    return (0, "merchant", "shop", version, state, position)


async def test_what_a_lane_knew_it_knows_before_the_first_of_them(connection: Connection) -> None:
    await lanes.take_over(connection, 0)
    await lanes.write_facts(connection, [merchant(1, "active", 2), merchant(2, "suspended", 7)])
    await lanes.accept(connection, 0, 5, 0)
    await lanes.forget_places(connection, 0, 5)
    await lanes.write_facts(connection, [merchant(3, "active", 7)])
    known = [(await lanes.facts_before(connection, 0, position)).merchants for position in (2, 4, 5, 7, 8)]
    assert known == [{}, {"shop": (1, "active")}, {"shop": (2, "suspended")}, {"shop": (2, "suspended")},
                     {"shop": (3, "active")}]  # fmt: skip


async def test_of_a_log_that_begins_anew_nothing_was_told_before_its_first_record(connection: Connection) -> None:
    await lanes.take_over(connection, 0)
    await lanes.write_facts(connection, [merchant(1, "active", 0)])
    await lanes.forget_places(connection, 0, 0)
    await lanes.write_facts(connection, [merchant(2, "closed", 0)])
    assert (await lanes.facts_before(connection, 0, 0)).merchants == {"shop": (1, "active")}
    assert (await lanes.facts_before(connection, 0, 1)).merchants == {"shop": (2, "closed")}


async def test_a_dead_letter_is_the_last_records_of_its_place_and_the_same_one_is_not_touched(
    connection: Connection,
) -> None:
    first, second = ((0, 3, NOON, "unreadable", None, body) for body in ('{"n": 1}', '{"n": 2}'))
    await dead_letters.write_dead_letters(connection, [first])
    assert await dead_letters.mark_redriven(connection, 0, 3)
    await dead_letters.write_dead_letters(connection, [first])
    kept = await dead_letters.dead_letter(connection, 0, 3)
    assert kept is not None
    assert (kept.body, kept.redriven_at is None) == ('{"n": 1}', False)
    await dead_letters.write_dead_letters(connection, [second])
    kept = await dead_letters.dead_letter(connection, 0, 3)
    assert kept is not None
    assert (kept.body, kept.redriven_at) == ('{"n": 2}', None)
