"""Return: undo a redemption, wholly or in part. The campaign's policy says what becomes of the coupon."""

from __future__ import annotations

from typing import Any, Literal

from contracts.commands import ReturnCoupon
from contracts.events import CouponBurned, CouponRefunded, CouponReturned
from contracts.refusals import (
    CouponNotRedeemed,
    PartialReturnImpossible,
    RedemptionAlreadyReturned,
    RedemptionNotFound,
    ReturnAboveRedeemed,
)
from coupon_core.model.campaign import BURNED, HELD, REDEEMED, RESERVED, STATE_NAMES, Campaign, Coupon, Redemption
from coupon_core.model.lifecycle import allow_coupon
from coupon_core.model.refused import Refused
from coupon_core.operations.finding import Bearer, find, settle
from coupon_core.operations.redeem import redeemable_campaign, what_is_left
from coupon_core.operations.stock import note_exhausted
from coupon_core.work import Call

Lapse = Literal["policy", "over", "budget"]


def give_back(call: Call) -> dict[str, Any]:
    """Give a redemption back, with reason and actor: the coupon has its use or amount again, or that lapses.

    redeemed → held (and expires at once when its time is over) or burned; a coupon of which something is left, or
    whose life is over, stays in its state. Never more is given back than was redeemed.
    """
    command: ReturnCoupon = call.command
    campaign = redeemable_campaign(call)
    found = find(call, campaign, command.coupon, (REDEEMED, HELD, RESERVED))
    coupon_id = campaign.coupon_id(found.number)
    if isinstance(found, Bearer):
        raise Refused(CouponNotRedeemed(coupon=coupon_id, state="not held"), found.number)
    settle(call, campaign, found)
    allow_coupon(campaign, found, "return")
    rows = call.work.redemptions.get((campaign.number, found.number), [])
    row = _redemption(rows, found, coupon_id, command.redemption)
    amount = _amount(campaign, row, command.amount)
    units = amount if campaign.gift else 1
    lapse = _lapse(call, campaign, found, units, amount)

    row.returned = (row.returned or 0) + amount
    row.restored = (row.restored or 0) + (0 if lapse else units)
    row.return_reason, row.changed = command.reason, True
    if row.left() == 0:
        row.returned_at = call.now
    if campaign.budget is not None:
        campaign.budget_spent -= amount
        campaign.changed = True
    if lapse is None:
        campaign.restore(found, units)
    what = {
        "coupon": found.number,
        "user": found.user,
        "redemption": row.number,
        "reason": command.reason,
        "amount": amount,
    }
    recorder = call.work.recorder(campaign)
    if lapse is None and found.state == REDEEMED:
        campaign.move(found, HELD)
        found.due_at = campaign.own_end(found)
        if found.due_at is not None:
            call.work.note_due(campaign, found.due_at)
        recorder.coupon_event(call.cause, found.number, CouponReturned.model_validate(what))
        settle(call, campaign, found)
    elif lapse is not None and found.state == REDEEMED and all(each.returned_at is not None for each in rows):
        campaign.move(found, BURNED)
        recorder.coupon_event(call.cause, found.number, CouponBurned.model_validate({**what, "why": lapse}))
    else:
        fields = {**what, "state": STATE_NAMES[found.state], "restored": lapse is None}
        recorder.coupon_event(call.cause, found.number, CouponRefunded.model_validate(fields))
    note_exhausted(call, campaign)
    return {
        "coupon": coupon_id,
        "redemption": row.number,
        "state": STATE_NAMES[found.state],
        "amount": amount,
        "restored": lapse is None,
        **what_is_left(campaign, found),
    }


def _redemption(rows: list[Redemption], coupon: Coupon, coupon_id: str, number: int | None) -> Redemption:
    """The redemption meant: the one named, else the latest that was not returned. Raises Refused."""
    if number is None or not rows:
        for row in reversed(rows):
            if row.returned_at is None:
                return row
        raise Refused(CouponNotRedeemed(coupon=coupon_id, state=STATE_NAMES[coupon.state]), coupon.number)
    for row in rows:
        if row.number == number:
            if row.returned_at is not None:
                refusal = RedemptionAlreadyReturned(redemption=number, returned_at=row.returned_at)
                raise Refused(refusal, coupon.number)
            return row
    raise Refused(RedemptionNotFound(redemption=number, latest=coupon.redemptions), coupon.number)


def _amount(campaign: Campaign, row: Redemption, asked: int | None) -> int:
    """What of the discount is given back, in minor units. Raises Refused."""
    if asked is None:
        return row.left()
    if not campaign.gift:
        raise Refused(PartialReturnImpossible(kind=campaign.terms.discount.kind), row.coupon)
    if asked > row.left():
        raise Refused(ReturnAboveRedeemed(redemption=row.number, amount=asked, left=row.left()), row.coupon)
    return asked


def _lapse(call: Call, campaign: Campaign, coupon: Coupon, units: int, amount: int) -> Lapse | None:
    """Why the coupon does not get back what it gave; None: it does.

    A coupon that is usable again reserves its greatest discount again. Where the real one was smaller, the difference
    may be given away by now: the budget is never overspent, so the use lapses.
    """
    policy = campaign.terms.return_policy
    over = call.now >= campaign.span_of(coupon)[1] or campaign.state == "stopped"
    if policy == "burned":
        return "policy"
    if campaign.state == "stopped" or (policy == "usable_if_not_expired" and over):
        return "over"
    if coupon.state not in (HELD, RESERVED, REDEEMED):
        return "over"
    if campaign.budget is not None and not over and campaign.budget_left() + amount < units * campaign.unit_worth():
        return "budget"
    return None
