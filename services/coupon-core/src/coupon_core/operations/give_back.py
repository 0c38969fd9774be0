"""Return: undo a redemption. The campaign's policy says what becomes of the coupon."""

from __future__ import annotations

from typing import Any

from contracts.commands import ReturnCoupon
from contracts.events import CouponBurned, CouponReturned
from contracts.refusals import CouponNotRedeemed, RedemptionNotLatest
from coupon_core.model.campaign import BURNED, HELD, REDEEMED, RESERVED, STATE_NAMES
from coupon_core.model.lifecycle import allow_coupon
from coupon_core.model.refused import Refused
from coupon_core.operations.finding import Bearer, find, settle
from coupon_core.operations.redeem import redeemable_campaign
from coupon_core.work import Call


def give_back(call: Call) -> dict[str, Any]:
    """redeemed → held (usable again; expires at once when its time is over) or burned, with reason and actor."""
    command: ReturnCoupon = call.command
    campaign = redeemable_campaign(call)
    found = find(call, campaign, command.coupon, (REDEEMED, HELD, RESERVED))
    coupon_id = f"{campaign.text}.{found.number}"
    if isinstance(found, Bearer):
        raise Refused(CouponNotRedeemed(coupon=coupon_id, state="not held"), found.number)
    allow_coupon(campaign, found, "return")
    if command.redemption is not None and command.redemption != found.redemptions:
        raise Refused(RedemptionNotLatest(latest=found.redemptions), found.number)
    row = call.work.redemptions[campaign.number, found.number][-1]
    row.returned_at, row.return_reason, row.changed = call.now, command.reason, True
    policy = campaign.terms.return_policy
    over = call.now >= campaign.ends or campaign.state == "stopped"
    recorder = call.work.recorder(campaign)
    fields = {
        "coupon": found.number,
        "user": found.user,
        "redemption": found.redemptions,
        "reason": command.reason,
    }
    if policy == "burned" or (policy == "usable_if_not_expired" and over) or campaign.state == "stopped":
        campaign.move(found, BURNED)
        recorder.coupon_event(call.cause, found.number, CouponBurned.model_validate(fields))
    else:
        campaign.move(found, HELD)
        recorder.coupon_event(call.cause, found.number, CouponReturned.model_validate(fields))
        settle(call, campaign, found)
    return {"coupon": coupon_id, "redemption": found.redemptions, "state": STATE_NAMES[found.state]}
