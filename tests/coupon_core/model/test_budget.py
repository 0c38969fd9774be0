"""A campaign's budget: reserved with the coupon, spent at redemption, freed, and never overspent."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import (
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ResumeCampaign,
    ReturnCoupon,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
)
from tests.support.deciding import MERCHANT, MemoryLane, by_code, by_number

END = "2026-04-01T00:00:00Z"
PERCENT = {"kind": "percent_off", "basis_points": 1_000, "cap": 500}


def redeem(number: int = 1, amount: int = 2_000) -> RedeemCoupon:
    return RedeemCoupon(coupon=by_number(number), amount=amount)


def money(lane: MemoryLane, campaign: UUID) -> tuple[int, int]:
    """(reserved, spent), checked against the coupons."""
    kept = lane.campaign(campaign)
    coupons = [coupon for (number, _), coupon in lane.work.coupons.items() if number == kept.number]
    assert kept.budget_reserved == sum(kept.left(coupon) * kept.unit_worth() for coupon in coupons) + (
        kept.exported * kept.coupon_worth()
    )
    assert kept.budget is not None
    assert kept.budget_reserved + kept.budget_spent <= kept.budget
    return kept.budget_reserved, kept.budget_spent


class TestBudget:
    def test_is_reserved_with_the_coupon_and_spent_by_the_real_discount(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(discount=PERCENT, budget=1_000)
        lane.issue(campaign, "u")
        assert money(lane, campaign) == (500, 0)
        lane.done(redeem(amount=2_000), campaign=campaign)
        assert money(lane, campaign) == (0, 200)

    def test_exhausts_the_campaign_and_what_a_redemption_frees_makes_it_active_again(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(discount=PERCENT, budget=1_000)
        lane.issue(campaign, "u", "v")
        assert lane.refused(ClaimCoupon(user="w"), campaign=campaign) == "budget_exhausted"
        exhausted = lane.events[-1].data
        assert (exhausted.by, exhausted.quantity, exhausted.budget_reserved, exhausted.budget_spent) == (
            *("budget", 2, 1_000, 0),
        )
        lane.done(redeem(1, amount=1_000), campaign=campaign)
        assert lane.campaign(campaign).state == "exhausted"  # 400 are free, a coupon may need 500
        lane.done(redeem(2, amount=1_000), campaign=campaign)
        assert lane.kinds(campaign)[-1] == "campaign.replenished"
        assert lane.events[-1].data.budget_spent == 200
        lane.issue(campaign, "w")
        assert money(lane, campaign) == (500, 200)

    def test_a_row_of_an_issue_that_the_budget_does_not_hold_is_refused(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(budget=1_400)
        result = lane.done(IssueCoupons(rows=tuple(IssueRow(user=user) for user in "abc")), campaign=campaign)
        assert (result["accepted"], result["rows"][2]["refusal"]["code"]) == (2, "budget_exhausted")
        facts = result["rows"][2]["refusal"]["facts"]
        assert facts == {"budget": 1_400, "left": 400, "needed": 500, "currency": "EUR"}

    def test_the_quantity_is_named_where_both_are_at_their_end(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(budget=1_000, quantity=2)
        lane.issue(campaign, "u", "v")
        assert lane.events[-1].data.by == "quantity"
        assert lane.refused(ClaimCoupon(user="w"), campaign=campaign) == "campaign_exhausted"
        lane.done(ChangeQuantity(quantity=3), campaign=campaign)
        assert lane.campaign(campaign).state == "exhausted"
        assert lane.refused(ClaimCoupon(user="w"), campaign=campaign) == "budget_exhausted"

    @pytest.mark.parametrize("how", ["one", "all"])
    def test_void_frees_it(self, how: str) -> None:
        lane = MemoryLane()
        campaign = lane.generate(budget=500)
        lane.issue(campaign, "u")
        void = VoidCoupons(coupons=(by_number(),), reason="r") if how == "one" else VoidCampaign(reason="r")
        lane.done(void, campaign=campaign)
        assert money(lane, campaign) == (0, 0)
        assert lane.kinds(campaign)[-1] == "campaign.replenished"

    def test_a_coupon_whose_own_time_is_over_frees_it_for_others(self) -> None:
        lane = MemoryLane()
        lasting = {"starts": "2026-03-01", "ends": "2026-03-31", "days_after_issue": 1}
        campaign = lane.generate(budget=500, validity=lasting)
        lane.issue(campaign, "u")
        lane.pass_time("2026-03-12T12:00:00Z")
        assert money(lane, campaign) == (0, 0)
        assert lane.kinds(campaign)[-2:] == ["coupon.expired", "campaign.replenished"]
        lane.issue(campaign, "v")

    def test_expiry_frees_it(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(budget=1_000)
        lane.issue(campaign, "u", "v")
        lane.done(redeem(), campaign=campaign)
        lane.pass_time(END)
        assert money(lane, campaign) == (0, 500)

    def test_a_paused_campaign_resumes_as_exhausted_when_the_budget_is_given_away(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(budget=500)
        lane.issue(campaign, "u")
        lane.done(PauseCampaign(reason="r"), campaign=campaign)
        assert lane.done(ResumeCampaign(), campaign=campaign)["state"] == "exhausted"

    def test_exported_codes_reserve_it_and_uploaded_ones_when_they_are_used(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(budget=1_400)
        assert lane.refused(ExportCodes(count=3), campaign=campaign) == "budget_exhausted"
        code = lane.done(ExportCodes(count=2), campaign=campaign)["codes"][0]["code"]
        assert money(lane, campaign) == (1_000, 0)
        lane.done(RedeemCoupon(coupon=by_code(code), amount=300), campaign=campaign)
        assert money(lane, campaign) == (500, 300)

        uploaded = lane.publish({"kind": "uploaded"}, budget=500)
        lane.done(UploadCodes(codes=("A1", "A2")), campaign=uploaded, party=MERCHANT)
        lane.done(RedeemCoupon(coupon=by_code("A1"), amount=100), campaign=uploaded, party=MERCHANT)
        second = RedeemCoupon(coupon=by_code("A2"), amount=100)
        assert lane.refused(second, campaign=uploaded, party=MERCHANT) == "budget_exhausted"
        assert money(lane, uploaded) == (0, 100)

    def test_is_freed_by_a_return_and_reserved_again_for_the_coupon(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(discount=PERCENT, budget=500)
        lane.issue(campaign, "u")
        lane.done(redeem(), campaign=campaign)
        lane.done(ReturnCoupon(coupon=by_number(), reason="r"), campaign=campaign)
        assert money(lane, campaign) == (500, 0)
        assert lane.campaign(campaign).state == "exhausted"

    def test_a_coupon_returned_is_burned_where_its_greatest_discount_is_given_away_by_then(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(discount=PERCENT, budget=700)
        lane.issue(campaign, "u")
        lane.done(redeem(amount=1_000), campaign=campaign)
        lane.issue(campaign, "v")
        returned = lane.done(ReturnCoupon(coupon=by_number(), reason="r"), campaign=campaign)
        assert (returned["state"], returned["restored"]) == ("burned", False)
        assert [event.data.why for event in lane.events if event.type == "scrip.coupon.burned.v1"] == ["budget"]
        assert money(lane, campaign) == (500, 0)

    def test_after_the_end_a_return_frees_it_whatever_is_left(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(discount=PERCENT, budget=700)
        lane.issue(campaign, "u")
        lane.done(redeem(amount=1_000), campaign=campaign)
        lane.issue(campaign, "v")
        lane.done(redeem(2, amount=5_000), campaign=campaign)
        lane.pass_time(END)
        returned = lane.done(ReturnCoupon(coupon=by_number(1), reason="r"), campaign=campaign)
        assert returned["state"] == "expired"
        assert money(lane, campaign) == (0, 500)

    def test_the_cap_of_several_uses_counts_for_each(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(discount=PERCENT, uses=2, budget=1_000)
        lane.issue(campaign, "u")
        lane.done(redeem(amount=1_000), campaign=campaign)
        assert money(lane, campaign) == (500, 100)
        assert lane.refused(ClaimCoupon(user="v"), campaign=campaign) == "budget_exhausted"

    def test_of_which_there_is_enough_is_not_why_too_few_codes_are_left_to_export(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=3, discount=PERCENT, budget=5_000)
        lane.issue(campaign, "u")
        assert lane.refused(ExportCodes(count=3), campaign=campaign) == "campaign_exhausted"
        richer = lane.generate("richer", quantity=30, discount=PERCENT, budget=1_000)
        lane.refused(ExportCodes(count=3), campaign=richer)
        facts = lane.refusals[-1].data.facts
        assert (lane.refusals[-1].data.code, facts["left"], facts["needed"]) == ("budget_exhausted", 1_000, 1_500)


KINDS: list[dict[str, Any]] = [
    {},
    {"discount": PERCENT},
    {"discount": PERCENT, "uses": 2},
    {"discount": {"kind": "gift_card", "balance": 700}},
    {"discount": {"kind": "fixed_price", "price": 100, "cap": 600}},
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["claim", "claim", "redeem", "redeem", "return", "return", "void", "export", "bearer", "pause", "resume"]
        ),
        st.integers(1, 4),
        st.sampled_from([0, 90, 1_000, 2_000, 9_000]),
    ),
    min_size=5,
    max_size=40,
)


GIVEN_AWAY = [("claim", 1, 0), ("redeem", 1, 90), *[("claim", number, 0) for number in range(2, 6)]]
"""What a small redemption frees is given to others: then a return finds the budget gone."""


@given(
    st.builds(list.__add__, st.sampled_from([[], GIVEN_AWAY]), STEPS), st.sampled_from(KINDS), st.integers(1_000, 1_600)
)
def test_a_budget_is_never_overspent_and_always_what_the_coupons_say(
    steps: list[tuple[str, int, int]], kind: dict[str, Any], budget: int
) -> None:
    lane = MemoryLane()
    campaign = lane.generate(**kind, budget=budget, quantity=12)
    codes: list[str] = []
    discounts = 0
    for what, number, amount in steps:
        command: Any
        match what:
            case "claim":
                command = ClaimCoupon(user=f"u{number}")
            case "redeem":
                command = redeem(number, amount)
            case "return":
                command = ReturnCoupon(coupon=by_number(number), reason="r")
            case "void":
                command = VoidCoupons(coupons=(by_number(number),), reason="r")
            case "export":
                command = ExportCodes(count=1)
            case "bearer":
                command = RedeemCoupon(coupon=by_code(codes[number % len(codes)] if codes else "X"), amount=amount)
            case _:
                command = PauseCampaign(reason="r") if what == "pause" else ResumeCampaign()
        result = lane.send(command, campaign=campaign).result or {}
        codes += [row["code"] for row in result.get("codes", [])]
        discounts += result.get("discount", 0) - (result["amount"] if "restored" in result else 0)
        assert money(lane, campaign)[1] == discounts
        kept = lane.campaign(campaign)
        room = kept.room()
        assert room is not None
        assert room >= 0
        if kept.state != "paused":
            assert kept.state == ("exhausted" if room == 0 else "active")
