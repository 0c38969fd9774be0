"""The same log makes the same database and the same event bytes, whatever the batches; a rebuild sends nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from contracts.campaigns import AmountOff, Terms
from contracts.commands import (
    BuildingRules,
    ClaimCoupon,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    SetBuildingRules,
    StopCampaign,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from contracts.partitioner import partition_of
from contracts.topics import TOPICS
from coupon_core.model.campaign import STATE_NAMES
from coupon_core.model.folding import Folding
from tests.failures.checker import check
from tests.failures.evidence import Tables, read_tables, read_to_end
from tests.failures.load import Load
from tests.failures.rebuilds import rebuilding, rebuilt_differently
from tests.support.campaigns import generated
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.servers import Servers

BATCHES = (1, 7, 50, 1_000)
"""Most records of a transaction over all 8 lanes."""


@dataclass
class Lived:
    """A platform that has lived and was stopped; what its database held then."""

    platform: CorePlatform
    load: Load
    tables: Tables


@pytest.fixture(scope="module")
async def lived(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lived]:
    """Load on told time: the clock moves, and rules and merchants change, while commands are decided."""
    folder = tmp_path_factory.mktemp("lived")
    async with running_core(databases, backend.bootstrap, folder, told=True, processes=2) as core:
        start = datetime.now(UTC)
        await core.tell_time(start)
        load = Load(core)
        async with load.client:
            await load.prepare(16)
            load.start()
            for step, rules in enumerate((BuildingRules(greatest_quantity=30), BuildingRules(greatest_quantity=60))):
                await load.until(100)
                await core.tell_time(start + timedelta(seconds=6 + 6 * step))
                await core.on_all_lanes(
                    lambda lane, step=step, rules=rules: SetBuildingRules(  # type: ignore[misc]
                        partition=lane, party=PLATFORM, version=step + 1, rules=rules
                    )
                )
                await core.set_merchant(load.merchants[0], "suspended" if step == 0 else "active")
            await load.until(100)
            await load.finish()
            await core.tell_time(start + timedelta(days=2))
            await stopped(core)
            yield Lived(core, load, await read_tables(core.database.url("core")))


async def stopped(core: CorePlatform) -> None:
    for process in core.processes.values():
        if process.process.poll() is None:
            assert await asyncio.to_thread(process.stop) == 0


async def everything_sent(bootstrap: str) -> dict[str, int]:
    ends, _ = await read_to_end(bootstrap, TOPICS)
    return {f"{place.topic}-{place.partition}": end for place, end in ends.items()}


async def test_batches_of_1_7_50_and_1000_and_a_rebuild_give_equal_rows_and_event_bytes(
    lived: Lived, databases: Databases
) -> None:
    assert {"building_rule_forbids", "merchant_not_active"} <= {row["code"] for row in lived.tables.refusal}
    assert {3, 6} <= {row["state"] for row in lived.tables.coupon}, "some were redeemed, some expired"
    before = await everything_sent(lived.platform.bootstrap)
    async with AsyncExitStack() as stack:
        made = await asyncio.gather(
            *(stack.enter_async_context(rebuilding(lived.platform, databases, batch)) for batch in BATCHES)
        )
        assert await everything_sent(lived.platform.bootstrap) == before, "a rebuild sends nothing"
        rows = []
        for batch, rebuilt in zip(BATCHES, made, strict=True):
            tables = await read_tables(rebuilt.database.url("core"))
            found = rebuilt_differently(lived.tables, tables)
            if found:
                pytest.fail(f"batches of {batch}:\n" + "\n".join(map(str, found)), pytrace=False)
            rows.append(len(tables.journal))
        assert rows == sorted(rows, reverse=True), f"journal rows with growing batches: {rows}"
        assert rows[0] > rows[2] > rows[3], f"journal rows with growing batches: {rows}"
        await it_goes_on(lived, made[-1])


NOT_FOLDED = {
    "campaign": {"terms", "swept", "next_due"},
    "coupon": {"code"},
}
"""What does not follow from the events, and the terms, which stand in the row as text."""


async def test_each_campaign_folded_from_its_events_is_what_the_tables_hold(lived: Lived) -> None:
    tables = lived.tables
    assert tables.campaign
    for row in tables.campaign:
        rows = sorted((each for each in tables.journal if each["campaign"] == row["id"]), key=lambda r: r["first_seq"])
        folding = Folding(row["id"], None, number=row["number"], partition=row["partition"])
        folding.take("\n".join(line for each in rows for line in each["lines"]).encode())
        campaign = folding.campaign
        assert campaign is not None
        assert campaign.terms == Terms.model_validate_json(row["terms"])
        counted = {name: campaign.counts[state] for state, name in STATE_NAMES.items()}
        for name in row.keys() - NOT_FOLDED["campaign"]:
            kept = (row[name] or 0) if name.startswith("budget_") else row[name]  # NULL: there is no budget
            assert counted.get(name, getattr(campaign, name, None)) == kept, (campaign.text, name)
        held = [each for each in tables.coupon if each["campaign"] == row["number"]]
        assert sorted(folding.coupons) == [each["number"] for each in held]
        for each in held:
            coupon = folding.coupons[each["number"]]
            for name in each.keys() - NOT_FOLDED["coupon"]:
                assert getattr(coupon, "user" if name == "user_id" else name) == each[name], (campaign.text, name)
        redeemed = [each for each in tables.redemption if each["campaign"] == row["number"]]
        folded = [each for _, rows_of in sorted(folding.redemptions.items()) for each in rows_of]
        assert [(r.coupon, r.number, r.order, r.discount, r.at, r.returned_at) for r in folded] == [
            (r["coupon"], r["number"], r["order_id"], r["discount"], r["at"], r["returned_at"]) for r in redeemed
        ]


async def it_goes_on(lived: Lived, rebuilt: CorePlatform) -> None:
    """A rebuilt platform takes the place of the lost one: its clients are answered as before."""
    rebuilt.start_process(0)
    await rebuilt.wait_ready(0)
    async with lived.load.client_of(rebuilt) as client:
        await client.ask_all_again()
    found = await check(rebuilt.bootstrap, rebuilt.database.url("core"), client.journal, rebuilt.partitions)
    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)


async def test_a_rebuild_refuses_a_database_that_has_lanes(lived: Lived) -> None:
    process = lived.platform.start_process(5, SCRIP_REBUILD="1")
    assert await asyncio.to_thread(process.process.wait, 60) == 1
    assert "begin with a new one" in process.log_end()
    del lived.platform.processes[5]


async def test_what_a_lost_platform_had_decided_and_not_sent_is_sent_after_the_rebuild(
    databases: Databases, backend: Servers, tmp_path: Path
) -> None:
    async with running_core(databases, backend.bootstrap, tmp_path, told=False, processes=0) as core:
        core.start_process(0, SCRIP_FAILPOINTS="core.between_slice_and_continuation=kill@1")
        await core.wait_ready(0)
        campaign = await held_by_four(core)
        stop = core.record(StopCampaign(reason="over"), campaign=campaign)
        await core.append_record(stop)
        assert await asyncio.to_thread(core.processes[0].process.wait, 60) == -9

        async with rebuilding(core, databases) as rebuilt:
            assert {row["state"] for row in (await read_tables(rebuilt.database.url("core"))).coupon} == {1}
            rebuilt.start_process(0)
            await rebuilt.wait_ready(0)
            found = await check(rebuilt.bootstrap, rebuilt.database.url("core"), {}, rebuilt.partitions)
            assert not found, found
            tables = await read_tables(rebuilt.database.url("core"))
            assert {row["state"] for row in tables.coupon} == {5}, "the continuation voids what was held"


async def held_by_four(core: CorePlatform) -> UUID:
    campaign = campaign_id(PLATFORM, "stopped")
    now = datetime.now(UTC)
    terms = Terms.model_validate(
        {
            "name": "stopped",
            "currency": "EUR",
            "discount": AmountOff(amount=500),
            "validity": {"starts": now - timedelta(days=1), "ends": now + timedelta(days=1)},
        }
    )
    await core.done(GenerateCampaign(terms=terms, quantity=10), campaign=campaign)
    await core.done(IssueCoupons(rows=tuple(IssueRow(user=f"user-{n}") for n in range(4))), campaign=campaign)
    return campaign


async def test_an_id_in_two_lanes_names_two_commands_and_a_rebuild_agrees(
    databases: Databases, backend: Servers, tmp_path: Path
) -> None:
    """No order joins the logs of two lanes: which of two was first must decide nothing."""
    async with running_core(databases, backend.bootstrap, tmp_path, processes=2) as core:
        await core.tell_time("2026-03-02T00:00:00Z")
        by_lane: dict[int, str] = {}
        for name in (f"c{number}" for number in range(40)):
            by_lane.setdefault(partition_of(str(campaign_id(PLATFORM, name)).encode(), core.partitions), name)
        campaigns = [await generated(core, name, quantity=10) for name in by_lane.values()]
        assert len(campaigns) > 1
        for number in range(5):
            id, claim = uuid4(), ClaimCoupon(user=f"u{number}")
            for campaign in campaigns:
                assert (await core.send(claim, campaign=campaign, id=id)).status == "done"
            again = await core.send(claim, campaign=campaigns[0], id=id)
            assert (again.status, again.replayed) == ("done", True)
            other = await core.send(ClaimCoupon(user="x"), campaign=campaigns[0], id=id)
            assert other.refusal is not None
            assert other.refusal.code == "idempotency_conflict"
        assert [(await core.read(f"/campaigns/{campaign}"))["issued"] for campaign in campaigns] == [5] * len(campaigns)
        assert (await core.read("/audit"))["differences"] == []
        await stopped(core)
        async with rebuilding(core, databases) as again_made:
            lived = await read_tables(core.database.url("core"))
            assert rebuilt_differently(lived, await read_tables(again_made.database.url("core"))) == []
