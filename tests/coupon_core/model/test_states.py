"""The table of states: every move of a coupon and of a campaign, the legal ones and, by name, the illegal ones."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.answers import Reply
from contracts.commands import (
    ChangeQuantity,
    ClaimCoupon,
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
)
from contracts.events import ENDS
from contracts.fields import Contract
from coupon_core.model.campaign import STATE_NAMES
from tests.support.deciding import MERCHANT, MemoryLane, by_code, by_number

END = "2026-04-01T00:00:00Z"
REDEEM = RedeemCoupon(coupon=by_number())
RETURN = ReturnCoupon(coupon=by_number(), reason="unwanted")
VOID = VoidCoupons(coupons=(by_number(),), reason="by mistake")


def reserve(order: str) -> ReserveCoupon:
    return ReserveCoupon(coupon=by_number(), order=order, seconds=600)


def release(order: str) -> ReleaseCoupon:
    return ReleaseCoupon(coupon=by_number(), order=order)


def redeem_for(order: str) -> RedeemCoupon:
    return RedeemCoupon(coupon=by_number(), order=order)


def held(lane: MemoryLane) -> UUID:
    campaign = lane.generate(quantity=10)
    lane.issue(campaign, "u")
    return campaign


def reserved(lane: MemoryLane) -> UUID:
    campaign = held(lane)
    lane.done(reserve("A"), campaign=campaign)
    return campaign


def redeemed(lane: MemoryLane) -> UUID:
    campaign = held(lane)
    lane.done(REDEEM, campaign=campaign)
    return campaign


def burned(lane: MemoryLane) -> UUID:
    campaign = lane.generate(quantity=10, return_policy="burned")
    lane.issue(campaign, "u")
    lane.done(REDEEM, campaign=campaign)
    lane.done(RETURN, campaign=campaign)
    return campaign


def voided(lane: MemoryLane) -> UUID:
    campaign = held(lane)
    lane.done(VOID, campaign=campaign)
    return campaign


def expired(lane: MemoryLane) -> UUID:
    campaign = held(lane)
    lane.pass_time(END)
    return campaign


FROM: dict[str, Callable[[MemoryLane], UUID]] = {
    way.__name__: way for way in (held, reserved, redeemed, burned, voided, expired)
}
VERBS: dict[str, Contract | str] = {
    "reserve for A": reserve("A"),
    "reserve for B": reserve("B"),
    "release for A": release("A"),
    "release for B": release("B"),
    "redeem": REDEEM,
    "redeem for A": redeem_for("A"),
    "redeem for B": redeem_for("B"),
    "return": RETURN,
    "void": VOID,
    "ten minutes pass": "2026-03-10T12:10:00Z",
    "the campaign ends": END,
}
GONE = ("coupon_already_redeemed", "coupon_burned", "coupon_voided", "coupon_expired")
NOT_RESERVED = ("coupon_not_reserved",) * 4
NOT_REDEEMED = ("coupon_not_redeemed",) * 3
# What each verb makes of a coupon that is held, reserved for A, redeemed, burned, voided, expired: its state with the
# last event, or the refusal.
TABLE = {
    "reserve for A": ("reserved coupon.reserved", "reserved coupon.reserved", *GONE),
    "reserve for B": ("reserved coupon.reserved", "coupon_reserved", *GONE),
    "release for A": ("coupon_not_reserved", "held coupon.released", *NOT_RESERVED),
    "release for B": ("coupon_not_reserved", "coupon_reserved", *NOT_RESERVED),
    "redeem": ("redeemed coupon.redeemed", "coupon_reserved", *GONE),
    "redeem for A": ("redeemed coupon.redeemed", "redeemed coupon.redeemed", *GONE),
    "redeem for B": ("redeemed coupon.redeemed", "coupon_reserved", *GONE),
    "return": ("coupon_not_redeemed", "coupon_not_redeemed", "held coupon.returned", *NOT_REDEEMED),
    "void": ("voided coupon.voided", "voided coupon.voided", *GONE),
    "ten minutes pass": ("held", "held coupon.released", "redeemed", "burned", "voided", "expired"),
    "the campaign ends": (
        *("expired campaign.ended", "expired campaign.ended"),
        *("redeemed campaign.ended", "burned campaign.ended", "voided campaign.ended", "expired"),
    ),
}
MOVES = [
    pytest.param(state, verb, expected, id=f"{state}, {verb}")
    for verb, row in TABLE.items()
    for state, expected in zip(FROM, row, strict=True)
]


def refusal_of(reply: Reply) -> str | None:
    """The code of a refusal of the whole command, or of its one row."""
    if reply.refusal is not None:
        return reply.refusal.code
    rows = (reply.result or {}).get("rows", [])
    return rows[0]["refusal"]["code"] if rows and "refusal" in rows[0] else None


class TestCoupons:
    @pytest.mark.parametrize(("state", "verb", "expected"), MOVES)
    def test_each_move_in_each_state(self, state: str, verb: str, expected: str) -> None:
        lane = MemoryLane()
        campaign = FROM[state](lane)
        assert STATE_NAMES[lane.coupon(campaign).state] == state
        before = len(lane.events)
        does = VERBS[verb]
        if isinstance(does, str):
            lane.pass_time(max(does, lane.now.isoformat().replace("+00:00", "Z")))
            code = None
        else:
            code = refusal_of(lane.send(does, campaign=campaign))
        after = [event.type[6:-3] for event in lane.events[before:]]
        if code is not None:
            assert (code, after) == (expected, [])
            assert STATE_NAMES[lane.coupon(campaign).state] == state
        else:
            assert f"{STATE_NAMES[lane.coupon(campaign).state]} {' '.join(after[-1:])}".strip() == expected
        assert sum(lane.counters(campaign).values()) == 1

    def test_every_event_leaves_the_coupon_in_the_state_it_says(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        for command in (reserve("A"), release("A"), reserve("A"), redeem_for("A"), RETURN, REDEEM, RETURN, VOID):
            before = len(lane.events)
            lane.done(command, campaign=campaign)
            (event,) = lane.events[before:]
            assert ENDS[type(event.data)] == STATE_NAMES[lane.coupon(campaign).state]

    def test_a_reservation_ends_with_the_campaign_and_says_expired_only(self) -> None:
        lane = MemoryLane()
        campaign = reserved(lane)
        lane.pass_time(END)
        assert lane.kinds(campaign)[-2:] == ["coupon.expired", "campaign.ended"]

    def test_no_reservation_outlasts_the_campaign(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        lane.now = lane.now.replace(month=3, day=31, hour=23, minute=55)
        until = lane.done(reserve("A"), campaign=campaign)["until"]
        assert until == END

    def test_a_reservation_held_longer_is_released_at_its_new_end(self) -> None:
        lane = MemoryLane()
        campaign = reserved(lane)
        lane.now += timedelta(minutes=5)
        lane.done(reserve("A"), campaign=campaign)
        lane.pass_time(timedelta(minutes=5, seconds=1))
        assert STATE_NAMES[lane.coupon(campaign).state] == "reserved"
        lane.pass_time(timedelta(minutes=5))
        assert STATE_NAMES[lane.coupon(campaign).state] == "held"

    def test_a_coupon_whose_reservation_ran_out_still_expires_at_the_end(self) -> None:
        lane = MemoryLane()
        campaign = reserved(lane)
        lane.pass_time(timedelta(minutes=10))
        assert lane.kinds(campaign)[-1] == "coupon.released"
        lane.pass_time(END)
        assert lane.counters(campaign) == {"expired": 1}
        assert lane.kinds(campaign)[-1] == "campaign.ended"

    def test_reservations_run_out_in_the_order_of_their_ends_slice_by_slice(self) -> None:
        lane = MemoryLane(slice=2)
        campaign = lane.generate()
        lane.issue(campaign, *"abcde")
        for number, minutes in ((1, 5), (2, 3), (3, 4), (4, 60), (5, 3)):
            command = ReserveCoupon(coupon=by_number(number), order="A", seconds=minutes * 60)
            lane.done(command, campaign=campaign)
        lane.pass_time(timedelta(minutes=5))
        released = [event.data.coupon for event in lane.events if event.type == "scrip.coupon.released.v1"]
        assert released == [2, 5, 3, 1]
        lane.pass_time(timedelta(minutes=55))
        assert lane.counters(campaign) == {"held": 5}


class TestOverdueFirst:
    """A command that meets something overdue lets it happen first and is decided then."""

    def test_a_redemption_at_the_very_end_expires_the_coupon(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        lane.now = lane.now.replace(month=4, day=1, hour=0)
        assert lane.refused(REDEEM, campaign=campaign) == "coupon_expired"
        assert lane.kinds(campaign)[-1] == "coupon.expired"
        assert lane.counters(campaign) == {"expired": 1}
        lane.pass_time(timedelta(seconds=1))
        assert lane.kinds(campaign)[-2:] == ["coupon.expired", "campaign.ended"]

    def test_a_redemption_a_moment_before_is_in_time(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        lane.now = lane.now.replace(month=3, day=31, hour=23, minute=59, second=59)
        assert lane.done(REDEEM, campaign=campaign)

    def test_another_order_gets_the_coupon_once_the_first_ones_time_is_over(self) -> None:
        lane = MemoryLane()
        campaign = reserved(lane)
        lane.now += timedelta(minutes=10)
        lane.done(redeem_for("B"), campaign=campaign)
        assert lane.kinds(campaign)[-2:] == ["coupon.released", "coupon.redeemed"]

    def test_a_clock_that_went_back_does_not_bring_a_coupon_back(self) -> None:
        lane = MemoryLane()
        campaign = held(lane)
        lane.pass_time(END)
        lane.now -= timedelta(days=1)
        assert lane.refused(REDEEM, campaign=campaign) == "coupon_expired"
        assert lane.refused(ClaimCoupon(user="v"), campaign=campaign) == "campaign_over"


class TestReturns:
    @pytest.mark.parametrize(
        ("policy", "over", "state", "last"),
        [
            ("usable_again", False, "held", "coupon.returned"),
            ("usable_again", True, "expired", "coupon.expired"),
            ("usable_if_not_expired", False, "held", "coupon.returned"),
            ("usable_if_not_expired", True, "burned", "coupon.burned"),
            ("burned", False, "burned", "coupon.burned"),
            ("burned", True, "burned", "coupon.burned"),
        ],
    )
    def test_follow_the_campaigns_policy(self, policy: str, over: bool, state: str, last: str) -> None:
        lane = MemoryLane()
        campaign = lane.generate(return_policy=policy)
        lane.issue(campaign, "u")
        lane.done(REDEEM, campaign=campaign)
        if over:
            lane.pass_time(END)
        assert lane.done(RETURN, campaign=campaign)["state"] == state
        assert (STATE_NAMES[lane.coupon(campaign).state], lane.kinds(campaign)[-1]) == (state, last)
        lane.counters(campaign)

    def test_a_coupon_returned_redeems_again_with_the_next_number(self) -> None:
        lane = MemoryLane()
        campaign = redeemed(lane)
        lane.done(RETURN, campaign=campaign)
        assert lane.done(REDEEM, campaign=campaign)["redemption"] == 2
        returned = lane.done(ReturnCoupon(coupon=by_number(), redemption=2, reason="r"), campaign=campaign)
        assert returned["redemption"] == 2

    def test_an_earlier_redemption_cannot_be_returned_a_second_time(self) -> None:
        lane = MemoryLane()
        campaign = redeemed(lane)
        lane.done(RETURN, campaign=campaign)
        lane.done(REDEEM, campaign=campaign)
        again = ReturnCoupon(coupon=by_number(), redemption=1, reason="r")
        assert lane.refused(again, campaign=campaign) == "redemption_already_returned"
        assert lane.counters(campaign) == {"redeemed": 1}

    def test_events_of_return_and_void_carry_reason_and_actor(self) -> None:
        lane = MemoryLane()
        campaign = redeemed(lane)
        lane.done(RETURN, campaign=campaign, actor="staff:anna")
        lane.done(VOID, campaign=campaign, actor="staff:ben")
        told = [(event.data.reason, event.actor) for event in lane.events[-2:]]
        assert told == [("unwanted", "staff:anna"), ("by mistake", "staff:ben")]


def active(lane: MemoryLane) -> UUID:
    return held(lane)


def paused(lane: MemoryLane) -> UUID:
    campaign = held(lane)
    lane.done(PauseCampaign(reason="r"), campaign=campaign)
    return campaign


def exhausted(lane: MemoryLane) -> UUID:
    campaign = lane.generate(quantity=1)
    lane.issue(campaign, "u")
    return campaign


def ended(lane: MemoryLane) -> UUID:
    return expired(lane)


def stopped(lane: MemoryLane) -> UUID:
    campaign = held(lane)
    lane.done(StopCampaign(reason="r"), campaign=campaign)
    return campaign


CAMPAIGN_STATES = {way.__name__: way for way in (active, paused, exhausted, ended, stopped)}
CAMPAIGN_VERBS: dict[str, Contract] = {
    "pause": PauseCampaign(reason="r"),
    "resume": ResumeCampaign(),
    "stop": StopCampaign(reason="r"),
    "change the quantity to 20": ChangeQuantity(quantity=20),
    "unpublish": UnpublishCampaign(),
    "claim": ClaimCoupon(user="v"),
    "redeem": REDEEM,
    "export": ExportCodes(count=1),
}
FORBIDDEN = "campaign_state_forbids"
# What becomes of a campaign that is active, paused, exhausted, ended, stopped: its state, or the refusal.
CAMPAIGN_TABLE = {
    "pause": ("paused", FORBIDDEN, "paused", FORBIDDEN, FORBIDDEN),
    "resume": (FORBIDDEN, "active", FORBIDDEN, FORBIDDEN, FORBIDDEN),
    "stop": ("stopped", "stopped", "stopped", FORBIDDEN, FORBIDDEN),
    "change the quantity to 20": ("active", "paused", "active", FORBIDDEN, FORBIDDEN),
    "unpublish": ("active", "paused", "exhausted", "ended", "stopped"),
    "claim": ("active", "campaign_not_active", "campaign_exhausted", "campaign_over", "campaign_not_active"),
    "redeem": ("active", "campaign_not_active", "exhausted", "coupon_expired", "coupon_voided"),
    "export": ("active", "paused", "campaign_exhausted", "campaign_over", "campaign_not_active"),
}
CAMPAIGN_MOVES = [
    pytest.param(state, verb, expected, id=f"{state}, {verb}")
    for verb, row in CAMPAIGN_TABLE.items()
    for state, expected in zip(CAMPAIGN_STATES, row, strict=True)
]


class TestCampaigns:
    @pytest.mark.parametrize(("state", "verb", "expected"), CAMPAIGN_MOVES)
    def test_each_verb_in_each_state(self, state: str, verb: str, expected: str) -> None:
        lane = MemoryLane()
        campaign = CAMPAIGN_STATES[state](lane)
        assert lane.campaign(campaign).state == state
        reply = lane.send(CAMPAIGN_VERBS[verb], campaign=campaign)
        if reply.refusal is not None:
            assert (reply.refusal.code, lane.campaign(campaign).state) == (expected, state)
        else:
            assert lane.campaign(campaign).state == expected
        lane.counters(campaign)

    def test_generate_goes_through_draft_and_generating(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate()
        assert lane.kinds(campaign) == ["campaign.created", "campaign.generation_started", "campaign.generated"]

    def test_publish_is_another_command_with_another_event(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "given"})
        assert lane.kinds(campaign) == ["campaign.created", "campaign.published"]
        assert (lane.events[-1].origin, lane.events[-1].owner) == ("external", MERCHANT)

    def test_the_last_coupon_exhausts_and_a_greater_quantity_replenishes(self) -> None:
        lane = MemoryLane()
        campaign = exhausted(lane)
        assert lane.kinds(campaign)[-2:] == ["coupon.issued", "campaign.exhausted"]
        lane.done(ChangeQuantity(quantity=2), campaign=campaign)
        assert lane.kinds(campaign)[-2:] == ["campaign.quantity_changed", "campaign.replenished"]

    def test_a_paused_campaign_resumes_as_exhausted_when_nothing_is_left(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=2)
        lane.issue(campaign, "u")
        lane.done(PauseCampaign(reason="r"), campaign=campaign)
        lane.done(ChangeQuantity(quantity=1), campaign=campaign)
        assert lane.done(ResumeCampaign(), campaign=campaign)["state"] == "exhausted"

    def test_stop_voids_what_is_held_or_reserved_slice_by_slice_and_leaves_the_rest(self) -> None:
        lane = MemoryLane(slice=2)
        campaign = lane.generate()
        lane.issue(campaign, *"abcdefg")
        lane.done(RedeemCoupon(coupon=by_number(3)), campaign=campaign)
        lane.done(ReserveCoupon(coupon=by_number(5), order="A"), campaign=campaign)
        lane.done(StopCampaign(reason="recall"), campaign=campaign, actor="staff:anna")
        assert lane.counters(campaign) == {"redeemed": 1, "voided": 6}
        voids = [event for event in lane.events if event.type == "scrip.coupon.voided.v1"]
        assert [event.data.coupon for event in voids] == [1, 2, 4, 5, 6, 7]
        assert {(event.data.reason, event.actor) for event in voids} == {("recall", "staff:anna")}

    def test_a_redemption_returned_after_the_stop_is_burned(self) -> None:
        lane = MemoryLane()
        campaign = redeemed(lane)
        lane.done(StopCampaign(reason="recall"), campaign=campaign)
        assert lane.done(RETURN, campaign=campaign)["state"] == "burned"

    def test_void_campaign_leaves_the_campaign_as_it_is(self) -> None:
        lane = MemoryLane(slice=2)
        campaign = lane.generate()
        lane.issue(campaign, *"abcde")
        lane.done(VoidCampaign(reason="r"), campaign=campaign)
        assert lane.counters(campaign) == {"voided": 5}
        assert lane.campaign(campaign).state == "active"

    def test_an_end_expires_slice_by_slice_in_order_and_ends_the_campaign_last(self) -> None:
        lane = MemoryLane(slice=2)
        campaigns = [lane.generate(name) for name in ("a", "b")]
        for campaign in campaigns:
            lane.issue(campaign, *"stuvw")
        lane.pass_time(END)
        for campaign in campaigns:
            assert lane.counters(campaign) == {"expired": 5}
            assert lane.kinds(campaign)[-6:] == ["coupon.expired"] * 5 + ["campaign.ended"]
            expiries = [event.data.coupon for event in lane.events if event.subject.startswith(f"{campaign}.")][5:]
            assert expiries == [1, 2, 3, 4, 5]
        assert {event.data.due.isoformat() for event in lane.events if event.type == "scrip.coupon.expired.v1"} == {
            "2026-04-01T00:00:00+00:00"
        }

    def test_a_paused_campaign_ends_too(self) -> None:
        lane = MemoryLane()
        campaign = paused(lane)
        lane.pass_time(END)
        assert (lane.campaign(campaign).state, lane.counters(campaign)) == ("ended", {"expired": 1})

    def test_unpublish_is_told_once(self) -> None:
        lane = MemoryLane()
        campaign = active(lane)
        lane.done(UnpublishCampaign(), campaign=campaign)
        lane.done(UnpublishCampaign(), campaign=campaign)
        assert lane.kinds(campaign).count("campaign.unpublished") == 1
        assert lane.done(REDEEM, campaign=campaign)

    def test_what_was_unpublished_an_app_cannot_claim_and_its_owner_can(self) -> None:
        lane = MemoryLane()
        campaign = active(lane)
        lane.done(ClaimCoupon(user="a"), campaign=campaign, actor="app:wallet")
        lane.done(UnpublishCampaign(), campaign=campaign)
        late = lane.refused(ClaimCoupon(user="b"), campaign=campaign, actor="app:wallet")
        assert late == "campaign_not_found"
        assert lane.done(ClaimCoupon(user="b"), campaign=campaign)


class TestSuspension:
    def test_a_suspended_merchants_stopped_campaign_is_voided_all_the_same(self) -> None:
        """The stop was accepted; what follows from it is core's own."""
        lane = MemoryLane()
        campaign = lane.publish({"kind": "shared", "code": "BREAD"})
        lane.issue(campaign, "u")
        lane.done(StopCampaign(reason="r"), campaign=campaign, party=MERCHANT)
        assert lane.counters(campaign) == {"voided": 1}

        late = lane.publish({"kind": "shared", "code": "ROLLS"}, "rolls")
        lane.issue(late, "u")
        lane.activate(MERCHANT, state="suspended")
        void = lane.record(VoidCampaign(reason="r"), campaign=late, party=MERCHANT)
        lane.append_record(void, "core")
        assert lane.counters(late) == {"voided": 1}

    def test_a_suspended_merchants_coupons_expire_all_the_same(self) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "shared", "code": "BREAD"})
        lane.issue(campaign, "u")
        lane.activate(MERCHANT, state="suspended")
        lane.pass_time(END)
        assert lane.counters(campaign) == {"expired": 1}


class TestBearers:
    """Codes that nobody holds: exported, or uploaded and not given out."""

    def exported(self, lane: MemoryLane, **more: Any) -> tuple[UUID, list[str]]:
        campaign = lane.generate(**more)
        codes = lane.done(ExportCodes(count=2), campaign=campaign)["codes"]
        return campaign, [row["code"] for row in codes]

    def test_an_exported_code_redeems_once_without_a_user(self) -> None:
        lane = MemoryLane()
        campaign, (one, two) = self.exported(lane)
        assert lane.counters(campaign) == {}
        assert lane.done(RedeemCoupon(coupon=by_code(one)), campaign=campaign)["user"] is None
        assert lane.refused(RedeemCoupon(coupon=by_code(one)), campaign=campaign) == "coupon_already_redeemed"
        assert lane.counters(campaign) == {"redeemed": 1}
        assert lane.campaign(campaign).exported == 1
        assert lane.done(VoidCoupons(coupons=(by_code(two),), reason="r"), campaign=campaign)["accepted"] == 1
        assert lane.counters(campaign) == {"redeemed": 1, "voided": 1}

    def test_exported_codes_count_against_the_quantity_once(self) -> None:
        lane = MemoryLane()
        campaign, (one, _) = self.exported(lane, quantity=3)
        lane.issue(campaign, "u")
        assert lane.campaign(campaign).state == "exhausted"
        assert lane.done(RedeemCoupon(coupon=by_code(one)), campaign=campaign)
        assert lane.campaign(campaign).room() == 0

    def test_user_limits_skip_a_bearers_code(self) -> None:
        lane = MemoryLane()
        campaign, (one, _) = self.exported(lane, per_user_limit=1)
        lane.issue(campaign, "u")
        assert lane.refused(ClaimCoupon(user="u"), campaign=campaign) == "user_limit_reached"
        assert lane.done(RedeemCoupon(coupon=by_code(one, "u")), campaign=campaign)["user"] == "u"

    @pytest.mark.parametrize("how", ["redeem", "reserve", "void"])
    def test_the_last_uploaded_code_used_directly_exhausts_the_campaign(self, how: str) -> None:
        lane = MemoryLane()
        campaign = lane.publish({"kind": "uploaded"}, quantity=1)
        lane.done(UploadCodes(codes=("A1", "A2")), campaign=campaign, party=MERCHANT)
        command = {
            "redeem": RedeemCoupon(coupon=by_code("A1")),
            "reserve": ReserveCoupon(coupon=by_code("A1"), order="A"),
            "void": VoidCoupons(coupons=(by_code("A1"),), reason="r"),
        }[how]
        lane.done(command, campaign=campaign, party=MERCHANT)
        assert lane.campaign(campaign).state == "exhausted"
        assert lane.campaign(campaign).available == 1
        assert (
            lane.refused(RedeemCoupon(coupon=by_code("A2")), campaign=campaign, party=MERCHANT) == "campaign_exhausted"
        )
