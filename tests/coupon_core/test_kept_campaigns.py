"""Between two batches a lane keeps its campaigns: what the tables hold, and nothing of a batch that failed."""

from collections.abc import Sequence

import pytest

from contracts.answers import Reply
from contracts.commands import (
    AmendCampaign,
    ClaimCoupon,
    CouponReference,
    GenerateCampaign,
    PauseCampaign,
    RedeemCoupon,
    ReserveCoupon,
    ResumeCampaign,
    VoidCampaign,
)
from coupon_core.lanes import deciding
from coupon_core.model.campaign import Campaign
from coupon_core.storage import campaigns as campaign_rows
from coupon_core.storage import codes as code_rows
from coupon_core.work import Work
from tests.coupon_core.one_lane import CAMPAIGN, LANE, OneLane
from tests.support.campaigns import terms


def fields(campaign: Campaign) -> dict[str, object]:
    """All of a campaign but the block it makes codes of, which stands in no row of its own."""
    return {name: getattr(campaign, name) for name in Campaign.__slots__ if name != "block"}


def kept(lane: OneLane) -> dict[str, object]:
    return fields(lane.stored.lanes[LANE].kept[CAMPAIGN])


def coupons(replies: Sequence[Reply]) -> list[str]:
    return [str((reply.result or {})["coupon"]) for reply in replies]


async def test_what_is_kept_is_what_the_row_holds(lane: OneLane) -> None:
    first, second, third = (CouponReference(number=number) for number in (1, 2, 3))
    budgeted = terms(budget=5_000, per_day_limit=100, metadata={"b": "2", "a": "1"}, low_pool_at=2)
    for batch in (
        [GenerateCampaign(terms=budgeted, quantity=5)],
        [ClaimCoupon(user="ann"), ClaimCoupon(user="bob")],
        [RedeemCoupon(coupon=first, amount=2_000), ReserveCoupon(coupon=second, order="o")],
        [PauseCampaign(reason="a look")],
        [ResumeCampaign(), ClaimCoupon(user="cyd")],
        [AmendCampaign.model_validate({"terms": {"name": "Autumn"}}), ClaimCoupon(user="dan")],
        [RedeemCoupon(coupon=third, amount=2_000)],
        [VoidCampaign(reason="over")],
    ):
        await lane.done(*batch)
        assert kept(lane) == fields(await lane.campaign())


async def test_the_next_batch_reads_neither_the_campaign_nor_its_block(
    lane: OneLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lane.done(GenerateCampaign(terms=terms(), quantity=100))
    await lane.done(ClaimCoupon(user="ann"))
    monkeypatch.delattr(campaign_rows, "campaigns_by_id")
    monkeypatch.delattr(code_rows, "blocks_at")
    claimed = await lane.done(ClaimCoupon(user="bob"), ClaimCoupon(user="cyd"))
    assert coupons(claimed) == [f"{CAMPAIGN}.2", f"{CAMPAIGN}.3"]


async def test_of_a_batch_that_failed_nothing_is_kept(lane: OneLane, monkeypatch: pytest.MonkeyPatch) -> None:
    await lane.done(GenerateCampaign(terms=terms(), quantity=100))
    await lane.done(ClaimCoupon(user="ann"))
    lane.append(ClaimCoupon(user="bob"))

    async def broken(connection: object, work: Work) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(deciding, "write_rest", broken)
        with pytest.raises(ConnectionError):
            await lane.stored.decide(1)
    assert CAMPAIGN not in lane.stored.lanes[LANE].kept
    await lane.stored.decide(1)
    assert coupons(lane.stored.heard) == [f"{CAMPAIGN}.2"]
    assert kept(lane) == fields(await lane.campaign())


async def test_who_owned_the_lane_before_leaves_nothing_to_its_next_owner(lane: OneLane) -> None:
    await lane.done(GenerateCampaign(terms=terms(), quantity=100))
    await lane.done(ClaimCoupon(user="ann"))
    before = lane.stored.lanes[LANE]
    await lane.stored.take_over()
    assert lane.stored.lanes[LANE] is not before
    assert lane.stored.lanes[LANE].kept == {}
    assert coupons(await lane.done(ClaimCoupon(user="bob"))) == [f"{CAMPAIGN}.2"]
