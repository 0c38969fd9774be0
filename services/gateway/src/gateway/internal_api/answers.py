"""Answers of the internal API, as they are documented."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.merchants import DialectName, MerchantState


class Answer(BaseModel):
    """Answers may get more fields."""

    model_config = ConfigDict(extra="allow")


class CommandDone(Answer):
    """A command was decided and done; its result stands beside these members."""

    command: UUID
    status: str
    as_of: datetime


class CommandPending(Answer):
    """The log has the command; ask at `Location` for its outcome."""

    command: UUID
    status: str


class ResultRow(Answer):
    """What became of one row of a bulk request, counted from 0."""

    row: int
    user: str | None = None
    code: str | None = None
    coupon: str | None = None
    refusal: dict[str, Any] | None = None
    pending: bool | None = None


class BulkDone(Answer):
    """A bulk request was decided, row by row. `rows` only up to 1,000 rows; `results` has all of them."""

    command: UUID
    status: str
    campaign: UUID | None
    total: int
    accepted: int
    refused: int
    results: str
    rows: list[ResultRow] | None = None


class ResultPage(Answer):
    """Rows of a bulk request; `next` is the row to go on after."""

    command: UUID
    rows: list[ResultRow]
    next: int | None


class WhyView(Answer):
    """A command as it was sent and answered, what it met, and the decision taken again on that.

    `differences` is empty where the two decisions are the same, events included; `not_again` says why none was taken.
    Codes show their last four symbols.
    """

    command: UUID
    sent: dict[str, Any] | None
    answered: dict[str, Any]
    rules: dict[str, Any] | None
    before: dict[str, Any] | None
    again: dict[str, Any] | None
    differences: list[str]
    not_again: str | None


class CausedBy(Answer):
    """The event that made something what it was at a moment, and the command and actor behind it."""

    seq: int
    event: str
    command: UUID
    actor: str
    at: datetime


class BudgetView(Answer):
    """What all discounts of a campaign may come to, in minor units: kept for coupons, spent, and free."""

    total: int
    reserved: int
    spent: int
    left: int


class PeriodView(Answer):
    """The day, week or month that runs, in the campaign's zone."""

    period: str
    issued: int
    limit: int
    ends: datetime


class CampaignView(Answer):
    """A campaign with its exact counters. `chain`: of its events up to `seq`; `caused_by`: only as of a moment."""

    id: UUID
    owner: str
    origin: str
    name: str
    state: str
    supply: str
    quantity: int | None
    issued: int
    held: int
    reserved: int
    redeemed: int
    burned: int
    voided: int
    expired: int
    exported: int
    left: int | None
    """How many more somebody may get; None: no bound."""
    currency: str
    exponent: int
    """Decimal places of the currency: amounts are whole minor units."""
    budget: BudgetView | None
    periods: list[PeriodView] = []
    """Of the limits by day, week and month, how far the current one is used. Only as it is now."""
    seq: int
    chain: str
    as_of: datetime
    caused_by: CausedBy | None = None


class CampaignPage(Answer):
    """Campaigns; `next` is the id to go on after."""

    campaigns: list[CampaignView]
    next: str | None


class CouponView(Answer):
    """A coupon. `caused_by`: only as of a moment."""

    id: str
    state: str
    user: str | None = None
    uses_left: int | None = None
    """Only of coupons with several uses."""
    balance: int | None = None
    """Only of gift cards, in minor units."""
    caused_by: CausedBy | None = None


class CouponPage(Answer):
    """Coupons of a campaign; `next` is the number to go on after."""

    coupons: list[CouponView]
    next: int | None


class CouponFind(Answer):
    """Coupons, and refusals with their facts, found by code, user or order."""

    coupons: list[CouponView]
    refusals: list[dict[str, Any]]


class EventList(Answer):
    """Events in order."""

    events: list[dict[str, Any]]


class ValidateAnswer(Answer):
    """Whether a coupon would be accepted, and all reasons why not."""

    valid: bool
    reasons: list[dict[str, Any]]
    discount: int | None = None
    payable: int | None = None
    currency: str | None = None
    exponent: int | None = None
    uses_left: int | None = None
    """Only of coupons with several uses: how many are left now."""
    balance: int | None = None
    """Only of gift cards: what is left now, in minor units."""


class TerminalView(BaseModel):
    """A terminal and the public ids of its valid keys."""

    id: UUID
    label: str
    created_at: datetime
    closed_at: datetime | None
    keys: list[str]


class MerchantView(BaseModel):
    """A merchant, and the API matched to it."""

    id: UUID
    name: str
    contact: str | None
    state: MerchantState
    version: int
    dialect: DialectName
    base_path: str
    profile_version: int
    profile: dict[str, Any]
    interface: dict[str, Any] | None
    created_at: datetime


class MerchantDetail(MerchantView):
    """A merchant with its terminals."""

    terminals: list[TerminalView]


class MerchantAdded(MerchantView):
    """A merchant that was added. `credentials` are shown once: a repeated request gets null."""

    terminal: UUID
    credentials: dict[str, Any] | None


class MerchantPage(BaseModel):
    """Merchants; `next` is the id to go on after."""

    merchants: list[MerchantView]
    next: UUID | None


class RequestView(BaseModel):
    """An access request."""

    id: UUID
    merchant: UUID
    name: str
    contact: str | None
    dialect: DialectName
    state: MerchantState
    terminal_label: str
    created_at: datetime
    collected_at: datetime | None


class RequestPage(BaseModel):
    """Access requests; `next` is the id to go on after."""

    requests: list[RequestView]
    next: UUID | None


class KeyShown(BaseModel):
    """A new key. `credentials` are shown once: a repeated request gets null."""

    merchant: UUID
    terminal: UUID
    label: str
    credentials: dict[str, Any] | None


class RulesView(BaseModel):
    """Building rules of the platform or of one merchant. `known_everywhere`: every lane applies this version."""

    party: str
    version: int
    rules: dict[str, Any]
    known_everywhere: bool


class ToolView(BaseModel):
    """A Kafka tool."""

    name: str
    writer: str
    version: int
    key_version: int
    rights: list[str]
    reply_topic: str | None
    active: bool


class ToolAdded(ToolView):
    """A tool with its key (base64), shown once: a repeated request gets null."""

    key: str | None
    known_everywhere: bool


class TokenView(BaseModel):
    """A token, without its text."""

    id: UUID
    name: str
    roles: list[str]
    party: str
    created_at: datetime
    revoked_at: datetime | None


class TokenAdded(TokenView):
    """A new token; its text is shown once: a repeated request gets null."""

    token: str | None


class Ordered(Answer):
    """A command for the merchant adapter or the scheduler was acknowledged by the log."""

    command: UUID
