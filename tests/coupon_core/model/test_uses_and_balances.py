"""Coupons that are used in parts: several uses, and gift cards with a balance. Taken, held, given back, over."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import (
    ExportCodes,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ReturnCoupon,
    StopCampaign,
    VoidCoupons,
)
from coupon_core.model.campaign import STATE_NAMES
from tests.support.deciding import MemoryLane, by_code, by_number

END = "2026-04-01T00:00:00Z"
CARD = {"kind": "gift_card", "balance": 5_000}


def redeem(amount: int = 2_000, order: str | None = None, **more: Any) -> RedeemCoupon:
    return RedeemCoupon(coupon=by_number(), amount=amount, order=order, **more)


def reserve(order: str, amount: int | None = None) -> ReserveCoupon:
    return ReserveCoupon(coupon=by_number(), order=order, amount=amount, seconds=600)


def give_back(redemption: int | None = None, amount: int | None = None) -> ReturnCoupon:
    return ReturnCoupon(coupon=by_number(), redemption=redemption, amount=amount, reason="unwanted")


def card(lane: MemoryLane, **more: Any) -> UUID:
    """A campaign of gift cards, of which a user holds number 1."""
    campaign = lane.generate(discount=CARD, **more)
    lane.issue(campaign, "u")
    return campaign


def many(lane: MemoryLane, uses: int = 3, **more: Any) -> UUID:
    """A campaign of coupons with several uses, of which a user holds number 1."""
    campaign = lane.generate(uses=uses, **more)
    lane.issue(campaign, "u")
    return campaign


def state(lane: MemoryLane, campaign: UUID) -> str:
    lane.counters(campaign)
    return STATE_NAMES[lane.coupon(campaign).state]


class TestUses:
    def test_a_coupon_stays_held_until_its_last_use(self) -> None:
        lane = MemoryLane()
        campaign = many(lane)
        told = [lane.done(redeem(), campaign=campaign) for _ in range(3)]
        assert [(each["redemption"], each["uses_left"], each["state"]) for each in told] == [
            (1, 2, "held"),
            (2, 1, "held"),
            (3, 0, "redeemed"),
        ]
        assert lane.kinds(campaign)[-3:] == ["coupon.used", "coupon.used", "coupon.redeemed"]
        assert lane.refused(redeem(), campaign=campaign) == "coupon_already_redeemed"
        assert lane.counters(campaign) == {"redeemed": 1}

    def test_what_is_left_expires_with_the_campaign(self) -> None:
        lane = MemoryLane()
        campaign = many(lane)
        lane.done(redeem(), campaign=campaign)
        lane.pass_time(END)
        assert (state(lane, campaign), lane.coupon(campaign).spent) == ("expired", 1)
        assert lane.refused(redeem(), campaign=campaign) == "coupon_expired"

    def test_any_redemption_can_be_given_back_once(self) -> None:
        lane = MemoryLane()
        campaign = many(lane)
        for _ in range(3):
            lane.done(redeem(), campaign=campaign)
        first = lane.done(give_back(1), campaign=campaign)
        assert (first["state"], first["uses_left"], first["amount"], first["restored"]) == ("held", 1, 500, True)
        assert lane.refused(give_back(1), campaign=campaign) == "redemption_already_returned"
        assert lane.done(give_back(), campaign=campaign)["redemption"] == 3
        assert lane.done(give_back(), campaign=campaign)["redemption"] == 2
        assert lane.refused(give_back(), campaign=campaign) == "coupon_not_redeemed"
        assert lane.refused(give_back(4), campaign=campaign) == "redemption_not_found"
        assert lane.kinds(campaign)[-3:] == ["coupon.returned", "coupon.refunded", "coupon.refunded"]
        assert lane.coupon(campaign).spent == 0

    def test_a_reservation_holds_one_use_and_others_may_use_the_rest(self) -> None:
        lane = MemoryLane()
        campaign = many(lane)
        lane.done(reserve("A"), campaign=campaign)
        assert lane.refused(reserve("B"), campaign=campaign) == "coupon_reserved"
        others = [lane.done(redeem(order="B"), campaign=campaign) for _ in range(2)]
        assert [(each["state"], each["uses_left"]) for each in others] == [("reserved", 2), ("reserved", 1)]
        assert lane.refused(redeem(order="B"), campaign=campaign) == "coupon_reserved"
        assert lane.refused(redeem(), campaign=campaign) == "coupon_reserved"
        assert lane.done(redeem(order="A"), campaign=campaign)["state"] == "redeemed"
        assert lane.kinds(campaign)[-4:] == ["coupon.reserved", "coupon.used", "coupon.used", "coupon.redeemed"]

    def test_the_order_that_held_a_use_leaves_the_rest_held_by_nobody(self) -> None:
        lane = MemoryLane()
        campaign = many(lane)
        lane.done(reserve("A"), campaign=campaign)
        assert lane.done(redeem(order="A"), campaign=campaign)["state"] == "held"
        assert lane.done(reserve("B"), campaign=campaign)
        lane.pass_time(timedelta(minutes=11))
        assert (state(lane, campaign), lane.coupon(campaign).reserved_units) == ("held", None)

    def test_a_coupon_voided_or_expired_can_still_be_refunded_and_stays_as_it_is(self) -> None:
        for over in ("voided", "expired"):
            lane = MemoryLane()
            campaign = many(lane)
            lane.done(redeem(), campaign=campaign)
            if over == "voided":
                lane.done(VoidCoupons(coupons=(by_number(),), reason="r"), campaign=campaign)
            else:
                lane.pass_time(END)
            result = lane.done(give_back(), campaign=campaign)
            assert (result["state"], result["amount"], result["restored"], result["uses_left"]) == (over, 500, False, 0)
            assert lane.refused(give_back(), campaign=campaign) == "coupon_not_redeemed"
            assert lane.kinds(campaign)[-1] == "coupon.refunded"

    def test_an_overdue_coupon_expires_before_its_redemption_is_given_back(self) -> None:
        lane = MemoryLane()
        campaign = many(lane)
        lane.done(redeem(), campaign=campaign)
        lane.now = lane.now.replace(month=4)
        assert lane.done(give_back(), campaign=campaign)["state"] == "expired"
        assert lane.kinds(campaign)[-2:] == ["coupon.expired", "coupon.refunded"]

    def test_only_a_gift_card_is_given_back_in_part(self) -> None:
        lane = MemoryLane()
        campaign = many(lane)
        lane.done(redeem(), campaign=campaign)
        assert lane.refused(give_back(1, 100), campaign=campaign) == "partial_return_impossible"

    def test_a_gift_card_has_no_count_of_uses(self) -> None:
        with pytest.raises(ValueError, match="leave uses out"):
            MemoryLane().generate(discount=CARD, uses=2)


class TestBalances:
    def test_a_card_pays_in_parts_until_it_is_empty(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        told = [lane.done(redeem(amount), campaign=campaign) for amount in (2_000, 2_500, 2_000)]
        assert [(each["discount"], each["payable"], each["balance"], each["state"]) for each in told] == [
            (2_000, 0, 3_000, "held"),
            (2_500, 0, 500, "held"),
            (500, 1_500, 0, "redeemed"),
        ]
        assert lane.refused(redeem(), campaign=campaign) == "coupon_already_redeemed"
        (used, again, redeemed) = [event.data for event in lane.events[-3:]]
        assert (used.balance, again.balance, redeemed.discount) == (3_000, 500, 500)

    def test_the_part_named_is_taken(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        assert lane.done(redeem(2_000, discount=300), campaign=campaign)["balance"] == 4_700
        assert lane.refused(redeem(9_000, discount=4_701), campaign=campaign) == "balance_too_low"
        assert lane.done(redeem(9_000, discount=4_700), campaign=campaign)["state"] == "redeemed"

    def test_a_reservation_holds_an_amount_and_others_may_use_the_rest(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        assert lane.done(reserve("A", 4_000), campaign=campaign)["amount"] == 4_000
        assert lane.refused(redeem(9_000, "B", discount=1_001), campaign=campaign) == "balance_too_low"
        assert lane.done(redeem(9_000, "B"), campaign=campaign)["discount"] == 1_000
        assert lane.refused(redeem(9_000, "B"), campaign=campaign) == "coupon_reserved"
        assert lane.done(redeem(3_500, "A"), campaign=campaign)["state"] == "held"
        assert lane.done(redeem(9_000, "B"), campaign=campaign)["discount"] == 500

    def test_a_reservation_without_an_amount_holds_all_and_released_it_holds_nothing(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        assert lane.done(reserve("A"), campaign=campaign)["amount"] == 5_000
        assert lane.refused(redeem(1, "B"), campaign=campaign) == "coupon_reserved"
        lane.done(ReleaseCoupon(coupon=by_number(), order="A"), campaign=campaign)
        assert lane.done(redeem(9_000, "B"), campaign=campaign)["state"] == "redeemed"

    def test_no_more_is_held_than_there_is(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        assert lane.refused(reserve("A", 5_001), campaign=campaign) == "balance_too_low"

    def test_a_redemption_is_given_back_in_parts_and_never_more_than_it_took(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        lane.done(redeem(5_000), campaign=campaign)
        first = lane.done(give_back(1, 1_500), campaign=campaign)
        assert (first["state"], first["amount"], first["balance"]) == ("held", 1_500, 1_500)
        assert lane.refused(give_back(1, 3_501), campaign=campaign) == "return_above_redeemed"
        assert lane.done(give_back(1, 3_500), campaign=campaign)["balance"] == 5_000
        assert lane.refused(give_back(1, 1), campaign=campaign) == "redemption_already_returned"
        assert lane.kinds(campaign)[-2:] == ["coupon.returned", "coupon.refunded"]

    def test_the_rest_of_a_redemption_is_given_back_when_no_amount_is_named(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        lane.done(redeem(4_000), campaign=campaign)
        lane.done(give_back(1, 1_000), campaign=campaign)
        assert lane.done(give_back(), campaign=campaign)["amount"] == 3_000

    def test_the_same_return_sent_twice_has_its_effect_once(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        lane.done(redeem(4_000), campaign=campaign)
        again = [lane.send(give_back(1, 1_000), campaign=campaign, id=UUID(int=5)) for _ in range(2)]
        assert again[0].result == again[1].result
        assert lane.coupon(campaign).spent == 3_000

    @pytest.mark.parametrize("policy", ["burned", "usable_if_not_expired"])
    def test_an_amount_given_back_lapses_where_the_policy_says_so(self, policy: str) -> None:
        lane = MemoryLane()
        campaign = card(lane, return_policy=policy)
        lane.done(redeem(5_000), campaign=campaign)
        if policy != "burned":
            lane.pass_time(END)
        part = lane.done(give_back(1, 1_000), campaign=campaign)
        assert (part["state"], part["restored"], part["balance"]) == ("redeemed", False, 0)
        whole = lane.done(give_back(), campaign=campaign)
        assert (whole["state"], whole["amount"]) == ("burned", 4_000)
        assert [event.data.why for event in lane.events[-1:]] == ["policy" if policy == "burned" else "over"]
        assert lane.counters(campaign) == {"burned": 1}

    def test_after_a_stop_nothing_is_restored(self) -> None:
        lane = MemoryLane()
        campaign = card(lane)
        lane.done(redeem(1_000), campaign=campaign)
        lane.done(StopCampaign(reason="r"), campaign=campaign)
        result = lane.done(give_back(), campaign=campaign)
        assert (result["state"], result["restored"]) == ("voided", False)

    def test_an_exported_card_pays_without_a_user(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(discount=CARD)
        code = lane.done(ExportCodes(count=1), campaign=campaign)["codes"][0]["code"]
        told = [lane.done(RedeemCoupon(coupon=by_code(code), amount=3_000), campaign=campaign) for _ in range(2)]
        assert [(each["user"], each["balance"]) for each in told] == [(None, 2_000), (None, 0)]
        assert lane.counters(campaign) == {"redeemed": 1}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("redeem"), st.sampled_from([0, 700, 1_000, 3_000]), st.none() | st.integers(0, 3_000)),
        st.tuples(st.just("return"), st.none() | st.integers(1, 4), st.none() | st.sampled_from([1, 900, 3_000])),
        st.tuples(st.just("return"), st.none(), st.just(900)),
        st.tuples(st.just("reserve"), st.sampled_from("AB"), st.none() | st.integers(1, 6_000)),
        st.tuples(st.just("redeem for"), st.sampled_from("AB"), st.integers(0, 3_000)),
        st.tuples(st.just("release"), st.sampled_from("AB"), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([5, 11, 60 * 24 * 30]), st.none()),
    ),
    max_size=25,
)


def command(step: tuple[str, Any, Any]) -> Any:
    match step:
        case "redeem", amount, named:
            return redeem(amount, discount=named)
        case "return", number, amount:
            return give_back(number, amount)
        case "reserve", order, amount:
            return reserve(order, amount)
        case "redeem for", order, amount:
            return redeem(amount, order)
        case _, order, _:
            return ReleaseCoupon(coupon=by_number(), order=order)


@given(
    STEPS,
    st.sampled_from(
        [{"discount": CARD}, {"uses": 3}, {"uses": 3, "budget": 1_500}, {"discount": CARD, "budget": 9_999}]
    ),
    st.sampled_from(["usable_again", "usable_if_not_expired", "burned"]),
)
def test_redemptions_less_returns_never_exceed_what_a_coupon_holds(
    steps: list[tuple[str, Any, Any]], kind: dict[str, Any], policy: str
) -> None:
    lane = MemoryLane()
    campaign = lane.generate(**kind, return_policy=policy)
    lane.issue(campaign, "u")
    taken: dict[int, int] = {}
    returned: dict[int, int] = {}
    for step in steps:
        if step[0] == "wait":
            lane.pass_time(timedelta(minutes=step[1]))
        else:
            reply = lane.send(command(step), campaign=campaign)
            result = reply.result or {}
            if "discount" in result:
                taken[result["redemption"]] = result["discount"]
            elif "restored" in result:
                returned[result["redemption"]] = returned.get(result["redemption"], 0) + result["amount"]
        assert all(returned[number] <= taken[number] for number in returned)
        standing = [number for number in taken if taken[number] > returned.get(number, -1)]
        if "uses" in kind:
            assert len(standing) <= 3
        else:
            assert sum(taken.values()) - sum(returned.values()) <= 5_000
        kept = lane.campaign(campaign)
        lane.counters(campaign)
        if kept.budget is not None:
            spent = sum(taken.values()) - sum(returned.values())
            assert kept.budget_spent == spent
            assert kept.budget_reserved == kept.left(lane.coupon(campaign)) * kept.unit_worth()
            assert kept.budget_spent + kept.budget_reserved <= kept.budget
