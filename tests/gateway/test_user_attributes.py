"""Whose commands get users' attributes: of those alone who may give or take coupons of the campaign."""

from typing import Any, cast
from uuid import uuid4

import pytest

from contracts.commands import ClaimCoupon, CouponReference, IssueRow, RedeemCoupon
from contracts.fields import PLATFORM
from gateway.core_client import CoreClient
from gateway.service_client import ServiceClient
from gateway.user_attributes import UserAttributes

OWNER, SENDER, REDEEMER, STRANGER = (str(uuid4()) for _ in range(4))


class Core:
    """Knows one campaign, of which one coupon is held by ann."""

    async def campaign(self, campaign: Any, party: str | None) -> dict[str, Any]:
        rule = {"expression": "age >= 18", "attributes": {"age": "int"}, "applies_at": "both", "users_of": None}
        terms = {"eligibility": rule, "senders": [SENDER], "redeemable_by": [REDEEMER]}
        return {"owner": OWNER, "terms": terms}


class Adapter:
    """Knows how old everybody is, and remembers who was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def post(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(path)
        return {"users": {user: {"age": 30} for user in question["users"]}}


@pytest.mark.parametrize(
    ("party", "looked_up"),
    [(OWNER, True), (SENDER, True), (REDEEMER, True), (STRANGER, False), (PLATFORM, False)],
    ids=["owner", "sender", "redeemer", "stranger", "platform"],
)
async def test_users_are_looked_up_for_who_may_give_or_take_coupons_and_for_nobody_else(
    party: str, looked_up: bool
) -> None:
    adapter = Adapter()
    attributes = UserAttributes(cast("CoreClient", Core()), cast("ServiceClient", adapter))
    campaign = uuid4()
    by_name = RedeemCoupon(coupon=CouponReference(code="X", user="ann"))
    for command in (ClaimCoupon(user="ann"), by_name):
        completed = await attributes.completed(command, campaign, party)
        assert (getattr(completed, "attributes", None) == {"age": 30}) is looked_up
    ((_, row),) = await attributes.completed_rows([(0, IssueRow(user="ann"))], campaign, party)
    assert (row.attributes == {"age": 30}) is looked_up
    assert bool(adapter.asked) is looked_up
    assert set(adapter.asked) <= {f"/merchants/{OWNER}/attributes"}
