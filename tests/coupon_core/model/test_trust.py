"""Which records are commands at all: dead letters by reason, and who may write what."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.commands import (
    COMMANDS,
    LANE_WIDE,
    AdvanceClock,
    CancelGeneration,
    ClaimCoupon,
    CouponFilter,
    ExportCodes,
    GenerateCampaign,
    GenerateCodes,
    IssueCoupons,
    IssueRow,
    PublishCampaign,
    RedeemCoupon,
    RunDue,
    SetCodeKey,
    SetMerchant,
    SetTool,
    UploadCodes,
    VoidCampaign,
    VoidMatching,
)
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import campaign_id
from contracts.writers import WRITER_HEADER, Writer, sign
from coupon_core.decide import OPERATIONS
from coupon_core.lanes.reading import TOPIC
from tests.support.deciding import KEYS, MERCHANT, Died, MemoryLane, by_number, terms

SOME = campaign_id(PLATFORM, "some")
GATEWAY = Writer("gateway", 1, KEYS["gateway"][1])
CLAIM = ClaimCoupon(user="u")


def signed(key: bytes, value: bytes, writer: Writer = GATEWAY) -> tuple[str, bytes]:
    return WRITER_HEADER, sign(writer, TOPIC, key, value)


def bytes_of(lane: MemoryLane, command: Contract = CLAIM, **more: Any) -> tuple[bytes, bytes]:
    record = lane.record(command, campaign=more.pop("campaign", SOME), **more)
    return record.subject.encode(), record.model_dump_json(exclude_none=True).encode()


def reason(lane: MemoryLane) -> str:
    """The one dead letter's reason; nothing else came of the record."""
    (letter,) = lane.dead
    assert (lane.events, lane.refusals, lane.replies) == ([], [], [])
    return letter.reason


class TestDeadLetters:
    def test_an_unsigned_record(self) -> None:
        lane = MemoryLane()
        lane.append(*bytes_of(lane))
        assert reason(lane) == "unsigned_writer"

    def test_a_record_signed_with_another_key(self) -> None:
        lane = MemoryLane()
        key, value = bytes_of(lane)
        lane.append(key, value, signed(key, value, Writer("gateway", 1, b"guess")))
        assert reason(lane) == "unsigned_writer"

    def test_a_record_changed_after_it_was_signed(self) -> None:
        lane = MemoryLane()
        key, value = bytes_of(lane)
        lane.append(key, value.replace(b'"u"', b'"v"'), signed(key, value))
        assert reason(lane) == "unsigned_writer"

    def test_a_signed_record_put_under_another_key(self) -> None:
        lane = MemoryLane()
        key, value = bytes_of(lane)
        lane.append(b"else", value, signed(key, value))
        assert reason(lane) == "unsigned_writer"

    @pytest.mark.parametrize(
        "value",
        [b"", b"null", b"{}", b"\xff", b"[" * 10_000, b'{"type": "scrip.command.Guess.v1"}', b'{"type": "a\\u0000b"}'],
    )
    def test_what_is_no_command(self, value: bytes) -> None:
        lane = MemoryLane()
        lane.append(b"k", value, signed(b"k", value))
        assert reason(lane) == "unreadable"

    @pytest.mark.parametrize(("key", "value"), [(None, b"{}"), (b"k", None), (None, None)])
    def test_a_record_without_key_or_value(self, key: bytes | None, value: bytes | None) -> None:
        lane = MemoryLane()
        lane.append(key, value, signed(key or b"", value or b""))
        assert reason(lane) == "unreadable"

    def test_one_with_a_field_nobody_knows_names_the_field(self) -> None:
        lane = MemoryLane()
        key, value = bytes_of(lane)
        document = json.loads(value)
        document["data"]["colour"] = "red"
        value = json.dumps(document).encode()
        lane.append(key, value, signed(key, value))
        assert reason(lane) == "unreadable"
        assert "data.colour" in lane.dead[0].detail

    def test_a_key_that_is_not_the_subject(self) -> None:
        lane = MemoryLane()
        _, value = bytes_of(lane)
        lane.append(str(UUID(int=5)).encode(), value, signed(str(UUID(int=5)).encode(), value))
        assert reason(lane) == "wrong_key"

    @pytest.mark.parametrize("subject", ["spring", str(SOME).upper(), SOME.hex, "lane-0"])
    def test_a_subject_that_is_no_campaign_id_as_it_is_written(self, subject: str) -> None:
        lane = MemoryLane()
        key, value = bytes_of(lane, campaign=subject)
        lane.append(key, value, signed(key, value))
        assert reason(lane) == "wrong_key"

    def test_a_record_in_the_wrong_partition(self) -> None:
        lane = MemoryLane()
        key, value = bytes_of(lane)
        lane.append(key, value, signed(key, value), partition=1)
        assert reason(lane) == "wrong_partition"
        assert "murmur2 puts this key into partition 0" in lane.dead[0].detail

    def test_a_lane_wide_command_that_names_another_partition(self) -> None:
        lane = MemoryLane()
        command = SetMerchant.model_validate({"partition": 3, "merchant": MERCHANT, "version": 1, "state": "active"})
        key, value = bytes_of(lane, command)
        lane.append(key, value, signed(key, value))
        assert reason(lane) == "wrong_partition"

    def test_a_record_that_came_too_late(self) -> None:
        lane = MemoryLane()
        record = lane.record(CLAIM, campaign=SOME, notafter=lane.now - timedelta(milliseconds=1))
        lane.append_record(record)
        assert reason(lane) == "too_late"

    def test_a_record_at_its_last_moment_is_in_time(self) -> None:
        lane = MemoryLane()
        assert lane.refused(CLAIM, campaign=SOME, notafter=lane.now) == "campaign_not_found"

    def test_a_time_limit_too_far_ahead(self) -> None:
        lane = MemoryLane()
        assert lane.refused(CLAIM, campaign=SOME, notafter=lane.now + timedelta(days=30)) == "campaign_not_found"
        lane = MemoryLane()
        lane.append_record(lane.record(CLAIM, campaign=SOME, notafter=lane.now + timedelta(days=30, seconds=1)))
        assert reason(lane) == "too_far_ahead"

    def test_a_dead_letter_holds_the_whole_record_and_moves_no_clock_of_told_time(self) -> None:
        lane = MemoryLane(told=True)
        record = lane.record(CLAIM, campaign=SOME, at="2030-01-01T00:00:00Z", notafter=lane.now - timedelta(seconds=1))
        lane.append_record(record)
        letter = lane.dead[0]
        assert (letter.topic, letter.partition, letter.offset) == (TOPIC, 0, 0)
        assert (letter.command, letter.writer) == (str(record.id), "gateway")
        assert [name for name, _ in letter.headers] == [WRITER_HEADER]
        assert lane.state.clock is None


ONE_OF_EACH: dict[type[Contract], Contract] = {
    GenerateCampaign: GenerateCampaign(terms=terms(), quantity=1),
    PublishCampaign: PublishCampaign.model_validate({"terms": terms(), "supply": {"kind": "given"}}),
    GenerateCodes: GenerateCodes(after=0),
    CancelGeneration: CancelGeneration(reason="r"),
    IssueCoupons: IssueCoupons(rows=(IssueRow(user="u"),)),
    RedeemCoupon: RedeemCoupon(coupon=by_number()),
    ExportCodes: ExportCodes(count=1),
    VoidCampaign: VoidCampaign(reason="r"),
    VoidMatching: VoidMatching(matching=CouponFilter(first=1), reason="r"),
    RunDue: RunDue.model_validate({"partition": 0, "until": "2026-01-01T00:00:00Z"}),
    AdvanceClock: AdvanceClock.model_validate({"partition": 0, "to": "2026-01-01T00:00:00Z"}),
    SetCodeKey: SetCodeKey(partition=0, version=2),
    SetMerchant: SetMerchant.model_validate({"partition": 0, "merchant": MERCHANT, "version": 1, "state": "active"}),
    SetTool: SetTool(partition=0, tool="other", version=1, key_versions=(), rights=()),
}
MAY: dict[str, set[type[Contract]]] = {
    "gateway": set(ONE_OF_EACH) - {RunDue, GenerateCodes},
    "core": {RunDue, VoidCampaign, VoidMatching, GenerateCodes},
    "adapter": {IssueCoupons},
    "scheduler": set(),
}


class TestWriters:
    @pytest.mark.parametrize("kind", ONE_OF_EACH, ids=lambda kind: str(kind.__name__))
    @pytest.mark.parametrize("writer", MAY)
    def test_each_may_send_its_own_kinds_and_no_other(self, writer: str, kind: type[Contract]) -> None:
        lane = MemoryLane()
        lane.append_record(lane.record(ONE_OF_EACH[kind], campaign=SOME), writer)
        died = [letter.reason for letter in lane.dead]
        assert died == ([] if kind in MAY[writer] else ["writer_not_allowed"])

    def test_every_command_has_an_operation(self) -> None:
        assert OPERATIONS.keys() == set(COMMANDS)


class TestTools:
    RIGHTS: tuple[Any, ...] = ("generate", "issue", "redeem", "void", "manage")

    def a_lane(self, **changes: Any) -> MemoryLane:
        lane = MemoryLane()
        fields = {"key_versions": (1,), "rights": self.RIGHTS, "reply_topic": "answers", **changes}
        lane.done(SetTool.model_validate({"partition": 0, "tool": "t", "version": 1, **fields}))
        return lane

    def send(self, lane: MemoryLane, command: Contract = CLAIM, **more: Any) -> str:
        """done, the refusal's code, or the dead letter's reason."""
        envelope = {"campaign": SOME, "actor": "tool:t", "replyto": "answers"} | more
        try:
            reply = lane.send(command, writer="tool:t", **envelope)
        except Died as died:
            return str(died.args[0].reason)
        return reply.refusal.code if reply.refusal else reply.status

    def test_a_tool_names_itself_and_acts_for_the_platform(self) -> None:
        lane = self.a_lane()
        assert self.send(lane, ONE_OF_EACH[GenerateCampaign]) == "done"
        assert self.send(lane) == "done"
        assert self.send(lane, actor="staff:anna") == "writer_not_allowed"
        assert self.send(lane, actor="tool:other") == "writer_not_allowed"
        assert self.send(lane, party=MERCHANT) == "writer_not_allowed"

    def test_a_tool_sends_nothing_to_a_whole_lane(self) -> None:
        lane = self.a_lane()
        for kind in LANE_WIDE & ONE_OF_EACH.keys():
            assert self.send(lane, ONE_OF_EACH[kind]) == "writer_not_allowed"

    def test_a_tool_that_is_not_registered_is_unknown_even_with_its_right_key(self) -> None:
        assert self.send(MemoryLane()) == "unsigned_writer"

    def test_a_tool_that_was_turned_off_or_given_another_key_is_unknown(self) -> None:
        assert self.send(self.a_lane(active=False)) == "unsigned_writer"
        assert self.send(self.a_lane(key_versions=(2,))) == "unsigned_writer"

    @pytest.mark.parametrize(
        ("right", "command"),
        [("generate", ONE_OF_EACH[GenerateCampaign]), ("issue", CLAIM), ("issue", ONE_OF_EACH[IssueCoupons]),
         ("redeem", ONE_OF_EACH[RedeemCoupon]), ("manage", ONE_OF_EACH[ExportCodes]),
         ("manage", UploadCodes(codes=("A-1",))), ("void", ONE_OF_EACH[VoidCampaign])],
    )  # fmt: skip
    def test_each_right_allows_its_commands_only(self, right: str, command: Contract) -> None:
        others = tuple(other for other in self.RIGHTS if other != right)
        assert self.send(self.a_lane(rights=others), command) == "not_allowed"
        assert self.send(self.a_lane(rights=(right,)), command) in ("done", "campaign_not_found")

    def test_a_redrive_may_do_what_its_writer_may(self) -> None:
        lane = self.a_lane(rights=("generate", "issue"))
        assert self.send(lane, ONE_OF_EACH[GenerateCampaign]) == "done"
        as_tool: dict[str, Any] = {"campaign": SOME, "actor": "tool:t", "redrive": True, "redriveof": "tool:t;k=1"}
        assert lane.send(CLAIM, **as_tool, replyto="answers").status == "done"
        assert lane.refused(ONE_OF_EACH[RedeemCoupon], **as_tool, replyto="answers") == "not_allowed"
        for changes in ({"actor": "staff:anna"}, {"party": MERCHANT}, {"redriveof": "adapter;k=1"}):
            with pytest.raises(Died, match="writer_not_allowed"):
                lane.send(CLAIM, **as_tool | changes)
        with pytest.raises(Died, match="unsigned_writer"):
            lane.send(CLAIM, **as_tool | {"redriveof": "tool:t;k=2"})

    def test_only_the_gateway_says_whose_a_redrive_is(self) -> None:
        lane = self.a_lane(rights=("issue",))
        assert self.send(lane, ONE_OF_EACH[ExportCodes], redrive=True, redriveof="gateway;k=1") == "not_allowed"
        with pytest.raises(Died, match="writer_not_allowed"):
            lane.send(lane.record(CLAIM, campaign=SOME, redrive=True, redriveof="gateway;k=1"), writer="adapter")

    def test_a_tool_is_answered_on_its_own_topic_only(self) -> None:
        lane = self.a_lane()
        for topic in ("coupon.replies", "somebody.elses", "coupon.commands"):
            lane.append_record(lane.record(CLAIM, campaign=SOME, actor="tool:t", replyto=topic), "tool:t")
        assert [topic for topic, _, _ in lane.replies if topic != "coupon.replies"] == []
        assert len(lane.replies) == 1  # the one to SetTool

    def test_a_tool_does_not_choose_the_partition_of_its_answer(self) -> None:
        lane = self.a_lane()
        lane.append_record(
            lane.record(CLAIM, campaign=SOME, actor="tool:t", replyto="answers", replypartition=999), "tool:t"
        )
        topic, partition, _ = lane.replies[-1]
        assert (topic, partition) == ("answers", None)

    def test_a_service_is_answered_on_the_replies_topic_only(self) -> None:
        lane = MemoryLane()
        lane.append_record(lane.record(CLAIM, campaign=SOME, replyto="answers"))
        assert lane.replies == []
        assert [refusal.data.code for refusal in lane.refusals] == ["campaign_not_found"]
