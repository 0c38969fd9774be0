"""Campaigns and coupons for tests, in as few words as possible."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from contracts.campaigns import Terms
from contracts.commands import (
    CouponReference,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PublishCampaign,
    RedeemCoupon,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id, split_coupon_id
from tests.support.core import CorePlatform

DOCUMENT: dict[str, Any] = {
    "name": "Spring",
    "currency": "EUR",
    "discount": {"kind": "amount_off", "amount": 500},
    "validity": {"starts": "2026-03-01", "ends": "2026-03-31"},
}


def terms(**changes: Any) -> Terms:
    """Five euros off in March 2026, with changes."""
    return Terms.model_validate_json(json.dumps(DOCUMENT | changes))


async def generated(
    core: CorePlatform, name: str, quantity: int = 1_000, *, party: str = PLATFORM, **changes: Any
) -> UUID:
    """A campaign with generated codes; its id."""
    campaign = campaign_id(party, name)
    command = GenerateCampaign(terms=terms(name=name, **changes), quantity=quantity)
    await core.done(command, campaign=campaign, party=party)
    return campaign


async def published(
    core: CorePlatform, name: str, supply: dict[str, Any], *, party: str, quantity: int | None = None, **changes: Any
) -> UUID:
    """A merchant's own campaign; its id."""
    campaign = campaign_id(party, name)
    command = PublishCampaign.model_validate(
        {"terms": terms(name=name, **changes), "supply": supply, "quantity": quantity}
    )
    await core.done(command, campaign=campaign, party=party)
    return campaign


async def issue(
    core: CorePlatform, campaign: UUID, users: Sequence[str], *, party: str = PLATFORM, codes: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """A coupon to each user; the rows of the answer, all accepted."""
    given: Sequence[str | None] = codes or [None] * len(users)
    rows = tuple(IssueRow(user=user, code=code) for user, code in zip(users, given, strict=True))
    result = await core.done(IssueCoupons(rows=rows), campaign=campaign, party=party)
    assert result["refused"] == 0, result
    issued: list[dict[str, Any]] = result["rows"]
    return issued


async def redeem(
    core: CorePlatform, coupon: str, *, party: str = PLATFORM, order: str | None = None, **arguments: Any
) -> dict[str, Any]:
    """Redeem a coupon by its id for an order of 20 euros; the result."""
    campaign, number = split_coupon_id(coupon)
    command = RedeemCoupon(coupon=CouponReference(number=number), order=order, amount=2_000)
    return await core.done(command, campaign=campaign, party=party, **arguments)
