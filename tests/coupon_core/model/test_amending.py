"""Drafts, and terms changed while coupons are out."""

import json
from typing import Any
from uuid import UUID

import pytest

from contracts.campaigns import Terms, TermsChange
from contracts.commands import (
    ActivateCampaign,
    AmendCampaign,
    BuildingRules,
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    ReserveCoupon,
    SetBuildingRules,
    StopCampaign,
    UnpublishCampaign,
    UploadCodes,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from coupon_core.operations.amend import ANYTIME
from tests.support.deciding import MERCHANT, OTHER, MemoryLane, by_number, terms

LONGER = {"starts": "2026-03-01", "ends": "2026-04-30"}
SHORTER = {"starts": "2026-03-01", "ends": "2026-03-20"}


def amend(*clear: str, **changes: Any) -> AmendCampaign:
    return AmendCampaign(terms=TermsChange.model_validate_json(json.dumps(changes)), clear=clear)


def draft(lane: MemoryLane, **changes: Any) -> UUID:
    campaign = campaign_id(PLATFORM, "draft")
    command = GenerateCampaign(terms=terms(**changes), quantity=10, draft=True)
    assert lane.done(command, campaign=campaign)["state"] == "draft"
    return campaign


def held(lane: MemoryLane, **changes: Any) -> UUID:
    campaign = lane.generate(**changes)
    lane.issue(campaign, "u")
    return campaign


class TestDrafts:
    def test_a_draft_gives_nothing_out_before_it_is_activated(self) -> None:
        lane = MemoryLane()
        campaign = draft(lane)
        assert lane.refused(ClaimCoupon(user="u"), campaign=campaign) == "campaign_not_active"
        assert lane.done(ActivateCampaign(), campaign=campaign)["state"] == "active"
        assert lane.done(ClaimCoupon(user="u"), campaign=campaign)
        assert lane.kinds(campaign) == [
            *("campaign.created", "campaign.generation_started", "campaign.generated", "coupon.issued"),
        ]

    def test_all_its_terms_may_be_amended(self) -> None:
        lane = MemoryLane()
        campaign = draft(lane)
        percent = {"kind": "percent_off", "basis_points": 1_000}
        lane.done(amend(discount=percent, currency="USD", validity=SHORTER, minimum_spend=5), campaign=campaign)
        lane.done(ChangeQuantity(quantity=3), campaign=campaign)
        lane.done(ActivateCampaign(), campaign=campaign)
        kept = lane.campaign(campaign)
        assert (kept.terms.currency, kept.terms.discount.kind, kept.quantity) == ("USD", "percent_off", 3)
        assert kept.ends.isoformat() == "2026-03-21T00:00:00+00:00"
        lane.issue(campaign, "u")
        lane.pass_time("2026-03-21T00:00:00Z")
        assert lane.counters(campaign) == {"expired": 1}

    def test_nothing_becomes_due_in_a_draft_and_after_its_end_it_cannot_be_activated_until_amended(self) -> None:
        lane = MemoryLane()
        campaign = draft(lane)
        lane.pass_time("2026-04-10T00:00:00Z")
        assert lane.campaign(campaign).state == "draft"
        assert lane.refused(ActivateCampaign(), campaign=campaign) == "campaign_over"
        lane.done(amend(validity=LONGER), campaign=campaign)
        lane.done(ActivateCampaign(), campaign=campaign)
        lane.pass_time("2026-05-01T00:00:00Z")
        assert lane.campaign(campaign).state == "ended"

    def test_the_building_rules_that_hold_then_are_asked_when_it_is_activated(self) -> None:
        lane = MemoryLane()
        campaign = draft(lane)
        for version, days in ((1, 7), (2, 100)):
            rules = BuildingRules(longest_days=days)
            lane.done(SetBuildingRules(partition=0, party=PLATFORM, version=version, rules=rules))
            reply = lane.send(ActivateCampaign(), campaign=campaign)
            assert (reply.refusal is not None) == (version == 1)
        started = next(event for event in lane.events if event.type == "scrip.campaign.generation_started.v1")
        assert started.data.rules == {PLATFORM: 2}

    def test_a_draft_may_be_stopped_and_takes_uploads(self) -> None:
        lane = MemoryLane()
        lane.activate(MERCHANT)
        campaign = campaign_id(MERCHANT, "draft")
        command = GenerateCampaign.model_validate({"terms": terms(), "supply": {"kind": "uploaded"}, "draft": True})
        lane.done(command, campaign=campaign, party=MERCHANT)
        assert lane.done(UploadCodes(codes=("A1",)), campaign=campaign, party=MERCHANT)["accepted"] == 1
        lane.done(StopCampaign(reason="r"), campaign=campaign, party=MERCHANT)
        assert lane.campaign(campaign).state == "stopped"
        assert lane.refused(ActivateCampaign(), campaign=campaign, party=MERCHANT) == "campaign_state_forbids"

    def test_only_a_draft_can_be_activated(self) -> None:
        lane = MemoryLane()
        assert lane.refused(ActivateCampaign(), campaign=lane.generate()) == "campaign_state_forbids"


class TestPromises:
    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "Summer"},
            {"metadata": {"a": "b"}},
            {"listed": False},
            {"price": 5},
            {"per_user_limit": 3},
            {"per_user_day_limit": 3},
            {"low_pool_at": 5},
            {"per_day_limit": 7},
            {"budget": 90_000},
            {"senders": [OTHER]},
            {"validity": LONGER},
            {"redeemable_by": [MERCHANT, OTHER]},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_may_grow_while_coupons_are_out(self, changes: dict[str, Any]) -> None:
        lane = MemoryLane()
        campaign = held(lane, redeemable_by=[MERCHANT], per_day_limit=9, budget=80_000)
        lane.done(amend(**changes), campaign=campaign)
        kept = lane.campaign(campaign).terms.model_dump(mode="json")
        for name, value in changes.items():
            assert kept[name] == value if name != "validity" else kept[name].items() >= value.items()
        event = lane.events[-1]
        assert (event.type, event.data.after) == ("scrip.campaign.amended.v1", {name: kept[name] for name in changes})
        assert event.data.before.keys() == changes.keys()

    @pytest.mark.parametrize(
        "changes",
        [
            {"discount": {"kind": "amount_off", "amount": 600}},
            {"currency": "USD"},
            {"minimum_spend": 1},
            {"rounding": "down"},
            {"return_policy": "burned"},
            {"validity": SHORTER},
            {"validity": {"starts": "2026-03-02", "ends": "2026-04-30"}},
            {"validity": {"starts": "2026-03-01", "ends": "2026-04-30", "zone": "Asia/Shanghai"}},
            {"redeemable_by": [OTHER]},
            {"uses": 2},
            {"per_day_limit": 5},
            {"budget": 60_000},
            {"eligibility": {"expression": "user != 'x'"}},
        ],
        ids=str,
    )
    def test_are_kept_as_soon_as_one_coupon_or_code_is_out(self, changes: dict[str, Any]) -> None:
        lane = MemoryLane()
        campaign = lane.generate(redeemable_by=[MERCHANT])
        before = lane.campaign(campaign).terms
        lane.done(ExportCodes(count=1), campaign=campaign)
        reply = lane.send(amend(**changes, name="Summer"), campaign=campaign)
        assert reply.refusal is not None
        assert (reply.refusal.code, reply.refusal.facts["term"]) == ("amendment_forbidden", next(iter(changes)))
        assert lane.campaign(campaign).terms == before
        untouched = lane.generate("untouched", redeemable_by=[MERCHANT])
        lane.done(amend(**changes), campaign=untouched)

    def test_every_term_that_may_always_change_is_a_term(self) -> None:
        assert Terms.model_fields.keys() >= ANYTIME

    def test_a_later_end_moves_what_is_due_and_coupons_live_until_then(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        lane.done(amend(validity=LONGER), campaign=campaign)
        lane.pass_time("2026-04-15T00:00:00Z")
        assert lane.counters(campaign) == {"held": 1}
        lane.pass_time("2026-05-01T00:00:00Z")
        assert lane.counters(campaign) == {"expired": 1}
        assert lane.kinds(campaign)[-1] == "campaign.ended"

    def test_a_reservation_until_the_end_that_was_is_over_then_however_late_the_end_is_now(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        lane.pass_time("2026-03-31T23:55:00Z")
        reserved = lane.done(ReserveCoupon(coupon=by_number(), order="A", seconds=900), campaign=campaign)
        assert reserved["until"] == "2026-04-01T00:00:00Z"
        lane.done(amend(validity=LONGER), campaign=campaign)
        lane.pass_time("2026-04-01T00:00:00Z")
        assert lane.counters(campaign) == {"held": 1}
        lane.pass_time("2026-05-01T00:00:00Z")
        assert lane.counters(campaign) == {"expired": 1}

    def test_no_later_end_where_each_coupon_was_told_its_own(self) -> None:
        lane = MemoryLane()
        own = LONGER | {"days_after_issue": 7}
        campaign = held(lane, validity=SHORTER | {"days_after_issue": 7})
        assert lane.refused(amend(validity=own), campaign=campaign) == "amendment_forbidden"

    def test_a_greater_budget_replenishes(self) -> None:
        lane = MemoryLane()
        campaign = held(lane, budget=900)
        assert lane.campaign(campaign).state == "exhausted"
        assert lane.done(amend(budget=1_000), campaign=campaign)["state"] == "active"
        assert lane.kinds(campaign)[-2:] == ["campaign.amended", "campaign.replenished"]
        lane.issue(campaign, "v")
        assert lane.refused(amend(budget=999), campaign=campaign) == "amendment_forbidden"

    def test_what_was_unpublished_may_be_listed_again(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        lane.done(UnpublishCampaign(), campaign=campaign)
        assert lane.done(amend(listed=True), campaign=campaign)["amended"] == ["listed"]
        assert lane.campaign(campaign).listed

    def test_a_limit_may_be_cleared(self) -> None:
        lane = MemoryLane()
        campaign = held(lane, per_user_limit=1)
        assert lane.refused(ClaimCoupon(user="u"), campaign=campaign) == "user_limit_reached"
        lane.done(amend("per_user_limit"), campaign=campaign)
        assert lane.done(ClaimCoupon(user="u"), campaign=campaign)

    def test_what_changes_nothing_is_not_recorded(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        before = len(lane.events)
        assert lane.done(amend(name="Spring"), campaign=campaign)["amended"] == []
        assert lane.done(amend(), campaign=campaign)["amended"] == []
        assert len(lane.events) == before

    def test_the_rules_are_asked_again(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        rules = BuildingRules(longest_days=40)
        lane.done(SetBuildingRules(partition=0, party=PLATFORM, version=1, rules=rules))
        assert lane.refused(amend(validity=LONGER), campaign=campaign) == "building_rule_forbids"
        assert lane.refused(amend(validity={"starts": "2026-03-01", "ends": "2026-03-09"}), campaign=campaign) in (
            *("amendment_forbidden", "campaign_over"),
        )
