"""Redeem, reserve and release."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from contracts.commands import RedeemCoupon, ReleaseCoupon, ReserveCoupon
from contracts.currencies import exponent_of
from contracts.events import CouponReserved
from contracts.refusals import (
    AmountNotExpected,
    BalanceTooLow,
    CampaignNotFound,
    CampaignNotStarted,
    CouponNotReceived,
    CouponNotReserved,
    CouponNotYetUsable,
    NoHoursLeft,
    OutsideHours,
    TooManyRedemptions,
)
from coupon_core.model.campaign import HELD, REDEEMED, RESERVED, STATE_NAMES, Campaign, Coupon, Redemption
from coupon_core.model.discount import discount_of
from coupon_core.model.eligibility import why_not_eligible
from coupon_core.model.hours import is_open, next_opening
from coupon_core.model.lifecycle import CouponOperation, allow, allow_coupon, free_units, none_left
from coupon_core.model.recording import instant
from coupon_core.model.refused import Refused
from coupon_core.model.worth import capacity
from coupon_core.operations.finding import Bearer, find, redeemed_at, release, settle
from coupon_core.operations.stock import note_exhausted, note_pool_low
from coupon_core.work import Call

USABLE = (HELD, RESERVED, REDEEMED)
MOST_REDEMPTIONS = 32_767
"""Of one coupon, returned ones included: what its row can count."""


def redeemable_campaign(call: Call) -> Campaign:
    """The campaign, for parties at which its coupons may be used."""
    campaign = call.campaign()
    if not campaign.redeemable_at(call.party):
        raise Refused(CampaignNotFound())
    return campaign


def check_usable(call: Call, campaign: Campaign, coupon: Coupon, operation: CouponOperation, order: str | None) -> None:
    """Refuse by name unless the coupon may be used now, by this order.

    Raises:
        Refused: the state of the coupon or of its campaign, or the time, forbids it.
    """
    allow_coupon(campaign, coupon, operation, order=order, redeemed_at=redeemed_at(call.work, coupon))
    check_open(call, campaign, coupon.number, coupon)


def check_open(call: Call, campaign: Campaign, number: int, coupon: Coupon | None = None) -> None:
    """Refuse unless the campaign lets this coupon be used now; None: one that nobody received yet."""
    allow(campaign, "use", call.now, number)
    if call.now < campaign.starts:
        raise Refused(CampaignNotStarted(starts=campaign.starts), number)
    if campaign.timed:
        _check_hours(call, campaign, number, coupon)


def _check_hours(call: Call, campaign: Campaign, number: int, coupon: Coupon | None) -> None:
    """Refuse while the coupon waits, and outside the hours in which it may be used."""
    validity, coupon_id = campaign.terms.validity, campaign.coupon_id(number)
    if coupon is None and validity.waiting_days:
        raise Refused(CouponNotReceived(coupon=coupon_id, waiting_days=validity.waiting_days), number)
    first, ends = (campaign.starts, campaign.ends) if coupon is None else campaign.span_of(coupon)
    if call.now < first:
        raise Refused(CouponNotYetUsable(coupon=coupon_id, usable_from=first), number)
    if not is_open(validity, call.now):
        again = next_opening(validity, call.now, ends)
        if again is None:
            raise Refused(NoHoursLeft(coupon=coupon_id, ends=ends), number)
        raise Refused(OutsideHours(coupon=coupon_id, next=again), number)


def redeem(call: Call) -> dict[str, Any]:
    """Use a coupon: whole, one of its uses, or a part of its balance. One redemption, whatever is sent how often."""
    command: RedeemCoupon = call.command
    campaign = redeemable_campaign(call)
    terms = campaign.terms
    found = find(call, campaign, command.coupon, USABLE, command.order)
    if isinstance(found, Coupon):
        settle(call, campaign, found)
        check_usable(call, campaign, found, "redeem", command.order)
        free = free_units(campaign, found, command.order)
        if found.redemptions >= MOST_REDEMPTIONS:
            raise Refused(TooManyRedemptions(most=MOST_REDEMPTIONS), found.number)
    else:
        check_open(call, campaign, found.number)
        free = capacity(terms)
    _check_rule(call, campaign, found)
    discount = discount_of(terms, command.amount, named=command.discount, items=command.items, balance=free)
    if isinstance(found, Bearer):
        found = take_bearer(call, campaign, found, command.coupon.user)
    campaign.use(found, discount if campaign.gift else 1, discount)
    partly = campaign.in_parts and campaign.left(found) > 0
    if not partly:
        campaign.move(found, REDEEMED)
    elif found.state == RESERVED and found.reserved_order == command.order:
        campaign.move(found, HELD)
    if found.state != RESERVED:
        found.reserved_order = found.reserved_units = None
        found.due_at = campaign.own_end(found) if partly else None
        if found.due_at is not None:
            call.work.note_due(campaign, found.due_at)  # of a bearer's coupon nobody noted it yet
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
    recorder, left = call.work.recorder(campaign), what_is_left(campaign, found)
    if partly:
        recorder.used(call.cause, found, row, left)
    else:
        recorder.redeemed(call.cause, found, row)
    note_exhausted(call, campaign)
    return {
        "coupon": campaign.coupon_id(found.number),
        "redemption": found.redemptions,
        "user": found.user,
        "order": command.order,
        "amount": command.amount,
        "discount": discount,
        "payable": None if command.amount is None else command.amount - discount,
        "currency": terms.currency,
        "exponent": exponent_of(terms.currency),
        "state": STATE_NAMES[found.state],
        **left,
        "redeemed_at": instant(call.now),
    }


def _check_rule(call: Call, campaign: Campaign, found: Coupon | Bearer) -> None:
    """Refuse whom the campaign's rule does not let use the coupon for this order."""
    command: RedeemCoupon = call.command
    rule, attributes = campaign.rule_at_redeem, command.attributes
    if rule is not None or attributes is not None:
        user = command.coupon.user if isinstance(found, Bearer) else found.user or command.coupon.user
        why_not = why_not_eligible(
            rule,
            attributes,
            user=user,
            users_of=campaign.users_of(),
            explained=campaign.explained_to(call.party),
            amount=command.amount,
            items=command.items,
        )
        if why_not is not None:
            raise Refused(why_not, found.number)


def what_is_left(campaign: Campaign, coupon: Coupon) -> dict[str, int]:
    """`uses_left` or `balance` of a coupon that is used in parts; of others nothing."""
    if not campaign.in_parts:
        return {}
    return {"balance" if campaign.gift else "uses_left": campaign.left(coupon)}


def take_bearer(call: Call, campaign: Campaign, bearer: Bearer, user: str | None) -> Coupon:
    """A coupon for a code nobody held: counted as issued now; per-user limits do not apply to it."""
    before = campaign.stock_left()
    if bearer.uploaded is None:
        campaign.export(-1)
    else:
        room = campaign.room()
        if room is not None and room <= 0:
            raise Refused(none_left(campaign))
        bearer.uploaded.taken = True
        campaign.available -= 1
        call.work.taken_codes.append((campaign.number, bearer.number))
        free = call.work.free_codes.get(campaign.number)
        if free is not None:
            free[:] = [code for code in free if code.position != bearer.number]
    coupon = Coupon(campaign.number, bearer.number, user, HELD, 0, call.now, bearer.code)
    campaign.add(HELD)
    note_pool_low(call, campaign, before)
    call.work.add_coupon(campaign, coupon)
    return coupon


def reserve(call: Call) -> dict[str, Any]:
    """Hold a coupon, a use of it or a part of its balance for an order; the same order may extend its own hold."""
    command: ReserveCoupon = call.command
    campaign = redeemable_campaign(call)
    found = find(call, campaign, command.coupon, USABLE, command.order)
    if isinstance(found, Coupon):
        settle(call, campaign, found)
        check_usable(call, campaign, found, "reserve", command.order)
        units = _units_to_hold(campaign, command, campaign.left(found))
    else:
        check_open(call, campaign, found.number)
        units = _units_to_hold(campaign, command, capacity(campaign.terms))
        found = take_bearer(call, campaign, found, command.coupon.user)
    until = min(call.now + timedelta(seconds=command.seconds), campaign.span_of(found)[1])
    campaign.move(found, RESERVED)
    found.reserved_order, found.due_at, found.reserved_units = command.order, until, units
    found.counting = found.counting or units is not None
    call.work.note_due(campaign, until)
    note_exhausted(call, campaign)
    amount = units if campaign.gift else None
    call.work.recorder(campaign).coupon_event(
        call.cause,
        found.number,
        CouponReserved(coupon=found.number, user=found.user, order=command.order, until=until, amount=amount),
    )
    answer = {"coupon": campaign.coupon_id(found.number), "order": command.order, "until": instant(until)}
    return answer if amount is None else {**answer, "amount": amount}


def _units_to_hold(campaign: Campaign, command: ReserveCoupon, left: int) -> int | None:
    """How many units a reservation holds; None: the coupon has but one. Raises Refused."""
    terms = campaign.terms
    if not campaign.gift:
        if command.amount is not None:
            raise Refused(AmountNotExpected(kind=terms.discount.kind))
        return 1 if campaign.in_parts else None
    if command.amount is not None and command.amount > left:
        raise Refused(BalanceTooLow(balance=left, asked=command.amount, currency=terms.currency))
    return left if command.amount is None else command.amount


def release_coupon(call: Call) -> dict[str, Any]:
    """Give a reserved coupon back; only the order that holds it may."""
    command: ReleaseCoupon = call.command
    campaign = redeemable_campaign(call)
    found = find(call, campaign, command.coupon, USABLE, command.order)
    coupon_id = campaign.coupon_id(found.number)
    if isinstance(found, Bearer):
        raise Refused(CouponNotReserved(coupon=coupon_id, state="not held"), found.number)
    settle(call, campaign, found)
    allow_coupon(campaign, found, "release", order=command.order)
    release(call, campaign, found, "released")
    return {"coupon": coupon_id, "state": "held"}
