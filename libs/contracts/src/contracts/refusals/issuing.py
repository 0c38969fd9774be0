"""Refusals: giving coupons out: limits, prices, and codes that come with them."""

from __future__ import annotations

from datetime import datetime

from contracts.refusals.base import Refusal


class UserLimitReached(Refusal):
    code = "user_limit_reached"
    message = "The user has {issued} of at most {limit} coupons of this campaign."
    limit: int
    issued: int


class UserDayLimitReached(Refusal):
    code = "user_day_limit_reached"
    message = "The user got {issued} of at most {limit} coupons of this campaign today; the next day begins at {next}."
    limit: int
    issued: int
    next: datetime


class PeriodLimitReached(Refusal):
    code = "period_limit_reached"
    message = "All {limit} coupons of this {period} are issued; the next {period} begins at {next}."
    period: str
    limit: int
    next: datetime


class IssueTooLate(Refusal):
    code = "issue_too_late"
    message = "A coupon given now could be used from {usable_from} on, but its time ends at {ends}."
    usable_from: datetime
    ends: datetime


class PriceNotPaid(Refusal):
    code = "price_not_paid"
    message = "The offer costs {price} minor units of {currency}; send the order and what was paid."
    price: int
    currency: str


class NoCodeLeft(Refusal):
    code = "no_code_left"
    message = "No uploaded code is left; upload more."


class CodeRequired(Refusal):
    code = "code_required"
    message = "In this campaign the merchant names the code: send one with each user."


class CodeNotExpected(Refusal):
    code = "code_not_expected"
    message = "The codes of this campaign are {supply}: send none."
    supply: str


class CodeTaken(Refusal):
    code = "code_taken"
    message = "This code exists already in the campaign."


class CodeOfPattern(Refusal):
    code = "code_of_pattern"
    message = "Scrip itself makes the codes of this form in this campaign; raise its quantity to have more."


class CodeUnreadable(Refusal):
    code = "code_unreadable"
    message = "After spaces and dashes are taken out, nothing usable is left of this code."


class CodesNotUploadable(Refusal):
    code = "codes_not_uploadable"
    message = "The codes of this campaign are {supply}; only `uploaded` ones take uploads."
    supply: str


class CodesNotExportable(Refusal):
    code = "codes_not_exportable"
    message = "The codes of this campaign are {supply}; only `generated` ones can be exported before issue."
    supply: str


class CodesNeedReceiver(Refusal):
    code = "codes_need_receiver"
    message = (
        "Coupons of this campaign wait {waiting_days} days after they were received; a code that left the platform "
        "without a user could never be used."
    )
    waiting_days: int


class RepeatedInRequest(Refusal):
    code = "repeated_in_request"
    message = "The same user or code stands in an earlier row of this request."
