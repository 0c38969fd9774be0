"""Which coupon a command means, and what is overdue on it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from contracts.commands import CouponReference
from contracts.events import CouponReleased
from contracts.refusals import CouponNotFound, NotThisUsersCoupon
from coupon_core.codes.generated import normalise
from coupon_core.model.campaign import EXPIRED, HELD, REDEEMED, RESERVED, VOIDED, Campaign, Coupon
from coupon_core.model.recording import instant
from coupon_core.model.refused import Refused
from coupon_core.operations.serials import number_of_code, own_codes
from coupon_core.operations.stock import note_exhausted
from coupon_core.work import Call, UploadedCode, Work


class Bearer:
    """A code that left the platform, or came with an upload, and that nobody holds yet."""

    __slots__ = ("code", "number", "uploaded")

    def __init__(self, number: int, code: str | None, uploaded: UploadedCode | None) -> None:
        self.number = number
        self.code = code
        self.uploaded = uploaded


def find(
    call: Call, campaign: Campaign, reference: CouponReference, wanted: tuple[int, ...], order: str | None = None
) -> Coupon | Bearer:
    """The coupon meant. Where a user holds several of a shared code: the one this order reserved, then by `wanted`.

    Raises:
        Refused: `coupon_not_found`; `not_this_users_coupon` where the reference names another user than the holder,
            which only staff of the campaign's owner are told: to all others it is a coupon that is not there.
    """
    found = _find(call.work, campaign, reference, wanted, order)
    if found is None:
        raise Refused(CouponNotFound(), kept=not _cannot_be_a_code(call.work, campaign, reference))
    if isinstance(found, Coupon) and reference.user is not None and found.user not in (None, reference.user):
        not_there = None if call.by_staff_of(campaign) else CouponNotFound()
        raise Refused(NotThisUsersCoupon(), found.number, not_there)
    return found


def _find(
    work: Work, campaign: Campaign, reference: CouponReference, wanted: tuple[int, ...], order: str | None
) -> Coupon | Bearer | None:
    number = campaign.number
    if reference.number is not None:
        return work.coupons.get((number, reference.number))
    if reference.code is None:
        return _of_user(work, number, reference.user, wanted, order)
    code = normalise(reference.code)
    if code is None:
        return None
    if campaign.supply == "shared":
        return _of_user(work, number, reference.user, wanted, order) if code == campaign.code_normal else None
    if campaign.supply == "generated":
        generated = number_of_code(work, campaign, reference.code)
        if generated is None:
            return None
        coupon = work.coupons.get((number, generated))
        if coupon is not None:
            return coupon
        if _within(work.voided.get(number, []), generated):
            return Coupon(number, generated, None, VOIDED, 0, campaign.created_at)  # it has no row, and gets none
        return Bearer(generated, None, None) if _within(work.exported.get(number, []), generated) else None
    coupon = work.by_code.get((number, code))
    if coupon is not None:
        return coupon
    uploaded = work.uploaded.get((number, code))
    return Bearer(uploaded.position, uploaded.code, uploaded) if uploaded is not None and not uploaded.taken else None


def _cannot_be_a_code(work: Work, campaign: Campaign, reference: CouponReference) -> bool:
    """Whether arithmetic alone says that a code is none of the campaign's, issued or not."""
    if campaign.supply != "generated" or reference.code is None or reference.number is not None:
        return False
    own = own_codes(work.codes, campaign)
    return (work.codes.serial_of(reference.code) if own is None else own.number_of(reference.code)) is None


def _within(ranges: list[tuple[int, int]], number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


def _of_user(work: Work, campaign: int, user: str | None, wanted: tuple[int, ...], order: str | None) -> Coupon | None:
    if user is None:
        return None
    held = work.by_user.get((campaign, user), [])
    for coupon in held:
        if order is not None and coupon.state == RESERVED and coupon.reserved_order == order:
            return coupon
    for state in wanted:
        for coupon in held:
            if coupon.state == state:
                return coupon
    return held[-1] if held else None


def settle(call: Call, campaign: Campaign, coupon: Coupon) -> None:
    """Let happen first what is overdue on this coupon: the end of its time, or of its reservation."""
    if coupon.state not in (HELD, RESERVED):
        return
    end = campaign.own_end(coupon) or campaign.ends
    if call.now >= end:
        expire(call, campaign, coupon, instant(end))
        if campaign.budget is not None and call.now < campaign.ends:
            note_exhausted(call, campaign)  # what it had reserved is free
    elif coupon.state == RESERVED and coupon.due_at is not None and call.now >= coupon.due_at:
        release(call, campaign, coupon, "timed_out")


def expire(call: Call, campaign: Campaign, coupon: Coupon, due: str) -> None:
    """held or reserved → expired."""
    campaign.move(coupon, EXPIRED)
    coupon.reserved_order = coupon.due_at = coupon.reserved_units = None
    call.work.recorder(campaign).expired(call.cause, coupon.number, coupon.user, due)


def release(call: Call, campaign: Campaign, coupon: Coupon, why: Literal["released", "timed_out"]) -> None:
    """reserved → held."""
    order = coupon.reserved_order or ""
    campaign.move(coupon, HELD)
    coupon.reserved_order = coupon.reserved_units = None
    coupon.due_at = campaign.own_end(coupon)
    released = CouponReleased(coupon=coupon.number, user=coupon.user, order=order, why=why)
    call.work.recorder(campaign).coupon_event(call.cause, coupon.number, released)


def redeemed_at(work: Work, coupon: Coupon) -> datetime | None:
    """When the coupon's latest redemption was, as far as it is in the view."""
    rows = work.redemptions.get((coupon.campaign, coupon.number), [])
    return rows[-1].at if rows and coupon.state == REDEEMED else None
