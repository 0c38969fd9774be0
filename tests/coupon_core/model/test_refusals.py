"""Every refusal there is can happen, by commands alone; and each says its facts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.campaigns import CodePattern, GeneratedSupply, TermsChange
from contracts.commands import (
    AdvanceClock,
    AmendCampaign,
    BuildingRules,
    ChangeQuantity,
    ClaimCoupon,
    CouponFilter,
    CouponReference,
    ExportCodes,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    OrderItem,
    PauseCampaign,
    PublishCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    SetBuildingRules,
    SetTool,
    StopCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from contracts.refusals import REFUSALS
from coupon_core.operations.serials import own_codes
from tests.support.deciding import CODES, MERCHANT, OTHER, MemoryLane, by_code, by_number, terms

SOME = campaign_id(PLATFORM, "some")
ORDER = "O-1"
GIFT_CARD = {"kind": "gift_card", "balance": 1_000}
DECIDED = {"kind": "merchant_decided"}
MARCH = {"starts": "2026-03-01", "ends": "2026-03-31"}


def redeem(number: int = 1, **more: Any) -> RedeemCoupon:
    return RedeemCoupon(coupon=by_number(number), **more)


def generate(**changes: Any) -> GenerateCampaign:
    quantity = changes.pop("quantity", 10)
    return GenerateCampaign(terms=terms(**changes), quantity=quantity)


def held(lane: MemoryLane, **changes: Any) -> UUID:
    """A campaign with one held coupon, number 1 of the user u."""
    campaign = lane.generate(**changes)
    lane.issue(campaign, "u")
    return campaign


def first_row(result: dict[str, Any], row: int = 0) -> str:
    return str(result["rows"][row]["refusal"]["code"])


def campaign_exists(lane: MemoryLane) -> str:
    campaign = lane.generate()
    return lane.refused(generate(name="another"), campaign=campaign)


def campaign_not_active(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.done(PauseCampaign(reason="r"), campaign=campaign)
    return lane.refused(redeem(), campaign=campaign)


def campaign_state_forbids(lane: MemoryLane) -> str:
    return lane.refused(ResumeCampaign(), campaign=lane.generate())


def amendment_forbidden(lane: MemoryLane) -> str:
    return lane.refused(AmendCampaign.model_validate({"terms": {"minimum_spend": 1}}), campaign=held(lane))


def terms_invalid(lane: MemoryLane) -> str:
    many = TermsChange.model_validate({"redeemable_by": (MERCHANT,) * 101})
    return lane.refused(AmendCampaign(terms=many), campaign=lane.generate())


def campaign_not_started(lane: MemoryLane) -> str:
    return lane.refused(redeem(), campaign=held(lane, validity={"starts": "2026-03-11", "ends": "2026-03-31"}))


def campaign_over(lane: MemoryLane) -> str:
    campaign = lane.generate()
    lane.now += timedelta(days=30)
    return lane.refused(ClaimCoupon(user="u"), campaign=campaign)


def campaign_exhausted(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="v"), campaign=held(lane, quantity=1))


def no_code_left(lane: MemoryLane) -> str:
    campaign = lane.publish({"kind": "uploaded"})
    return lane.refused(ClaimCoupon(user="u"), campaign=campaign, party=MERCHANT)


def user_limit_reached(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="u"), campaign=held(lane, per_user_limit=1))


def user_day_limit_reached(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="u"), campaign=held(lane, per_user_day_limit=1))


def period_limit_reached(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="v"), campaign=held(lane, per_week_limit=1))


def issue_too_late(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="u"), campaign=lane.generate(validity=MARCH | {"waiting_days": 22}))


def code_required(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="u"), campaign=lane.publish({"kind": "given"}), party=MERCHANT)


def code_not_expected(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="u", code="MINE"), campaign=lane.generate())


def code_taken(lane: MemoryLane) -> str:
    campaign = lane.publish({"kind": "given"})
    lane.done(ClaimCoupon(user="u", code="MINE-1"), campaign=campaign, party=MERCHANT)
    return lane.refused(ClaimCoupon(user="v", code="mine 1"), campaign=campaign, party=MERCHANT)


def code_unreadable(lane: MemoryLane) -> str:
    campaign = lane.publish({"kind": "given"})
    return lane.refused(ClaimCoupon(user="u", code=" - "), campaign=campaign, party=MERCHANT)


def codes_not_uploadable(lane: MemoryLane) -> str:
    return lane.refused(UploadCodes(codes=("A",)), campaign=lane.generate())


def codes_not_exportable(lane: MemoryLane) -> str:
    return lane.refused(ExportCodes(count=1), campaign=lane.generate(supply={"kind": "shared", "code": "SPRING"}))


def codes_need_receiver(lane: MemoryLane) -> str:
    return lane.refused(ExportCodes(count=1), campaign=lane.generate(validity=MARCH | {"waiting_days": 1}))


def code_space_too_small(lane: MemoryLane) -> str:
    supply = GeneratedSupply(pattern=CodePattern(charset="digits", length=5))
    command = GenerateCampaign(terms=terms(), quantity=1_000_000, supply=supply)
    return lane.refused(command, campaign=campaign_id(PLATFORM, "five digits"))


def repeated_in_request(lane: MemoryLane) -> str:
    rows = (IssueRow(user="u"), IssueRow(user="u"))
    return first_row(lane.done(IssueCoupons(rows=rows), campaign=lane.generate()), 1)


def coupon_not_found(lane: MemoryLane) -> str:
    return lane.refused(redeem(7), campaign=held(lane))


def coupon_already_redeemed(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.done(redeem(), campaign=campaign)
    return lane.refused(redeem(), campaign=campaign)


def coupon_reserved(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.done(ReserveCoupon(coupon=by_number(), order=ORDER), campaign=campaign)
    return lane.refused(redeem(order="O-2"), campaign=campaign)


def coupon_not_reserved(lane: MemoryLane) -> str:
    return lane.refused(ReleaseCoupon(coupon=by_number(), order=ORDER), campaign=held(lane))


def coupon_not_redeemed(lane: MemoryLane) -> str:
    return lane.refused(ReturnCoupon(coupon=by_number(), reason="r"), campaign=held(lane))


def redemption_not_found(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.done(redeem(), campaign=campaign)
    return lane.refused(ReturnCoupon(coupon=by_number(), redemption=2, reason="r"), campaign=campaign)


def redemption_already_returned(lane: MemoryLane) -> str:
    campaign = held(lane, uses=2)
    lane.done(redeem(), campaign=campaign)
    lane.done(ReturnCoupon(coupon=by_number(), reason="r"), campaign=campaign)
    return lane.refused(ReturnCoupon(coupon=by_number(), redemption=1, reason="r"), campaign=campaign)


def return_above_redeemed(lane: MemoryLane) -> str:
    campaign = held(lane, discount=GIFT_CARD)
    lane.done(redeem(amount=300), campaign=campaign)
    return lane.refused(ReturnCoupon(coupon=by_number(), amount=301, reason="r"), campaign=campaign)


def partial_return_impossible(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.done(redeem(), campaign=campaign)
    return lane.refused(ReturnCoupon(coupon=by_number(), amount=1, reason="r"), campaign=campaign)


def too_many_redemptions(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.coupon(campaign).redemptions = 32_767  # as many commands would take the test too long
    return lane.refused(redeem(), campaign=campaign)


def item_required(lane: MemoryLane) -> str:
    campaign = held(lane, discount={"kind": "free_item", "item": "bread"})
    return lane.refused(redeem(items=(OrderItem(item="rolls", price=50),)), campaign=campaign)


def discount_required(lane: MemoryLane) -> str:
    return lane.refused(redeem(amount=100), campaign=held(lane, discount=DECIDED))


def discount_not_expected(lane: MemoryLane) -> str:
    return lane.refused(redeem(amount=100, discount=50), campaign=held(lane))


def discount_above_amount(lane: MemoryLane) -> str:
    return lane.refused(redeem(amount=100, discount=101), campaign=held(lane, discount=DECIDED))


def discount_above_cap(lane: MemoryLane) -> str:
    campaign = held(lane, discount={**DECIDED, "cap": 50})
    return lane.refused(redeem(amount=100, discount=51), campaign=campaign)


def balance_too_low(lane: MemoryLane) -> str:
    return lane.refused(redeem(amount=2_000, discount=1_001), campaign=held(lane, discount=GIFT_CARD))


def nothing_to_pay(lane: MemoryLane) -> str:
    return lane.refused(redeem(amount=0), campaign=held(lane, discount=GIFT_CARD))


def amount_not_expected(lane: MemoryLane) -> str:
    return lane.refused(ReserveCoupon(coupon=by_number(), order=ORDER, amount=1), campaign=held(lane))


def budget_exhausted(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="v"), campaign=held(lane, budget=999))


def budget_needs_cap(lane: MemoryLane) -> str:
    percent = {"kind": "percent_off", "basis_points": 1_000}
    return lane.refused(generate(discount=percent, budget=10_000), campaign=SOME)


def budget_too_small(lane: MemoryLane) -> str:
    return lane.refused(generate(budget=499), campaign=SOME)


def coupon_expired(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.now += timedelta(days=30)
    return lane.refused(redeem(), campaign=campaign)


def coupon_not_yet_usable(lane: MemoryLane) -> str:
    return lane.refused(redeem(), campaign=held(lane, validity=MARCH | {"waiting_days": 1}))


def coupon_not_received(lane: MemoryLane) -> str:
    campaign = lane.publish({"kind": "uploaded"}, validity=MARCH | {"waiting_days": 1})
    lane.done(UploadCodes(codes=("MINE-1",)), campaign=campaign, party=MERCHANT)
    return lane.refused(RedeemCoupon(coupon=by_code("MINE-1")), campaign=campaign, party=MERCHANT)


def outside_hours(lane: MemoryLane) -> str:
    return lane.refused(redeem(), campaign=held(lane, validity=MARCH | {"weekly": [{"days": ["sat", "sun"]}]}))


def no_hours_left(lane: MemoryLane) -> str:
    validity = MARCH | {"irregular": [{"starts": "2026-03-01", "ends": "2026-03-09"}]}
    return lane.refused(redeem(), campaign=held(lane, validity=validity))


RULE = {"expression": "age >= 18 && tier.startsWith('g')", "attributes": {"age": "int", "tier": "string"}}


def claim(attributes: dict[str, Any] | None, **more: Any) -> ClaimCoupon:
    return ClaimCoupon(user="u", attributes=attributes, **more)


def eligibility_invalid(lane: MemoryLane) -> str:
    return lane.refused(generate(eligibility={"expression": '1 + "a" == 2'}), campaign=SOME)


def not_eligible(lane: MemoryLane) -> str:
    return lane.refused(claim({"age": 17, "tier": "gold"}), campaign=lane.generate(eligibility=RULE))


def eligibility_failed(lane: MemoryLane) -> str:
    rule = {"expression": "100 / age > 3", "attributes": {"age": "int"}}
    return lane.refused(claim({"age": 0}), campaign=lane.generate(eligibility=rule))


def attribute_missing(lane: MemoryLane) -> str:
    return lane.refused(claim({"age": 20}), campaign=lane.generate(eligibility=RULE))


def attribute_mismatch(lane: MemoryLane) -> str:
    return lane.refused(claim({"age": "20", "tier": "gold"}), campaign=lane.generate(eligibility=RULE))


def attribute_not_expected(lane: MemoryLane) -> str:
    return lane.refused(claim({"age": 20}), campaign=lane.generate())


def coupon_voided(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.done(VoidCoupons(coupons=(by_number(),), reason="r"), campaign=campaign)
    return lane.refused(redeem(), campaign=campaign)


def coupon_burned(lane: MemoryLane) -> str:
    campaign = held(lane, return_policy="burned")
    lane.done(redeem(), campaign=campaign)
    lane.done(ReturnCoupon(coupon=by_number(), reason="r"), campaign=campaign)
    return lane.refused(redeem(), campaign=campaign)


def too_many_to_count(lane: MemoryLane) -> str:
    campaign = lane.generate(quantity=6_000_000)
    for _ in range(6):
        lane.done(ExportCodes(count=1_000_000), campaign=campaign)
    void = VoidMatching(matching=CouponFilter(states=("exported",)), reason="r")
    first, last = CouponFilter(last=5_000_000), CouponFilter(first=5_000_001)
    for part, codes in ((first, 5_000_000), (last, 1_000_000)):
        told = lane.done(void.model_copy(update={"matching": part}), campaign=campaign, dryrun=True)
        assert told["exported"] == codes
    return lane.refused(void, campaign=campaign, dryrun=True)


def too_many_to_store(lane: MemoryLane) -> str:
    return lane.refused(ChangeQuantity(quantity=10_000_001), campaign=stored(lane))


def code_of_pattern(lane: MemoryLane) -> str:
    campaign = stored(lane)
    coming = own_codes(CODES, lane.campaign(campaign))
    assert coming is not None
    upload = UploadCodes(codes=("OTHER", coming.code_of(7)))
    (row,) = lane.done(upload, campaign=campaign)["rows"]
    assert row["row"] == 1
    return str(row["refusal"]["code"])


def stored(lane: MemoryLane) -> UUID:
    supply = {"kind": "generated", "pattern": {"prefix": "A-", "length": 9}, "stored": True}
    return lane.generate(quantity=5, supply=supply)


def not_this_users_coupon(lane: MemoryLane) -> str:
    return lane.refused(RedeemCoupon(coupon=CouponReference(number=1, user="v")), campaign=held(lane))


def minimum_spend_not_met(lane: MemoryLane) -> str:
    return lane.refused(redeem(amount=999), campaign=held(lane, minimum_spend=1_000))


def order_amount_required(lane: MemoryLane) -> str:
    return lane.refused(redeem(), campaign=held(lane, minimum_spend=1_000))


def price_not_paid(lane: MemoryLane) -> str:
    return lane.refused(ClaimCoupon(user="u", order=ORDER, paid=99), campaign=lane.generate(price=100))


def end_before_start(lane: MemoryLane) -> str:
    return lane.refused(generate(validity={"starts": "2026-04-02", "ends": "2026-04-01"}), campaign=SOME)


def never_usable(lane: MemoryLane) -> str:
    validity = MARCH | {"irregular": [{"starts": "2026-04-01", "ends": "2026-04-02"}]}
    return lane.refused(generate(validity=validity), campaign=SOME)


def quantity_required(lane: MemoryLane) -> str:
    return lane.refused(generate(quantity=None), campaign=SOME)


def quantity_below_issued(lane: MemoryLane) -> str:
    campaign = held(lane)
    lane.done(ExportCodes(count=2), campaign=campaign)
    return lane.refused(ChangeQuantity(quantity=2), campaign=campaign)


def currency_unknown(lane: MemoryLane) -> str:
    return lane.refused(generate(currency="QQQ"), campaign=SOME)


def building_rule_forbids(lane: MemoryLane) -> str:
    lane.done(SetBuildingRules(partition=0, party=PLATFORM, version=1, rules=BuildingRules(longest_days=7)))
    return lane.refused(generate(), campaign=SOME)


def merchant_not_active(lane: MemoryLane) -> str:
    lane.activate(MERCHANT, state="suspended")
    return lane.refused(generate(), campaign=SOME, party=MERCHANT)


def not_allowed(lane: MemoryLane) -> str:
    return lane.refused(PublishCampaign.model_validate({"terms": terms(), "supply": {"kind": "given"}}), campaign=SOME)


def idempotency_conflict(lane: MemoryLane) -> str:
    id = UUID(int=1)
    campaign = lane.generate()
    lane.done(ClaimCoupon(user="u"), campaign=campaign, id=id)
    return lane.refused(ClaimCoupon(user="v"), campaign=campaign, id=id)


def clock_is_recorded(lane: MemoryLane) -> str:
    return lane.refused(AdvanceClock(partition=0, to=lane.now))


def clock_not_set(_: MemoryLane) -> str:
    return MemoryLane(told=True).refused(generate(), campaign=SOME)


def clock_moves_forward(_: MemoryLane) -> str:
    lane = MemoryLane(told=True)
    lane.done(AdvanceClock(partition=0, to=lane.now))
    return lane.refused(AdvanceClock(partition=0, to=lane.now - timedelta(seconds=1)))


WAYS: dict[str, Callable[[MemoryLane], str]] = {
    way.__name__: way
    for way in (
        *(campaign_exists, campaign_not_active, campaign_state_forbids, campaign_not_started, campaign_over),
        *(campaign_exhausted, no_code_left, user_limit_reached, code_required, code_not_expected, code_taken),
        *(
            code_unreadable,
            codes_not_uploadable,
            codes_not_exportable,
            code_space_too_small,
            repeated_in_request,
            coupon_not_found,
        ),
        *(coupon_already_redeemed, coupon_reserved, coupon_not_reserved, coupon_not_redeemed, coupon_expired),
        *(redemption_not_found, redemption_already_returned, return_above_redeemed, partial_return_impossible),
        *(too_many_redemptions, item_required, discount_required, discount_not_expected, discount_above_amount),
        *(discount_above_cap, balance_too_low, nothing_to_pay, amount_not_expected, budget_exhausted),
        *(budget_needs_cap, budget_too_small, amendment_forbidden, terms_invalid),
        *(too_many_to_count, too_many_to_store, code_of_pattern),
        *(coupon_voided, coupon_burned, not_this_users_coupon, minimum_spend_not_met, order_amount_required),
        *(price_not_paid, end_before_start, quantity_required, quantity_below_issued),
        *(currency_unknown, building_rule_forbids, merchant_not_active, not_allowed, idempotency_conflict),
        *(user_day_limit_reached, period_limit_reached, issue_too_late, codes_need_receiver, coupon_not_yet_usable),
        *(coupon_not_received, outside_hours, no_hours_left, never_usable, eligibility_invalid, not_eligible),
        *(eligibility_failed, attribute_missing, attribute_mismatch, attribute_not_expected),
        *(clock_is_recorded, clock_not_set, clock_moves_forward),
    )
} | {"campaign_not_found": lambda lane: lane.refused(redeem(), campaign=SOME)}


def test_there_is_a_way_to_every_refusal() -> None:
    of_questions = {"ambiguous_code"}  # a command names its campaign
    assert WAYS.keys() | of_questions == REFUSALS.keys()


@pytest.mark.parametrize("code", WAYS)
def test_is_reached_by_commands_alone(code: str) -> None:
    lane = MemoryLane()
    assert WAYS[code](lane) == code
    kept = [refusal for refusal in lane.refusals if refusal.data.code == code]
    not_kept = ("idempotency_conflict", "too_many_to_count")
    if code not in (*not_kept, "clock_not_set", "clock_moves_forward"):  # those are of another lane
        assert len(kept) == 1
        facts = REFUSALS[code].model_validate(kept[0].data.facts)
        assert facts.as_json() == {"code": code, "message": kept[0].data.message, "facts": kept[0].data.facts}
        assert "(unknown" not in kept[0].data.message
    for counted in lane.work.campaigns:
        lane.counters(counted)


class TestAllWays:
    """Refusals that several rules lead to."""

    @pytest.mark.parametrize("codes", [("A-1", "a 1"), ("A1", "A1")])
    def test_a_code_repeated_in_an_upload_is_refused_in_its_row(self, codes: tuple[str, str]) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"})
        result = lane.done(UploadCodes(codes=codes), campaign=campaign, party=MERCHANT)
        assert (result["accepted"], first_row(result)) == (1, "repeated_in_request")

    def test_a_code_uploaded_before_is_taken_also_when_it_was_given_out(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"})
        lane.done(UploadCodes(codes=("A1", "A2")), campaign=campaign, party=MERCHANT)
        lane.issue(campaign, "u")
        result = lane.done(UploadCodes(codes=("a-1", "A2", "A3")), campaign=campaign, party=MERCHANT)
        assert [row["refusal"]["code"] for row in result["rows"]] == ["code_taken", "code_taken"]
        assert lane.campaign(campaign).available == 2

    def test_an_unusable_code_in_an_upload_is_refused_in_its_row(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"})
        result = lane.done(UploadCodes(codes=("--", "A\u200b", "OK")), campaign=campaign, party=MERCHANT)
        assert [row["refusal"]["code"] for row in result["rows"]] == ["code_unreadable", "code_unreadable"]

    def test_a_shared_campaign_whose_code_is_nothing_is_refused(self) -> None:
        supply = {"kind": "shared", "code": " - "}
        command = GenerateCampaign.model_validate({"terms": terms(), "supply": supply})
        assert MemoryLane().refused(command, campaign=SOME) == "code_unreadable"

    def test_a_campaign_that_would_be_over_already_is_refused(self) -> None:
        lane = MemoryLane()
        assert lane.refused(generate(validity={"starts": "2026-01-01", "ends": "2026-03-09"}), campaign=SOME) == (
            "campaign_over"
        )
        assert lane.done(generate(validity={"starts": "2026-01-01", "ends": "2026-03-10"}), campaign=SOME)

    def test_a_campaign_that_ends_when_it_starts_is_refused(self) -> None:
        at = "2026-03-20T00:00:00Z"
        assert MemoryLane().refused(generate(validity={"starts": at, "ends": at}), campaign=SOME) == "end_before_start"

    def test_an_export_of_more_than_there_is_room_for_is_refused_whole(self) -> None:
        lane = MemoryLane()
        campaign = held(lane, quantity=3)
        assert lane.refused(ExportCodes(count=3), campaign=campaign) == "campaign_exhausted"
        assert lane.done(ExportCodes(count=2), campaign=campaign)

    @pytest.mark.parametrize(
        "command",
        [redeem(), ReserveCoupon(coupon=by_number(), order=ORDER), ClaimCoupon(user="v"), ExportCodes(count=1),
         PauseCampaign(reason="r"), StopCampaign(reason="r"), ChangeQuantity(quantity=50),
         VoidCoupons(coupons=(by_number(),), reason="r"), ReturnCoupon(coupon=by_number(), reason="r"),
         VoidCampaign(reason="r")],
        ids=lambda command: type(command).__name__,
    )  # fmt: skip
    def test_another_merchants_campaign_is_as_if_it_were_not_there(self, command: Any) -> None:
        lane = MemoryLane()
        lane.activate(MERCHANT, OTHER)
        campaign = lane.generate(party=MERCHANT)
        lane.issue(campaign, "u")
        assert lane.refused(command, campaign=campaign, party=OTHER) == "campaign_not_found"
        assert lane.refused(command, campaign=campaign_id(OTHER, "x"), party=OTHER) == "campaign_not_found"
        assert lane.counters(campaign) == {"held": 1}

    def test_a_sender_may_issue_and_nothing_else(self) -> None:
        lane = MemoryLane()
        lane.activate(OTHER)
        campaign = lane.generate(senders=[OTHER])
        lane.issue(campaign, "u", party=OTHER)
        assert lane.refused(redeem(), campaign=campaign, party=OTHER) == "campaign_not_found"
        assert lane.refused(StopCampaign(reason="r"), campaign=campaign, party=OTHER) == "campaign_not_found"

    def test_where_it_may_be_redeemed_it_may_not_be_issued(self) -> None:
        lane = MemoryLane()
        lane.activate(OTHER)
        campaign = lane.generate(redeemable_by=[OTHER])
        assert lane.refused(ClaimCoupon(user="u"), campaign=campaign, party=OTHER) == "campaign_not_found"
        lane.issue(campaign, "u")
        assert lane.done(redeem(), campaign=campaign, party=OTHER)["redemption"] == 1

    @pytest.mark.parametrize("state", ["suspended", "closed"])
    def test_a_merchant_that_is_not_active_is_refused_everything_at_once(self, state: str) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "shared", "code": "BREAD"})
        lane.issue(campaign, "u")
        lane.activate(MERCHANT, state=state)
        for command in (redeem(), ClaimCoupon(user="v"), PauseCampaign(reason="r")):
            assert lane.refused(command, campaign=campaign, party=MERCHANT) == "merchant_not_active"

    def test_of_a_code_that_cannot_be_any_the_answer_alone_is_kept(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        other = lane.generate("other")
        theirs = lane.issue(other, "u")[0]["code"]
        for code in ("1", "0" * 12):
            assert lane.refused(RedeemCoupon(coupon=by_code(code)), campaign=campaign) == "coupon_not_found"
            assert lane.refusals == []
        void = lane.done(VoidCoupons(coupons=(by_code("1"),), reason="r"), campaign=campaign)
        assert (void["rows"][0]["refusal"]["code"], lane.refusals) == ("coupon_not_found", [])
        assert lane.refused(RedeemCoupon(coupon=by_code(theirs)), campaign=campaign) == "coupon_not_found"
        assert len(lane.refusals) == 1
        assert lane.work.not_kept == 3

    def test_a_wrong_code_is_not_found_whatever_is_wrong_with_it(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        other = lane.generate("other")
        (mine,), (theirs,) = lane.issue(campaign, "u"), lane.issue(other, "u")
        for code in (
            "1",
            "X" * 12,
            "1" * 12,
            theirs["code"],
            mine["code"][:-1] + ("0" if mine["code"][-1] != "0" else "1"),
        ):
            assert lane.refused(RedeemCoupon(coupon=by_code(code)), campaign=campaign) == "coupon_not_found"
        assert lane.done(RedeemCoupon(coupon=by_code(mine["code"].lower())), campaign=campaign)

    @pytest.mark.parametrize(
        ("party", "actor"),
        [(MERCHANT, f"merchant:{MERCHANT}/till"), (OTHER, f"merchant:{OTHER}/till"), (MERCHANT, "app:shop")],
    )
    def test_a_coupon_of_another_user_is_answered_as_one_that_is_none_and_kept_as_what_it_is(
        self, party: str, actor: str
    ) -> None:
        lane = MemoryLane()
        lane.activate(MERCHANT, OTHER)
        lane.make_partners(MERCHANT, OTHER)
        campaign = lane.generate(party=MERCHANT, redeemable_by=[OTHER])
        code = lane.issue(campaign, "u")[0]["code"]
        for coupon in (by_code(code, "v"), by_number(1).model_copy(update={"user": "v"})):
            for command in (
                RedeemCoupon(coupon=coupon),
                ReserveCoupon(coupon=coupon, order=ORDER),
                ReleaseCoupon(coupon=coupon, order=ORDER),
                ReturnCoupon(coupon=coupon, reason="r"),
            ):
                theirs = lane.send(command, campaign=campaign, party=party, actor=actor)
                of_none = command.model_copy(update={"coupon": by_code("0" * 12, "v")})
                none = lane.send(of_none, campaign=campaign, party=party, actor=actor)
                assert theirs.refusal == none.refusal
                assert (lane.refusals[-1].data.code, lane.refusals[-1].data.coupon) == ("not_this_users_coupon", 1)
        assert len(lane.refusals) == 8

    def test_staff_of_the_owner_are_told_that_it_is_anothers(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        code = lane.issue(campaign, "u")[0]["code"]
        wrong_user = RedeemCoupon(coupon=by_code(code, "v"))
        assert lane.refused(wrong_user, campaign=campaign, actor="staff:anna") == "not_this_users_coupon"
        assert lane.refused(wrong_user, campaign=campaign, actor="app:shop") == "coupon_not_found"

    def test_a_tool_without_the_right_is_refused_by_name(self) -> None:
        lane = MemoryLane()
        lane.done(
            SetTool(partition=0, tool="t", version=1, key_versions=(1,), rights=("issue",), reply_topic="answers")
        )
        campaign = lane.generate()
        common = {"campaign": campaign, "writer": "tool:t", "actor": "tool:t", "replyto": "answers"}
        assert lane.done(ClaimCoupon(user="u"), **common)
        assert lane.refused(redeem(), **common) == "not_allowed"
        assert lane.refused(UploadCodes(codes=("A",)), **common) == "not_allowed"
        assert lane.refused(VoidCampaign(reason="r"), **common) == "not_allowed"
