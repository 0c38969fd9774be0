"""A dry run: the whole decision, its answer, and nothing besides."""

import copy
from uuid import UUID

import pytest

from contracts.commands import (
    AmendCampaign,
    ClaimCoupon,
    CouponFilter,
    ExportCodes,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    SetTool,
    StopCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
)
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import campaign_id
from tests.support.deciding import MERCHANT, MemoryLane, by_number, terms

GENERATE = GenerateCampaign(terms=terms(), quantity=10)


def kept(lane: MemoryLane) -> object:
    """All there is, but for answers."""
    work = lane.work
    return copy.deepcopy(
        (
            [vars_of(campaign) for campaign in work.campaigns.values()],
            {key: vars_of(coupon) for key, coupon in work.coupons.items()},
            *(work.outcomes, work.uploaded, work.blocks, work.new_exports, work.new_codes, lane.state.facts),
            *(lane.state.campaigns, lane.state.clock, lane.lines, len(lane.refusals), len(lane.dead)),
        )
    )


def vars_of(thing: object) -> dict[str, object]:
    return {name: getattr(thing, name) for name in type(thing).__dataclass_fields__}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "command",
    [
        *(ClaimCoupon(user="v"), RedeemCoupon(coupon=by_number()), PauseCampaign(reason="r"), ExportCodes(count=3)),
        *(StopCampaign(reason="r"), VoidCampaign(reason="r"), AmendCampaign.model_validate({"terms": {"name": "x"}})),
        VoidMatching(matching=CouponFilter(first=1), reason="r"),
        *(VoidCoupons(coupons=(by_number(),), reason="r"), IssueCoupons(rows=(IssueRow(user="v"),))),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_command_tried_leaves_everything_as_it_was_and_then_does_what_was_said(command: Contract) -> None:
    lane = MemoryLane()
    campaign = lane.generate(quantity=10)
    lane.issue(campaign, "u")
    before = kept(lane)
    reply = lane.send(command, campaign=campaign, dryrun=True)
    assert (reply.status, reply.dry_run) == ("done", True)
    assert kept(lane) == before
    done = lane.send(command, campaign=campaign)
    assert not done.dry_run
    counted = {"voided": 1} if isinstance(command, StopCampaign) else {}  # its coupons are voided after its answer
    assert without_codes((done.result or {}) | counted) == reply.result


def without_codes(result: object) -> object:
    if isinstance(result, dict):
        return {name: without_codes(value) for name, value in result.items() if name not in ("code", "codes")}
    return [without_codes(value) for value in result] if isinstance(result, list) else result


def test_a_campaign_may_be_tried_before_it_is_made() -> None:
    lane = MemoryLane()
    campaign = campaign_id(PLATFORM, "spring")
    assert lane.done(GENERATE, campaign=campaign, dryrun=True)["state"] == "active"
    assert not lane.work.campaigns
    assert lane.refused(ClaimCoupon(user="u"), campaign=campaign) == "campaign_not_found"


def test_a_refusal_is_told_and_not_kept() -> None:
    lane = MemoryLane()
    campaign = lane.generate(quantity=1)
    lane.issue(campaign, "u")
    before = kept(lane)
    assert lane.refused(ClaimCoupon(user="v"), campaign=campaign, dryrun=True) == "campaign_exhausted"
    assert kept(lane) == before


def test_rows_are_each_told() -> None:
    lane = MemoryLane()
    campaign = lane.publish({"kind": "uploaded"})
    before = kept(lane)
    result = lane.done(UploadCodes(codes=("A1", "a-1", "--")), campaign=campaign, party=MERCHANT, dryrun=True)
    assert (result["accepted"], [row["refusal"]["code"] for row in result["rows"]]) == (
        1,
        ["repeated_in_request", "code_unreadable"],
    )
    assert kept(lane) == before


def test_who_only_tries_does_not_learn_the_code_the_next_one_gets() -> None:
    lane = MemoryLane()
    for campaign in (lane.generate("spring"), lane.publish({"kind": "uploaded"}, "paper")):
        party = lane.campaign(campaign).owner
        if party == MERCHANT:
            lane.done(UploadCodes(codes=("SECRET",)), campaign=campaign, party=party)
        assert "code" not in lane.done(ClaimCoupon(user="u"), campaign=campaign, party=party, dryrun=True)
        assert "code" in lane.done(ClaimCoupon(user="u"), campaign=campaign, party=party)


def test_a_tool_may_try_only_what_it_may_do() -> None:
    lane = MemoryLane()
    tool = SetTool(partition=0, tool="t", version=1, key_versions=(1,), rights=("issue",), reply_topic="t.replies")
    lane.done(tool)
    campaign = lane.generate()
    envelope = {"campaign": campaign, "actor": "tool:t", "replyto": "t.replies", "dryrun": True}
    assert lane.done(ClaimCoupon(user="u"), writer="tool:t", **envelope)["user"] == "u"
    assert lane.refused(StopCampaign(reason="r"), writer="tool:t", **envelope) == "not_allowed"


def test_what_was_done_under_the_same_id_is_answered_again() -> None:
    lane = MemoryLane()
    campaign = lane.generate()
    lane.done(ClaimCoupon(user="u"), campaign=campaign, id=UUID(int=5))
    reply = lane.send(ClaimCoupon(user="u"), campaign=campaign, id=UUID(int=5), dryrun=True)
    assert (reply.replayed, reply.dry_run) == (True, True)
