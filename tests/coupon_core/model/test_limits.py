"""Limits by day, week and month of the campaign's zone, by user and day, and a pool that runs low."""

from collections import Counter
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.commands import (
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    IssueCoupons,
    IssueRow,
    RedeemCoupon,
    UploadCodes,
    VoidCoupons,
)
from contracts.events import CampaignLimitReached, CampaignPoolLow
from coupon_core.model.periods import period_end, period_start
from coupon_core.model.validity import day_of
from tests.support.deciding import MERCHANT, MemoryLane, by_code, by_number, instant


def limited(lane: MemoryLane, zone: str = "UTC", **limits: Any) -> UUID:
    return lane.generate(validity={"starts": "2026-01-01", "ends": "2026-12-31", "zone": zone}, **limits)


def give(lane: MemoryLane, campaign: UUID, *users: str) -> list[str]:
    """The refusals' codes, or `issued`, row by row."""
    rows = tuple(IssueRow(user=user) for user in users)
    result = lane.done(IssueCoupons(rows=rows), campaign=campaign)
    return [row["refusal"]["code"] if "refusal" in row else "issued" for row in result["rows"]]


def told(lane: MemoryLane, kind: type) -> list[Any]:
    return [event.data for event in lane.events if isinstance(event.data, kind)]


class TestPeriods:
    @pytest.mark.parametrize(
        ("period", "moment", "zone", "first", "end"),
        [
            ("day", "2026-03-08T12:00:00Z", "America/New_York", "2026-03-08", "2026-03-09T04:00:00Z"),
            ("day", "2026-11-01T12:00:00Z", "America/New_York", "2026-11-01", "2026-11-02T05:00:00Z"),
            ("day", "2026-03-10T16:00:00Z", "Asia/Shanghai", "2026-03-11", "2026-03-11T16:00:00Z"),
            ("day", "2011-12-30T09:59:00Z", "Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z"),
            ("week", "2026-03-29T21:59:00Z", "Europe/Berlin", "2026-03-23", "2026-03-29T22:00:00Z"),
            ("week", "2026-03-29T22:00:00Z", "Europe/Berlin", "2026-03-30", "2026-04-05T22:00:00Z"),
            ("month", "2026-02-28T16:00:00Z", "Asia/Shanghai", "2026-03-01", "2026-03-31T16:00:00Z"),
            ("month", "2026-12-31T23:59:59Z", "UTC", "2026-12-01", "2027-01-01T00:00:00Z"),
            ("month", "9999-12-31T00:00:00Z", "UTC", "9999-12-01", "9999-12-31T00:00:00Z"),
        ],
    )
    def test_are_those_of_the_zone(self, period: Any, moment: str, zone: str, first: str, end: str) -> None:
        began = period_start(period, instant(moment), zone)
        assert (began, period_end(period, began, zone)) == (date.fromisoformat(first), instant(end))

    @pytest.mark.parametrize(
        ("limit", "again"),
        [
            ("per_day_limit", "2026-03-11T00:00:00Z"),
            ("per_week_limit", "2026-03-16T00:00:00Z"),
            ("per_month_limit", "2026-04-01T00:00:00Z"),
        ],
    )
    def test_never_one_more_in_a_period_and_again_in_the_next(self, limit: str, again: str) -> None:
        lane = MemoryLane()
        limits: dict[str, Any] = {limit: 3}
        campaign = limited(lane, **limits)
        assert give(lane, campaign, *"abcd") == ["issued"] * 3 + ["period_limit_reached"]
        reply = lane.send(ClaimCoupon(user="e"), campaign=campaign)
        assert reply.refusal is not None
        assert reply.refusal.facts["next"] == again
        lane.pass_time(instant(again) - lane.now - timedelta(seconds=1))
        assert give(lane, campaign, "e") == ["period_limit_reached"]
        lane.pass_time(again)
        assert give(lane, campaign, *"efgh") == ["issued"] * 3 + ["period_limit_reached"]

    def test_reaching_a_limit_is_told_once_a_period(self) -> None:
        lane = MemoryLane()
        campaign = limited(lane, "Asia/Shanghai", per_day_limit=2)
        give(lane, campaign, *"abcd")
        lane.done(VoidCoupons(coupons=(by_number(1),), reason="r"), campaign=campaign)
        give(lane, campaign, "e")
        day = CampaignLimitReached(
            period="day", starts=instant("2026-03-09T16:00:00Z"), ends=instant("2026-03-10T16:00:00Z"), limit=2
        )
        assert told(lane, CampaignLimitReached) == [day]
        lane.pass_time("2026-03-10T16:00:00Z")
        give(lane, campaign, *"ef")
        assert len(told(lane, CampaignLimitReached)) == 2

    def test_several_limits_hold_together(self) -> None:
        lane = MemoryLane()
        campaign = limited(lane, per_day_limit=2, per_week_limit=3, per_user_limit=1)
        assert give(lane, campaign, *"abc") == ["issued", "issued", "period_limit_reached"]
        lane.pass_time("2026-03-11T00:00:00Z")
        assert give(lane, campaign, *"acd") == ["user_limit_reached", "issued", "period_limit_reached"]
        assert [data.period for data in told(lane, CampaignLimitReached)] == ["day", "week"]

    def test_a_refused_row_is_not_counted(self) -> None:
        lane = MemoryLane()
        campaign = limited(lane, per_day_limit=2)
        assert give(lane, campaign, "a", "a", "b", "c") == [
            *("issued", "repeated_in_request", "issued", "period_limit_reached")
        ]


class TestUserAndDay:
    def test_counts_the_days_of_the_zone(self) -> None:
        lane = MemoryLane(start="2026-03-10T15:00:00Z")  # 23:00 in Shanghai
        campaign = limited(lane, "Asia/Shanghai", per_user_day_limit=1)
        assert give(lane, campaign, "u", "v") == ["issued", "issued"]
        reply = lane.send(ClaimCoupon(user="u"), campaign=campaign)
        assert reply.refusal is not None
        assert reply.refusal.facts == {"limit": 1, "issued": 1, "next": "2026-03-10T16:00:00Z"}
        lane.pass_time("2026-03-10T16:00:00Z")
        assert give(lane, campaign, "u") == ["issued"]

    def test_a_voided_coupon_of_today_still_counts(self) -> None:
        lane = MemoryLane()
        campaign = limited(lane, per_user_day_limit=1)
        give(lane, campaign, "u")
        lane.done(VoidCoupons(coupons=(by_number(1),), reason="r"), campaign=campaign)
        assert give(lane, campaign, "u") == ["user_day_limit_reached"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=1, max_size=40),
    st.sampled_from(["America/New_York", "Asia/Shanghai", "Europe/Berlin", "Pacific/Apia"]),
    st.sampled_from(["2026-02-27T03:00:00Z", "2026-03-07T20:00:00Z", "2026-03-27T20:00:00Z", "2026-10-30T20:00:00Z"]),
    st.integers(1, 4),
    st.integers(1, 8),
    st.integers(1, 2),
)
def test_no_limit_is_ever_passed_and_none_refuses_early(
    claims: list[tuple[int, str]], zone: str, start: str, a_day: int, a_week: int, a_user: int
) -> None:
    """Against counting by hand: what was issued, by local day, week and user."""
    lane = MemoryLane(start=start)
    campaign = limited(lane, zone, per_day_limit=a_day, per_week_limit=a_week, per_user_day_limit=a_user)
    days: Counter[date] = Counter()
    weeks: Counter[tuple[int, int]] = Counter()
    users: Counter[tuple[date, str]] = Counter()
    for hours, user in claims:
        lane.pass_time(timedelta(hours=hours))
        today = day_of(lane.now, zone)
        year, week, _ = today.isocalendar()
        room = days[today] < a_day and weeks[year, week] < a_week and users[today, user] < a_user
        assert (lane.send(ClaimCoupon(user=user), campaign=campaign).status == "done") is room
        if room:
            days[today] += 1
            weeks[year, week] += 1
            users[today, user] += 1
    full = sum(count == a_day for count in days.values()) + sum(count == a_week for count in weeks.values())
    assert len(told(lane, CampaignLimitReached)) == full


class TestLowPool:
    def low(self, lane: MemoryLane) -> list[tuple[int, int]]:
        return [(data.left, data.threshold) for data in told(lane, CampaignPoolLow)]

    def test_is_told_once_when_crossed_and_again_after_a_replenishment(self) -> None:
        lane = MemoryLane()
        campaign = limited(lane, quantity=5, low_pool_at=2)
        give(lane, campaign, *"ab")
        assert self.low(lane) == []
        give(lane, campaign, "c")
        give(lane, campaign, "d")
        assert self.low(lane) == [(2, 2)]
        lane.done(ChangeQuantity(quantity=6), campaign=campaign)
        assert self.low(lane) == [(2, 2)]  # two are left again: not above the threshold
        lane.done(ChangeQuantity(quantity=8), campaign=campaign)
        give(lane, campaign, *"efgh")
        assert self.low(lane) == [(2, 2), (0, 2)]
        assert lane.kinds(campaign)[-2:] == ["campaign.pool_low", "campaign.exhausted"]

    def test_an_export_and_a_lower_quantity_cross_it_too(self) -> None:
        lane = MemoryLane()
        campaign = limited(lane, quantity=10, low_pool_at=3)
        lane.done(ExportCodes(count=8), campaign=campaign)
        lane.done(ChangeQuantity(quantity=20), campaign=campaign)
        lane.done(ChangeQuantity(quantity=9), campaign=campaign)
        assert self.low(lane) == [(2, 3), (1, 3)]

    def test_uploaded_codes_run_low_by_their_own_number(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"}, low_pool_at=1)
        lane.done(UploadCodes(codes=("A1", "A2", "A3")), campaign=campaign, party=MERCHANT)
        lane.issue(campaign, "u")
        assert self.low(lane) == []
        lane.done(RedeemCoupon(coupon=by_code("A2")), campaign=campaign, party=MERCHANT)
        assert self.low(lane) == [(1, 1)]
        assert lane.kinds(campaign)[-2:] == ["campaign.pool_low", "coupon.redeemed"]

    def test_a_low_pool_is_told_where_bearers_use_up_the_quantity_before_the_codes(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"}, quantity=3, low_pool_at=2)
        codes = tuple(f"A{number}" for number in range(10))
        lane.done(UploadCodes(codes=codes), campaign=campaign, party=MERCHANT)
        for code in codes[:3]:
            lane.done(RedeemCoupon(coupon=by_code(code), amount=2_000), campaign=campaign, party=MERCHANT)
        assert self.low(lane) == [(2, 2)]
