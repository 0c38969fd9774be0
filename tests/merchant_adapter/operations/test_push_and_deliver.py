"""Push beside a real core and a real merchant: every user one coupon, once, whatever the merchant does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.campaigns import AmountOff, GeneratedSupply, Terms, Validity
from contracts.commands import GenerateCampaign, IssueCoupons, IssueRow, StopCampaign, VoidCoupons
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from contracts.merchants import DeliveryChanged
from tests.merchant_adapter.operations.conftest import Demo
from tests.support.adapter import Adapter, running_adapter
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.demo_merchants import DemoMerchant
from tests.support.figures import show
from tests.support.services import until


@dataclass
class Stage:
    """A core and an adapter on one platform."""

    core: CorePlatform
    adapter: Adapter

    async def campaign(self, quantity: int = 10_000) -> UUID:
        """A new internal campaign, active."""
        now = datetime.now(UTC)
        name = f"push {uuid4()}"
        campaign = campaign_id(PLATFORM, name)
        terms = Terms(
            name=name,
            currency="USD",
            discount=AmountOff(amount=500),
            validity=Validity(starts=now - timedelta(days=1), ends=now + timedelta(days=30)),
        )
        command = GenerateCampaign(terms=terms, supply=GeneratedSupply(), quantity=quantity)
        await self.core.done(command, campaign=campaign)
        return campaign

    async def issue(self, campaign: UUID, *users: str) -> dict[str, Any]:
        rows = tuple(IssueRow(user=user) for user in users)
        return await self.core.done(IssueCoupons(rows=rows), campaign=campaign)


@pytest.fixture(scope="module")
async def stage(
    databases: Databases, fresh_broker: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    async with (
        running_core(databases, fresh_broker.bootstrap, folder, told=False) as core,
        running_adapter(databases, fresh_broker.bootstrap, folder, core=core) as adapter,
    ):
        yield Stage(core, adapter)


def given(shop: DemoMerchant) -> dict[str, int]:
    """What the merchant did: applied, doubled, doubled coupons, recalls."""
    counts = shop.counts()
    deliveries = counts["deliveries"]
    return {name: deliveries[name] for name in ("applied", "doubled", "doubled_coupons")}


def once(applied: int) -> dict[str, int]:
    return {"applied": applied, "doubled": 0, "doubled_coupons": 0}


async def test_all_users_get_one_coupon_each_in_spite_of_a_500_and_a_time_out_after_the_work(
    stage: Stage, demo: Demo
) -> None:
    shop = demo("--users", "640")
    merchant = await stage.adapter.add_merchant(shop, page_size=500)
    await stage.adapter.sync(merchant)
    shop.plant("deliver", "500", nth=150)
    shop.plant("deliver", "timeout_after_apply", nth=320, seconds=30)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, confirmed=640)
    assert given(shop) == once(640)
    assert (await stage.core.read(f"/campaigns/{campaign}"))["issued"] == 640
    events = [event for event in await stage.adapter.events(merchant) if isinstance(event, DeliveryChanged)]
    confirmed = [event for event in events if event.state == "confirmed"]
    assert len(confirmed) == len({event.delivery for event in confirmed}) == 640
    assert all(event.receipt for event in confirmed)
    assert sum(event.state == "unknown" for event in events) >= 100


async def test_holders_now_and_later_are_delivered_to(stage: Stage, demo: Demo) -> None:
    shop = demo("--users", "10")
    users = [f"user-{number:07}" for number in range(1, 8)]
    merchant = await stage.adapter.add_merchant(shop)
    campaign = await stage.campaign()
    await stage.issue(campaign, *users[:3])
    await stage.adapter.push(merchant, campaign, "holders")
    await stage.adapter.until_counts(campaign, confirmed=3)
    await stage.issue(campaign, *users[3:])
    await stage.adapter.until_counts(campaign, confirmed=7)
    assert given(shop) == once(7)


async def test_pushed_again_it_goes_to_users_who_came_since_and_to_nobody_twice(stage: Stage, demo: Demo) -> None:
    shop = demo("--users", "20")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, confirmed=20)
    put_user(shop, "0-first-of-all")
    put_user(shop, "zz-last-of-all")
    await stage.adapter.sync(merchant)
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, confirmed=22)
    assert given(shop) == once(22)
    assert (await stage.core.read(f"/campaigns/{campaign}"))["issued"] == 22


def put_user(shop: DemoMerchant, user: str) -> None:
    assert httpx.put(f"{shop.admin}/users/{user}", json={"attributes": {}}, trust_env=False).status_code == 204


async def test_a_user_the_merchant_does_not_know_is_dead_with_its_reason_and_can_be_redriven(
    stage: Stage, demo: Demo
) -> None:
    shop = demo("--users", "10")
    merchant = await stage.adapter.add_merchant(shop)
    campaign = await stage.campaign()
    await stage.issue(campaign, "nobody-there", "user-0000001")
    await stage.adapter.push(merchant, campaign, "holders")
    await stage.adapter.until_counts(campaign, confirmed=1, dead=1)
    (dead,) = (await stage.adapter.service.read("/deliveries", campaign=str(campaign), state="dead"))["deliveries"]
    assert dead["reason"] == "unknown_user"
    await stage.adapter.redrive(merchant, UUID(dead["id"]))

    async def tried_again() -> bool:
        again = await stage.adapter.service.read(f"/deliveries/{dead['id']}")
        return bool(again["state"] == "dead" and again["changes"] > dead["changes"])

    await until(tried_again)
    events = [event for event in await stage.adapter.events(merchant) if isinstance(event, DeliveryChanged)]
    assert [event.state for event in events if str(event.delivery) == dead["id"]] == ["dead", "dead"]


async def test_a_merchant_that_is_down_gets_everything_when_it_is_back(stage: Stage, demo: Demo) -> None:
    shop = demo("--users", "30")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    for _ in range(3):
        shop.plant("deliver", "503", retry_after=0)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, confirmed=30)
    assert given(shop) == once(30)


async def test_after_too_many_attempts_it_is_dead_and_a_redrive_keeps_its_key(stage: Stage, demo: Demo) -> None:
    shop = demo("--users", "3")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    shop.plant("deliver", "503", times=1_000, retry_after=0)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, 120, dead=3)
    shop.clear()
    await stage.adapter.redrive(merchant)
    await stage.adapter.until_counts(campaign, confirmed=3)
    assert given(shop) == once(3)


@pytest.mark.parametrize("fault", ["html", "missing_receipt", "500_after_apply", "drip"])
async def test_an_answer_that_is_none_is_looked_up_and_nothing_is_doubled(stage: Stage, demo: Demo, fault: str) -> None:
    shop = demo("--users", "12")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    shop.plant("deliver", fault)
    shop.plant("deliver", "forget_keys", times=100)  # a merchant who would double what is sent again
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, confirmed=12)
    assert given(shop) == once(12)


async def test_recalled_by_staff_the_merchant_gives_all_back_and_later_issues_are_not_delivered(
    stage: Stage, demo: Demo
) -> None:
    shop = demo("--users", "10")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, confirmed=10)
    shop.plant("recall", "500", nth=4)
    await stage.adapter.recall(merchant, campaign)
    await stage.adapter.until_counts(campaign, recalled=10)
    assert given(shop) == once(0)
    assert shop.counts()["recalls"] == 10
    await stage.issue(campaign, "user-0000001")
    await asyncio.sleep(1)
    assert await stage.adapter.counts(campaign) == {"recalled": 10}


async def test_a_voided_coupon_is_recalled_and_a_stopped_campaign_wholly(stage: Stage, demo: Demo) -> None:
    shop = demo("--users", "5")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, confirmed=5)
    page = await stage.core.read(f"/campaigns/{campaign}/coupons")
    voided = page["coupons"][0]
    await stage.core.done(void_one(voided), campaign=campaign)
    await stage.adapter.until_counts(campaign, confirmed=4, recalled=1)
    await stage.core.done(StopCampaign(reason="enough"), campaign=campaign)
    await stage.adapter.until_counts(campaign, recalled=5)
    assert given(shop) == once(0)


def void_one(coupon: dict[str, Any]) -> VoidCoupons:
    return VoidCoupons.model_validate({"coupons": [{"number": coupon["number"]}], "reason": "a mistake"})


async def test_a_suspended_merchant_is_sent_nothing_until_it_is_active_again(stage: Stage, demo: Demo) -> None:
    shop = demo("--users", "6")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    await stage.adapter.set_profile(merchant, shop, state="suspended")
    await stage.adapter.knows(merchant)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, pending=6)
    await asyncio.sleep(1)
    assert "deliver" not in shop.counts()["requests"]
    await stage.adapter.set_profile(merchant, shop)
    await stage.adapter.until_counts(campaign, confirmed=6)


async def test_wrong_credentials_stop_the_calls_until_staff_change_them(stage: Stage, demo: Demo) -> None:
    shop = demo("--users", "6")
    merchant = await stage.adapter.add_merchant(shop)
    await stage.adapter.sync(merchant)
    await stage.adapter.set_profile(merchant, shop, token="not-theirs")
    await stage.adapter.knows(merchant)
    campaign = await stage.campaign()
    await stage.adapter.push(merchant, campaign)
    await stage.adapter.until_counts(campaign, retrying=6)
    await asyncio.sleep(2)
    rows = await stage.adapter.fetch("SELECT trouble FROM merchant WHERE id = $1", merchant)
    assert "CredentialsRefused" in rows[0]["trouble"]
    assert (await stage.adapter.fetch("SELECT max(attempts) AS n FROM delivery WHERE merchant = $1", merchant))[0][
        "n"
    ] == 1
    await stage.adapter.set_profile(merchant, shop)
    await stage.adapter.until_counts(campaign, confirmed=6)


async def test_killed_after_the_merchant_answered_nothing_is_doubled_and_nothing_missed(
    stage: Stage, demo: Demo
) -> None:
    shop = demo("--users", "450")
    adapter = stage.adapter
    merchant = await adapter.add_merchant(shop, page_size=500)
    await adapter.sync(merchant)
    campaign = await stage.campaign()
    kills = 0
    adapter.service.processes[0].kill()
    adapter.service.start(0, SCRIP_FAILPOINTS="adapter.merchant_answered=kill@2;adapter.coupons_listed=kill@1")
    await adapter.service.wait_ready(0)
    await adapter.push(merchant, campaign)
    while kills < 3:
        process = adapter.service.processes[0].process
        assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL, adapter.logs()
        kills += 1
        adapter.service.start(0, **({} if kills == 3 else {"SCRIP_FAILPOINTS": "adapter.merchant_answered=kill@2"}))
    await adapter.service.wait_ready(0)
    await adapter.until_counts(campaign, 90, confirmed=450)
    reached = [line for line in adapter.service.failpoints_hit() if " kill " in line]
    show(f"killed at {reached}")
    assert given(shop) == once(450)
    confirmed = [
        event
        for event in await adapter.events(merchant)
        if isinstance(event, DeliveryChanged) and event.state == "confirmed"
    ]
    assert len({event.delivery for event in confirmed}) == 450
