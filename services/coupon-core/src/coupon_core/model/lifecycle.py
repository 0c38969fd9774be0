"""The life cycle: one table for campaigns and one for coupons, with an answer in every cell of (operation × state).

Operations ask the table and change states through it; `docs/states.md` is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from contracts.campaigns import CampaignState
from contracts.refusals import (
    BudgetExhausted,
    CampaignExhausted,
    CampaignExists,
    CampaignNotActive,
    CampaignNotFound,
    CampaignOver,
    CampaignStateForbids,
    CodeTaken,
    CouponAlreadyRedeemed,
    CouponBurned,
    CouponExpired,
    CouponNotRedeemed,
    CouponNotReserved,
    CouponReserved,
    CouponVoided,
    Refusal,
)
from coupon_core.model.campaign import LIVE_STATES, RESERVED, STATE_NAMES, Campaign, Coupon
from coupon_core.model.refused import Refused


@dataclass(frozen=True, slots=True)
class To:
    """Done; afterwards the state is one of these. `note` says which and when."""

    states: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ToForItsOrder:
    """As `To` for the order that holds the reservation; every other one is refused.

    With `rest` another order may use what the holder leaves of a coupon that is used in parts; it stays reserved.
    """

    states: tuple[str, ...]
    otherwise: type[Refusal] = CouponReserved
    rest: bool = False


@dataclass(frozen=True, slots=True)
class No:
    """Refused, with this class; `unless`: why the budget is at its end, where that is the reason."""

    refusal: type[Refusal]
    unless: type[Refusal] | None = None


@dataclass(frozen=True, slots=True)
class NoForWhole:
    """Refused with this class, but of a coupon used in parts a redemption there is: that is done, the state stays."""

    refusal: type[Refusal]


@dataclass(frozen=True, slots=True)
class Stays:
    """Done, or nothing to do: the state is the same afterwards."""

    note: str = ""


Cell = To | ToForItsOrder | No | NoForWhole | Stays
Table = Mapping[str, Mapping[str, Cell]]
"""Operation → state → answer."""

CampaignOperation = Literal[
    "generate", "publish", "activate", "write codes", "finish generating", "fail generating",
    "cancel generation", "amend", "change quantity", "upload codes", "export codes", "unpublish", "pause", "resume",
    "stop", "issue", "use", "release", "return", "void", "exhaust", "replenish", "end",
]  # fmt: skip
"""`use`: reserve or redeem. `exhaust`, `replenish` and `end` are core's own: the stock ran out, there is some again,
time is over."""
CouponOperation = Literal["issue", "reserve", "release", "redeem", "return", "void", "time out", "expire"]
"""`issue` also stands for claim; `time out` and `expire` are core's own."""

NOBODY = "nobody's"
"""Of a coupon: its code was exported or uploaded, and nobody holds it."""
NONE = "none"
"""Of a campaign: there is none under this id."""
COUPON_STATES = (NOBODY, *STATE_NAMES.values())
CAMPAIGN_STATES = (NONE, *get_args(CampaignState))


def _table(states: tuple[str, ...], rows: dict[str, tuple[Cell, ...]]) -> Table:
    return {operation: dict(zip(states, cells, strict=True)) for operation, cells in rows.items()}


def _held(*states: str, note: str = "", rest: bool = False) -> tuple[Cell, ...]:
    """The cells of held and reserved, and the refusals of the final states, for what uses a coupon."""
    return To(states, note), ToForItsOrder(states, rest=rest), *_OVER


_OVER: tuple[Cell, ...] = (No(CouponAlreadyRedeemed), No(CouponBurned), No(CouponVoided), No(CouponExpired))
_NOT_RESERVED, _NOT_REDEEMED, _SAME = No(CouponNotReserved), No(CouponNotRedeemed), Stays()
_PARTS_ONLY = NoForWhole(CouponNotRedeemed)
_VOID, _EXPIRED = To(("voided",)), To(("expired",))

COUPONS: Table = _table(
    COUPON_STATES,
    # nobody's, held, reserved, redeemed, burned, voided, expired
    {
        "issue": (To(("held",)), *(No(CodeTaken),) * 6),
        "reserve": (To(("reserved",)), *_held("reserved")),
        "release": (_NOT_RESERVED, _NOT_RESERVED, ToForItsOrder(("held",)), *(_NOT_RESERVED,) * 4),
        "redeem": (
            To(("redeemed", "held"), "held while uses or a balance are left"),
            *_held("redeemed", "held", note="held while uses or a balance are left", rest=True),
        ),
        "return": (
            _NOT_REDEEMED,
            *(_PARTS_ONLY,) * 2,
            To(
                ("held", "burned", "expired", "redeemed"),
                "by the campaign's policy, burned also where its budget is given away; expired where its time is over; "
                "redeemed while other redemptions of a coupon stand that gets nothing back",
            ),
            _NOT_REDEEMED,
            *(_PARTS_ONLY,) * 2,
        ),
        "void": (_VOID, _VOID, _VOID, *_OVER),
        "time out": (_SAME, _SAME, To(("held",)), *(_SAME,) * 4),
        "expire": (_SAME, _EXPIRED, _EXPIRED, *(_SAME,) * 4),
    },
)

_UNKNOWN, _EXISTS, _FORBIDDEN = No(CampaignNotFound), No(CampaignExists), No(CampaignStateForbids)
_INACTIVE, _OVER_NOW, _NONE_LEFT = No(CampaignNotActive), No(CampaignOver), No(CampaignExhausted, BudgetExhausted)
_STOPPED, _COUPONS = To(("stopped",)), Stays("the coupon's own table answers")
_ENDED, _FREED = To(("ended",)), To(("exhausted", "active"), "active when budget is freed")

_WHILE_MISSING = (
    "while codes of a raised quantity are written down the quantity falls to those that are there, and the campaign is "
    "exhausted when these are given out; refused (`campaign_state_forbids`) while no code is missing"
)

CAMPAIGNS: Table = _table(
    CAMPAIGN_STATES,
    # none, draft, generating, active, paused, exhausted, ended, stopped, failed
    {
        "generate": (To(("draft", "generating", "active"), "draft where asked for, else at once active"),
                     *(_EXISTS,) * 8),
        "publish": (To(("active",)), *(_EXISTS,) * 8),
        "activate": (_UNKNOWN, To(("generating", "active"), "at once active where it is published, not generated"),
                     *(_FORBIDDEN,) * 7),
        "write codes": (_UNKNOWN, _FORBIDDEN, _SAME, _SAME, _SAME, _SAME, *(_FORBIDDEN,) * 3),
        "finish generating": (_UNKNOWN, _FORBIDDEN, To(("active",)), *(_FORBIDDEN,) * 6),
        "fail generating": (_UNKNOWN, _FORBIDDEN, To(("failed",)), *(_FORBIDDEN,) * 6),
        "cancel generation": (_UNKNOWN, _FORBIDDEN, To(("failed",)), To(("active", "exhausted"), _WHILE_MISSING),
                              *(Stays(_WHILE_MISSING),) * 2, *(_FORBIDDEN,) * 3),
        "amend": (_UNKNOWN, _SAME, _FORBIDDEN, _SAME, _SAME, _SAME, *(_FORBIDDEN,) * 3),
        "change quantity": (_UNKNOWN, _SAME, _FORBIDDEN, To(("active", "exhausted"), "exhausted when nothing is left"),
                            _SAME, To(("exhausted", "active"), "active when something is left"), *(_FORBIDDEN,) * 3),
        "upload codes": (_UNKNOWN, _SAME, _INACTIVE, _SAME, _SAME, _SAME, _OVER_NOW, _INACTIVE, _INACTIVE),
        "export codes": (_UNKNOWN, _INACTIVE, _INACTIVE, To(("active", "exhausted"), "exhausted when nothing is left"),
                         _SAME, _NONE_LEFT, _OVER_NOW, _INACTIVE, _INACTIVE),
        "unpublish": (_UNKNOWN, *(_SAME,) * 8),
        "pause": (_UNKNOWN, _FORBIDDEN, _FORBIDDEN, To(("paused",)), _FORBIDDEN, To(("paused",)), *(_FORBIDDEN,) * 3),
        "resume": (_UNKNOWN, *(_FORBIDDEN,) * 3, To(("active", "exhausted"), "exhausted when nothing is left"),
                   *(_FORBIDDEN,) * 4),
        "stop": (_UNKNOWN, _STOPPED, _FORBIDDEN, *(_STOPPED,) * 3, _FORBIDDEN, _FORBIDDEN, _STOPPED),
        "issue": (_UNKNOWN, _INACTIVE, _INACTIVE, To(("active", "exhausted"), "exhausted when nothing is left"),
                  _INACTIVE, _NONE_LEFT, _OVER_NOW, _INACTIVE, _INACTIVE),
        "use": (_UNKNOWN, _INACTIVE, _INACTIVE, To(("active", "exhausted"), "exhausted when nothing is left"),
                _INACTIVE, _FREED, No(CouponExpired), _INACTIVE, _INACTIVE),
        "release": (_UNKNOWN, *(_COUPONS,) * 8),
        "return": (_UNKNOWN, *(_COUPONS,) * 2,
                   To(("active", "exhausted"), "exhausted when the coupon's budget is kept again"),
                   _COUPONS, _FREED, *(_COUPONS,) * 3),
        "void": (_UNKNOWN, *(_COUPONS,) * 4, _FREED, *(_COUPONS,) * 3),
        "exhaust": (_UNKNOWN, _SAME, _SAME, To(("exhausted",)), *(_SAME,) * 5),
        "replenish": (_UNKNOWN, _SAME, _SAME, _SAME, _SAME, To(("active",)), *(_SAME,) * 3),
        "end": (_UNKNOWN, _SAME, _SAME, _ENDED, _ENDED, _ENDED, *(_SAME,) * 3),
    },
)  # fmt: skip

DONE_TO_IT: dict[str, str] = {
    "activate": "activated",
    "write codes": "given further codes",
    "finish generating": "generated",
    "fail generating": "given up",
    "cancel generation": "given up",
    "amend": "amended",
    "change quantity": "given another quantity",
    "pause": "paused",
    "resume": "resumed",
    "stop": "stopped",
}
"""Operations as `campaign_state_forbids` says them."""


def state_at(campaign: Campaign, now: datetime) -> str:
    """The state at `now`: a live campaign whose time is over has ended, also where core has not come to it yet."""
    return "ended" if now >= campaign.ends and campaign.state in LIVE_STATES else campaign.state


def allow(campaign: Campaign, operation: CampaignOperation, now: datetime, coupon: int | None = None) -> None:
    """Let pass what the table lets pass. `coupon` is the number of the coupon it is about, for the refusal.

    Raises:
        Refused: with the class of the cell.
    """
    cell = CAMPAIGNS[operation][state_at(campaign, now)]
    if isinstance(cell, No):
        if cell.unless is not None:
            raise Refused(none_left(campaign), coupon)
        raise Refused(_of_campaign(cell.refusal, campaign, operation, now, coupon), coupon)


def move(campaign: Campaign, operation: CampaignOperation, to: CampaignState) -> None:
    """Bring a campaign into its next state; to be asked after `allow`.

    Raises:
        LookupError: the table has no such move (a bug of ours).
    """
    cell = CAMPAIGNS[operation][campaign.state]
    if not isinstance(cell, To) or to not in cell.states:
        raise LookupError(f"the table has no {campaign.state} → {to} by {operation}")
    campaign.state = to
    campaign.changed = True


def allow_coupon(
    campaign: Campaign,
    coupon: Coupon,
    operation: CouponOperation,
    *,
    order: str | None = None,
    redeemed_at: datetime | None = None,
) -> None:
    """Let pass what the table lets pass for a coupon on which nothing is overdue.

    `order` is the one the command names; `redeemed_at` stands in the refusal of a redeemed one.

    Raises:
        Refused: with the class of the cell.
    """
    cell = _COUPON_CELLS[operation][coupon.state]
    if isinstance(cell, No) or (isinstance(cell, NoForWhole) and not campaign.in_parts):
        raise Refused(_of_coupon(cell.refusal, campaign, coupon, redeemed_at), coupon.number)
    if (
        isinstance(cell, ToForItsOrder)
        and (order is None or order != coupon.reserved_order)
        and not (cell.rest and free_units(campaign, coupon, order))
    ):
        raise Refused(_of_coupon(cell.otherwise, campaign, coupon, redeemed_at), coupon.number)


def free_units(campaign: Campaign, coupon: Coupon, order: str | None) -> int:
    """Units (`model.worth`) this order may use of a coupon: what is left, but for what another order holds."""
    left = campaign.left(coupon)
    if coupon.state != RESERVED or (order is not None and order == coupon.reserved_order):
        return left
    return 0 if coupon.reserved_units is None else left - coupon.reserved_units


def none_left(campaign: Campaign, count: int = 1) -> Refusal:
    """Why `count` further coupons cannot be issued or exported: so many are not left of the quantity, or the budget."""
    of_quantity = campaign.quantity is not None and campaign.quantity < campaign.issued + campaign.exported + count
    if campaign.budget is None or of_quantity:
        return CampaignExhausted(quantity=campaign.quantity or 0)
    return BudgetExhausted(
        budget=campaign.budget,
        left=campaign.budget_left(),
        needed=count * campaign.coupon_worth(),
        currency=campaign.terms.currency,
    )


_COUPON_CELLS = {
    operation: {number: row[name] for number, name in STATE_NAMES.items()} for operation, row in COUPONS.items()
}


def _of_campaign(
    refusal: type[Refusal], campaign: Campaign, operation: str, now: datetime, coupon: int | None
) -> Refusal:
    facts: dict[type[Refusal], Callable[[], dict[str, Any]]] = {
        CampaignStateForbids: lambda: {"state": state_at(campaign, now), "operation": DONE_TO_IT[operation]},
        CampaignNotActive: lambda: {"state": campaign.state},
        CampaignOver: lambda: {"ends": campaign.ends},
        CampaignExists: lambda: {"campaign": campaign.text},
        CouponExpired: lambda: {"coupon": coupon and campaign.coupon_id(coupon), "expired_at": campaign.ends},
    }
    return refusal(**facts[refusal]())


def _of_coupon(refusal: type[Refusal], campaign: Campaign, coupon: Coupon, redeemed_at: datetime | None) -> Refusal:
    facts: dict[str, Any] = {"coupon": campaign.coupon_id(coupon.number)}
    if refusal is CouponAlreadyRedeemed:
        facts["redeemed_at"] = redeemed_at
    elif refusal is CouponReserved:
        facts["until"] = coupon.due_at
    elif refusal is CouponExpired:
        facts["expired_at"] = campaign.span_of(coupon)[1]
    elif refusal in (CouponNotReserved, CouponNotRedeemed):
        facts["state"] = STATE_NAMES[coupon.state]
    return refusal(**facts)
