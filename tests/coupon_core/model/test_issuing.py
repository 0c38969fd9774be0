"""Issuing, limits and the four supplies; sending again; told time."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.commands import (
    AdvanceClock,
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    RedeemCoupon,
    ReserveCoupon,
    ReturnCoupon,
    UploadCodes,
    VoidCoupons,
)
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import campaign_id
from tests.support.deciding import MERCHANT, MemoryLane, by_code, by_number, instant, terms


def rows(*users: str) -> IssueCoupons:
    return IssueCoupons(rows=tuple(IssueRow(user=user) for user in users))


def codes_of(result: dict[str, Any]) -> list[str]:
    return [row["refusal"]["code"] if "refusal" in row else "issued" for row in result["rows"]]


class TestIssuing:
    def test_never_one_more_than_the_quantity(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=3)
        result = lane.done(rows(*"abcde"), campaign=campaign)
        assert codes_of(result) == ["issued"] * 3 + ["campaign_exhausted"] * 2
        assert (result["accepted"], result["refused"]) == (3, 2)
        assert lane.kinds(campaign)[-1] == "campaign.exhausted"

    def test_no_user_gets_more_than_the_limit_whatever_became_of_the_first(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(per_user_limit=2)
        lane.issue(campaign, "u")
        lane.done(VoidCoupons(coupons=(by_number(),), reason="r"), campaign=campaign)
        lane.issue(campaign, "u")
        assert codes_of(lane.done(rows("u", "v"), campaign=campaign)) == ["user_limit_reached", "issued"]

    def test_each_row_has_its_own_result_and_its_refusal_is_kept_with_the_row(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        result = lane.done(rows("a", "a", "b", "a"), campaign=campaign)
        assert codes_of(result) == ["issued", "repeated_in_request", "issued", "repeated_in_request"]
        assert [(kept.data.row, kept.data.user) for kept in lane.refusals] == [(1, "a"), (3, "a")]
        assert len({kept.id for kept in lane.refusals}) == 2

    def test_a_refused_row_of_a_void_is_kept_with_the_row_too(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        lane.issue(campaign, "a")
        lane.done(VoidCoupons(coupons=(by_number(1), by_number(2)), reason="r"), campaign=campaign)
        assert [kept.data.row for kept in lane.refusals] == [1]

    def test_a_refusal_of_a_whole_bulk_command_names_no_row(self) -> None:
        lane = MemoryLane()
        assert lane.refused(rows("a"), campaign=campaign_id(PLATFORM, "none")) == "campaign_not_found"
        (kept,) = lane.refusals
        assert (kept.data.row, kept.id) == (None, kept.causationid)

    def test_a_claim_names_order_and_price_in_its_event(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(price=150)
        answer = lane.done(ClaimCoupon(user="u", order="O-1", paid=150), campaign=campaign)
        assert (answer["valid_from"], answer["valid_until"]) == ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")
        event = lane.events[-1].data
        assert (event.how, event.order, event.paid) == ("claim", "O-1", 150)

    def test_events_show_the_last_four_symbols_of_a_code_and_answers_the_whole(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        (row,) = lane.issue(campaign, "u")
        assert row["code"][-4:] == lane.events[-1].data.code_last
        assert all(row["code"] not in line for line in lane.lines)


class TestSupplies:
    def test_generated_codes_are_all_different_and_each_finds_its_coupon(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=1_000)
        issued = [row for _ in range(2) for row in lane.issue(campaign, *(f"u{n}" for n in range(400)))]
        assert len({row["code"] for row in issued}) == 800
        for row in (issued[0], issued[399], issued[799]):
            assert lane.done(RedeemCoupon(coupon=by_code(row["code"])), campaign=campaign)["coupon"] == row["coupon"]

    def test_a_shared_code_is_found_by_campaign_code_and_user(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "shared", "code": "BREAD-5"})
        lane.issue(campaign, "u", "v")
        redeemed = lane.done(RedeemCoupon(coupon=by_code("bread5", "v")), campaign=campaign, party=MERCHANT)
        assert redeemed["coupon"] == f"{campaign}.2"
        for reference in (by_code("BREAD-5"), by_code("BREAD-5", "w"), by_code("ROLLS", "u")):
            refused = lane.refused(RedeemCoupon(coupon=reference), campaign=campaign, party=MERCHANT)
            assert refused == "coupon_not_found"

    def test_of_several_coupons_of_one_user_the_usable_one_is_meant(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "shared", "code": "BREAD"})
        lane.issue(campaign, "u")
        lane.issue(campaign, "u")
        redeem = RedeemCoupon(coupon=by_code("BREAD", "u"))
        assert lane.done(redeem, campaign=campaign, party=MERCHANT)["coupon"] == f"{campaign}.1"
        assert lane.done(redeem, campaign=campaign, party=MERCHANT)["coupon"] == f"{campaign}.2"
        assert lane.refused(redeem, campaign=campaign, party=MERCHANT) == "coupon_already_redeemed"

    def test_uploaded_codes_are_given_out_in_the_order_they_came(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"})
        lane.done(UploadCodes(codes=("B-2", "A-1")), campaign=campaign, party=MERCHANT)
        lane.done(UploadCodes(codes=("C-3",)), campaign=campaign, party=MERCHANT)
        assert [row["code"] for row in lane.issue(campaign, "u", "v", "w")] == ["B-2", "A-1", "C-3"]
        assert lane.campaign(campaign).available == 0

    def test_an_uploaded_code_used_directly_is_not_given_out_again(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"})
        lane.done(UploadCodes(codes=("A-1", "B-2")), campaign=campaign, party=MERCHANT)
        lane.done(RedeemCoupon(coupon=by_code("a1")), campaign=campaign, party=MERCHANT)
        assert [row["code"] for row in lane.issue(campaign, "u")] == ["B-2"]

    def test_a_given_code_is_kept_as_it_was_written_and_compared_by_its_normal_form(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "given"})
        command = IssueCoupons(rows=(IssueRow(user="u", code="Ab-12"), IssueRow(user="v", code="AB 12")))
        result = lane.done(command, campaign=campaign, party=MERCHANT)
        assert codes_of(result) == ["issued", "code_taken"]
        assert result["rows"][0]["code"] == "Ab-12"
        assert lane.done(RedeemCoupon(coupon=by_code("ab12")), campaign=campaign, party=MERCHANT)["user"] == "u"

    def test_a_billion_codes_cost_what_one_costs(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=1_000_000_000)
        assert lane.state.blocks == 0
        lane.issue(campaign, "u")
        assert lane.state.blocks == 1

    def test_two_campaigns_never_share_a_code(self) -> None:
        lane = MemoryLane()
        one, two = lane.generate("one"), lane.generate("two")
        (code,) = (row["code"] for row in lane.issue(one, "u"))
        lane.issue(two, "u")
        assert lane.refused(RedeemCoupon(coupon=by_code(code)), campaign=two) == "coupon_not_found"


class TestSendingAgain:
    def test_the_same_command_has_one_effect_and_gets_the_first_answer(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        first = lane.send(rows("a", "a"), campaign=campaign, id=UUID(int=9))
        again = lane.send(rows("a", "a"), campaign=campaign, id=UUID(int=9), actor="merchant:x/other till")
        assert (again.result, again.replayed, first.replayed) == (first.result, True, False)
        assert lane.counters(campaign) == {"held": 1}
        assert len(lane.refusals) == 1

    def test_so_does_a_refusal(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=1)
        lane.issue(campaign, "u")
        assert lane.refused(ClaimCoupon(user="v"), campaign=campaign, id=UUID(int=9)) == "campaign_exhausted"
        lane.done(ChangeQuantity(quantity=5), campaign=campaign)
        assert lane.refused(ClaimCoupon(user="v"), campaign=campaign, id=UUID(int=9)) == "campaign_exhausted"
        assert lane.counters(campaign) == {"held": 1}

    def test_for_35_days_of_the_lanes_clock_and_not_a_moment_longer(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(validity={"starts": "2026-03-01", "ends": "2027-03-01"})
        lane.done(ClaimCoupon(user="u"), campaign=campaign, id=UUID(int=9))
        lane.now += timedelta(days=35) - timedelta(milliseconds=1)
        assert lane.send(ClaimCoupon(user="u"), campaign=campaign, id=UUID(int=9)).replayed
        lane.now += timedelta(milliseconds=1)
        assert not lane.send(ClaimCoupon(user="u"), campaign=campaign, id=UUID(int=9)).replayed
        assert lane.counters(campaign) == {"held": 2}

    def test_a_redemption_is_one_per_use_whatever_the_request_numbers(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        lane.issue(campaign, "u")
        codes = [lane.send(RedeemCoupon(coupon=by_number()), campaign=campaign) for _ in range(3)]
        assert [reply.status for reply in codes] == ["done", "refused", "refused"]

    def test_a_create_repeated_under_another_number_meets_itself(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        command = GenerateCampaign(terms=terms(), quantity=100)
        assert lane.refused(command, campaign=campaign) == "campaign_exists"


class TestToldTime:
    def advance(self, lane: MemoryLane, to: str) -> dict[str, Any]:
        return lane.done(AdvanceClock(partition=0, to=instant(to)))

    def test_only_commands_move_the_clock(self) -> None:
        lane = MemoryLane(told=True)
        self.advance(lane, "2017-01-01T00:00:00Z")
        campaign = lane.generate(validity={"starts": "2017-01-01", "ends": "2017-01-31"})
        lane.now += timedelta(days=9_000)
        lane.issue(campaign, "u")
        assert lane.events[-1].time == instant("2017-01-01T00:00:00Z")

    def test_a_command_may_say_when_it_happens_and_never_moves_time_back(self) -> None:
        lane = MemoryLane(told=True)
        self.advance(lane, "2026-03-01T00:00:00Z")
        campaign = lane.generate()
        lane.done(ClaimCoupon(user="a"), campaign=campaign, at="2026-03-05T10:00:00Z")
        lane.done(ClaimCoupon(user="b"), campaign=campaign, at="2026-03-04T10:00:00Z")
        lane.done(ClaimCoupon(user="c"), campaign=campaign)
        times = [event.time.isoformat() for event in lane.events[-3:]]
        assert times == ["2026-03-05T10:00:00+00:00"] * 3

    def test_advancing_is_answered_when_everything_due_by_then_has_happened(self) -> None:
        lane = MemoryLane(told=True, slice=2)
        self.advance(lane, "2026-03-01T00:00:00Z")
        campaign = lane.generate()
        lane.issue(campaign, *"abcde")
        assert self.advance(lane, "2026-04-01T00:00:00Z") == {"partition": 0, "now": "2026-04-01T00:00:00Z"}
        assert lane.counters(campaign) == {"expired": 5}
        assert lane.kinds(campaign)[-1] == "campaign.ended"

    def test_what_is_due_at_several_times_happens_in_order(self) -> None:
        lane = MemoryLane(told=True)
        self.advance(lane, "2026-03-01T00:00:00Z")
        late = lane.generate("late", validity={"starts": "2026-03-01", "ends": "2026-03-20"})
        early = lane.generate("early", validity={"starts": "2026-03-01", "ends": "2026-03-10"})
        self.advance(lane, "2026-04-01T00:00:00Z")
        ended = [event.subject for event in lane.events if event.type == "scrip.campaign.ended.v1"]
        assert ended == [str(early), str(late)]


STEPS = st.one_of(
    st.builds(lambda user: ClaimCoupon(user=user), st.sampled_from("abc")),
    st.builds(lambda *users: rows(*users), st.sampled_from("abc"), st.sampled_from("abc")),
    st.builds(lambda n: RedeemCoupon(coupon=by_number(n)), st.integers(1, 5)),
    st.builds(lambda n, o: RedeemCoupon(coupon=by_number(n), order=o), st.integers(1, 5), st.sampled_from("AB")),
    st.builds(lambda n, o: ReserveCoupon(coupon=by_number(n), order=o), st.integers(1, 5), st.sampled_from("AB")),
    st.builds(lambda n: ReturnCoupon(coupon=by_number(n), reason="r"), st.integers(1, 5)),
    st.builds(lambda n: VoidCoupons(coupons=(by_number(n),), reason="r"), st.integers(1, 5)),
    st.builds(lambda n: ChangeQuantity(quantity=n), st.integers(1, 6)),
    st.builds(lambda n: ExportCodes(count=n), st.integers(1, 2)),
)


@settings(max_examples=50)
@given(st.lists(STEPS, max_size=25), st.integers(1, 5), st.none() | st.integers(1, 2))
def test_whatever_is_sent_the_ledger_is_right_and_events_are_1_to_n(
    steps: list[Contract], quantity: int, limit: int | None
) -> None:
    lane = MemoryLane()
    campaign = lane.generate(quantity=quantity, per_user_limit=limit)
    for step in steps:
        lane.send(step, campaign=campaign)
        kept = lane.campaign(campaign)
        lane.counters(campaign)
        assert kept.quantity is not None
        assert kept.issued + kept.exported <= kept.quantity
        assert (kept.state == "exhausted") == (kept.issued + kept.exported == kept.quantity)
    assert [event.seq for event in lane.events] == list(range(1, len(lane.events) + 1))
    lane.pass_time("2026-04-01T00:00:00Z")
    assert lane.campaign(campaign).state == "ended"
    assert not {"held", "reserved"} & lane.counters(campaign).keys()
