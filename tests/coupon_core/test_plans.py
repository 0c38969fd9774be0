"""Each statement of a batch goes from its arguments to the index it is meant for, also when planned on empty tables.

Small batches plan a statement once, for whatever arguments come. A plan that scans a table, or an index by one of its
two columns, is quick while the table is empty, and would stay when there are millions of rows.
"""

import asyncio
import itertools
import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import asyncpg
import pytest

from coupon_core.__main__ import LOOP_PLANNER
from coupon_core.storage import campaigns, codes, coupons, ends, journal, lanes, outcomes, periods, planning
from tests.support.databases import Databases

INDEXES: dict[ModuleType, dict[str, set[str]]] = {
    campaigns: {
        "LOAD": {"campaign_id_key"},
        "DUE": {"campaign_due"},
        "UPDATE": {"campaign_pkey"},
        "BUDGETS": {"campaign_pkey"},
        "UPDATE_TERMS": {"campaign_pkey"},
    },
    codes: {
        "UPLOADED": {"uploaded_code_code"},
        "FREE": {"uploaded_code_free"},
        "TAKE_CODES": {"uploaded_code_pkey"},
        "BLOCKS": {"code_block_pkey"},
        "BLOCKS_AT": {"code_block_campaign_idx_key"},
        "RANGES": {"exported_range_pkey", "voided_range_pkey"},
    },
    coupons: {
        "BY_USER": {"coupon_user"},
        "BY_NUMBER": {"coupon_pkey"},
        "BY_CODE": {"coupon_code"},
        "OPEN_AFTER": {"coupon_pkey"},
        "OVERDUE": {"coupon_due"},
        "DUE": {"coupon_due"},
        "NEXT_DUE": {"coupon_due"},
        "UPDATE": {"coupon_pkey"},
        "UPDATE_COUNTING": {"coupon_pkey"},
        "MOVE": {"coupon_pkey"},
        "REDEMPTIONS": {"redemption_pkey"},
        "UPDATE_REDEMPTIONS": {"redemption_pkey"},
    },
    ends: {"END": {"lane_pkey"}},
    journal: {"AFTER": {"journal_pkey"}},
    lanes: {
        "FENCE": {"lane_pkey"},
        "MARK_EMITTED": {"lane_pkey"},
        "FACTS": {"lane_fact_pkey"},
        "NEXT_DUE": {"campaign_due"},
        "NEXT_DUE_AFTER": {"campaign_due"},
    },
    outcomes: {"LOAD": {"outcome_pkey"}},
    periods: {"LOAD": {"period_count_pkey"}},
}
STATEMENTS = [(module, name) for module, names in INDEXES.items() for name in names]
CONDITIONS = {"coupon_pkey": 2, "uploaded_code_pkey": 2, "coupon_user": 3, "coupon_code": 3, "uploaded_code_code": 3}
"""How many conditions an index must be given, where fewer would find far more than is wanted; a range has two."""


class Planner:
    """A database with empty tables, and a connection that plans as the loop's does."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        settings = {**LOOP_PLANNER, "plan_cache_mode": planning.ONCE}
        self.connection = self.runner.run(asyncpg.connect(url, server_settings=settings))
        self.numbers = itertools.count()

    def run(self, statement: str) -> Any:
        return self.runner.run(self.connection.fetch(statement))

    def close(self) -> None:
        self.runner.run(self.connection.close())
        self.runner.close()

    def prepare(self, statement: str) -> str:
        """The statement under a name; how it is planned."""
        name = f"planned_{next(self.numbers)}"
        self.run(f"PREPARE {name} AS {statement}")
        return name

    def nodes(self, name: str) -> list[dict[str, Any]]:
        """The nodes of a prepared statement's plan."""
        counted = self.run(f"SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = '{name}'")
        arguments = f"({', '.join(['NULL'] * counted[0][0])})" if counted[0][0] else ""
        (explained,) = self.run(f"EXPLAIN (FORMAT JSON) EXECUTE {name}{arguments}")
        found, waiting = [], [json.loads(explained[0])[0]["Plan"]]
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting += node.get("Plans", [])
        return found


@pytest.fixture(scope="module")
def planner(databases: Databases) -> Iterator[Planner]:
    database = databases.fresh("core")
    planner = Planner(database.url("core"))
    yield planner
    planner.close()
    databases.drop(database)


@pytest.mark.parametrize(
    ("module", "name"), STATEMENTS, ids=[f"{module.__name__.rpartition('.')[2]}.{name}" for module, name in STATEMENTS]
)
def test_it_goes_to_its_index_by_all_its_columns(planner: Planner, module: ModuleType, name: str) -> None:
    goes_to_its_index(planner, module, name)


def goes_to_its_index(planner: Planner, module: ModuleType, name: str) -> None:
    nodes = planner.nodes(planner.prepare(getattr(module, name)))
    assert [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"] == []
    used = [node for node in nodes if "Index Name" in node]
    assert {node["Index Name"] for node in used} == INDEXES[module][name]
    for node in used:
        condition = node.get("Index Cond", "")
        assert len(re.findall(" (?:=|>|>=|<=) ", condition)) >= CONDITIONS.get(node["Index Name"], 1), condition


def test_a_plan_made_on_a_table_known_to_be_empty_is_not_kept(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL then scans a whole index: this is what plans must not be kept for."""
    planner.run("VACUUM ANALYZE outcome")
    name = planner.prepare(outcomes.LOAD)
    assert "Index Cond" not in next(node for node in planner.nodes(name) if "Index Name" in node)
    planner.run(
        "INSERT INTO outcome (command, partition, hash, status, at) "
        "SELECT gen_random_uuid(), 1, 1, 1, now() FROM generate_series(1, 5000)"
    )
    planning_of_loop = planning.Planning(planner.connection)
    monkeypatch.setattr(planning, "PLANS_LIVE_SECONDS", -1.0)
    planner.runner.run(planning_of_loop.suit(1, ranges=False))
    assert "Index Cond" in next(node for node in planner.nodes(name) if "Index Name" in node)


@pytest.mark.parametrize(
    ("records", "ranges", "mode"),
    [(1, False, "force_generic_plan"), (1, True, "force_custom_plan"), (2_000, False, "force_custom_plan")],
)
def test_small_batches_take_plans_made_before_and_large_ones_and_ranges_are_planned(
    planner: Planner, records: int, ranges: bool, mode: str
) -> None:
    planner.run(f"SET plan_cache_mode = {planning.FOR_EACH}")
    planner.runner.run(planning.Planning(planner.connection).suit(records, ranges=ranges))
    assert planner.run("SHOW plan_cache_mode")[0][0] == mode


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (coupons.BY_USER, "coupon_user"),
        (coupons.BY_CODE, "coupon_code"),
        (codes.UPLOADED, "uploaded_code_code"),
    ],
    ids=["by user", "by code", "uploaded"],
)
def test_users_and_codes_are_looked_for_by_themselves_while_nobody_has_looked_at_the_table(
    databases: Databases, statement: str, index: str
) -> None:
    """Without statistics all coupons of a campaign look few, and the smaller index of two looks better."""
    database = databases.fresh("core")
    planner = Planner(database.url("core"))
    campaigns_asked, keys_asked = (",".join(value for _ in range(150)) for value in ("7", "nobody"))
    asked = statement.replace("$1", f"'{{{campaigns_asked}}}'").replace("$2", f"'{{{keys_asked}}}'")
    for begin in range(0, 8_000, 1_000):
        series = f"generate_series({begin + 1}, {begin + 1_000}) n"
        planner.run(
            "INSERT INTO coupon (campaign, number, user_id, state, issued_at, code) "
            f"SELECT 7, n, md5(n::text), 1, now(), md5(n::text) FROM {series}"
        )
        planner.run(
            f"INSERT INTO uploaded_code (campaign, position, code, shown) SELECT 7, n, md5(n::text), '' FROM {series}"
        )
        for planned in (statement, asked):
            used = {node.get("Index Name") for node in planner.nodes(planner.prepare(planned))} - {None}
            assert used == {index}, f"{begin + 1_000} rows"
    planner.close()
    databases.drop(database)


@pytest.mark.parametrize("name", ["BY_USER", "BY_CODE", "BY_NUMBER"])
@pytest.mark.parametrize("known", [False, True], ids=["without statistics", "with statistics"])
def test_coupons_of_users_who_hold_many_are_found_by_user_and_campaign(
    databases: Databases, name: str, known: bool
) -> None:
    database = databases.fresh("core")
    planner = Planner(database.url("core"))
    try:
        planner.run(
            "INSERT INTO coupon (campaign, number, user_id, state, issued_at, code) "
            "SELECT campaign, holder, 'user-' || holder, 1, now(), 'code-' || holder "
            "FROM generate_series(1, 300) AS campaign, generate_series(1, 100) AS holder"
        )
        if known:
            planner.run("VACUUM ANALYZE coupon")
        goes_to_its_index(planner, coupons, name)
    finally:
        planner.close()
        databases.drop(database)
