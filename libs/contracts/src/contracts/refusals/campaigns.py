"""Refusals: a campaign's own life."""

from __future__ import annotations

from datetime import datetime

from contracts.refusals.base import Refusal


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


class AmendmentForbidden(Refusal):
    code = "amendment_forbidden"
    message = "Coupons or codes of the campaign are out: {term} cannot be changed{unless}."
    term: str
    unless: str


class TooManyToCount(Refusal):
    code = "too_many_to_count"
    message = "A dry run counts among {most} coupon numbers at most: say from which (`first`) to which (`last`)."
    most: int


class QuantityBelowIssued(Refusal):
    code = "quantity_below_issued"
    message = "{committed} coupons are issued or exported; the quantity cannot be {quantity}."
    committed: int
    quantity: int
