"""Events folded from the first one give what the lane holds; an event the fold does not know turns a test red."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from contracts.commands import (
    AmendCampaign,
    CancelGeneration,
    ChangeQuantity,
    CouponFilter,
    ExportCodes,
    PauseCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    StopCampaign,
    UnpublishCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
)
from contracts.events import EVENT_TYPES
from coupon_core.model.campaign import HELD, REDEEMED, RESERVED, Campaign, Coupon
from coupon_core.model.folding import FOLD, Folding
from coupon_core.queries.campaigns import campaign_item
from tests.support.deciding import MERCHANT, MemoryLane, by_code, by_number

NOT_FOLDED = ("amended", "block", "changed", "new", "next_due", "swept")
NOT_FOLDED_OF_COUPONS = ("changed", "new", "code", "shown", "beyond_state", "counting")


def fields(thing: Campaign | Coupon, left_out: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in thing.__slots__ if name not in left_out}


def lines_of(lane: MemoryLane, campaign: UUID) -> list[bytes]:
    return [line.encode() for line in lane.lines if f'"stream":"{campaign}/0"' in line]


def folded(lane: MemoryLane, campaign: UUID, **limits: Any) -> Folding:
    """Everything about the campaign from its events."""
    kept = lane.campaign(campaign)
    folding = Folding(campaign, wanted=None, number=kept.number, partition=kept.partition, **limits)
    folding.take(b"\n".join(lines_of(lane, campaign)))
    return folding


def is_what_the_lane_holds(lane: MemoryLane, campaign: UUID) -> None:
    kept, folding = lane.campaign(campaign), folded(lane, campaign)
    assert folding.campaign is not None
    assert fields(folding.campaign, NOT_FOLDED) == fields(kept, NOT_FOLDED)
    coupons = {number: coupon for (of, number), coupon in lane.work.coupons.items() if of == kept.number}
    assert folding.coupons.keys() == coupons.keys()
    for number, coupon in coupons.items():
        assert fields(folding.coupons[number], NOT_FOLDED_OF_COUPONS) == fields(coupon, NOT_FOLDED_OF_COUPONS)
        rows = [fields_of_row(row) for row in lane.work.redemptions.get((kept.number, number), [])]
        assert [fields_of_row(row) for row in folding.redemptions.get(number, [])] == rows


def fields_of_row(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__ if name not in ("new", "changed")}


@pytest.fixture(scope="module")
def lived() -> MemoryLane:
    """A lane in which everything has happened."""
    lane = MemoryLane("2026-03-10T12:00:00Z", slice=3)
    hostile = {"type": "scrip.coupon.issued.v1", "subject": "x.1", 'a"b': '","seq":9}\n{"specversion":"1.0"'}
    made = lane.generate("generated", quantity=40, metadata=hostile)
    lane.issue(made, *[f"user-{number}" for number in range(12)], 'quo"te')
    codes = lane.done(ExportCodes(count=5), campaign=made)["codes"]
    lane.done(RedeemCoupon(coupon=by_code(codes[2]["code"]), amount=900), campaign=made)
    lane.now = datetime.fromisoformat("2026-03-11T08:00:00Z")
    lane.done(RedeemCoupon(coupon=by_number(1), amount=2_000, order="o-1"), campaign=made)
    lane.done(ReturnCoupon(coupon=by_number(1), reason="back"), campaign=made)
    lane.done(RedeemCoupon(coupon=by_number(1), amount=700, order="o-2"), campaign=made)
    lane.done(ReserveCoupon(coupon=by_number(2), order="o-3", seconds=600), campaign=made)
    lane.done(ReserveCoupon(coupon=by_code(codes[3]["code"]), order="o-4", seconds=60), campaign=made)
    lane.done(ReserveCoupon(coupon=by_number(3), order="o-5"), campaign=made)
    lane.done(ReleaseCoupon(coupon=by_number(3), order="o-5"), campaign=made)
    lane.done(VoidCoupons(coupons=(by_number(4), by_code(codes[4]["code"])), reason="lost"), campaign=made)
    lane.pass_time("2026-03-11T08:05:00Z")
    lane.done(PauseCampaign(reason="x"), campaign=made)
    lane.done(ResumeCampaign(), campaign=made)
    lane.done(UnpublishCampaign(), campaign=made)
    lane.done(AmendCampaign.model_validate({"terms": {"name": "taken out"}}), campaign=made)
    lane.done(ChangeQuantity(quantity=18), campaign=made)
    lane.done(ChangeQuantity(quantity=30), campaign=made)
    over = lane.generate("over", quantity=None, supply={"kind": "shared", "code": "OVER"}, return_policy="burned",
                         validity={"starts": "2026-03-01", "ends": "2026-03-12"})  # fmt: skip
    lane.issue(over, *[f"user-{number}" for number in range(8)])
    lane.done(RedeemCoupon(coupon=by_number(1), amount=700), campaign=over)
    lane.done(RedeemCoupon(coupon=by_number(2), amount=700), campaign=over)
    lane.done(ReturnCoupon(coupon=by_number(2), reason="back"), campaign=over)
    stopped = lane.generate("stopped", quantity=9)
    lane.issue(stopped, *[f"user-{number}" for number in range(8)])
    lane.done(StopCampaign(reason="no more"), campaign=stopped)
    voided = lane.generate("voided", quantity=9)
    lane.issue(voided, *[f"user-{number}" for number in range(8)])
    lane.send(VoidCampaign(reason="all"), campaign=voided)
    own = {"kind": "generated", "pattern": {"prefix": "A-", "length": 9}}
    patterned = lane.generate("patterned", quantity=9, supply=own)
    lane.issue(patterned, "ann")
    stored = lane.generate("stored", quantity=6_000, supply=own | {"stored": True})
    lane.issue(stored, "ann")
    lane.holds_continuations = True
    lane.done(ChangeQuantity(quantity=20_000), campaign=stored)
    lane.done(CancelGeneration(reason="too many"), campaign=stored)
    lane.done(ChangeQuantity(quantity=18_000), campaign=stored)
    failed = lane.generate("failed", quantity=6_000, supply=own | {"stored": True})
    lane.done(CancelGeneration(reason="typo"), campaign=failed)
    lane.holds_continuations = False
    uploaded = lane.publish({"kind": "uploaded"}, "uploaded", quantity=3)
    lane.done(UploadCodes(codes=("A1", "A2", "A3", "A2")), campaign=uploaded, party=MERCHANT)
    lane.issue(uploaded, "ann")
    lane.done(RedeemCoupon(coupon=by_code("A3"), amount=800), campaign=uploaded, party=MERCHANT)
    lane.issue(uploaded, "bob")
    printed = lane.generate("printed", quantity=20)
    sheet = lane.done(ExportCodes(count=9), campaign=printed)["codes"]
    lane.done(RedeemCoupon(coupon=by_code(sheet[4]["code"]), amount=900), campaign=printed)
    lane.issue(printed, "ann")
    lane.send(VoidMatching(matching=CouponFilter(first=3), reason="leaked"), campaign=printed)
    lane.done(RedeemCoupon(coupon=by_code(sheet[0]["code"]), amount=900), campaign=printed)
    uses = lane.generate("uses", quantity=20, uses=3, budget=16_000, discount={"kind": "percent_off",
                         "basis_points": 1_000, "cap": 900})  # fmt: skip
    lane.issue(uses, "ann", "bob", "cid", "dan")
    for number, amount in ((1, 2_000), (1, 50_000), (2, 1_000), (1, 10), (3, 100)):
        lane.done(RedeemCoupon(coupon=by_number(number), amount=amount, order=f"o-{amount}"), campaign=uses)
    lane.done(ReserveCoupon(coupon=by_number(2), order="o-7"), campaign=uses)
    lane.done(RedeemCoupon(coupon=by_number(2), amount=600, order="o-8"), campaign=uses)
    lane.done(RedeemCoupon(coupon=by_number(2), amount=600, order="o-7"), campaign=uses)
    lane.done(ReturnCoupon(coupon=by_number(1), redemption=2, reason="back"), campaign=uses)
    lane.done(ReturnCoupon(coupon=by_number(3), reason="back"), campaign=uses)
    lane.done(VoidCoupons(coupons=(by_number(4),), reason="lost"), campaign=uses)
    card = lane.generate("card", quantity=5, discount={"kind": "gift_card", "balance": 5_000}, budget=20_000)
    lane.issue(card, "ann", "bob", "cid")
    given = lane.done(ExportCodes(count=1), campaign=card)["codes"]
    lane.done(RedeemCoupon(coupon=by_number(1), amount=1_200), campaign=card)
    lane.done(ReserveCoupon(coupon=by_number(1), order="o-9", amount=3_000), campaign=card)
    lane.done(RedeemCoupon(coupon=by_number(1), amount=500), campaign=card)
    lane.done(ReturnCoupon(coupon=by_number(1), redemption=1, amount=200, reason="part"), campaign=card)
    lane.done(RedeemCoupon(coupon=by_code(given[0]["code"]), amount=9_000), campaign=card)
    lane.done(ReturnCoupon(coupon=by_code(given[0]["code"]), amount=1_000, reason="part"), campaign=card)
    lane.done(RedeemCoupon(coupon=by_number(2), amount=9_000), campaign=card)
    lasting = lane.generate("lasting", quantity=9, low_pool_at=6, per_day_limit=3, uses=2,
                            validity={"starts": "2026-03-01", "ends": "2026-03-31", "days_after_issue": 2})  # fmt: skip
    lane.issue(lasting, "ann", "bob", "cid")
    one = lane.done(ExportCodes(count=1), campaign=lasting)["codes"][0]
    lane.done(RedeemCoupon(coupon=by_code(one["code"]), amount=900), campaign=lasting)
    lane.done(ReserveCoupon(coupon=by_number(1), order="o-10"), campaign=lasting)
    lane.done(ReleaseCoupon(coupon=by_number(1), order="o-10"), campaign=lasting)
    lane.done(RedeemCoupon(coupon=by_number(2), amount=900), campaign=lasting)
    lane.pass_time("2026-03-14T00:00:00Z")
    lane.issue(lasting, "dan")
    return lane


def test_every_event_type_is_folded() -> None:
    assert FOLD.keys() == EVENT_TYPES.keys()


def test_each_campaign_of_the_story_folds_to_what_the_lane_holds(lived: MemoryLane) -> None:
    assert len(set(lived.kinds())) >= 26, set(EVENT_TYPES.values()) - {f"scrip.{kind}.v1" for kind in lived.kinds()}
    for campaign in list(lived.work.campaigns):
        is_what_the_lane_holds(lived, campaign)


def test_cut_into_pages_anywhere_it_folds_to_the_same(lived: MemoryLane) -> None:
    for campaign, kept in lived.work.campaigns.items():
        lines = lines_of(lived, campaign)
        for cut in range(1, len(lines)):
            folding = Folding(campaign, number=kept.number)
            folding.take(b"\n".join(lines[:cut]))
            folding.take(b"\n".join(lines[cut:]))
            assert folding.campaign is not None
            assert campaign_item(folding.campaign, None) == campaign_item(kept, None)


def test_up_to_each_event_the_ledger_adds_up_and_the_cause_is_that_event(lived: MemoryLane) -> None:
    for campaign in lived.work.campaigns:
        events = [event for event in lived.events if event.stream == f"{campaign}/0"]
        for event in events:
            folding = folded(lived, campaign, upto=event.seq)
            kept, caused = folding.campaign, folding.caused
            assert kept is not None
            assert kept.seq == event.seq
            assert kept.issued == sum(kept.counts)
            assert min(*kept.counts, kept.exported, kept.available, kept.budget_reserved, kept.budget_spent) >= 0
            assert caused is not None
            assert (caused.seq, caused.command, caused.actor) == (event.seq, event.causationid, event.actor)
            if event.subject != str(campaign):
                assert folding.caused_of[event.data.coupon] == caused


def test_until_a_moment_all_events_of_that_moment_and_none_after_it_count(lived: MemoryLane) -> None:
    campaign = next(iter(lived.work.campaigns))
    events = [event for event in lived.events if event.stream == f"{campaign}/0"]
    for moment in sorted({event.time for event in events}):
        folding = folded(lived, campaign, until=moment)
        assert folding.campaign is not None
        assert folding.campaign.seq == max(event.seq for event in events if event.time <= moment)
        assert folding.over == (moment < events[-1].time)


def test_a_coupon_at_a_moment(lived: MemoryLane) -> None:
    campaign = next(iter(lived.work.campaigns))
    events = [event for event in lived.events if event.subject == f"{campaign}.1"]
    states = []
    for event in events:
        folding = Folding(campaign, wanted={1}, only_wanted=True, upto=event.seq)
        folding.take(b"\n".join(lines_of(lived, campaign)))
        assert list(folding.coupons) == [1]
        states.append((folding.coupons[1].state, [row.returned_at for row in folding.redemptions.get(1, [])]))
    back = events[2].time
    assert states == [(HELD, []), (REDEEMED, [None]), (HELD, [back]), (REDEEMED, [back, None])]
    reserved = next(event for event in lived.events if event.type == "scrip.coupon.reserved.v1")
    at = folded(lived, campaign, upto=reserved.seq).coupons[reserved.data.coupon]
    assert (at.state, at.reserved_order, at.due_at) == (RESERVED, reserved.data.order, reserved.data.until)


def test_events_that_do_not_begin_with_the_first_are_refused(lived: MemoryLane) -> None:
    campaign = next(iter(lived.work.campaigns))
    with pytest.raises(ValueError, match="the first event"):
        Folding(campaign).take(b"\n".join(lines_of(lived, campaign)[1:]))
