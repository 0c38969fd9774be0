"""Would this code be accepted? The same decision as for a redemption, on a copy that is thrown away.

`decide` is asked first as things are; as long as it refuses, the reason is noted, taken away from the copy, and
it is asked again: so *every* reason that holds is named, and no rule is written twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from contracts.commands import Attributes, CouponReference, OrderItem, RedeemCoupon, record_for
from contracts.currencies import exponent_of
from contracts.fields import CodeText, Minor, OrderId, Party, UserId
from contracts.identifiers import split_coupon_id
from contracts.refusals import AmbiguousCode, CampaignNotFound, CouponNotFound
from coupon_core.decide import decide
from coupon_core.lanes.loading import load
from coupon_core.model.campaign import HELD, Campaign, Coupon
from coupon_core.model.worth import capacity
from coupon_core.queries.asking import body
from coupon_core.queries.resolving import candidates
from coupon_core.queries.source import Source, instant_or_none
from coupon_core.storage import Connection
from coupon_core.storage.reading import campaign_with_clock, lane_for
from coupon_core.work import DONE, Entry, Work

MOST_REASONS = 10
EVER = datetime(9999, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)

Reason = dict[str, Any]
"""A refusal as it stands in an answer: code, message, facts."""


class Question(BaseModel):
    """`campaign` null: whichever campaign the code belongs to. `order`: the one that may have reserved the coupon."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    party: Party
    actor: Annotated[str, Field(max_length=200)] = "service:core"
    """Who asks: staff of the campaign's owner are told more than others."""
    campaign: UUID | None = None
    code: CodeText
    user: UserId | None = None
    amount: Minor | None = None
    discount: Minor | None = None
    items: Annotated[tuple[OrderItem, ...], Field(max_length=100)] = ()
    attributes: Attributes | None = None
    order: OrderId | None = None


@dataclass(slots=True)
class Trial:
    """A copy of what the decision depends on; changed at will."""

    work: Work
    campaign: Campaign
    party: str
    actor: str
    now: datetime
    command: RedeemCoupon

    def entry(self) -> tuple[Entry, UUID]:
        """The command as the gateway would have sent it now, and its id."""
        record = record_for(
            self.command,
            id=uuid4(),
            source="/coupon-core",
            subject=self.campaign.text,
            party=self.party,
            actor=self.actor,
            notafter=self.now + timedelta(seconds=1),
        )
        # In record time `decide` takes max(lane clock, this time); in told time the lane's clock alone.
        made = Entry(
            self.campaign.partition, 0, self.now, None, None, (), record, writer="gateway", campaign=self.campaign.id
        )
        return made, record.id

    def decide(self) -> tuple[bool, dict[str, Any], int | None]:
        """(accepted, result or refusal, the coupon's number where a refusal is about one)."""
        entry, command = self.entry()
        self.work.refusals.clear()
        decide(self.work, entry)
        outcome = self.work.outcomes[entry.partition][command]
        refused = self.work.refusals[-1].coupon if self.work.refusals else None
        return outcome.status == DONE, outcome.body or {}, refused

    def coupon(self, reason: Reason) -> Coupon | None:
        """The coupon a refusal's facts name."""
        named = reason["facts"].get("coupon")
        return None if named is None else self.work.coupons.get((self.campaign.number, split_coupon_id(named)[1]))


def _make_usable(trial: Trial, reason: Reason) -> None:
    trial.work.voided.clear()
    coupon = trial.coupon(reason)
    if coupon is not None:
        coupon.state, coupon.reserved_order, coupon.due_at, coupon.reserved_units = HELD, None, None, None
        if reason["code"] != "coupon_reserved":
            coupon.spent, coupon.redemptions = None, 0


def _redeem_for_the_first_time(trial: Trial, _: Reason) -> None:
    for coupon in trial.work.coupons.values():
        coupon.redemptions = 0


def _make_unexpired(trial: Trial, reason: Reason) -> None:
    _make_usable(trial, reason)
    trial.campaign.ends = EVER
    _change_validity(trial, days_after_issue=None)
    if trial.campaign.state == "ended":  # the same reason once more, told when the lane comes to it
        trial.campaign.state = "active"


def _activate(trial: Trial, _: Reason) -> None:
    trial.campaign.state = "active"


def _start(trial: Trial, _: Reason) -> None:
    trial.campaign.starts = LONG_AGO


def _activate_merchant(trial: Trial, _: Reason) -> None:
    trial.work.lanes[trial.campaign.partition].facts.merchants[trial.party] = (0, "active")


def _name_no_user(trial: Trial, _: Reason) -> None:
    coupon = CouponReference(code=trial.command.coupon.code)
    trial.command = trial.command.model_copy(update={"coupon": coupon})


def _spend_enough(trial: Trial, reason: Reason) -> None:
    """What is known to be enough: the least that may be spent, and what the discount named would come to."""
    least = max(trial.campaign.terms.minimum_spend, trial.command.discount or 0)
    if trial.campaign.gift:
        least = max(least, 1)
    _change(trial, amount=max(least, trial.command.amount or 0))


def _change(trial: Trial, **fields: Any) -> None:
    trial.command = trial.command.model_copy(update=fields)


def _name_discount(trial: Trial, reason: Reason) -> None:
    """The greatest one that the reason leaves."""
    facts = reason["facts"]
    _change(trial, discount=facts.get("cap", facts.get("amount", 0)))


def _name_no_discount(trial: Trial, _: Reason) -> None:
    _change(trial, discount=None)


def _use_something(trial: Trial, _: Reason) -> None:
    _change(trial, discount=None, amount=max(trial.command.amount or 0, 1))


def _buy_item(trial: Trial, reason: Reason) -> None:
    _change(trial, items=(OrderItem(item=reason["facts"]["item"], price=0),))


def _open_quantity(trial: Trial, _: Reason) -> None:
    trial.campaign.quantity = trial.campaign.budget = None


def _open_always(trial: Trial, _: Reason) -> None:
    _change_validity(trial, weekly=(), irregular=())


def _ask_no_rule(trial: Trial, _: Reason) -> None:
    trial.campaign.terms = trial.campaign.terms.model_copy(update={"eligibility": None})
    trial.campaign.look_up_terms()
    trial.command = trial.command.model_copy(update={"attributes": None})


def _wait_no_more(trial: Trial, _: Reason) -> None:
    _change_validity(trial, waiting_days=0, days_after_issue=None)  # its own end lies beyond the waiting anyway


def _change_validity(trial: Trial, **changes: Any) -> None:
    terms = trial.campaign.terms
    validity = terms.validity.model_copy(update=changes)
    trial.campaign.terms = terms.model_copy(update={"validity": validity})
    trial.campaign.look_up_terms()


TAKE_AWAY: dict[str, Callable[[Trial, Reason], None]] = {
    "coupon_already_redeemed": _make_usable,
    "coupon_reserved": _make_usable,
    "coupon_voided": _make_usable,
    "coupon_burned": _make_usable,
    "coupon_expired": _make_unexpired,
    "campaign_not_active": _activate,
    "campaign_not_started": _start,
    "not_eligible": _ask_no_rule,
    "eligibility_failed": _ask_no_rule,
    "attribute_missing": _ask_no_rule,
    "attribute_mismatch": _ask_no_rule,
    "attribute_not_expected": _ask_no_rule,
    "coupon_not_yet_usable": _wait_no_more,
    "coupon_not_received": _wait_no_more,
    "outside_hours": _open_always,
    "no_hours_left": _open_always,
    "merchant_not_active": _activate_merchant,
    "not_this_users_coupon": _name_no_user,
    "minimum_spend_not_met": _spend_enough,
    "order_amount_required": _spend_enough,
    "discount_required": _name_discount,
    "discount_above_cap": _name_discount,
    "discount_above_amount": _name_discount,
    "discount_not_expected": _name_no_discount,
    "balance_too_low": _name_no_discount,
    "nothing_to_pay": _use_something,
    "item_required": _buy_item,
    "too_many_redemptions": _redeem_for_the_first_time,
    "campaign_exhausted": _open_quantity,
    "budget_exhausted": _open_quantity,
}
"""What must be otherwise for a reason not to hold; after a reason that is not here nothing more can be said."""


async def validate(source: Source, request: Request) -> dict[str, Any]:
    """POST /validate."""
    question = await body(request, Question)
    async with source.snapshot() as connection:
        campaign, as_of = None, source.process_clock()
        if question.campaign is not None:
            found = await campaign_with_clock(connection, question.campaign)
            if found is not None:
                campaign = found[0] if found[0].redeemable_at(question.party) else None
            if campaign is None:
                return _answer([CampaignNotFound().as_json()], as_of)
        else:
            several = await candidates(source, connection, question.party, question.code, question.user)
            if not several:
                return _answer([CouponNotFound().as_json()], as_of)
            if len(several) > 1:
                return _answer([AmbiguousCode(campaigns=[one.text for one, _ in several]).as_json()], as_of)
            campaign = several[0][0]
        trial = await _trial(source, connection, campaign, question)
    answer = _judge(trial)
    if question.campaign is None and answer["reasons"][:1] == [CouponNotFound().as_json()]:
        return _answer([CouponNotFound().as_json()], as_of)  # as if no campaign had been found
    return answer


async def _trial(source: Source, connection: Connection, campaign: Campaign, question: Question) -> Trial:
    """All the decision needs, loaded as the lane loads it."""
    lane = await lane_for(connection, campaign.partition, question.party)
    work = Work({lane.partition: lane}, source.core.told, source.core.partitions, source.codes)
    work.campaigns[campaign.id] = campaign
    command = RedeemCoupon(
        coupon=CouponReference(code=question.code, user=question.user),
        order=question.order,
        amount=question.amount,
        discount=question.discount,
        items=question.items,
        attributes=question.attributes,
    )
    now = source.now(lane.clock) or datetime.now(UTC)
    trial = Trial(work, campaign, question.party, question.actor, now, command)
    await load(connection, work, [trial.entry()[0]])
    return trial


def _judge(trial: Trial) -> dict[str, Any]:
    campaign = trial.campaign
    left = {coupon.number: campaign.left(coupon) for coupon in trial.work.coupons.values()}
    reasons: list[Reason] = []
    number: int | None = None
    while True:
        accepted, said, about = trial.decide()
        if accepted:
            number = split_coupon_id(said["coupon"])[1]
            break
        known = said["code"] in {reason["code"] for reason in reasons}
        if known or len(reasons) == MOST_REASONS:
            break
        reasons.append(said)
        number = number or about
        take_away = TAKE_AWAY.get(said["code"])
        if take_away is None:
            break
        take_away(trial, said)
    shown = {"currency": campaign.terms.currency, "exponent": exponent_of(campaign.terms.currency)}
    hidden = any(reason["code"] in ("not_this_users_coupon", "coupon_not_found") for reason in reasons)
    if campaign.in_parts and number is not None and not hidden:
        name = "balance" if campaign.gift else "uses_left"
        shown[name] = left.get(number, capacity(campaign.terms))
    return _answer(
        reasons,
        trial.now,
        campaign=campaign.text,
        coupon=None if number is None or hidden else campaign.coupon_id(number),
        discount=None if reasons else said["discount"],
        payable=None if reasons else said["payable"],
        **shown,
    )


def _answer(
    reasons: list[Reason],
    as_of: datetime | None,
    *,
    campaign: str | None = None,
    coupon: str | None = None,
    discount: int | None = None,
    payable: int | None = None,
    **shown: Any,
) -> dict[str, Any]:
    """`shown`: currency and exponent of the amounts, and what is left of a coupon that is used in parts."""
    return {
        "valid": not reasons,
        "reasons": reasons,
        "coupon": coupon,
        "campaign": campaign,
        "discount": discount,
        "payable": payable,
        "currency": None,
        "exponent": None,
        **shown,
        "as_of": instant_or_none(as_of),
    }
