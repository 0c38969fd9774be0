"""Refusals: what a campaign may be: its terms, and the platform's building rules."""

from __future__ import annotations

from datetime import datetime

from contracts.refusals.base import Refusal


class TermsInvalid(Refusal):
    code = "terms_invalid"
    message = "The campaign's terms would not hold together: {detail}."
    detail: str


class EndBeforeStart(Refusal):
    code = "end_before_start"
    message = "The campaign would end at {ends}, not after its start at {starts}."
    starts: datetime
    ends: datetime


class NeverUsable(Refusal):
    code = "never_usable"
    message = (
        "Its coupons could never be used: the first may be from {starts} on, and none of the hours allowed lies "
        "between then and {ends}."
    )
    starts: datetime
    ends: datetime


class TooManyToStore(Refusal):
    code = "too_many_to_store"
    message = "At most {most} codes of a campaign can be stored; without `stored` none needs to be."
    most: int


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


class EligibilityInvalid(Refusal):
    code = "eligibility_invalid"
    message = "The eligibility rule cannot be used: {detail}"
    detail: str


class BuildingRuleForbids(Refusal):
    code = "building_rule_forbids"
    message = "The platform's building rule {rule} (version {version}) forbids this: {detail}."
    rule: str
    version: int
    detail: str
