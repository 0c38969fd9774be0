"""Generate and publish: how a campaign comes into being. Internal and external differ in the owner alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from contracts.campaigns import CodePattern, GeneratedSupply, SharedSupply, Terms, Validity
from contracts.commands import GenerateCampaign, PublishCampaign
from contracts.currencies import EXPONENTS
from contracts.events import (
    CampaignCreated,
    CampaignPublished,
)
from contracts.fields import PLATFORM
from contracts.refusals import (
    BudgetNeedsCap,
    BudgetTooSmall,
    CampaignExists,
    CampaignOver,
    CodeUnreadable,
    CurrencyUnknown,
    EndBeforeStart,
    NeverUsable,
    NotAllowed,
    QuantityRequired,
)
from coupon_core.codes.generated import LENGTH, normalise
from coupon_core.model.campaign import Campaign
from coupon_core.model.eligibility import check_rule
from coupon_core.model.hours import next_opening
from coupon_core.model.lifecycle import allow, move
from coupon_core.model.refused import Refused
from coupon_core.model.validity import bounds, coupon_span, range_bounds
from coupon_core.model.worth import capacity, greatest_discount
from coupon_core.operations.building import Plan, check_building_rules, plan_of
from coupon_core.operations.generating import begin
from coupon_core.operations.serials import check_code_space
from coupon_core.work import Call


def check_windows(validity: Validity, starts: datetime, ends: datetime) -> None:
    """Raises Refused where a stretch of time ends before it starts, or coupons could never be used."""
    for stretch in validity.irregular:
        first, end = range_bounds(stretch.starts, stretch.ends, validity.zone)
        if end <= first:
            raise Refused(EndBeforeStart(starts=first, ends=end))
    first, _ = coupon_span(validity, starts, ends, starts)  # waiting days may leave nothing of the hours, or of all
    if next_opening(validity, first, ends) is None:
        raise Refused(NeverUsable(starts=first, ends=ends))


def check_terms(call: Call, terms: Terms) -> tuple[datetime, datetime]:
    """First and last instant (exclusive) of the terms, when they hold whatever the supply: new ones, or amended.

    Raises:
        Refused: by the rule they break. Building rules are not asked here.
    """
    if terms.currency not in EXPONENTS:
        raise Refused(CurrencyUnknown(currency=terms.currency))
    if terms.budget is not None:
        check_budget(terms, terms.budget)
    starts, ends = bounds(terms.validity)
    if ends <= starts:
        raise Refused(EndBeforeStart(starts=starts, ends=ends))
    if ends <= call.now:
        raise Refused(CampaignOver(ends=ends))
    check_windows(terms.validity, starts, ends)
    if terms.eligibility is not None:
        check_rule(terms.eligibility, call.party)
    return starts, ends


def _create(call: Call, command: GenerateCampaign | PublishCampaign) -> Campaign:
    """A draft campaign in the view, with its first event; or a refusal."""
    terms, supply, work = command.terms, command.supply, call.work
    exists = work.campaigns.get(call.entry.campaign_id())
    if exists is not None:
        raise Refused(CampaignExists(campaign=exists.text))
    starts, ends = check_terms(call, terms)
    if supply.kind == "generated" and command.quantity is None:
        raise Refused(QuantityRequired())
    stored = isinstance(supply, GeneratedSupply) and supply.stored
    pattern = _pattern(supply) if isinstance(supply, GeneratedSupply) else None
    check_code_space(pattern, command.quantity)
    code = supply.code if isinstance(supply, SharedSupply) else None
    code_normal = None if code is None else normalise(code)
    if code is not None and code_normal is None:
        raise Refused(CodeUnreadable())
    plan = Plan(call.party, terms, supply.kind, command.quantity, pattern)
    versions = check_building_rules(call.lane.facts, plan)

    campaign = Campaign(
        number=call.lane.campaigns * work.partitions + call.lane.partition,
        id=call.entry.campaign_id(),
        partition=call.lane.partition,
        owner=call.party,
        origin="internal" if call.party == PLATFORM else "external",
        state="draft",
        terms=terms,
        supply="uploaded" if stored else supply.kind,
        code=code,
        code_normal=code_normal,
        listed=terms.listed,
        quantity=command.quantity,
        starts=starts,
        ends=ends,
        created_at=call.now,
        budget=terms.budget,
        pattern=pattern,
        key_version=None if pattern is None else call.lane.facts.code_key,
        new=True,
    )
    call.lane.campaigns += 1
    work.campaigns[campaign.id] = campaign
    work.recorder(campaign).campaign_event(
        call.cause,
        CampaignCreated(
            name=terms.name,
            terms=terms.model_dump(mode="json"),
            supply=campaign.supply,
            code=code,
            pattern=None if pattern is None else pattern.model_dump(mode="json"),
            key_version=campaign.key_version,
            quantity=command.quantity,
            starts=starts,
            ends=ends,
            rules=versions,
        ),
    )
    return campaign


def check_budget(terms: Terms, budget: int) -> None:
    """Refuse a budget of which no coupon could be given: its greatest discount is not known, or too great."""
    greatest = greatest_discount(terms)
    if greatest is None:
        raise Refused(BudgetNeedsCap(kind=terms.discount.kind))
    needed = capacity(terms) * greatest
    if needed > budget:
        raise Refused(BudgetTooSmall(needed=needed, budget=budget, currency=terms.currency))


def _pattern(supply: GeneratedSupply) -> CodePattern | None:
    """How the codes look. Codes that are written down are never serials: those come into being with their holders."""
    return CodePattern(length=LENGTH) if supply.stored and supply.pattern is None else supply.pattern


def generate(call: Call) -> dict[str, Any]:
    """Bring a campaign and its codes into being; codes to be written down follow in slices."""
    command: GenerateCampaign = call.command
    campaign = _create(call, command)
    if command.draft:
        return _answer(campaign)
    return _bring_into_being(call, campaign, {})


def activate(call: Call) -> dict[str, Any]:
    """draft → generating → active; the rules that hold now are asked again."""
    campaign = call.own_campaign()
    allow(campaign, "activate", call.now)
    check_terms(call, campaign.terms)
    rules = check_building_rules(call.lane.facts, plan_of(campaign))
    return _bring_into_being(call, campaign, rules)


def _bring_into_being(call: Call, campaign: Campaign, rules: dict[str, int]) -> dict[str, Any]:
    call.work.set_due(campaign, campaign.ends)
    move(campaign, "activate", "generating")
    begin(call, campaign, rules)
    return _answer(campaign)


def _answer(campaign: Campaign) -> dict[str, Any]:
    return {"campaign": campaign.text, "state": campaign.state}


def publish(call: Call) -> dict[str, Any]:
    """Put a merchant's own campaign on the platform. The platform has nothing to publish: it generates."""
    if call.party == PLATFORM:
        raise Refused(NotAllowed(actor=call.record.actor, operation="publish for the platform: generate instead"))
    campaign = _create(call, call.command)
    call.work.set_due(campaign, campaign.ends)
    move(campaign, "activate", "active")
    call.work.recorder(campaign).campaign_event(call.cause, CampaignPublished(listed=campaign.listed))
    return _answer(campaign)
