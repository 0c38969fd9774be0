"""Amend: other terms for a campaign that exists. What its coupons promise to their holders never becomes worse."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from contracts.campaigns import Terms
from contracts.commands import AmendCampaign
from contracts.events import CampaignAmended
from contracts.refusals import AmendmentForbidden, TermsInvalid
from coupon_core.model.campaign import LIVE_STATES, Campaign
from coupon_core.model.lifecycle import allow
from coupon_core.model.refused import Refused
from coupon_core.model.validity import bounds
from coupon_core.operations.building import check_building_rules, plan_of
from coupon_core.operations.create import check_terms
from coupon_core.operations.stock import note_exhausted
from coupon_core.work import Call

ANYTIME = frozenset(
    {"name", "metadata", "listed", "price", "per_user_limit", "per_user_day_limit", "low_pool_at", "senders"}
)
"""Terms that promise nothing to who holds a coupon already; all others are kept once one is out."""


def amend(call: Call) -> dict[str, Any]:
    """Change terms; the state stays. Nothing is recorded where nothing differs."""
    command: AmendCampaign = call.command
    campaign = call.own_campaign()
    allow(campaign, "amend", call.now)
    before = campaign.terms.model_copy(update={"listed": campaign.listed})  # it may have been unpublished
    after = _changed(before, command)
    names = [name for name in Terms.model_fields if getattr(after, name) != getattr(before, name)]
    answer = {"campaign": campaign.text, "state": campaign.state, "amended": names}
    if not names:
        return answer
    if campaign.issued or campaign.exported:
        for name in names:
            _keep_promise(name, before, after, lasting=campaign.lasting)
    starts, ends = check_terms(call, after)
    rules = check_building_rules(call.lane.facts, plan_of(campaign, after))
    _follow_end(call, campaign, ends)
    campaign.terms, campaign.starts, campaign.ends, campaign.listed = after, starts, ends, after.listed
    campaign.budget = after.budget
    campaign.look_up_terms()
    campaign.amended = True
    told_before, told_after = before.model_dump(mode="json"), after.model_dump(mode="json")
    call.work.recorder(campaign).campaign_event(
        call.cause,
        CampaignAmended(
            before={name: told_before[name] for name in names},
            after={name: told_after[name] for name in names},
            starts=starts,
            ends=ends,
            rules=rules,
        ),
    )
    note_exhausted(call, campaign)
    return answer | {"state": campaign.state}


def _changed(before: Terms, command: AmendCampaign) -> Terms:
    merged = {name: getattr(before, name) for name in Terms.model_fields if name not in command.clear}
    for name in Terms.model_fields:
        value = getattr(command.terms, name)
        if value is not None:
            merged[name] = value
    try:
        return Terms.model_validate(merged)
    except ValidationError as error:
        detail = "; ".join(problem["msg"] for problem in error.errors(include_url=False, include_input=False))
        raise Refused(TermsInvalid(detail=detail[:500])) from None


def _keep_promise(name: str, before: Terms, after: Terms, *, lasting: bool) -> None:
    """Raises Refused where a coupon that is out would be worth less, or could be used less long or at fewer places,
    and where what was counted so far would not be what the new term counts.
    """
    if name in ANYTIME:
        return
    unless = ""
    match name:
        case "redeemable_by":
            unless = ", except by adding parties"
            kept = set(before.redeemable_by) <= set(after.redeemable_by)
        case "validity":
            was, shall = before.validity, after.validity
            unless = "" if lasting else ", except by a later end"  # each coupon's own end was told already
            same = shall.model_copy(update={"ends": was.ends}) == was
            kept = not lasting and same and bounds(shall)[1] >= bounds(was)[1]
        case "budget":
            unless = ", except from one sum to a greater one"
            kept = before.budget is not None and after.budget is not None and after.budget > before.budget
        case "per_day_limit" | "per_week_limit" | "per_month_limit":
            unless = ", except from one number to another"
            kept = getattr(before, name) is not None and getattr(after, name) is not None
        case _:
            kept = False
    if not kept:
        raise Refused(AmendmentForbidden(term=name, unless=unless))


def _follow_end(call: Call, campaign: Campaign, ends: Any) -> None:
    """Something is due at the new end at the latest; what was due before stays due, at the end that was too: there a
    reservation may run out. Where nothing does, what is next due is found then.
    """
    if campaign.state in LIVE_STATES and ends != campaign.ends:
        call.work.note_due(campaign, ends)
