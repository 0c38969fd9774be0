"""Coupons that wait, last some days, or may be used at some hours: as a lane decides them."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.campaigns import Validity
from contracts.commands import (
    AdvanceClock,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ReserveCoupon,
    ReturnCoupon,
    StopCampaign,
    VoidCoupons,
)
from contracts.events import CouponExpired
from coupon_core.model.validity import coupon_span
from tests.support.deciding import MemoryLane, by_code, by_number, instant, terms

REDEEM = RedeemCoupon(coupon=by_number())


def lasting(lane: MemoryLane, days: int | None, waiting: int = 0, zone: str = "UTC", **more: Any) -> UUID:
    validity = {"starts": "2026-03-01", "ends": "2026-03-31", "zone": zone, "waiting_days": waiting}
    if days is not None:
        validity["days_after_issue"] = days
    return lane.generate(validity=validity, **more)


class TestNeverUsable:
    """A campaign whose coupons nobody could ever use is refused, waiting days counted."""

    @pytest.mark.parametrize(
        ("waiting", "windows", "usable"),
        [
            (30, {}, True),  # received before the start or on its day: usable on the last day
            (31, {}, False),
            (1, {"irregular": [{"starts": "2026-03-01", "ends": "2026-03-01"}]}, False),
            (1, {"irregular": [{"starts": "2026-03-01", "ends": "2026-03-02"}]}, True),
            (28, {"weekly": [{"days": ["sun"], "opens": "08:00", "closes": "09:00"}]}, True),
            (29, {"weekly": [{"days": ["sun"], "opens": "08:00", "closes": "09:00"}]}, False),
        ],
    )
    def test_the_first_coupon_is_what_counts(self, waiting: int, windows: dict[str, Any], usable: bool) -> None:
        lane = MemoryLane(start="2026-02-01T00:00:00Z")
        validity = {"starts": "2026-03-01", "ends": "2026-03-31", "zone": "UTC", "waiting_days": waiting, **windows}
        asked = GenerateCampaign(terms=terms(validity=validity), quantity=10)
        if usable:
            lane.done(asked, campaign=uuid4())
        else:
            assert lane.refused(asked, campaign=uuid4()) == "never_usable"


class TestSpan:
    """From the day of receipt to the end of the last day, in the campaign's zone."""

    @pytest.mark.parametrize(
        ("zone", "received", "days", "waiting", "first", "end"),
        [
            ("UTC", "2026-03-10T12:00:00Z", 1, 0, "2026-03-01T00:00:00Z", "2026-03-11T00:00:00Z"),
            ("UTC", "2026-03-10T12:00:00Z", 3, 1, "2026-03-11T00:00:00Z", "2026-03-14T00:00:00Z"),
            # 23 and 25 hours long: the last day is the clocks' own.
            ("America/New_York", "2026-03-07T12:00:00-05:00", 2, 0, "2026-03-01T05:00:00Z", "2026-03-09T04:00:00Z"),
            ("Europe/Berlin", "2026-03-27T23:30:00Z", 2, 0, "2026-02-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("Asia/Shanghai", "2026-03-10T15:59:59Z", 1, 0, "2026-02-28T16:00:00Z", "2026-03-10T16:00:00Z"),
            ("Asia/Shanghai", "2026-03-10T16:00:00Z", 1, 0, "2026-02-28T16:00:00Z", "2026-03-11T16:00:00Z"),
            # Received before the start: the first day of the campaign is its first day.
            ("UTC", "2026-02-10T12:00:00Z", 2, 1, "2026-03-02T00:00:00Z", "2026-03-04T00:00:00Z"),
            # Never beyond the campaign.
            ("UTC", "2026-03-30T12:00:00Z", 10, 0, "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            ("UTC", "2026-03-10T12:00:00Z", None, 5, "2026-03-15T00:00:00Z", "2026-04-01T00:00:00Z"),
        ],
    )
    def test_is(self, zone: str, received: str, days: int | None, waiting: int, first: str, end: str) -> None:
        lane = MemoryLane(start="2026-02-01T00:00:00Z")
        campaign = lane.campaign(lasting(lane, days, waiting, zone))
        assert campaign.span_from(instant(received)) == (instant(first), instant(end))

    def test_a_day_that_was_left_out_counts_as_a_day_of_the_calendar(self) -> None:
        """Apia went from the 29th to the 31st of December 2011; the day between lasted no time at all."""
        validity = Validity(
            starts=date(2011, 12, 1), ends=date(2012, 1, 31), zone="Pacific/Apia", days_after_issue=2, waiting_days=0
        )
        starts, ends = instant("2011-12-01T10:00:00Z"), instant("2012-01-31T10:00:00Z")
        received = instant("2011-12-29T20:00:00Z")  # the 29th there
        assert coupon_span(validity, starts, ends, received)[1] == instant("2011-12-30T10:00:00Z")

    def test_what_lies_beyond_the_calendar_is_its_end(self) -> None:
        validity = Validity(starts=date(2020, 1, 1), ends=date.max, days_after_issue=3_650, waiting_days=3_650)
        late = instant("9998-01-01T00:00:00Z")
        first, end = coupon_span(validity, instant("2020-01-01T00:00:00Z"), instant("9999-12-31T00:00:00Z"), late)
        assert late < first <= end == instant("9999-12-31T00:00:00Z")


class TestLasting:
    def test_answers_and_events_say_the_coupons_own_time(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 2, 1)
        times = {"valid_from": "2026-03-11T00:00:00Z", "valid_until": "2026-03-13T00:00:00Z"}
        assert lane.done(ClaimCoupon(user="u"), campaign=campaign).items() >= times.items()
        assert lane.events[-1].data.valid_until == instant(times["valid_until"])
        (row,) = lane.issue(campaign, "v")
        assert row.items() >= times.items()

    def test_a_coupon_waits_then_is_usable_then_expires_at_its_due_time(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 2, 1)
        lane.issue(campaign, "u", "v")
        assert lane.refused(REDEEM, campaign=campaign) == "coupon_not_yet_usable"
        lane.pass_time("2026-03-11T00:00:00Z")
        lane.done(REDEEM, campaign=campaign)
        lane.pass_time("2026-03-12T23:59:59Z")
        assert lane.counters(campaign) == {"redeemed": 1, "held": 1}
        lane.pass_time("2026-03-13T00:00:00Z")
        assert lane.counters(campaign) == {"redeemed": 1, "expired": 1}
        assert lane.events[-1].data == CouponExpired(coupon=2, user="v", due=instant("2026-03-13T00:00:00Z"))

    def test_a_command_that_meets_an_overdue_coupon_expires_it_first(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 1)
        lane.issue(campaign, "u")
        lane.now = instant("2026-03-11T00:00:01Z")
        reply = lane.send(REDEEM, campaign=campaign)
        assert reply.refusal is not None
        assert reply.refusal.code == "coupon_expired"
        assert reply.refusal.facts["expired_at"] == "2026-03-11T00:00:00Z"
        assert lane.kinds(campaign)[-1] == "coupon.expired"

    def test_many_due_together_expire_by_due_time_then_number_slice_by_slice(self) -> None:
        lane = MemoryLane(slice=3)
        campaign = lasting(lane, 1)
        lane.issue(campaign, *"abcde")
        lane.pass_time("2026-03-10T23:00:00Z")
        lane.issue(campaign, *"fg")
        lane.pass_time("2026-03-11T08:00:00Z")
        lane.issue(campaign, *"hij")
        assert lane.counters(campaign) == {"expired": 7, "held": 3}
        lane.pass_time("2026-03-20T00:00:00Z")
        expired = [event.data for event in lane.events if event.type == "scrip.coupon.expired.v1"]
        assert [data.coupon for data in expired] == list(range(1, 11))
        assert {str(data.due) for data in expired} == {"2026-03-11 00:00:00+00:00", "2026-03-12 00:00:00+00:00"}
        assert lane.campaign(campaign).next_due == lane.campaign(campaign).ends

    def test_a_leap_over_the_campaigns_end_still_names_each_coupons_own(self) -> None:
        lane = MemoryLane(told=True)
        lane.done(AdvanceClock(partition=0, to=lane.now))
        campaign = lasting(lane, 1)
        lane.issue(campaign, "u")
        lane.done(AdvanceClock(partition=0, to=instant("2026-03-31T10:00:00Z")))
        lane.issue(campaign, "v")
        lane.done(AdvanceClock(partition=0, to=instant("2027-01-01T00:00:00Z")))
        dues = [str(event.data.due) for event in lane.events if event.type == "scrip.coupon.expired.v1"]
        assert dues == ["2026-03-11 00:00:00+00:00", "2026-04-01 00:00:00+00:00"]
        assert lane.kinds(campaign)[-1] == "campaign.ended"

    def test_a_reservation_ends_with_the_coupons_own_time(self) -> None:
        lane = MemoryLane(start="2026-03-10T23:50:00Z")
        campaign = lasting(lane, 1)
        lane.issue(campaign, "u")
        answer = lane.done(ReserveCoupon(coupon=by_number(), order="A", seconds=3_600), campaign=campaign)
        assert answer["until"] == "2026-03-11T00:00:00Z"
        lane.pass_time("2026-03-11T00:00:00Z")
        assert lane.kinds(campaign)[-2:] == ["coupon.reserved", "coupon.expired"]

    def test_a_reservation_that_runs_out_leaves_the_coupon_its_own_time(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 1)
        lane.issue(campaign, "u")
        lane.done(ReserveCoupon(coupon=by_number(), order="A", seconds=60), campaign=campaign)
        lane.pass_time("2026-03-10T12:01:00Z")
        assert lane.kinds(campaign)[-1] == "coupon.released"
        lane.pass_time("2026-03-11T00:00:00Z")
        assert lane.kinds(campaign)[-1] == "coupon.expired"

    def test_a_returned_coupon_expires_at_its_own_end_at_once_when_that_is_past(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 1)
        lane.issue(campaign, "u", "v")
        for number in (1, 2):
            lane.done(RedeemCoupon(coupon=by_number(number)), campaign=campaign)
        lane.done(ReturnCoupon(coupon=by_number(1), reason="r"), campaign=campaign)
        lane.pass_time("2026-03-11T00:00:00Z")
        assert lane.counters(campaign) == {"expired": 1, "redeemed": 1}
        lane.done(ReturnCoupon(coupon=by_number(2), reason="r"), campaign=campaign)
        assert lane.kinds(campaign)[-2:] == ["coupon.returned", "coupon.expired"]

    def test_usable_if_not_expired_judges_by_the_coupons_own_end(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 1, return_policy="usable_if_not_expired")
        lane.issue(campaign, "u")
        lane.done(REDEEM, campaign=campaign)
        lane.pass_time("2026-03-11T00:00:00Z")
        assert lane.done(ReturnCoupon(coupon=by_number(), reason="r"), campaign=campaign)["state"] == "burned"

    def test_expires_in_a_paused_campaign_too_and_not_after_a_stop_or_a_void(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 1)
        lane.issue(campaign, "u", "v")
        lane.done(VoidCoupons(coupons=(by_number(1),), reason="r"), campaign=campaign)
        lane.done(PauseCampaign(reason="r"), campaign=campaign)
        lane.pass_time("2026-03-11T00:00:00Z")
        assert lane.counters(campaign) == {"voided": 1, "expired": 1}
        other = lasting(lane, 1, name="other")
        lane.issue(other, "u")
        lane.done(StopCampaign(reason="r"), campaign=other)
        lane.pass_time("2026-03-20T00:00:00Z")
        assert lane.counters(other) == {"voided": 1}

    def test_of_a_bearer_whose_coupon_has_uses_left_expires_at_the_end_of_its_own_days(self) -> None:
        lane = MemoryLane()
        campaign = lasting(lane, 2, uses=3)
        (exported,) = lane.done(ExportCodes(count=1), campaign=campaign)["codes"]
        lane.done(RedeemCoupon(coupon=by_code(exported["code"])), campaign=campaign)
        lane.pass_time("2026-03-12T00:00:00Z")
        assert (lane.counters(campaign), lane.kinds(campaign)[-1]) == ({"expired": 1}, "coupon.expired")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from(["America/New_York", "Asia/Shanghai", "Europe/Berlin"]),
    st.integers(1, 7),
)
def test_every_coupon_expires_once_at_the_end_of_its_own_days(
    gifts: list[tuple[int, int]], days: int, waiting: int, zone: str, size: int
) -> None:
    """Whatever the slices: the same events, each coupon's own end, nothing left over."""

    def run(slice_size: int) -> tuple[MemoryLane, UUID]:
        lane = MemoryLane(start="2026-03-01T12:00:00Z", slice=slice_size)
        campaign = lasting(lane, days, waiting, zone)
        for number, (hours, users) in enumerate(gifts):
            lane.pass_time(timedelta(hours=hours))
            rows = tuple(IssueRow(user=f"{number}.{user}") for user in range(users))
            lane.done(IssueCoupons(rows=rows), campaign=campaign)
        lane.pass_time("2026-05-01T00:00:00Z")
        return lane, campaign

    lane, campaign = run(size)
    kept = lane.campaign(campaign)
    issued = {event.data.coupon: event for event in lane.events if event.type == "scrip.coupon.issued.v1"}
    expired = {event.data.coupon: event for event in lane.events if event.type == "scrip.coupon.expired.v1"}
    assert lane.counters(campaign) == {"expired": len(issued)}
    for number, event in issued.items():
        assert expired[number].data.due == kept.span_from(event.time)[1] == event.data.valid_until
    whole, _ = run(5_000)
    same = [(e.seq, e.type, e.subject, e.data) for e in lane.events]
    assert same == [(e.seq, e.type, e.subject, e.data) for e in whole.events]


class TestHours:
    def hours(self, lane: MemoryLane) -> UUID:
        weekly = [{"days": ["mon", "tue"], "opens": "10:00", "closes": "18:00"}]
        validity = {"starts": "2026-03-01", "ends": "2026-03-31", "zone": "Asia/Shanghai", "weekly": weekly}
        campaign = lane.generate(validity=validity)
        lane.issue(campaign, "u")
        return campaign

    def test_outside_its_hours_a_coupon_refuses_with_the_next_time(self) -> None:
        lane = MemoryLane(start="2026-03-10T10:00:00Z")  # 18:00 on Tuesday in Shanghai
        campaign = self.hours(lane)
        for command in (REDEEM, ReserveCoupon(coupon=by_number(), order="A")):
            reply = lane.send(command, campaign=campaign)
            assert reply.refusal is not None
            assert (reply.refusal.code, reply.refusal.facts["next"]) == ("outside_hours", "2026-03-16T02:00:00Z")
        lane.pass_time("2026-03-16T02:00:00Z")
        lane.done(REDEEM, campaign=campaign)

    def test_when_no_hours_are_left_it_says_so(self) -> None:
        lane = MemoryLane(start="2026-03-10T10:00:00Z")
        campaign = self.hours(lane)
        lane.pass_time("2026-03-31T10:00:00Z")
        assert lane.refused(REDEEM, campaign=campaign) == "no_hours_left"

    def test_an_exported_code_keeps_the_hours_too(self) -> None:
        lane = MemoryLane(start="2026-03-10T10:00:00Z")
        campaign = self.hours(lane)
        (exported,) = lane.done(ExportCodes(count=1), campaign=campaign)["codes"]
        redeem = RedeemCoupon(coupon=by_code(exported["code"]))
        assert lane.refused(redeem, campaign=campaign) == "outside_hours"
        lane.pass_time("2026-03-16T02:00:00Z")
        lane.done(redeem, campaign=campaign)
