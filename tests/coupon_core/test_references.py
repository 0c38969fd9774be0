"""A coupon named by number, code or user is the same coupon, with all that became of it, in whatever batch."""

import pytest

from contracts.commands import (
    ClaimCoupon,
    CouponReference,
    ExportCodes,
    GenerateCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ReturnCoupon,
)
from contracts.fields import Contract
from tests.coupon_core.one_lane import CAMPAIGN, OneLane
from tests.support.campaigns import terms

PATTERN = {"prefix": "GIFT-", "charset": "digits", "length": 9}


async def claimed(lane: OneLane, supply: dict[str, object], **changes: object) -> str:
    """A campaign of which a user holds number 1; its code."""
    generate = {"terms": terms(**changes), "supply": {"kind": "generated", **supply}, "quantity": 10}
    _, claim = await lane.answers(GenerateCampaign.model_validate(generate), ClaimCoupon(user="u"))
    assert claim.result is not None
    return str(claim.result["code"])


SUPPLIES = pytest.mark.parametrize("supply", [{}, {"pattern": PATTERN}], ids=["serials", "pattern"])


@SUPPLIES
async def test_a_card_used_in_part_is_given_back_by_its_code(lane: OneLane, supply: dict[str, object]) -> None:
    code = await claimed(lane, supply, discount={"kind": "gift_card", "balance": 5_000})
    card = CouponReference(code=code.lower())
    await lane.answers(RedeemCoupon(coupon=card, amount=1_000))
    (returned,) = await lane.answers(ReturnCoupon(coupon=card, reason="unwanted"))
    assert returned.result is not None, returned
    assert (returned.result["state"], returned.result["balance"]) == ("held", 5_000)


@SUPPLIES
async def test_the_other_redemption_stands_when_one_is_given_back_by_the_code(
    lane: OneLane, supply: dict[str, object]
) -> None:
    coupon = CouponReference(code=await claimed(lane, supply, uses=2, return_policy="burned"))
    await lane.answers(RedeemCoupon(coupon=coupon, amount=1_000))
    await lane.answers(RedeemCoupon(coupon=coupon, amount=1_000))
    (returned,) = await lane.answers(ReturnCoupon(coupon=coupon, reason="unwanted"))
    assert returned.result is not None, returned
    assert (returned.result["redemption"], returned.result["state"]) == (2, "redeemed")


@pytest.mark.parametrize("most", [1, 1_000])
async def test_of_a_users_coupons_the_one_with_the_least_number_is_meant(lane: OneLane, most: int) -> None:
    """A code that left the platform before has a lower number than a coupon claimed since."""
    generate = GenerateCampaign(terms=terms(), quantity=10)
    _, exported = await lane.answers(generate, ExportCodes(count=1))
    assert exported.result is not None
    code = exported.result["codes"][0]["code"]
    commands: list[Contract] = [
        ClaimCoupon(user="u"),
        ReserveCoupon(coupon=CouponReference(code=code, user="u"), order="A"),
        ReleaseCoupon(coupon=CouponReference(code=code), order="A"),
        RedeemCoupon(coupon=CouponReference(user="u"), amount=2_000),
    ]
    batches = [commands[at : at + most] for at in range(0, len(commands), most)]
    replies = [reply for batch in batches for reply in await lane.answers(*batch)]
    redeemed = replies[-1].result
    assert redeemed is not None, replies
    assert redeemed["coupon"] == f"{CAMPAIGN}.1"
