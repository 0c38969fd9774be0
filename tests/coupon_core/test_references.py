"""A coupon named by number, code or user is the same coupon, with all that became of it, in whatever batch."""

import pytest

from contracts.commands import ClaimCoupon, CouponReference, GenerateCampaign, RedeemCoupon, ReturnCoupon
from tests.coupon_core.one_campaign import Lanes
from tests.support.campaigns import terms

PATTERN = {"prefix": "GIFT-", "charset": "digits", "length": 9}


async def claimed(lanes: Lanes, supply: dict[str, object], **changes: object) -> str:
    """A campaign of which a user holds number 1; its code."""
    generate = {"terms": terms(**changes), "supply": {"kind": "generated", **supply}, "quantity": 10}
    _, claim = await lanes.answers(GenerateCampaign.model_validate(generate), ClaimCoupon(user="u"))
    assert claim.result is not None
    return str(claim.result["code"])


SUPPLIES = pytest.mark.parametrize("supply", [{}, {"pattern": PATTERN}], ids=["serials", "pattern"])


@SUPPLIES
async def test_a_card_used_in_part_is_given_back_by_its_code(lanes: Lanes, supply: dict[str, object]) -> None:
    code = await claimed(lanes, supply, discount={"kind": "gift_card", "balance": 5_000})
    card = CouponReference(code=code.lower())
    await lanes.answers(RedeemCoupon(coupon=card, amount=1_000))
    (returned,) = await lanes.answers(ReturnCoupon(coupon=card, reason="unwanted"))
    assert returned.result is not None, returned
    assert (returned.result["state"], returned.result["balance"]) == ("held", 5_000)


@SUPPLIES
async def test_the_other_redemption_stands_when_one_is_given_back_by_the_code(
    lanes: Lanes, supply: dict[str, object]
) -> None:
    coupon = CouponReference(code=await claimed(lanes, supply, uses=2, return_policy="burned"))
    await lanes.answers(RedeemCoupon(coupon=coupon, amount=1_000))
    await lanes.answers(RedeemCoupon(coupon=coupon, amount=1_000))
    (returned,) = await lanes.answers(ReturnCoupon(coupon=coupon, reason="unwanted"))
    assert returned.result is not None, returned
    assert (returned.result["redemption"], returned.result["state"]) == (2, "redeemed")
