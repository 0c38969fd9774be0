"""What every dialect is translated into, and what its answer is made from.

A call is either work for one campaign (canonical commands of `contracts.commands`) or a question. The dialect keeps in
`note` whatever it needs again to phrase the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contracts.commands import (
    ActivateCampaign,
    AmendCampaign,
    CancelGeneration,
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    IssueRow,
    OrderItem,
    PauseCampaign,
    PublishCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    StopCampaign,
    UnpublishCampaign,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
)


@dataclass(frozen=True, slots=True)
class CampaignName:
    """Which campaign: its id, or the natural key under which the merchant made it. With both, the id counts."""

    id: UUID | None = None
    natural_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Fields of all calls."""

    note: dict[str, Any] = field(default_factory=dict)
    """The dialect's own."""
    with_campaign: bool = False
    """The answer needs the campaign as core shows it."""
    with_coupon: bool = False
    """The answer needs the coupon of the result as core shows it, code included."""
    with_code: str | None = None
    """The answer needs what there is under this code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered(Asked):
    """Fields of all calls that change something."""

    request: str | None
    """The request number; None where the dialect has none and the call therefore is a new one each time."""
    wait: bool = True
    """False: the caller wants to ask for the outcome later."""
    dry_run: bool = False
    """Say what would become of it, and do nothing. Always waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCampaign(Ordered):
    """Generate or publish a campaign under its natural key, then upload `codes`, if any."""

    natural_key: str
    command: GenerateCampaign | PublishCampaign
    codes: tuple[str, ...] = ()


CampaignCommand = (
    ActivateCampaign
    | AmendCampaign
    | UnpublishCampaign
    | PauseCampaign
    | ResumeCampaign
    | StopCampaign
    | ChangeQuantity
    | ExportCodes
    | ClaimCoupon
    | VoidCampaign
    | VoidMatching
    | CancelGeneration
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCampaign(Ordered):
    """One command for a campaign that is named."""

    campaign: CampaignName
    command: CampaignCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCodeList(Ordered):
    """Codes for an `uploaded` campaign, any number; cut into commands."""

    campaign: CampaignName
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueToUsers(Ordered):
    """One coupon for each row, any number of rows; cut into commands."""

    campaign: CampaignName
    rows: tuple[IssueRow, ...]


CouponCommand = RedeemCoupon | ReturnCoupon | ReserveCoupon | ReleaseCoupon | VoidCoupons


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCoupon(Ordered):
    """One command for one coupon. Without a campaign, the coupon's code finds it."""

    campaign: CampaignName | None
    command: CouponCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateCoupon(Asked):
    """Would this coupon be accepted for this order?"""

    campaign: CampaignName | None
    code: str
    user: str | None = None
    order: str | None = None
    amount: int | None = None
    discount: int | None = None
    items: tuple[OrderItem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GetCampaign(Asked):
    """One campaign with its counters."""

    campaign: CampaignName


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCampaigns(Asked):
    """The merchant's campaigns, a page at a time."""

    after: str | None = None
    limit: int = 100
    state: str | None = None
    page: int | None = None
    """Instead of `after`: the page's number, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCodes(Asked):
    """Codes of a campaign after a number, in order."""

    campaign: CampaignName
    after: int = 0
    limit: int = 100


ExportKind = Literal["codes", "coupons", "history"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRows(Asked):
    """Codes, coupons or events of a campaign, all of them, as a stream of CSV or JSON Lines."""

    campaign: CampaignName
    what: ExportKind
    format: Literal["csv", "jsonl"] = "csv"
    filters: tuple[tuple[str, str | int], ...] = ()
    """`after`, `last`, `state`, `user`, `type`, as far as they are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCoupons(Asked):
    """Coupons of a campaign after a number, in order."""

    campaign: CampaignName
    after: int = 0
    limit: int = 100
    state: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindCoupons(Asked):
    """Coupons and refusals by code, user or order (at least one)."""

    code: str | None = None
    user: str | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetCoupon(Asked):
    """One coupon by its id `<campaign>.<number>`."""

    coupon: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetCode(Asked):
    """Whatever there is under a code: a coupon, or an uploaded code nobody holds yet."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAllCodes(Asked):
    """Codes of one campaign (or of all the merchant's) by page number, from 1."""

    campaign: CampaignName | None
    page: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskNothing(Asked):
    """A request that its dialect answers alone, from the request itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOutcome(Asked):
    """What became of a request: of one command, or of a bulk request that was cut into several."""

    command: UUID | None = None
    bulk: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetResults(Asked):
    """The result rows of a bulk request after row `after` (-1: from the start)."""

    bulk: UUID
    after: int = -1
    limit: int = 500


Call = (
    CreateCampaign
    | ChangeCampaign
    | UploadCodeList
    | IssueToUsers
    | ChangeCoupon
    | ValidateCoupon
    | GetCampaign
    | ListCampaigns
    | ListCodes
    | ListCoupons
    | ExportRows
    | FindCoupons
    | GetCoupon
    | GetCode
    | ListAllCodes
    | AskNothing
    | GetOutcome
    | GetResults
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call led to.

    `body` is, for a command, the reply's result (rows of bulk commands counted through from 0); for a question, what
    core said. `pending` means that the log has the commands but their outcome was not known in time.
    """

    body: dict[str, Any]
    as_of: datetime | None = None
    replayed: bool = False
    pending: bool = False
    reference: str | None = None
    """By which the merchant can ask for the outcome later."""
    dry_run: bool = False
    """Nothing was done: this would become of it."""
    campaign: dict[str, Any] | None = None
    """As core shows it, where the call asked `with_campaign`."""
    coupon: dict[str, Any] | None = None
    """As core shows it, where the call asked `with_coupon` or `with_code`."""
