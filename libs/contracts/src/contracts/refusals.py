"""Refusals: a rule said no. One class each: a stable code, a sentence, typed facts.

A refusal is an answer, no error.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from contracts.fields import Fact


class Refusal(Fact):
    """Base of all refusals. `code` is stable for ever; `message` may be improved; facts are the model's fields."""

    code: ClassVar[str]
    message: ClassVar[str]

    def as_json(self) -> dict[str, Any]:
        """`{"code", "message", "facts"}`, ready for JSON."""
        facts = self.model_dump(mode="json", exclude_none=True)
        return {"code": self.code, "message": self.message.format_map(_Said(facts)), "facts": facts}


class _Said(dict[str, Any]):
    """Facts for a message; one that is not at hand does not spoil the sentence."""

    def __missing__(self, name: str) -> str:
        return f"(unknown {name})"


class CampaignNotFound(Refusal):
    code = "campaign_not_found"
    message = "There is no such campaign for you."


class CampaignExists(Refusal):
    code = "campaign_exists"
    message = "A campaign with this name or request number exists already, with other content."
    campaign: str


class CampaignNotActive(Refusal):
    code = "campaign_not_active"
    message = "The campaign is {state}; this needs an active one."
    state: str


class CampaignStateForbids(Refusal):
    code = "campaign_state_forbids"
    message = "A campaign that is {state} cannot be {operation}."
    state: str
    operation: str


class AmendmentForbidden(Refusal):
    code = "amendment_forbidden"
    message = "Coupons or codes of the campaign are out: {term} cannot be changed{unless}."
    term: str
    unless: str


class TermsInvalid(Refusal):
    code = "terms_invalid"
    message = "The campaign's terms would not hold together: {detail}."
    detail: str


class CampaignNotStarted(Refusal):
    code = "campaign_not_started"
    message = "Coupons of this campaign may be used from {starts} on."
    starts: datetime


class CampaignOver(Refusal):
    code = "campaign_over"
    message = "The campaign ended at {ends}."
    ends: datetime


class CampaignExhausted(Refusal):
    code = "campaign_exhausted"
    message = "All {quantity} coupons of the campaign are issued."
    quantity: int


class BudgetExhausted(Refusal):
    code = "budget_exhausted"
    message = "Of the budget of {budget}, {left} minor units of {currency} are free; a coupon may need {needed}."
    budget: int
    left: int
    needed: int
    currency: str


class NoCodeLeft(Refusal):
    code = "no_code_left"
    message = "No uploaded code is left; upload more."


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


class CouponNotFound(Refusal):
    code = "coupon_not_found"
    message = "There is no such coupon for you."


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


class TooManyRedemptions(Refusal):
    code = "too_many_redemptions"
    message = "The coupon was redeemed {most} times, returned ones included; that is the most there can be."
    most: int


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


class NotEligible(Refusal):
    code = "not_eligible"
    message = "The campaign's rule does not allow it: {expression}"
    expression: str
    values: dict[str, Any]
    """What the rule looked at."""


class EligibilityFailed(Refusal):
    code = "eligibility_failed"
    message = "The campaign's rule cannot be told for these values: {expression}"
    expression: str
    values: dict[str, Any]


class AttributeMissing(Refusal):
    code = "attribute_missing"
    message = "The campaign's rule asks for the attribute {attribute} of the user, which is not known."
    attribute: str
    missing: list[str]
    """All that are missing."""
    user: str | None = None
    users_of: str | None = None


class AttributeMismatch(Refusal):
    code = "attribute_mismatch"
    message = "The campaign's rule takes the attribute {attribute} as {expected}; it is {found}."
    attribute: str
    expected: str
    found: str


class AttributeNotExpected(Refusal):
    code = "attribute_not_expected"
    message = "No rule of the campaign asks for the attribute {attribute} here: do not send it."
    attribute: str


class NotThisUsersCoupon(Refusal):
    code = "not_this_users_coupon"
    message = "The coupon is held by another user."


class MinimumSpendNotMet(Refusal):
    code = "minimum_spend_not_met"
    message = "The order comes to {amount}; the coupon needs {minimum} (minor units of {currency})."
    amount: int
    minimum: int
    currency: str


class OrderAmountRequired(Refusal):
    code = "order_amount_required"
    message = "This coupon's discount depends on the order's amount: send it."


class ItemRequired(Refusal):
    code = "item_required"
    message = "The coupon makes one {item} free: send the order's lines, with that item and its price."
    item: str


class DiscountRequired(Refusal):
    code = "discount_required"
    message = "The merchant decides this coupon's discount: send it."


class DiscountNotExpected(Refusal):
    code = "discount_not_expected"
    message = "The discount of a coupon of the kind {kind} is computed: send none."
    kind: str


class DiscountAboveAmount(Refusal):
    code = "discount_above_amount"
    message = "A discount of {discount} is more than the order's {amount} minor units of {currency}."
    discount: int
    amount: int
    currency: str


class DiscountAboveCap(Refusal):
    code = "discount_above_cap"
    message = "A discount of {discount} is more than the coupon's {cap} minor units of {currency}."
    discount: int
    cap: int
    currency: str


class BalanceTooLow(Refusal):
    code = "balance_too_low"
    message = "{balance} minor units of {currency} can be used of the balance, not {asked}."
    balance: int
    asked: int
    currency: str


class NothingToPay(Refusal):
    code = "nothing_to_pay"
    message = "The order comes to nothing: there is nothing to pay from the balance."


class AmountNotExpected(Refusal):
    code = "amount_not_expected"
    message = "Only of a gift card a part can be held; of {kind} send no amount."
    kind: str


class PriceNotPaid(Refusal):
    code = "price_not_paid"
    message = "The offer costs {price} minor units of {currency}; send the order and what was paid."
    price: int
    currency: str


class EndBeforeStart(Refusal):
    code = "end_before_start"
    message = "The campaign would end at {ends}, not after its start at {starts}."
    starts: datetime
    ends: datetime


class EligibilityInvalid(Refusal):
    code = "eligibility_invalid"
    message = "The eligibility rule cannot be used: {detail}"
    detail: str


class NeverUsable(Refusal):
    code = "never_usable"
    message = "None of the hours in which its coupons may be used lies between {starts} and {ends}."
    starts: datetime
    ends: datetime


class QuantityRequired(Refusal):
    code = "quantity_required"
    message = "A campaign with generated codes needs a quantity."


class CodeSpaceTooSmall(Refusal):
    code = "code_space_too_small"
    message = (
        "The pattern has {space} codes; {quantity} coupons need {needed} at least, so that a guess hits one in use "
        "once in a thousand tries at most: make it longer, or the charset larger."
    )
    space: int
    quantity: int
    needed: int


class QuantityBelowIssued(Refusal):
    code = "quantity_below_issued"
    message = "{committed} coupons are issued or exported; the quantity cannot be {quantity}."
    committed: int
    quantity: int


class BudgetNeedsCap(Refusal):
    code = "budget_needs_cap"
    message = "With a budget each coupon reserves its greatest discount: {kind} needs a cap."
    kind: str


class BudgetTooSmall(Refusal):
    code = "budget_too_small"
    message = "One coupon may need {needed} minor units of {currency}; a budget of {budget} holds none."
    needed: int
    budget: int
    currency: str


class CurrencyUnknown(Refusal):
    code = "currency_unknown"
    message = "{currency} is not an ISO 4217 currency."
    currency: str


class BuildingRuleForbids(Refusal):
    code = "building_rule_forbids"
    message = "The platform's building rule {rule} (version {version}) forbids this: {detail}."
    rule: str
    version: int
    detail: str


class MerchantNotActive(Refusal):
    code = "merchant_not_active"
    message = "The merchant is {state}."
    state: str


class NotAllowed(Refusal):
    code = "not_allowed"
    message = "{actor} has no right to {operation}."
    actor: str
    operation: str


class IdempotencyConflict(Refusal):
    code = "idempotency_conflict"
    message = "This request number was used before with other content."
    command: str


class ClockIsRecorded(Refusal):
    code = "clock_is_recorded"
    message = "This platform's time is its log's; it cannot be told."


class ClockNotSet(Refusal):
    code = "clock_not_set"
    message = "This platform keeps told time and its clock was never set: advance it first."


class ClockMovesForward(Refusal):
    code = "clock_moves_forward"
    message = "The clock stands at {now} and only moves forward."
    now: datetime


def _all(base: type[Refusal]) -> dict[str, type[Refusal]]:
    return {refusal.code: refusal for refusal in base.__subclasses__()}


REFUSALS: dict[str, type[Refusal]] = _all(Refusal)
"""Every refusal class by its code."""
