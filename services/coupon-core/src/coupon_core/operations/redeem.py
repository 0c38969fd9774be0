"""Redeem, reserve and release."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from contracts.commands import RedeemCoupon, ReleaseCoupon, ReserveCoupon
from contracts.events import CouponRedeemed, CouponReserved
from contracts.refusals import CampaignExhausted, CampaignNotFound, CampaignNotStarted, CouponNotReserved
from coupon_core.model.campaign import HELD, REDEEMED, RESERVED, Campaign, Coupon
from coupon_core.model.discount import discount_of
from coupon_core.model.lifecycle import CouponOperation, allow, allow_coupon
from coupon_core.model.recording import instant
from coupon_core.model.refused import Refused
from coupon_core.operations.finding import Bearer, find, redeemed_at, release, settle
from coupon_core.operations.manage import note_exhausted
from coupon_core.work import Call, Redemption

USABLE = (HELD, RESERVED, REDEEMED)


def redeemable_campaign(call: Call) -> Campaign:
    """The campaign, for parties at which its coupons may be used."""
    campaign = call.campaign()
    if call.party != campaign.owner and call.party not in campaign.terms.redeemable_by:
        raise Refused(CampaignNotFound())
    return campaign


def check_usable(call: Call, campaign: Campaign, coupon: Coupon, operation: CouponOperation, order: str | None) -> None:
    """Refuse by name unless the coupon may be used now, by this order.

    Raises:
        Refused: the state of the coupon or of its campaign, or the time, forbids it.
    """
    allow_coupon(campaign, coupon, operation, order=order, redeemed_at=redeemed_at(call.work, coupon))
    check_open(call, campaign, coupon.number)


def check_open(call: Call, campaign: Campaign, number: int) -> None:
    """Refuse unless the campaign lets its coupons be used now."""
    allow(campaign, "use", call.now, number)
    if call.now < campaign.starts:
        raise Refused(CampaignNotStarted(starts=campaign.starts), number)


def redeem(call: Call) -> dict[str, Any]:
    """Consume a coupon. One redemption per use, whatever is sent how often."""
    command: RedeemCoupon = call.command
    campaign = redeemable_campaign(call)
    found = find(call, campaign, command.coupon, USABLE, command.order)
    if isinstance(found, Coupon):
        settle(call, campaign, found)
        check_usable(call, campaign, found, "redeem", command.order)
    else:
        check_open(call, campaign, found.number)
    discount = discount_of(campaign.terms, command.amount)
    if isinstance(found, Bearer):
        found = take_bearer(call, campaign, found, command.coupon.user)
    campaign.move(found, REDEEMED)
    found.reserved_order = found.due_at = None
    found.redemptions += 1
    row = Redemption(
        campaign.number,
        found.number,
        found.redemptions,
        command.order,
        command.amount,
        discount,
        call.party,
        call.record.actor,
        call.now,
        call.record.id,
        new=True,
    )
    call.work.redemptions.setdefault((campaign.number, found.number), []).append(row)
    call.work.recorder(campaign).coupon_event(
        call.cause,
        found.number,
        CouponRedeemed(
            coupon=found.number,
            user=found.user,
            redemption=found.redemptions,
            order=command.order,
            amount=command.amount,
            discount=discount,
            currency=campaign.terms.currency,
            at_party=call.party,
        ),
    )
    note_exhausted(call, campaign)
    payable = None if command.amount is None or discount is None else command.amount - discount
    return {
        "coupon": f"{campaign.text}.{found.number}",
        "redemption": found.redemptions,
        "user": found.user,
        "order": command.order,
        "amount": command.amount,
        "discount": discount,
        "payable": payable,
        "currency": campaign.terms.currency,
        "redeemed_at": instant(call.now),
    }


def take_bearer(call: Call, campaign: Campaign, bearer: Bearer, user: str | None) -> Coupon:
    """A coupon for a code nobody held: counted as issued now; per-user limits do not apply to it."""
    if bearer.uploaded is None:
        campaign.exported -= 1
    else:
        room = campaign.room()
        if room is not None and room <= 0:
            raise Refused(CampaignExhausted(quantity=campaign.quantity or 0))
        bearer.uploaded.taken = True
        campaign.available -= 1
        call.work.taken_codes.append((campaign.number, bearer.number))
        free = call.work.free_codes.get(campaign.number)
        if free is not None:
            free[:] = [code for code in free if code.position != bearer.number]
    coupon = Coupon(campaign.number, bearer.number, user, HELD, 0, call.now, bearer.code)
    campaign.add(HELD)
    call.work.add_coupon(campaign, coupon)
    return coupon


def reserve(call: Call) -> dict[str, Any]:
    """Hold a coupon for an order; the same order may extend its own hold."""
    command: ReserveCoupon = call.command
    campaign = redeemable_campaign(call)
    found = find(call, campaign, command.coupon, USABLE, command.order)
    if isinstance(found, Coupon):
        settle(call, campaign, found)
        check_usable(call, campaign, found, "reserve", command.order)
    else:
        check_open(call, campaign, found.number)
        found = take_bearer(call, campaign, found, command.coupon.user)
    until = min(call.now + timedelta(seconds=command.seconds), campaign.ends)
    campaign.move(found, RESERVED)
    found.reserved_order, found.due_at = command.order, until
    if campaign.next_due is None or until < campaign.next_due:
        call.work.set_due(campaign, until)
    note_exhausted(call, campaign)
    call.work.recorder(campaign).coupon_event(
        call.cause,
        found.number,
        CouponReserved(coupon=found.number, user=found.user, order=command.order, until=until),
    )
    return {"coupon": f"{campaign.text}.{found.number}", "order": command.order, "until": instant(until)}


def release_coupon(call: Call) -> dict[str, Any]:
    """Give a reserved coupon back; only the order that holds it may."""
    command: ReleaseCoupon = call.command
    campaign = redeemable_campaign(call)
    found = find(call, campaign, command.coupon, USABLE, command.order)
    coupon_id = f"{campaign.text}.{found.number}"
    if isinstance(found, Bearer):
        raise Refused(CouponNotReserved(coupon=coupon_id, state="not held"), found.number)
    settle(call, campaign, found)
    allow_coupon(campaign, found, "release", order=command.order)
    release(call.work, call.cause, campaign, found, "released")
    return {"coupon": coupon_id, "state": "held"}
