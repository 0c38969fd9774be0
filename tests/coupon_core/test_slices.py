"""Long work is done in slices, short ones here: what goes on by itself goes on until all of it is done."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.commands import (
    ClaimCoupon,
    CouponFilter,
    CouponReference,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    ReserveCoupon,
    VoidMatching,
)
from coupon_core.lanes import loading, selecting
from coupon_core.model.campaign import EXPIRED, HELD, VOIDED
from tests.coupon_core.one_lane import CAMPAIGN, OneLane, another
from tests.support.campaigns import terms


@pytest.mark.parametrize("campaigns_at_once", [1, 2, 256])
async def test_time_is_told_once_all_that_is_due_in_many_campaigns_has_happened(
    lane: OneLane, monkeypatch: pytest.MonkeyPatch, campaigns_at_once: int
) -> None:
    """By turns a campaign ends, and in one that goes on a reservation or a coupon's own time runs out."""
    monkeypatch.setattr(loading, "DUE_CAMPAIGNS", campaigns_at_once)
    ends: list[dict[str, Any]] = [
        {"ends": "2026-03-11T06:00:00Z"},
        {},  # its reservation is over at 12:00
        {"ends": "2026-03-11T18:00:00Z"},
        {"days_after_issue": 2},  # which are over at midnight
        {"ends": "2026-03-12T06:00:00Z"},
    ]
    campaigns = [another() for _ in ends]
    for campaign, validity in zip(campaigns, ends, strict=True):
        dated = terms(validity={"starts": "2026-03-01", "ends": "2026-03-31"} | validity)
        await lane.done(GenerateCampaign(terms=dated, quantity=9), ClaimCoupon(user="u"), campaign=campaign)
    hold = ReserveCoupon(coupon=CouponReference(number=1), order="o", seconds=86_400)
    await lane.done(hold, campaign=campaigns[1])
    told = datetime(2026, 3, 13, tzinfo=UTC)
    await lane.tell_time(told)
    left = await lane.stored.connection.fetchval("SELECT count(*) FROM campaign WHERE next_due <= $1", told)
    assert left == 0, "it is answered, and more is due"
    rows = [await lane.campaign(campaign) for campaign in campaigns]
    assert [row.state for row in rows] == ["ended", "active", "ended", "active", "ended"]
    assert [row.counts[EXPIRED] for row in rows] == [1, 0, 1, 1, 1]
    assert rows[1].counts[HELD] == 1


async def test_a_void_goes_on_past_numbers_among_which_nothing_is_meant(
    lane: OneLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "SEARCHED", 10)
    users = [f"ann{number}" for number in range(40)]
    users[24], users[37] = "zoe", "zora"
    issued = IssueCoupons(rows=tuple(IssueRow(user=user) for user in users))
    await lane.done(GenerateCampaign(terms=terms(), quantity=100), issued)
    lane.append(VoidMatching(matching=CouponFilter(user_prefix="zo"), reason="leaked"), CAMPAIGN)
    assert await lane.slice_by_slice() > 1
    voided = await lane.stored.connection.fetch("SELECT number FROM coupon WHERE state = $1 ORDER BY 1", VOIDED)
    assert [row["number"] for row in voided] == [25, 38]
