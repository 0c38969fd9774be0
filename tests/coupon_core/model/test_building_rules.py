from typing import Any

import pytest

from contracts.campaigns import CodePattern
from contracts.commands import (
    ActivateCampaign,
    AmendCampaign,
    BuildingRules,
    ChangeQuantity,
    GenerateCampaign,
    PublishCampaign,
    SetBuildingRules,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from contracts.refusals import BuildingRuleForbids
from coupon_core.model.lane import Facts
from coupon_core.model.refused import Refused
from coupon_core.operations.building import RULES, Plan, check_building_rules
from tests.support.deciding import MERCHANT, OTHER, MemoryLane, terms

PERCENT = {"kind": "percent_off", "basis_points": 2_500}
CARD = {"kind": "gift_card", "balance": 5_000}
FREE = {"kind": "free_item", "item": "coffee"}
RULE = {"expression": "age >= 18", "attributes": {"age": "int"}}
THIRD = "33333333-3333-4333-8333-333333333333"
PATTERN = {"charset": "digits", "length": 8}


def rules(**fields: Any) -> BuildingRules:
    return BuildingRules.model_validate(fields)


def refusal(
    facts: Facts,
    owner: str = PLATFORM,
    quantity: int | None = 10,
    supply: str = "generated",
    pattern: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """`rule vN`, or `allowed`."""
    own = None if pattern is None else CodePattern.model_validate(pattern)
    try:
        check_building_rules(facts, Plan(owner, terms(**changes), supply, quantity, own))
    except Refused as no:
        said = no.refusal
    else:
        return "allowed"
    assert isinstance(said, BuildingRuleForbids)
    return f"{said.rule} v{said.version}"


FORBIDDEN = [
    ({"kinds": ("percent_off",)}, {}, "kinds"),
    ({"kinds": ("amount_off",)}, {"discount": PERCENT}, "kinds"),
    ({"kinds": ()}, {}, "kinds"),
    ({"supplies": ("shared", "given")}, {}, "supplies"),
    ({"greatest_percent": 2_499}, {"discount": PERCENT}, "greatest_percent"),
    ({"greatest_amount": {"EUR": 499}}, {}, "greatest_amount"),
    ({"greatest_quantity": 9}, {}, "greatest_quantity"),
    ({"greatest_quantity": 10}, {"quantity": None}, "greatest_quantity"),
    ({"longest_days": 30}, {}, "longest_days"),
    ({"required": ("minimum_spend",)}, {}, "required"),
    ({"required": ("per_user_limit",)}, {}, "required"),
    ({"required": ("quantity",)}, {"quantity": None}, "required"),
    ({"required": ("budget",)}, {}, "required"),
    ({"required": ("cap",)}, {"discount": PERCENT}, "required"),
    ({"required": ("cap",)}, {"discount": FREE}, "required"),
    ({"greatest_amount": {"EUR": 400}}, {"discount": FREE | {"cap": 401}}, "greatest_amount"),
    ({"greatest_amount": {"EUR": 400}}, {"discount": FREE}, "greatest_amount"),
    ({"greatest_amount": {"EUR": 4_999}}, {"discount": CARD}, "greatest_amount"),
    ({"greatest_balance": {"EUR": 4_999}}, {"discount": CARD}, "greatest_balance"),
    ({"greatest_amount": {"EUR": 1}, "greatest_balance": {"USD": 1}}, {"discount": CARD}, "greatest_amount"),
    ({"greatest_budget": {"EUR": 9_999}}, {"budget": 10_000}, "greatest_budget"),
    ({"greatest_budget": {"EUR": 9_999}}, {}, "greatest_budget"),
    ({"greatest_uses": 2}, {"uses": 3}, "greatest_uses"),
    ({"greatest_per_user": 2}, {"per_user_limit": 3}, "greatest_per_user"),
    ({"greatest_per_user": 2}, {}, "greatest_per_user"),
    ({"eligibility": False}, {"eligibility": RULE}, "eligibility"),
    ({"attributes": ("city",)}, {"eligibility": RULE}, "attributes"),
    ({"attributes": ()}, {"eligibility": RULE}, "attributes"),
    ({"least_code_length": 9}, {"pattern": PATTERN}, "least_code_length"),
    ({"least_codes_per_coupon": 10_000_001}, {"pattern": PATTERN}, "least_codes_per_coupon"),
    ({"partners": (THIRD,)}, {"redeemable_by": (OTHER,)}, "partners"),
    ({"partners": ()}, {"senders": (OTHER,)}, "partners"),
]
ALLOWED = [
    ({}, {}),
    ({"kinds": ("amount_off",)}, {}),
    ({"supplies": ("generated",)}, {}),
    ({"greatest_percent": 2_500}, {"discount": PERCENT}),
    ({"greatest_percent": 1}, {}),
    ({"greatest_amount": {"EUR": 500}}, {}),
    ({"greatest_amount": {"USD": 1}}, {}),
    ({"greatest_amount": {"EUR": 1}}, {"discount": PERCENT}),
    ({"greatest_quantity": 10}, {}),
    ({"longest_days": 31}, {}),
    ({"required": ("minimum_spend", "per_user_limit", "quantity")}, {"minimum_spend": 1, "per_user_limit": 1}),
    ({"required": ("cap",)}, {}),
    ({"required": ("cap",)}, {"discount": CARD}),
    ({"required": ("cap", "budget")}, {"discount": PERCENT | {"cap": 900}, "budget": 900}),
    ({"greatest_balance": {"EUR": 5_000}, "greatest_amount": {"EUR": 1}}, {"discount": CARD}),
    ({"greatest_balance": {"EUR": 1}}, {}),
    ({"greatest_budget": {"EUR": 10_000, "USD": 1}}, {"budget": 10_000}),
    ({"greatest_budget": {"USD": 1}}, {}),
    ({"greatest_uses": 1}, {}),
    ({"greatest_per_user": 3}, {"per_user_limit": 3}),
    ({"eligibility": False}, {}),
    ({"eligibility": True, "attributes": ("age", "city")}, {"eligibility": RULE}),
    ({"attributes": ()}, {"eligibility": {"expression": "user != 'x'"}}),
    ({"least_code_length": 8, "least_codes_per_coupon": 10_000_000}, {"pattern": PATTERN}),
    ({"least_code_length": 64}, {}),
    ({"partners": (OTHER, THIRD)}, {"redeemable_by": (OTHER,), "senders": (THIRD, OTHER)}),
]


class TestAPlatformsRule:
    def test_each_is_tried_here(self) -> None:
        assert set(RULES) == set(BuildingRules.model_fields) == {named for _, _, named in FORBIDDEN}

    @pytest.mark.parametrize(("set_rules", "campaign", "named"), FORBIDDEN)
    def test_that_forbids_a_campaign_is_named_with_its_version(self, set_rules: Any, campaign: Any, named: str) -> None:
        facts = Facts(rules={PLATFORM: (7, rules(**set_rules))})
        assert refusal(facts, **campaign) == f"{named} v7"
        assert refusal(facts, MERCHANT, **campaign) == f"{named} v7"

    @pytest.mark.parametrize(("set_rules", "campaign"), ALLOWED)
    def test_that_is_kept_forbids_nothing(self, set_rules: Any, campaign: Any) -> None:
        assert refusal(Facts(rules={PLATFORM: (7, rules(**set_rules))}), **campaign) == "allowed"

    @pytest.mark.parametrize(("day", "zone"), [("2026-11-01", "America/New_York"), ("2026-10-25", "Europe/Berlin")])
    def test_of_one_day_at_most_allows_a_day_of_25_hours(self, day: str, zone: str) -> None:
        facts = Facts(rules={PLATFORM: (1, rules(longest_days=1))})
        assert refusal(facts, validity={"starts": day, "ends": day, "zone": zone}) == "allowed"


class TestAMerchantsOverride:
    def test_wins_field_by_field(self) -> None:
        facts = Facts(
            rules={
                PLATFORM: (7, rules(greatest_amount={"EUR": 400}, greatest_quantity=5)),
                MERCHANT: (3, rules(greatest_amount={"EUR": 600})),
            }
        )
        assert refusal(facts, MERCHANT, quantity=5) == "allowed"
        assert refusal(facts, MERCHANT, quantity=6) == "greatest_quantity v7"
        assert refusal(facts, OTHER, quantity=5) == "greatest_amount v7"
        assert refusal(facts, PLATFORM, quantity=5) == "greatest_amount v7"

    def test_is_needed_before_its_coupons_count_at_another_merchants_tills(self) -> None:
        facts = Facts(rules={MERCHANT: (3, rules(partners=[OTHER]))})
        assert refusal(facts, MERCHANT, redeemable_by=(OTHER,)) == "allowed"
        assert refusal(facts, MERCHANT, redeemable_by=(OTHER, THIRD)) == "partners v3"
        assert refusal(Facts(), MERCHANT, redeemable_by=(OTHER,)) == "partners v0"
        assert refusal(Facts(), MERCHANT, senders=(OTHER,)) == "partners v0"
        assert refusal(Facts(), PLATFORM, redeemable_by=(OTHER,), senders=(OTHER,)) == "allowed"

    def test_may_be_stricter_and_is_named_then(self) -> None:
        facts = Facts(rules={PLATFORM: (7, rules()), MERCHANT: (3, rules(greatest_amount={"EUR": 100}))})
        assert refusal(facts, MERCHANT) == "greatest_amount v3"
        assert refusal(facts, OTHER) == "allowed"


class TestByCommand:
    @staticmethod
    def set_rules(lane: MemoryLane, party: str, version: int, **fields: Any) -> dict[str, Any]:
        return lane.done(SetBuildingRules(partition=0, party=party, version=version, rules=rules(**fields)))

    def test_rules_apply_to_internal_and_external_campaigns_alike_and_the_refusal_says_which(self) -> None:
        lane = MemoryLane()
        lane.activate(MERCHANT)
        self.set_rules(lane, PLATFORM, 4, greatest_amount={"EUR": 499})
        inside = lane.send(GenerateCampaign(terms=terms(), quantity=1), campaign=campaign_id(PLATFORM, "a"))
        outside = lane.send(
            PublishCampaign.model_validate({"terms": terms(), "supply": {"kind": "given"}}),
            campaign=campaign_id(MERCHANT, "a"),
            party=MERCHANT,
        )
        for reply in (inside, outside):
            assert reply.refusal is not None
            assert reply.refusal.code == "building_rule_forbids"
            assert reply.refusal.facts == {
                "rule": "greatest_amount",
                "version": 4,
                "detail": "500 is above 499 EUR minor units",
            }

    def test_an_older_version_that_comes_late_changes_nothing(self) -> None:
        lane = MemoryLane()
        self.set_rules(lane, PLATFORM, 2, kinds=["percent_off"])
        assert self.set_rules(lane, PLATFORM, 1)["version"] == 2
        refused = lane.refused(GenerateCampaign(terms=terms(), quantity=1), campaign=campaign_id(PLATFORM, "a"))
        assert refused == "building_rule_forbids"

    def test_an_event_tells_against_which_versions_a_campaign_was_checked(self) -> None:
        lane = MemoryLane()
        self.set_rules(lane, PLATFORM, 2)
        self.set_rules(lane, MERCHANT, 5)
        lane.generate("a")
        lane.publish({"kind": "given"}, "b")
        made = [event for event in lane.events if event.type == "scrip.campaign.created.v1"]
        assert [event.data.rules for event in made] == [{PLATFORM: 2}, {PLATFORM: 2, MERCHANT: 5}]

    def test_a_quantity_raised_later_meets_the_same_rule(self) -> None:
        lane = MemoryLane()
        self.set_rules(lane, PLATFORM, 1, greatest_quantity=100)
        campaign = lane.generate(quantity=100)
        assert lane.refused(ChangeQuantity(quantity=101), campaign=campaign) == "building_rule_forbids"

    def test_codes_that_are_written_down_first_are_generated_ones_also_when_the_draft_is_activated(self) -> None:
        lane = MemoryLane()
        self.set_rules(lane, PLATFORM, 1, supplies=["generated"])
        campaign = campaign_id(PLATFORM, "draft")
        command = {"terms": terms(), "supply": {"kind": "generated", "stored": True}, "quantity": 3, "draft": True}
        lane.done(GenerateCampaign.model_validate(command), campaign=campaign)
        lane.done(AmendCampaign.model_validate({"terms": {"name": "Summer"}}), campaign=campaign)
        assert lane.done(ActivateCampaign(), campaign=campaign)["state"] == "active"

    def test_a_quantity_raised_later_may_not_make_the_codes_easier_to_guess_than_the_rule_says(self) -> None:
        lane = MemoryLane()
        self.set_rules(lane, PLATFORM, 1, least_codes_per_coupon=10_000_000)
        campaign = campaign_id(PLATFORM, "a")
        supply = {"kind": "generated", "pattern": PATTERN}
        command = GenerateCampaign.model_validate({"terms": terms(), "supply": supply, "quantity": 10})
        lane.done(command, campaign=campaign)
        assert lane.refused(ChangeQuantity(quantity=11), campaign=campaign) == "building_rule_forbids"

    def test_terms_amended_later_meet_the_rules_of_then(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=10)
        self.set_rules(lane, PLATFORM, 1, greatest_uses=2)
        more = AmendCampaign.model_validate({"terms": {"uses": 3}})
        assert lane.refused(more, campaign=campaign) == "building_rule_forbids"
