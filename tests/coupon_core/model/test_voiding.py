"""Void by filter: what is meant, counted first and then taken out of life, slice by slice; codes nobody holds too."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from contracts.answers import Reply
from contracts.commands import (
    ChangeQuantity,
    CouponFilter,
    ExportCodes,
    IssueCoupons,
    IssueRow,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ReturnCoupon,
    SetTool,
    StopCampaign,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
    WaitingForVoid,
)
from contracts.fields import Contract
from coupon_core.model.campaign import STATE_NAMES
from coupon_core.work import DONE
from tests.support.deciding import MERCHANT, OTHER, MemoryLane, by_code, by_number, instant

NONE = {"held": 0, "reserved": 0, "exported": 0}
ASKED = UUID(int=99)


def matching(**fields: Any) -> VoidMatching:
    return VoidMatching(matching=CouponFilter.model_validate(fields), reason="leaked")


def voided(lane: MemoryLane, campaign: UUID) -> list[int]:
    """Numbers of the coupons that are void."""
    number = lane.campaign(campaign).number
    return [n for (of, n), c in sorted(lane.work.coupons.items()) if of == number and STATE_NAMES[c.state] == "voided"]


def tell(lane: MemoryLane, campaign: UUID, **fields: Any) -> dict[str, Any]:
    """What a dry run says, after it was compared with what then happens; counts only."""
    told = lane.done(matching(**fields), campaign=campaign, dryrun=True)
    before = lane.campaign(campaign).counts[5]
    done = lane.done(matching(**fields), campaign=campaign)
    assert done == told
    assert told["more"] is False
    assert lane.campaign(campaign).counts[5] - before == told["accepted"] == sum(told[state] for state in NONE)
    lane.counters(campaign)
    return {state: told[state] for state in NONE}


def begin(lane: MemoryLane, command: Contract, campaign: UUID) -> list[Reply]:
    """Send a command under the id ASKED; what is answered before its slices that follow."""
    before = len(lane.replies)
    lane.append_record(lane.record(command, campaign=campaign, id=ASKED))
    return [reply for _, _, reply in lane.replies[before:]]


def go_on(lane: MemoryLane) -> list[Reply]:
    """Decide the slices that follow; what they answer."""
    before = len(lane.replies)
    while lane.held_back:
        lane.append_record(lane.held_back.pop(0), "core")
    return [reply for _, _, reply in lane.replies[before:]]


@pytest.fixture
def lane() -> MemoryLane:
    return MemoryLane()


@pytest.fixture
def campaign(lane: MemoryLane) -> UUID:
    """Coupons 1 to 6: held, reserved, redeemed, held, held, held; the last two issued an hour later."""
    made = lane.generate(quantity=40)
    lane.issue(made, "ann", "bob", "cid", "anton")
    lane.done(ReserveCoupon(coupon=by_number(2), order="A", seconds=7_200), campaign=made)
    lane.done(RedeemCoupon(coupon=by_number(3)), campaign=made)
    lane.now += timedelta(hours=1)
    lane.issue(made, "dan", "bob")
    return made


class TestWhatIsMeant:
    @pytest.mark.parametrize(
        ("fields", "numbers"),
        [
            ({"states": ["held"]}, [1, 4, 5, 6]),
            ({"states": ["reserved"]}, [2]),
            ({"states": ["exported"]}, []),
            ({"users": ["bob", "nobody", "bob"]}, [2, 6]),
            ({"user_prefix": "an"}, [1, 4]),
            ({"first": 2, "last": 4}, [2, 4]),
            ({"first": 5}, [5, 6]),
            ({"issued_from": "2026-03-10T13:00:00Z"}, [5, 6]),
            ({"issued_before": "2026-03-10T13:00:00Z"}, [1, 2, 4]),
            ({"issued_from": "2026-03-10T12:30:00Z", "users": ["bob"], "states": ["held"]}, [6]),
        ],
        ids=str,
    )
    def test_all_that_is_given_must_hold_and_what_is_over_stays(
        self, lane: MemoryLane, campaign: UUID, fields: dict[str, Any], numbers: list[int]
    ) -> None:
        tell(lane, campaign, **fields)
        assert voided(lane, campaign) == numbers

    @pytest.mark.parametrize(
        "fields",
        [{}, {"first": 5, "last": 4}, {"states": ["redeemed"]}, {"users": [""]}, {"state": "held"},
         {"issued_from": "2026-03-10T12:00:00Z", "issued_before": "2026-03-10T12:00:00Z"}],
        ids=str,
    )  # fmt: skip
    def test_a_filter_that_means_nothing_cannot_be_written(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            CouponFilter.model_validate(fields)

    def test_a_reservation_whose_time_is_over_counts_as_held(self, lane: MemoryLane, campaign: UUID) -> None:
        lane.now += timedelta(hours=2)
        assert tell(lane, campaign, states=["reserved"]) == NONE
        assert tell(lane, campaign, states=["held"], users=["bob"]) == NONE | {"held": 2}

    def test_what_has_expired_by_then_is_not_voided(self, lane: MemoryLane, campaign: UUID) -> None:
        lane.now = instant("2026-04-01T00:00:00Z")
        assert tell(lane, campaign, first=1) == NONE
        assert lane.counters(campaign) == {"redeemed": 1, "expired": 5}

    @pytest.mark.parametrize("order", [None, "A"])
    def test_of_coupons_with_a_time_of_their_own_too(self, lane: MemoryLane, order: str | None) -> None:
        campaign = lane.generate(validity={"starts": "2026-03-01", "ends": "2026-03-31", "days_after_issue": 2})
        lane.issue(campaign, "ann", "bob")
        lane.now += timedelta(days=1)
        lane.issue(campaign, "cid")
        if order is not None:
            lane.done(ReserveCoupon(coupon=by_number(1), order=order, seconds=86_000), campaign=campaign)
        lane.now = instant("2026-03-12T06:00:00Z")
        assert lane.coupon(campaign, 1).due_at == instant("2026-03-12T00:00:00Z")
        assert tell(lane, campaign, first=1) == NONE | {"held": 1}
        assert voided(lane, campaign) == [3]


class TestSlices:
    def test_it_goes_on_until_all_is_void_and_nothing_that_came_later(self, campaign: UUID, lane: MemoryLane) -> None:
        lane.slice = 2
        lane.holds_continuations = True
        assert begin(lane, matching(first=1), campaign) == []
        assert voided(lane, campaign) == [1, 2]
        lane.issue(campaign, "eve")
        go_on(lane)
        assert voided(lane, campaign) == [1, 2, 4, 5, 6]
        assert STATE_NAMES[lane.coupon(campaign, 7).state] == "held"
        told = [event.data.reason for event in lane.events if event.type == "scrip.coupon.voided.v1"]
        assert told == ["leaked"] * 5

    @pytest.mark.parametrize("command", [VoidCampaign(reason="r"), matching(first=1)], ids=["all", "by filter"])
    def test_who_asked_and_whoever_asks_later_is_told_of_all_slices_together(
        self, lane: MemoryLane, campaign: UUID, command: Contract
    ) -> None:
        lane.slice = 2
        lane.holds_continuations = True
        told = lane.done(command, campaign=campaign, dryrun=True)
        assert told == {
            "campaign": str(campaign),
            "accepted": 5,
            "held": 4,
            "reserved": 1,
            "exported": 0,
            "more": False,
        }
        assert begin(lane, command, campaign) == []
        assert begin(lane, command, campaign) == [], "sent again meanwhile: the last slice answers"
        (answer,) = go_on(lane)
        assert (answer.command, answer.status, answer.result) == (ASKED, "done", told)
        (again,) = begin(lane, command, campaign)
        assert (again.replayed, again.result) == (True, told)
        outcome = lane.work.outcomes[lane.state.partition][ASKED]
        assert (outcome.status, outcome.campaign, outcome.position) == (DONE, campaign, lane.offset - 5)

    def test_a_tool_is_answered_by_the_last_slice_on_its_own_topic_alone(
        self, lane: MemoryLane, campaign: UUID
    ) -> None:
        lane.slice = 2
        tool = SetTool(partition=0, tool="t", version=1, key_versions=(1,), rights=("void",), reply_topic="t.replies")
        lane.done(tool)
        for topic, answered in (("t.replies", [("t.replies", None, 5)]), ("somebody.elses", [])):
            before = len(lane.replies)
            record = lane.record(
                matching(first=1), campaign=campaign, actor="tool:t", replyto=topic, id=UUID(int=len(answered))
            )
            lane.append_record(record, "tool:t")
            said = [(place, part, (reply.result or {})["accepted"]) for place, part, reply in lane.replies[before:]]
            assert said == answered
            lane.issue(campaign, *"abcde")

    def test_stopping_is_tried_with_the_number_of_all_that_would_become_void(
        self, lane: MemoryLane, campaign: UUID
    ) -> None:
        lane.slice = 2
        told = lane.done(StopCampaign(reason="r"), campaign=campaign, dryrun=True)
        assert told == {"campaign": str(campaign), "state": "stopped", "voided": 5}
        lane.done(StopCampaign(reason="r"), campaign=campaign)
        assert lane.counters(campaign) == {"redeemed": 1, "voided": 5}

    def test_what_has_expired_by_then_is_in_no_number_of_a_void_of_all(self, lane: MemoryLane) -> None:
        campaign = lane.generate(validity={"starts": "2026-03-01", "ends": "2026-03-31", "days_after_issue": 2})
        lane.issue(campaign, "ann", "bob")
        lane.done(ReserveCoupon(coupon=by_number(1), order="A", seconds=86_000), campaign=campaign)
        lane.now += timedelta(days=1)
        lane.issue(campaign, "cid", "dan")
        lane.done(ReserveCoupon(coupon=by_number(3), order="A", seconds=60), campaign=campaign)
        lane.now = instant("2026-03-12T06:00:00Z")
        assert lane.done(StopCampaign(reason="r"), campaign=campaign, dryrun=True)["voided"] == 2
        told = lane.done(VoidCampaign(reason="r"), campaign=campaign, dryrun=True)
        assert lane.done(VoidCampaign(reason="r"), campaign=campaign) == told
        assert {state: told[state] for state in NONE} == NONE | {"held": 2}
        assert lane.counters(campaign) == {"voided": 2, "expired": 2}

    def test_numbers_at_which_nothing_is_meant_cost_no_slice(self, lane: MemoryLane) -> None:
        campaign = lane.generate(quantity=500)
        for hundred in range(4):
            rows = tuple(IssueRow(user=f"u{hundred}-{n}") for n in range(100))
            lane.done(IssueCoupons(rows=rows), campaign=campaign)
        lane.slice = 2
        before = lane.offset
        assert tell(lane, campaign, users=["u0-5", "u3-90", "u3-91"]) == NONE | {"held": 3}
        assert lane.offset - before == 2 + 2  # the dry run, the command; one slice at 391, one that finds nothing

    def test_who_may_not_void_it_learns_nothing(self, lane: MemoryLane) -> None:
        lane.activate(MERCHANT, OTHER)
        lane.make_partners(MERCHANT, OTHER)
        campaign = lane.generate(party=MERCHANT, redeemable_by=[OTHER])
        assert lane.refused(matching(first=1), campaign=campaign, party=OTHER) == "campaign_not_found"
        assert lane.refused(matching(first=1), campaign=campaign) == "campaign_not_found"

    def test_where_it_goes_on_is_for_core_alone_to_say(self, lane: MemoryLane, campaign: UUID) -> None:
        waiting = WaitingForVoid(command=UUID(int=1), reply_to="coupon.replies", held=7)
        cursors: list[dict[str, Any]] = [{"after": 3}, {"upto": 3}, {"waiting": waiting}]
        for cursor in cursors:
            assert lane.refused(matching(first=1).model_copy(update=cursor), campaign=campaign) == "not_allowed"
        for cursor in (cursors[0], cursors[2]):
            command = VoidCampaign(reason="r").model_copy(update=cursor)
            assert lane.refused(command, campaign=campaign) == "not_allowed"
        assert voided(lane, campaign) == []


class TestCodesNobodyHolds:
    """Codes 1 to 10 were exported, 11 and 12 issued, 13 to 15 exported; of the first ten one is redeemed, one held."""

    @pytest.fixture
    def codes(self, lane: MemoryLane) -> dict[int, str]:
        campaign = self.campaign = lane.generate(quantity=20)
        one = lane.done(ExportCodes(count=10), campaign=campaign)["codes"]
        lane.issue(campaign, "ann", "bob")
        two = lane.done(ExportCodes(count=3), campaign=campaign)["codes"]
        found = {int(each["coupon"].rpartition(".")[2]): each["code"] for each in (*one, *two)}
        lane.done(RedeemCoupon(coupon=by_code(found[3])), campaign=campaign)
        lane.done(ReserveCoupon(coupon=by_code(found[4]), order="A"), campaign=campaign)
        return found

    def test_a_leaked_range_becomes_void_without_a_row_each(self, lane: MemoryLane, codes: dict[int, str]) -> None:
        rows = len(lane.work.coupons)
        assert tell(lane, self.campaign, first=2, last=14) == {"held": 2, "reserved": 1, "exported": 9}
        assert len(lane.work.coupons) == rows
        events = [event.data for event in lane.events if event.type == "scrip.codes.voided.v1"]
        assert [(event.first, event.last, event.count, event.reason) for event in events] == [
            (2, 10, 7, "leaked"),
            (13, 14, 2, "leaked"),
        ]
        kept = lane.campaign(self.campaign)
        assert (kept.issued, kept.exported) == (13, 2)
        assert lane.counters(self.campaign) == {"redeemed": 1, "voided": 12}

    def test_a_void_code_is_refused_by_name_whatever_is_asked_of_it(
        self, lane: MemoryLane, codes: dict[int, str]
    ) -> None:
        tell(lane, self.campaign, first=5, last=6, states=["exported"])
        coupon = by_code(codes[5])
        reply = lane.send(RedeemCoupon(coupon=coupon), campaign=self.campaign)
        assert reply.refusal is not None
        assert (reply.refusal.code, reply.refusal.facts) == ("coupon_voided", {"coupon": f"{self.campaign}.5"})
        for command, code in (
            (ReserveCoupon(coupon=coupon, order="A"), "coupon_voided"),
            (ReleaseCoupon(coupon=coupon, order="A"), "coupon_not_reserved"),
            (ReturnCoupon(coupon=coupon, reason="r"), "coupon_not_redeemed"),
        ):
            assert lane.refused(command, campaign=self.campaign) == code
        row = lane.done(VoidCoupons(coupons=(coupon,), reason="r"), campaign=self.campaign)["rows"][0]
        assert row["refusal"]["code"] == "coupon_voided"
        assert lane.done(RedeemCoupon(coupon=by_code(codes[7])), campaign=self.campaign)

    def test_one_that_is_over_is_refused_by_name_and_stays_nobodys(
        self, lane: MemoryLane, codes: dict[int, str]
    ) -> None:
        lane.pass_time("2026-04-01T00:00:00Z")
        before, rows = len(lane.events), len(lane.work.coupons)
        told = lane.done(VoidCoupons(coupons=(by_code(codes[5]),), reason="r"), campaign=self.campaign)
        refusal = told["rows"][0]["refusal"]
        assert (refusal["code"], refusal["facts"]["expired_at"]) == ("coupon_expired", "2026-04-01T00:00:00Z")
        assert (len(lane.events), len(lane.work.coupons)) == (before, rows)

    def test_what_is_void_is_not_voided_again(self, lane: MemoryLane, codes: dict[int, str]) -> None:
        assert tell(lane, self.campaign, first=5, last=7, states=["exported"]) == NONE | {"exported": 3}
        assert tell(lane, self.campaign, first=1, last=9, states=["exported"]) == NONE | {"exported": 4}
        assert tell(lane, self.campaign, first=1, last=9, states=["exported"]) == NONE

    def test_of_a_campaign_that_is_over_none_becomes_void(self, lane: MemoryLane, codes: dict[int, str]) -> None:
        lane.now = instant("2026-04-01T00:00:00Z")
        assert tell(lane, self.campaign, first=1) == NONE
        assert "codes.voided" not in lane.kinds()
        assert lane.campaign(self.campaign).exported == 11

    def test_who_asks_for_holders_or_times_means_no_code_that_nobody_holds(
        self, lane: MemoryLane, codes: dict[int, str]
    ) -> None:
        for fields in ({"users": ["zoe"]}, {"user_prefix": "z"}, {"issued_from": "2026-01-01T00:00:00Z"}):
            told = lane.done(matching(**fields), campaign=self.campaign, dryrun=True)
            assert told["exported"] == 0

    def test_void_codes_are_used_up_the_quantity_does_not_come_back(
        self, lane: MemoryLane, codes: dict[int, str]
    ) -> None:
        tell(lane, self.campaign, states=["exported"])
        assert lane.campaign(self.campaign).room() == 5
        assert lane.refused(ChangeQuantity(quantity=14), campaign=self.campaign) == "quantity_below_issued"

    def test_slices_of_a_range_add_up(self, lane: MemoryLane, codes: dict[int, str]) -> None:
        lane.slice = 4
        assert tell(lane, self.campaign, first=1) == {"held": 2, "reserved": 1, "exported": 11}
        counts = [event.data.count for event in lane.events if event.type == "scrip.codes.voided.v1"]
        assert counts == [2, 4, 2, 3]


def test_void_codes_free_the_budget_that_was_kept_for_them(lane: MemoryLane) -> None:
    campaign = lane.generate(quantity=10, budget=3_000)
    lane.done(ExportCodes(count=6), campaign=campaign)
    assert (lane.campaign(campaign).state, lane.campaign(campaign).budget_left()) == ("exhausted", 0)
    lane.done(matching(last=4), campaign=campaign)
    assert (lane.campaign(campaign).state, lane.campaign(campaign).budget_left()) == ("active", 2_000)
    assert lane.kinds(campaign)[-2:] == ["codes.voided", "campaign.replenished"]
