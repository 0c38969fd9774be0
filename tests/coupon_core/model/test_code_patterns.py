"""Own patterns of codes, and codes that are written down in a job, decided in memory."""

from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import pytest

from contracts.campaigns import CodePattern
from contracts.commands import (
    ActivateCampaign,
    CancelGeneration,
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    GenerateCodes,
    PauseCampaign,
    RedeemCoupon,
    ReserveCoupon,
    SetCodeKey,
    StopCampaign,
    UploadCodes,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from coupon_core.codes.generated import BLOCK_SIZE, GeneratedCodes
from coupon_core.codes.patterned import patterned
from coupon_core.model.folding import Folding
from coupon_core.model.recording import instant
from coupon_core.operations import generating
from coupon_core.queries.campaigns import campaign_item
from tests.support.deciding import CODES, MemoryLane, by_code, terms

PATTERN = {"prefix": "SAVE-", "charset": "digits", "length": 9}


def supply(**changes: Any) -> dict[str, Any]:
    return {"kind": "generated", "pattern": PATTERN | changes}


def expected_codes(campaign: UUID, count: int, version: int = 1) -> list[str]:
    return patterned(CODES, campaign, CodePattern.model_validate(PATTERN), version).codes_of(1, count)


class TestPatterns:
    def test_codes_look_as_ordered_and_redeem_however_they_are_typed(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(supply=supply())
        rows = lane.issue(campaign, "u", "v")
        assert [row["code"] for row in rows] == expected_codes(campaign, 2)
        typed = rows[1]["code"].lower().replace("0", "o").replace("1", "l").replace("-", " ")
        assert lane.done(RedeemCoupon(coupon=by_code(typed)), campaign=campaign)["user"] == "v"
        assert lane.counters(campaign) == {"held": 1, "redeemed": 1}

    def test_no_row_and_no_serial_is_taken_for_them(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(supply=supply(), quantity=1_000_000)
        lane.done(ExportCodes(count=1_000_000), campaign=campaign)
        assert (lane.state.blocks, lane.work.new_blocks, lane.work.new_codes) == (0, [], [])

    def test_a_code_nobody_was_given_is_unknown(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(supply=supply())
        lane.issue(campaign, "u")
        following = expected_codes(campaign, 2)[1]
        for code in (following, "SAVE-000000000", "SAVE-12345678", "GAVE-123456789", ""):
            if code:
                refused = lane.refused(RedeemCoupon(coupon=by_code(code)), campaign=campaign)
                assert refused == "coupon_not_found", code

    def test_an_exported_code_is_a_bearer_coupon(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(supply=supply(), per_user_limit=1)
        answer = lane.done(ExportCodes(count=3), campaign=campaign)
        assert [row["code"] for row in answer["codes"]] == expected_codes(campaign, 3)
        code = answer["codes"][2]["code"]
        assert lane.done(ReserveCoupon(coupon=by_code(code), order="A"), campaign=campaign)
        assert lane.done(RedeemCoupon(coupon=by_code(code), order="A"), campaign=campaign)["user"] is None
        assert (lane.campaign(campaign).exported, lane.counters(campaign)) == (2, {"redeemed": 1})

    @pytest.mark.parametrize(
        ("charset", "length", "quantity", "fits"),
        [
            ("digits", 5, 1, False),
            ("digits", 6, 1_000, True),
            ("digits", 6, 1_001, False),
            ("digits", 9, 1_000_000, True),
            ("digits", 5, 1_000_000, False),
            ("no_look_alikes", 12, 1_000_000_000, True),
        ],
    )
    def test_a_space_too_small_for_the_quantity_is_refused_before_anything_exists(
        self, charset: str, length: int, quantity: int, fits: bool
    ) -> None:
        lane = MemoryLane()
        fields = {"terms": terms(), "quantity": quantity, "supply": supply(charset=charset, length=length)}
        reply = lane.send(GenerateCampaign.model_validate(fields), campaign=campaign_id(PLATFORM, "some"))
        if fits:
            assert reply.status == "done"
        else:
            assert reply.refusal is not None
            assert reply.refusal.code == "code_space_too_small"
            needed = max(1_000_000, 1_000 * quantity)
            assert reply.refusal.facts == {"space": 10**length, "quantity": quantity, "needed": needed}
            assert lane.events == []

    def test_the_quantity_cannot_be_raised_beyond_the_space(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(supply=supply(length=6), quantity=10)
        assert lane.done(ChangeQuantity(quantity=1_000), campaign=campaign)
        assert lane.refused(ChangeQuantity(quantity=1_001), campaign=campaign) == "code_space_too_small"

    def test_the_event_holds_what_the_codes_follow_from(self) -> None:
        lane = MemoryLane()
        lane.generate(supply=supply())
        created = lane.events[0].data
        assert (created.supply, created.key_version) == ("generated", 1)
        assert created.pattern == PATTERN | {"suffix": ""}


class TestTheKeyInUse:
    def a_lane(self) -> MemoryLane:
        lane = MemoryLane()
        lane.work.codes = GeneratedCodes({1: bytes(range(32)), 2: bytes(range(32, 64))})
        return lane

    def test_new_blocks_and_campaigns_take_the_newest_and_old_codes_stay_good(self) -> None:
        lane = self.a_lane()
        before, pattern_before = lane.generate("a"), lane.generate("b", supply=supply())
        (old,), (own,) = lane.issue(before, "u"), lane.issue(pattern_before, "u")
        assert lane.done(SetCodeKey(partition=0, version=2)) == {"partition": 0, "version": 2}
        after, pattern_after = lane.generate("c"), lane.generate("d", supply=supply())
        (new,), (same_block,) = lane.issue(after, "u"), lane.issue(before, "v")
        assert (old["code"][0], same_block["code"][0], new["code"][0]) == ("1", "1", "2")
        assert lane.campaign(pattern_before).key_version == 1
        assert lane.campaign(pattern_after).key_version == 2
        for campaign, row in ((before, old), (before, same_block), (after, new), (pattern_before, own)):
            assert lane.done(RedeemCoupon(coupon=by_code(row["code"])), campaign=campaign)

    def test_a_campaign_goes_on_under_the_newest_key_with_its_next_block(self) -> None:
        lane = self.a_lane()
        campaign = lane.generate(quantity=1_000_000)
        lane.done(ExportCodes(count=BLOCK_SIZE - 1), campaign=campaign)
        lane.done(SetCodeKey(partition=0, version=2))
        codes = [row["code"] for row in lane.issue(campaign, "u", "v")]
        assert [code[0] for code in codes] == ["1", "2"]
        redeemed = [lane.done(RedeemCoupon(coupon=by_code(code)), campaign=campaign) for code in codes]
        assert [answer["user"] for answer in redeemed] == ["u", "v"]

    def test_it_only_goes_up(self) -> None:
        lane = self.a_lane()
        lane.done(SetCodeKey(partition=0, version=2))
        assert lane.done(SetCodeKey(partition=0, version=1))["version"] == 2
        assert lane.state.facts.code_key == 2


class TestExportedRanges:
    def test_a_million_codes_are_one_range(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=1_000_000_000)
        lane.issue(campaign, "u")
        answer = lane.done(ExportCodes(count=1_000_000), campaign=campaign)
        assert answer == {"campaign": str(campaign), "first": 2, "last": 1_000_001, "count": 1_000_000}
        assert lane.state.blocks == len(lane.work.new_blocks) == 16
        assert [row["coupon"] for row in lane.issue(campaign, "v")] == [f"{campaign}.1000002"]
        assert lane.kinds(campaign)[-3:] == ["coupon.issued", "codes.exported", "coupon.issued"]

    def test_codes_computed_ahead_are_not_given_out_twice(self) -> None:
        lane = MemoryLane()
        campaign = lane.generate(quantity=1_000)
        lane.work.expected = {lane.campaign(campaign).number: 50}
        (first,) = lane.issue(campaign, "u")
        exported = lane.done(ExportCodes(count=3), campaign=campaign)["codes"]
        (last,) = lane.issue(campaign, "v")
        codes = [first["code"], *(row["code"] for row in exported), last["code"]]
        assert codes == CODES.codes_of(0, 5)


class TestCodesWrittenDown:
    @pytest.fixture(autouse=True)
    def _small_slices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(generating, "SLICE", 7)

    def command(self, quantity: int = 100, **changes: Any) -> GenerateCampaign:
        fields = {"terms": terms(), "quantity": quantity, "supply": supply() | {"stored": True}, **changes}
        return GenerateCampaign.model_validate(fields)

    def begun(self, quantity: int = 100) -> tuple[MemoryLane, UUID]:
        """A job of which the first slice is done, and the second waits."""
        lane, campaign = MemoryLane(holds_continuations=True), campaign_id(PLATFORM, "job")
        assert lane.done(self.command(quantity), campaign=campaign)["state"] == "generating"
        return lane, campaign

    def written(self, lane: MemoryLane) -> list[tuple[int, str]]:
        return [(code.position, code.shown) for _, code in lane.work.new_codes]

    @pytest.mark.parametrize("quantity", [1, 7, 8, 14, 100])
    def test_the_job_writes_every_code_once_and_then_the_campaign_is_active(self, quantity: int) -> None:
        lane, campaign = MemoryLane(), campaign_id(PLATFORM, "job")
        lane.done(self.command(quantity), campaign=campaign)
        assert self.written(lane) == list(enumerate(expected_codes(campaign, quantity), start=1))
        kept = lane.campaign(campaign)
        assert (kept.state, kept.supply, kept.available, kept.last_number) == ("active", "uploaded", quantity, quantity)
        kinds = lane.kinds(campaign)
        assert kinds[:2] + kinds[-1:] == ["campaign.created", "campaign.generation_started", "campaign.generated"]

    def test_progress_is_told_slice_by_slice(self) -> None:
        lane, campaign = MemoryLane(), campaign_id(PLATFORM, "job")
        lane.done(self.command(30), campaign=campaign)
        steps = [event.data for event in lane.events if event.type == "scrip.campaign.generation_progressed.v1"]
        assert [step.done for step in steps] == [7, 14, 21, 28]
        assert {step.total for step in steps} == {30}

    def test_a_continuation_that_comes_twice_or_out_of_place_does_nothing(self) -> None:
        lane, campaign = self.begun()
        (second,) = lane.held_back
        lane.append_record(second, "core")
        lane.append_record(second, "core")
        assert len(lane.held_back) == 2
        for after in (0, 21):
            stray = lane.record(GenerateCodes(after=after), campaign=campaign)
            lane.append_record(stray, "core")
        assert lane.campaign(campaign).last_number == 14
        assert self.written(lane) == list(enumerate(expected_codes(campaign, 14), start=1))

    def test_a_slice_that_died_of_our_bug_goes_on_when_it_is_redriven(self) -> None:
        lane, campaign = self.begun()
        (second,) = lane.held_back
        with mock.patch("coupon_core.lanes.reading._campaign", side_effect=RuntimeError("a bug")):
            lane.append_record(second, "core")
        assert lane.dead[-1].reason == "our_bug"
        lane.append_record(second.model_copy(update={"redrive": True, "redriveof": "core;k=1"}), "gateway")
        assert len(lane.dead) == 1
        assert lane.campaign(campaign).last_number == 14

    def test_codes_uploaded_between_two_slices_stop_neither_this_job_nor_the_next(self) -> None:
        lane, campaign = MemoryLane(holds_continuations=True), campaign_id(PLATFORM, "job")
        lane.done(self.command(7), campaign=campaign)
        kept = lane.campaign(campaign)
        for quantity, own in ((20, ("MINE-1", "MINE-2")), (40, ("MINE-3",))):
            lane.done(ChangeQuantity(quantity=quantity), campaign=campaign)
            lane.done(UploadCodes(codes=own), campaign=campaign)
            while lane.held_back:
                lane.append_record(lane.held_back.pop(0), "core")
            assert (kept.state, kept.last_number, kept.available) == ("active", quantity, quantity)
        codes = [code for _, code in self.written(lane)]
        assert len(codes) == len(set(codes)) == 40

    def test_a_slice_of_a_job_that_was_given_up_does_nothing_in_the_next_one(self) -> None:
        lane, campaign = self.begun(20)
        while lane.held_back:
            lane.append_record(lane.held_back.pop(0), "core")
        lane.done(ChangeQuantity(quantity=40), campaign=campaign)
        lane.done(CancelGeneration(reason="enough"), campaign=campaign)
        lane.done(ChangeQuantity(quantity=60), campaign=campaign)
        while lane.held_back:
            lane.append_record(lane.held_back.pop(0), "core")
        told = [event.data for event in lane.events if event.type == "scrip.campaign.generation_progressed.v1"]
        assert [step.done for step in told] == [7, 14, 27, 34, 41, 48, 55, 60]

    @pytest.mark.parametrize("uploaded", [2, 3])
    def test_a_draft_with_as_many_codes_uploaded_as_it_is_to_have_becomes_active(self, uploaded: int) -> None:
        lane, campaign = MemoryLane(), campaign_id(PLATFORM, "job")
        lane.done(self.command(2, draft=True), campaign=campaign)
        lane.done(UploadCodes(codes=tuple(f"MINE-{n}" for n in range(uploaded))), campaign=campaign)
        assert lane.done(ActivateCampaign(), campaign=campaign)["state"] == "active"
        folding = Folding(campaign, number=lane.campaign(campaign).number, partition=0)
        folding.take("\n".join(lane.lines).encode())
        assert folding.campaign is not None
        assert (folding.campaign.available, folding.campaign.last_number) == (uploaded, uploaded)

    def test_rate_and_end_are_told_from_when_the_job_began_however_old_the_draft_is(self) -> None:
        lane, campaign = MemoryLane(holds_continuations=True), campaign_id(PLATFORM, "job")
        lane.done(self.command(100, draft=True), campaign=campaign)
        lane.now += timedelta(days=10)
        lane.done(ActivateCampaign(), campaign=campaign)
        began = lane.now
        assert lane.campaign(campaign).job_began == began
        lane.now += timedelta(seconds=2)
        lane.append_record(lane.held_back.pop(0), "core")
        view = campaign_item(lane.campaign(campaign), lane.now)["generation"]
        assert view == {"done": 14, "total": 100, "rate": 7.0, "eta": instant(began + timedelta(seconds=100 / 7))}
        told = campaign_item(lane.campaign(campaign), began)["generation"]
        assert told == {"done": 14, "total": 100, "rate": None, "eta": None}

    def test_until_it_is_done_nothing_can_be_done_with_it(self) -> None:
        lane, campaign = self.begun()
        code = expected_codes(campaign, 1)[0]
        for command in (
            ClaimCoupon(user="u"),
            RedeemCoupon(coupon=by_code(code)),
            UploadCodes(codes=("MINE",)),
        ):
            assert lane.refused(command, campaign=campaign) == "campaign_not_active"
        assert lane.refused(StopCampaign(reason="r"), campaign=campaign) == "campaign_state_forbids"

    def test_cancelled_it_fails_and_can_only_be_stopped(self) -> None:
        lane, campaign = self.begun()
        (second,) = lane.held_back
        assert lane.done(CancelGeneration(reason="typo"), campaign=campaign)["state"] == "failed"
        lane.append_record(second, "core")
        assert [refusal.data.code for refusal in lane.refusals] == ["campaign_state_forbids"]
        assert lane.events[-1].data.model_dump() == {"reason": "typo", "done": 7, "total": 100}
        assert lane.refused(CancelGeneration(reason="again"), campaign=campaign) == "campaign_state_forbids"
        assert lane.refused(ClaimCoupon(user="u"), campaign=campaign) == "campaign_not_active"
        assert lane.done(StopCampaign(reason="r"), campaign=campaign)["state"] == "stopped"

    def test_it_fails_when_the_campaign_is_over_before_it_is_done(self) -> None:
        lane, campaign = self.begun()
        (second,) = lane.held_back
        lane.now += timedelta(days=28)
        lane.append_record(second, "core")
        assert lane.campaign(campaign).state == "failed"
        assert lane.state.next_due is None or lane.state.next_due <= lane.now

    def test_only_what_is_being_generated_can_be_cancelled(self) -> None:
        lane = MemoryLane()
        assert lane.refused(CancelGeneration(reason="r"), campaign=lane.generate()) == "campaign_state_forbids"

    def test_the_codes_are_given_out_in_order_and_work_for_a_bearer(self) -> None:
        lane, campaign = MemoryLane(), campaign_id(PLATFORM, "job")
        lane.done(self.command(20), campaign=campaign)
        codes = expected_codes(campaign, 20)
        assert [row["code"] for row in lane.issue(campaign, "u", "v")] == codes[:2]
        assert lane.done(RedeemCoupon(coupon=by_code(codes[9])), campaign=campaign)["user"] is None
        assert (lane.campaign(campaign).available, lane.counters(campaign)) == (17, {"held": 2, "redeemed": 1})

    def test_without_a_pattern_they_have_twelve_symbols_without_look_alikes(self) -> None:
        lane, campaign = MemoryLane(), campaign_id(PLATFORM, "job")
        lane.done(self.command(5, supply={"kind": "generated", "stored": True}), campaign=campaign)
        assert {len(shown) for _, shown in self.written(lane)} == {12}

    def made(self, quantity: int, codes_on_the_way: bool = False) -> tuple[MemoryLane, UUID]:
        """A campaign whose codes are written down; `codes_on_the_way`: slices that follow are held back from now on."""
        lane, campaign = MemoryLane(), campaign_id(PLATFORM, "job")
        lane.done(self.command(quantity), campaign=campaign)
        lane.holds_continuations = codes_on_the_way
        return lane, campaign

    @pytest.mark.parametrize("quantity", [11, 17, 18, 60])
    def test_a_greater_quantity_makes_the_codes_it_lacks(self, quantity: int) -> None:
        lane, campaign = self.made(10)
        lane.done(ChangeQuantity(quantity=quantity), campaign=campaign)
        assert self.written(lane) == list(enumerate(expected_codes(campaign, quantity), start=1))
        kept = lane.campaign(campaign)
        assert (kept.state, kept.available, kept.last_number) == ("active", quantity, quantity)
        assert lane.events[-1].data.model_dump() == {"done": quantity, "total": quantity}

    def test_until_they_are_there_the_campaign_gives_out_those_that_are(self) -> None:
        lane, campaign = self.made(2, codes_on_the_way=True)
        lane.issue(campaign, "u", "v")
        assert lane.campaign(campaign).state == "exhausted"
        lane.done(ChangeQuantity(quantity=30), campaign=campaign)
        assert (lane.campaign(campaign).state, lane.campaign(campaign).available) == ("active", 7)
        codes = expected_codes(campaign, 30)
        assert [row["code"] for row in lane.issue(campaign, *"abcdefg")] == codes[2:9]
        assert lane.refused(ClaimCoupon(user="h"), campaign=campaign) == "no_code_left"
        lane.append_record(lane.held_back.pop(0), "core")
        assert lane.done(ClaimCoupon(user="h"), campaign=campaign)["code"] == codes[9]

    def test_raised_again_meanwhile_the_one_job_goes_on_to_the_end(self) -> None:
        lane, campaign = self.made(2, codes_on_the_way=True)
        for quantity in (20, 25, 12, 30):
            lane.done(ChangeQuantity(quantity=quantity), campaign=campaign)
        assert len(lane.held_back) == 1
        while lane.held_back:
            lane.append_record(lane.held_back.pop(0), "core")
        assert self.written(lane) == list(enumerate(expected_codes(campaign, 30), start=1))

    def test_lowered_meanwhile_the_job_ends_and_a_later_one_takes_no_code_twice(self) -> None:
        lane, campaign = self.made(2, codes_on_the_way=True)
        for quantity in (20, 5, 20):
            lane.done(ChangeQuantity(quantity=quantity), campaign=campaign)
        while lane.held_back:
            lane.append_record(lane.held_back.pop(0), "core")
        assert self.written(lane) == list(enumerate(expected_codes(campaign, 20), start=1))
        lane.done(ChangeQuantity(quantity=3), campaign=campaign)
        assert lane.campaign(campaign).available == 20

    def test_while_they_are_missing_the_job_tells_how_far_it_is(self) -> None:
        lane, campaign = self.made(14, codes_on_the_way=True)
        lane.now += timedelta(days=1)
        lane.done(ChangeQuantity(quantity=42), campaign=campaign)
        began = lane.now
        lane.now += timedelta(seconds=2)
        lane.append_record(lane.held_back.pop(0), "core")
        for command in (None, PauseCampaign(reason="r")):
            if command is not None:
                lane.done(command, campaign=campaign)
            assert campaign_item(lane.campaign(campaign), lane.now)["generation"] == {
                "done": 28,
                "total": 42,
                "rate": 7.0,
                "eta": instant(began + timedelta(seconds=4)),
            }
        while lane.held_back:
            lane.append_record(lane.held_back.pop(0), "core")
        assert campaign_item(lane.campaign(campaign), lane.now)["generation"] is None

    @pytest.mark.parametrize("state", ["active", "paused", "exhausted"])
    def test_cancelled_the_quantity_falls_to_the_codes_that_are_there(self, state: str) -> None:
        lane, campaign = self.made(2, codes_on_the_way=True)
        lane.done(ChangeQuantity(quantity=30), campaign=campaign)
        users = [f"u{number}" for number in range(9 if state == "exhausted" else 3)]
        lane.issue(campaign, *users)
        if state == "paused":
            lane.done(PauseCampaign(reason="r"), campaign=campaign)
        tried = lane.done(CancelGeneration(reason="too many"), campaign=campaign, dryrun=True)
        done = lane.done(CancelGeneration(reason="too many"), campaign=campaign)
        assert done == tried == {"campaign": str(campaign), "state": state, "done": 9}
        told = [event.data for event in lane.events if event.type == "scrip.campaign.quantity_changed.v1"][-1]
        assert told.model_dump() == {"before": 30, "after": 9, "reason": "too many"}
        kept = lane.campaign(campaign)
        assert (kept.quantity, kept.last_number, kept.available) == (9, 9, 9 - len(users))
        assert campaign_item(kept, lane.now)["generation"] is None
        assert lane.refused(CancelGeneration(reason="again"), campaign=campaign) == "campaign_state_forbids"
        lane.append_record(lane.held_back.pop(0), "core")
        assert (kept.last_number, lane.held_back) == (9, [])
        lane.done(ChangeQuantity(quantity=17), campaign=campaign)
        lane.append_record(lane.held_back.pop(0), "core")
        assert self.written(lane) == list(enumerate(expected_codes(campaign, 17), start=1))

    def test_of_one_that_is_over_or_stopped_no_job_is_told_or_cancelled(self) -> None:
        for change in (StopCampaign(reason="r"), None):
            lane, campaign = self.made(2, codes_on_the_way=True)
            lane.done(ChangeQuantity(quantity=30), campaign=campaign)
            if change is None:
                lane.pass_time("2026-04-01T00:00:00Z")
            else:
                lane.done(change, campaign=campaign)
            assert campaign_item(lane.campaign(campaign), lane.now)["generation"] is None
            assert lane.refused(CancelGeneration(reason="r"), campaign=campaign) == "campaign_state_forbids"

    def test_uploaded_codes_stand_beside_them(self) -> None:
        lane, campaign = self.made(3)
        lane.done(UploadCodes(codes=("MINE",)), campaign=campaign)
        lane.done(ChangeQuantity(quantity=6), campaign=campaign)
        assert [position for position, _ in self.written(lane)] == [1, 2, 3, 4, 5, 6]
        own = expected_codes(campaign, 6)
        assert [shown for _, shown in self.written(lane)] == [*own[:3], "MINE", *own[4:]]

    def test_a_campaign_that_is_over_or_stopped_gets_no_further_codes(self) -> None:
        for change in (StopCampaign(reason="r"), None):
            lane, campaign = self.made(2, codes_on_the_way=True)
            lane.done(ChangeQuantity(quantity=30), campaign=campaign)
            if change is None:
                lane.now += timedelta(days=28)
            else:
                lane.done(change, campaign=campaign)
            lane.append_record(lane.held_back.pop(0), "core")
            assert lane.campaign(campaign).last_number == 9
