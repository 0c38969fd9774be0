"""Whether time that was told has come at once is for the log alone to say, not for who owns the lane."""

from datetime import timedelta

import pytest

from contracts.commands import AdvanceClock, GenerateCampaign, StopCampaign
from contracts.identifiers import lane_key
from tests.coupon_core.one_lane import LANE, START, OneLane
from tests.support.campaigns import terms


@pytest.mark.parametrize("most", [1, 1_000], ids=["one by one", "one batch"])
@pytest.mark.parametrize("taken_over", [False, True], ids=["the same owner", "another owner"])
async def test_time_is_answered_at_once_where_nothing_is_due_any_more(
    lane: OneLane, taken_over: bool, most: int
) -> None:
    """A campaign was stopped: its end, at which something would have been due, means nothing now."""
    lane.append(GenerateCampaign(terms=terms(), quantity=10))
    lane.append(StopCampaign(reason="no more"))
    if taken_over:
        await lane.stored.decide(1_000)
        await lane.stored.take_over()
    lane.append(AdvanceClock(partition=LANE, to=START + timedelta(days=90)), lane_key(LANE))
    while lane.stored.waiting(LANE):
        await lane.stored.decide(most)
    assert [reply.status for reply in lane.stored.heard] == ["done"] * 3
    assert not any("RunDue" in line for _, line in lane.stored.following)
