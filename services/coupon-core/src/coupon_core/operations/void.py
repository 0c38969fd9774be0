"""Void: take coupons out of life, with reason and actor; one by one, or a whole campaign in slices."""

from __future__ import annotations

from typing import Any

from contracts.commands import VoidCampaign, VoidCoupons
from contracts.events import CouponVoided
from coupon_core.model.campaign import HELD, REDEEMED, RESERVED, VOIDED, Campaign, Coupon
from coupon_core.model.lifecycle import allow_coupon
from coupon_core.model.refused import Refused
from coupon_core.operations.continuing import continue_campaign
from coupon_core.operations.finding import Bearer, find, redeemed_at, settle
from coupon_core.operations.manage import note_exhausted
from coupon_core.operations.redeem import take_bearer
from coupon_core.work import Call


def _void(call: Call, campaign: Campaign, coupon: Coupon, reason: str) -> None:
    campaign.move(coupon, VOIDED)
    coupon.reserved_order = coupon.due_at = coupon.reserved_units = None
    call.work.recorder(campaign).coupon_event(
        call.cause, coupon.number, CouponVoided(coupon=coupon.number, user=coupon.user, reason=reason)
    )


def void(call: Call) -> dict[str, Any]:
    """Void the coupons named; each row has its own result."""
    command: VoidCoupons = call.command
    campaign = call.own_campaign()
    rows: list[dict[str, Any]] = []
    refused = 0
    for index, reference in enumerate(command.coupons):
        try:
            found = find(call, campaign, reference, (HELD, RESERVED, REDEEMED))
            if isinstance(found, Bearer):
                found = take_bearer(call, campaign, found, None)
            settle(call, campaign, found)
            allow_coupon(campaign, found, "void", redeemed_at=redeemed_at(call.work, found))
        except Refused as no:
            refused += 1
            refusal = call.refuse_row(index, no.refusal, user=reference.user, coupon=no.coupon)
            rows.append({"row": index, "refusal": refusal})
            continue
        _void(call, campaign, found, command.reason)
        rows.append({"row": index, "coupon": f"{campaign.text}.{found.number}"})
    note_exhausted(call, campaign)
    return {"campaign": campaign.text, "accepted": len(rows) - refused, "refused": refused, "rows": rows}


def void_campaign(call: Call) -> dict[str, Any]:
    """Void the next slice of what is held or reserved, in order of number; goes on as a continuation."""
    command: VoidCampaign = call.command
    campaign = call.own_campaign()
    due = call.work.due
    coupons = due.parts[0][1] if due is not None else []
    for coupon in coupons:
        settle(call, campaign, coupon)
        if coupon.state in (HELD, RESERVED):
            _void(call, campaign, coupon, command.reason)
    note_exhausted(call, campaign)
    more = due is not None and due.more
    if more:
        last = coupons[-1].number
        continue_campaign(call, campaign, VoidCampaign(reason=command.reason, after=last), last)
    return {"campaign": campaign.text, "accepted": len(coupons), "more": more}
