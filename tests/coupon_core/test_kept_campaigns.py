"""Between two batches a lane keeps its campaigns: what the tables hold, and nothing of a batch that failed."""

import pytest

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
from tests.coupon_core.one_campaign import CAMPAIGN, LANE, Lanes
from tests.support.campaigns import terms


def kept(lanes: Lanes) -> dict[str, object]:
    return fields(lanes.stored.lanes[LANE].kept[CAMPAIGN])


async def row(lanes: Lanes) -> dict[str, object]:
    (campaign,) = await campaign_rows.campaigns_by_id(lanes.stored.connection, [CAMPAIGN])
    return fields(campaign)


def fields(campaign: Campaign) -> dict[str, object]:
    """All of a campaign but the block it makes codes of, which stands in no row of its own."""
    return {name: getattr(campaign, name) for name in Campaign.__slots__ if name != "block"}


async def test_what_is_kept_is_what_the_row_holds(lanes: Lanes) -> None:
    coupons = [CouponReference(number=number) for number in (1, 2, 3)]
    budgeted = terms(budget=5_000, per_day_limit=100, metadata={"b": "2", "a": "1"}, low_pool_at=2)
    for batch in (
        [GenerateCampaign(terms=budgeted, quantity=5)],
        [ClaimCoupon(user="ann"), ClaimCoupon(user="bob")],
        [RedeemCoupon(coupon=coupons[0], amount=2_000), ReserveCoupon(coupon=coupons[1], order="o")],
        [PauseCampaign(reason="a look")],
        [ResumeCampaign(), ClaimCoupon(user="cyd")],
        [AmendCampaign.model_validate({"terms": {"name": "Autumn"}}), ClaimCoupon(user="dan")],
        [RedeemCoupon(coupon=coupons[2], amount=2_000)],
        [VoidCampaign(reason="over")],
    ):
        await lanes.done(*batch)
        assert kept(lanes) == await row(lanes)


async def test_the_next_batch_reads_neither_the_campaign_nor_its_block(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lanes.done(GenerateCampaign(terms=terms(), quantity=100))
    await lanes.done(ClaimCoupon(user="ann"))
    monkeypatch.delattr(campaign_rows, "campaigns_by_id")
    monkeypatch.delattr(code_rows, "blocks_at")
    assert await lanes.done(ClaimCoupon(user="bob"), ClaimCoupon(user="cyd")) == [f"{CAMPAIGN}.2", f"{CAMPAIGN}.3"]


async def test_of_a_batch_that_failed_nothing_is_kept(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    await lanes.done(GenerateCampaign(terms=terms(), quantity=100))
    await lanes.done(ClaimCoupon(user="ann"))
    lanes.append(ClaimCoupon(user="bob"))

    async def broken(connection: object, work: Work) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(deciding, "write_rest", broken)
        with pytest.raises(ConnectionError):
            await lanes.stored.decide(1)
    assert CAMPAIGN not in lanes.stored.lanes[LANE].kept
    await lanes.stored.decide(1)
    assert [reply.result and reply.result["coupon"] for reply in lanes.stored.heard] == [f"{CAMPAIGN}.2"]
    assert kept(lanes) == await row(lanes)


async def test_who_owned_the_lane_before_leaves_nothing_to_its_next_owner(lanes: Lanes) -> None:
    await lanes.done(GenerateCampaign(terms=terms(), quantity=100))
    await lanes.done(ClaimCoupon(user="ann"))
    before = lanes.stored.lanes[LANE]
    await lanes.stored.take_over()
    assert lanes.stored.lanes[LANE] is not before
    assert lanes.stored.lanes[LANE].kept == {}
    assert await lanes.done(ClaimCoupon(user="bob")) == [f"{CAMPAIGN}.2"]
