"""Issue and claim: a coupon comes into being in a user's hands."""

from __future__ import annotations

from typing import Any

from contracts.commands import Attributes, ClaimCoupon, IssueCoupons, IssueRow
from contracts.refusals import (
    CampaignNotFound,
    CodeNotExpected,
    CodeRequired,
    CodeTaken,
    CodeUnreadable,
    IssueTooLate,
    NoCodeLeft,
    PriceNotPaid,
    Refusal,
    RepeatedInRequest,
    UserLimitReached,
)
from coupon_core.codes.generated import last_four, normalise
from coupon_core.model.campaign import HELD, Campaign, Coupon
from coupon_core.model.eligibility import why_not_eligible
from coupon_core.model.lifecycle import allow, none_left
from coupon_core.model.recording import instant
from coupon_core.model.refused import Refused
from coupon_core.operations.limits import Limits
from coupon_core.operations.serials import take_number
from coupon_core.operations.stock import note_exhausted, note_pool_low
from coupon_core.work import Call


def _issuable(call: Call) -> Campaign:
    campaign = call.campaign()
    if not campaign.issuable_by(call.party):
        raise Refused(CampaignNotFound())
    allow(campaign, "issue", call.now)
    if campaign.timed and campaign.terms.validity.waiting_days:
        usable_from, ends = campaign.span_from(call.now)
        if usable_from >= ends:
            raise Refused(IssueTooLate(usable_from=usable_from, ends=ends))
    return campaign


class _Issuer:
    """Issues coupon after coupon of one campaign for one command; what does not change is looked up once."""

    def __init__(self, call: Call, campaign: Campaign, how: str, rows: int) -> None:
        self.call, self.campaign, self.how = call, campaign, how
        self.limit = campaign.terms.per_user_limit
        self.recorder = call.work.recorder(campaign)
        self.rows = rows
        self.shared_last = last_four(campaign.code) if campaign.code is not None else ""
        self.rule = campaign.rule_at_issue
        self.limits = Limits(call, campaign) if campaign.counted else None
        self.left = None if campaign.plain else campaign.stock_left()
        self.valid_from, self.valid_until = campaign.span_from(call.now)
        self.due = self.valid_until if campaign.lasting and self.valid_until < campaign.ends else None
        self.span = (instant(self.valid_from), instant(self.valid_until)) if campaign.timed else None

    def issue(
        self,
        user: str,
        given: str | None,
        attributes: Attributes | None = None,
        order: str | None = None,
        paid: int | None = None,
    ) -> Coupon | Refusal:
        """A new coupon, or why not. Changes nothing when it refuses."""
        campaign, work, call = self.campaign, self.call.work, self.call
        if (campaign.quantity is not None and campaign.quantity - campaign.issued - campaign.exported <= 0) or (
            campaign.budget is not None and campaign.budget_left() < campaign.coupon_worth()
        ):
            return none_left(campaign)
        if self.limit is not None:
            held = work.by_user.setdefault((campaign.number, user), [])
            if len(held) >= self.limit:
                return UserLimitReached(limit=self.limit, issued=len(held))
        if self.rule is not None or attributes is not None:
            why_not = why_not_eligible(
                self.rule,
                attributes,
                user=user,
                users_of=campaign.users_of(),
                explained=campaign.explained_to(call.party),
            )
            if why_not is not None:
                return why_not
        if self.limits is not None:
            why_not = self.limits.why_not(user)
            if why_not is not None:
                return why_not
        taken = self._take_code(given)
        if not isinstance(taken, tuple):
            return taken
        number, last, code, shown = taken
        coupon = Coupon(campaign.number, number, user, HELD, 0, call.now, code, due_at=self.due, shown=shown)
        campaign.add(HELD)
        work.add_coupon(campaign, coupon)
        self.recorder.issued(call.cause, number, user, last, self.how, order, paid, self.span)
        if self.limits is not None:
            self.limits.count()
        return coupon

    def _take_code(self, given: str | None) -> tuple[int, str, str | None, str | None] | Refusal:
        """The new coupon's number and what may be shown of its code, with the code as it is stored and as it was
        written, where it stands on the coupon's row; or why there is none.
        """
        campaign, work = self.campaign, self.call.work
        if campaign.supply == "generated":
            if given is not None:
                return CodeNotExpected(supply=campaign.supply)
            number, made = take_number(self.call, campaign, self.rows)
            return number, made[-4:], None, None
        if campaign.supply == "shared":
            if given is not None and normalise(given) != campaign.code_normal:
                return CodeNotExpected(supply=campaign.supply)
            campaign.last_number += 1
            return campaign.last_number, self.shared_last, None, None
        if campaign.supply == "uploaded":
            if given is not None:
                return CodeNotExpected(supply=campaign.supply)
            free = work.free_codes.get(campaign.number)
            if not free:
                return NoCodeLeft()
            uploaded = free.pop(0)
            uploaded.taken = True
            work.taken_codes.append((campaign.number, uploaded.position))
            campaign.available -= 1
            return uploaded.position, last_four(uploaded.code), uploaded.code, uploaded.shown
        if given is None:
            return CodeRequired()
        code = normalise(given)
        if code is None:
            return CodeUnreadable()
        if work.by_code.get((campaign.number, code)) is not None:
            return CodeTaken()
        campaign.last_number += 1
        return campaign.last_number, last_four(code), code, given

    def finish(self) -> None:
        """What follows from all that was issued: when the first of it is due, a low or an empty pool."""
        if self.due is not None:
            self.call.work.note_due(self.campaign, self.due)
        if not self.campaign.plain:
            note_pool_low(self.call, self.campaign, self.left)
        note_exhausted(self.call, self.campaign)


def issue(call: Call) -> dict[str, Any]:
    """One coupon to each user of the command; each row has its own result."""
    command: IssueCoupons = call.command
    campaign = _issuable(call)
    issuer = _Issuer(call, campaign, "issue", len(command.rows))
    users: set[str] = set()
    rows: list[dict[str, Any]] = []
    refused = 0
    times = {} if issuer.span is None else {"valid_from": issuer.span[0], "valid_until": issuer.span[1]}
    for index, row in enumerate(command.rows):
        if row.user in users:
            result: Coupon | Refusal = RepeatedInRequest()
        else:
            users.add(row.user)
            result = issuer.issue(row.user, row.code, row.attributes)
        if isinstance(result, Coupon):
            rows.append(_row(index, row, campaign, result) | times)
        else:
            refused += 1
            rows.append({"row": index, "user": row.user, "refusal": call.refuse_row(index, result, user=row.user)})
    issuer.finish()
    return {"campaign": campaign.text, "accepted": len(rows) - refused, "refused": refused, "rows": rows}


def _row(index: int, row: IssueRow, campaign: Campaign, coupon: Coupon) -> dict[str, Any]:
    answer: dict[str, Any] = {"row": index, "user": row.user, "coupon": campaign.coupon_id(coupon.number)}
    if coupon.shown is not None:
        answer["code"] = coupon.shown
    return answer


def claim(call: Call) -> dict[str, Any]:
    """A user takes one; a priced offer needs the order and the price paid."""
    command: ClaimCoupon = call.command
    campaign = _issuable(call)
    if not campaign.listed and call.record.actor.startswith("app:"):
        raise Refused(CampaignNotFound())  # apps claim from the catalogue only; the gateway's look may be outdated
    terms = campaign.terms
    if terms.price > 0 and (command.order is None or command.paid is None or command.paid < terms.price):
        raise Refused(PriceNotPaid(price=terms.price, currency=terms.currency))
    issuer = _Issuer(call, campaign, "claim", 1)
    result = issuer.issue(command.user, command.code, command.attributes, command.order, command.paid)
    if not isinstance(result, Coupon):
        raise Refused(result)
    issuer.finish()
    answer: dict[str, Any] = {
        "coupon": campaign.coupon_id(result.number),
        "user": command.user,
        "valid_from": instant(issuer.valid_from),
        "valid_until": instant(issuer.valid_until),
    }
    if result.shown is not None:
        answer["code"] = result.shown
    return answer
