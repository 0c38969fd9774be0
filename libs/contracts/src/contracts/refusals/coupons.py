"""Refusals: a coupon's state and time."""

from __future__ import annotations

from datetime import datetime

from contracts.refusals.base import Refusal


class CouponNotFound(Refusal):
    code = "coupon_not_found"
    message = "There is no such coupon for you."


class AmbiguousCode(Refusal):
    code = "ambiguous_code"
    message = "The code stands for coupons of several campaigns; name the campaign."
    campaigns: list[str]


class NotThisUsersCoupon(Refusal):
    code = "not_this_users_coupon"
    message = "The coupon is held by another user."


class CouponAlreadyRedeemed(Refusal):
    code = "coupon_already_redeemed"
    message = "The coupon was redeemed at {redeemed_at}."
    coupon: str
    redeemed_at: datetime | None = None


class CouponReserved(Refusal):
    code = "coupon_reserved"
    message = "Another order holds the coupon until {until}."
    coupon: str
    until: datetime | None = None


class CouponNotReserved(Refusal):
    code = "coupon_not_reserved"
    message = "The coupon is {state}; no order of yours holds it."
    coupon: str
    state: str


class CouponNotRedeemed(Refusal):
    code = "coupon_not_redeemed"
    message = "The coupon is {state}; there is no redemption to return."
    coupon: str
    state: str


class CouponExpired(Refusal):
    code = "coupon_expired"
    message = "The coupon's time ended at {expired_at}."
    coupon: str
    expired_at: datetime | None = None


class CouponNotYetUsable(Refusal):
    code = "coupon_not_yet_usable"
    message = "The coupon may be used from {usable_from} on."
    coupon: str
    usable_from: datetime


class CouponNotReceived(Refusal):
    code = "coupon_not_received"
    message = "Coupons of this campaign wait {waiting_days} days after they were received; nobody received this one."
    coupon: str
    waiting_days: int


class OutsideHours(Refusal):
    code = "outside_hours"
    message = "The coupon may not be used at this time; it may be again from {next} on."
    coupon: str
    next: datetime


class NoHoursLeft(Refusal):
    code = "no_hours_left"
    message = "The coupon may not be used at this time, and not again before its time ends at {ends}."
    coupon: str
    ends: datetime


class CouponVoided(Refusal):
    code = "coupon_voided"
    message = "The coupon was voided."
    coupon: str


class CouponBurned(Refusal):
    code = "coupon_burned"
    message = "The coupon was returned for good and cannot be used again."
    coupon: str


class TooManyRedemptions(Refusal):
    code = "too_many_redemptions"
    message = "The coupon was redeemed {most} times, returned ones included; that is the most there can be."
    most: int


class RedemptionNotFound(Refusal):
    code = "redemption_not_found"
    message = "The coupon has no redemption {redemption}; its latest is number {latest}."
    redemption: int
    latest: int


class RedemptionAlreadyReturned(Refusal):
    code = "redemption_already_returned"
    message = "Redemption {redemption} of the coupon was returned at {returned_at}."
    redemption: int
    returned_at: datetime | None = None


class ReturnAboveRedeemed(Refusal):
    code = "return_above_redeemed"
    message = "Of redemption {redemption}, {left} minor units can still be given back, not {amount}."
    redemption: int
    amount: int
    left: int


class PartialReturnImpossible(Refusal):
    code = "partial_return_impossible"
    message = "Only a gift card's redemptions can be given back in part; of {kind} send no amount."
    kind: str
