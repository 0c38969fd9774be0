"""All reasons for which a code would not be accepted, and how each is brought about."""

from typing import Any

from contracts.commands import (
    CouponReference,
    PauseCampaign,
    RedeemCoupon,
    ReserveCoupon,
    ReturnCoupon,
    VoidCoupons,
)
from contracts.fields import Contract
from contracts.refusals import Refusal
from coupon_core import decide, work
from coupon_core.model import discount, eligibility, lifecycle
from coupon_core.operations import finding, redeem, stock

MARCH = {"starts": "2026-03-01", "ends": "2026-03-31"}
FIRST = CouponReference(number=1)
CARD = {"discount": {"kind": "gift_card", "balance": 5_000}}
DECIDED = {"discount": {"kind": "merchant_decided", "cap": 2_500}}
USED = RedeemCoupon(coupon=FIRST, amount=2_000)


def at_redeem(expression: str, **attributes: str) -> dict[str, Any]:
    return {"eligibility": {"expression": expression, "attributes": attributes, "applies_at": "redeem"}}


HELD: dict[str, tuple[dict[str, Any], list[Contract], dict[str, Any]]] = {
    "coupon_already_redeemed": ({}, [USED], {}),
    "coupon_reserved": ({}, [ReserveCoupon(coupon=FIRST, order="other")], {}),
    "coupon_voided": ({}, [VoidCoupons(coupons=(FIRST,), reason="r")], {}),
    "coupon_burned": ({"return_policy": "burned"}, [USED, ReturnCoupon(coupon=FIRST, reason="r")], {}),
    "campaign_not_active": ({}, [PauseCampaign(reason="r")], {}),
    "campaign_not_started": ({"validity": MARCH | {"starts": "2026-03-11"}}, [], {}),
    "coupon_not_yet_usable": ({"validity": MARCH | {"waiting_days": 5}}, [], {}),
    "outside_hours": ({"validity": MARCH | {"weekly": [{"days": ["sat", "sun"]}]}}, [], {}),
    "no_hours_left": ({"validity": MARCH | {"irregular": [{"starts": "2026-03-01", "ends": "2026-03-09"}]}}, [], {}),
    "not_eligible": (at_redeem("user == 'b'"), [], {}),
    "eligibility_failed": (at_redeem("100 / age > 3", age="int"), [], {"attributes": {"age": 0}}),
    "attribute_missing": (at_redeem("age >= 18", age="int"), [], {}),
    "attribute_mismatch": (at_redeem("age >= 18", age="int"), [], {"attributes": {"age": "old"}}),
    "attribute_not_expected": ({}, [], {"attributes": {"age": 20}}),
    "not_this_users_coupon": ({}, [], {"user": "b", "actor": "staff:anna"}),
    "minimum_spend_not_met": ({}, [], {}),
    "order_amount_required": ({}, [], {"amount": None}),
    "discount_required": (DECIDED, [], {}),
    "discount_above_amount": (DECIDED, [], {"amount": 1_500, "discount": 2_000}),
    "discount_above_cap": (DECIDED, [], {"discount": 3_000}),
    "discount_not_expected": ({}, [], {"discount": 100}),
    "balance_too_low": (CARD, [], {"discount": 6_000}),
    "nothing_to_pay": (CARD, [], {"discount": 0}),
    "item_required": ({"discount": {"kind": "free_item", "item": "tea"}}, [], {}),
}
"""By reason: terms of its campaign, what is done to the coupon, what is asked."""
UPLOADED: dict[str, dict[str, Any]] = {
    "coupon_not_received": {"validity": MARCH | {"waiting_days": 1}},
    "campaign_exhausted": {"quantity": 1},
    "budget_exhausted": {"budget": 500},
}
"""Reasons against a code that nobody holds: terms of its campaign, of which one coupon was issued."""
ELSEWHERE = {"coupon_expired", "too_many_redemptions", "merchant_not_active"}
ENDS = {"campaign_not_found", "coupon_not_found"}
"""After these nothing more can be said."""
NEVER_MET = {
    *("clock_not_set", "not_allowed", "idempotency_conflict"),
    *("amount_not_expected", "coupon_not_reserved", "coupon_not_redeemed", "eligibility_invalid"),
    *("campaign_exists", "campaign_over", "campaign_state_forbids", "code_taken"),
}
"""Refusals of other operations in the same modules, and of commands that are never such a question."""


def of_a_redemption() -> set[str]:
    """Every refusal that the modules know which decide a redemption, but for those it is never met with."""
    modules = (decide, work, discount, eligibility, lifecycle, finding, redeem, stock)
    known = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {each.code for each in known if issubclass(each, Refusal) and each is not Refusal} - NEVER_MET
