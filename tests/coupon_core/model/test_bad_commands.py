"""Every command with each field missing, wrong and extreme, in every state, for others, and twice.

Nothing here names a command's fields: the cases come from the contracts' schemas and examples, so that a new command
or field is tried without a new line. Real bytes go through the real Reader and `decide`.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from itertools import islice, product
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from contracts.campaigns import GeneratedSupply
from contracts.commands import (
    COMMANDS,
    LANE_WIDE,
    RECORD_CLASSES,
    AdvanceClock,
    BuildingRules,
    CancelGeneration,
    ChangeQuantity,
    ClaimCoupon,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ReserveCoupon,
    ReturnCoupon,
    SetBuildingRules,
    SetMerchant,
    SetTool,
    StopCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    type_of,
)
from contracts.fields import PLATFORM, Contract
from contracts.generated_files import CONTRACTS_FOLDER
from contracts.identifiers import SCRIP, campaign_id, lane_key
from contracts.schemas import schema_of
from contracts.writers import WRITER_HEADER, Writer, sign, tool_key
from coupon_core.decide import CORES_OWN
from coupon_core.lanes.reading import TOPIC
from coupon_core.operations import generating
from tests.support.deciding import KEYS, MERCHANT, OTHER, TOOL_MASTER, MemoryLane, by_number, instant, terms
from tests.support.mutations import Mutation, mutations, validator

NAMES = [command.__name__ for command in COMMANDS]
CLASSES = {command.__name__: command for command in COMMANDS}
SENT = [name for name in NAMES if CLASSES[name] not in CORES_OWN]
"""Commands that others than core itself send."""
OURS = ("states", "generated", "paused", "draft", "generating", "failed", "asks")
CAMPAIGNS = (*OURS, "bread", "bread reserved", "uploaded", "given", "new")
"""Of the world, in the order in which a command's example is tried on them; the last does not exist."""


@cache
def example(name: str) -> dict[str, Any]:
    """The record of a command as the contracts show it."""
    made: dict[str, Any] = json.loads((CONTRACTS_FOLDER / "examples" / f"{type_of(CLASSES[name])}.json").read_text())
    return made


@cache
def schema(name: str) -> dict[str, Any]:
    return schema_of(RECORD_CLASSES[CLASSES[name]])


def owner(campaign: str) -> str:
    return PLATFORM if campaign in OURS else MERCHANT


def id_of(campaign: str, party: str | None = None) -> UUID:
    return campaign_id(party or owner(campaign), campaign)


@cache
def _world(told: bool) -> MemoryLane:
    """Campaigns of every supply and coupons in every state that a live campaign has; a merchant and two tools."""
    lane = MemoryLane(told=told)
    if told:
        lane.done(AdvanceClock(partition=0, to=lane.now))
    lane.activate(MERCHANT, OTHER)
    for tool, rights in (("all", ("generate", "issue", "redeem", "void", "manage")), ("none", ())):
        lane.done(SetTool(partition=0, tool=tool, version=1, key_versions=(1,), rights=rights))
    states = lane.generate("states", return_policy="burned", redeemable_by=[MERCHANT])
    lane.issue(states, *(f"u{number}" for number in range(1, 8)))
    for number in (1, 2):
        lane.done(RedeemCoupon(coupon=by_number(number), order="O-101"), campaign=states)
    lane.done(ReturnCoupon(coupon=by_number(2), reason="r"), campaign=states)
    lane.done(VoidCoupons(coupons=(by_number(3),), reason="r"), campaign=states)
    lane.done(ReserveCoupon(coupon=by_number(4), order="O-101"), campaign=states)
    lane.generate("generated", quantity=5_000)
    draft = GenerateCampaign(terms=terms(), quantity=100, draft=True)
    lane.done(draft, campaign=id_of("draft"))
    _jobs(lane)
    rule = {"expression": "age >= 18 && tier == 'gold'", "attributes": {"age": "int", "tier": "string"}}
    lane.generate("asks", eligibility={**rule, "applies_at": "issue"})
    paused = lane.generate("paused")
    lane.issue(paused, "u1", "u2")
    lane.done(PauseCampaign(reason="r"), campaign=paused)
    for name in ("bread", "bread reserved"):
        lane.publish({"kind": "shared", "code": "BREAD5"}, name)
        lane.issue(id_of(name), "u-8812")
    reserve = ReserveCoupon.model_validate({"coupon": {"code": "BREAD5", "user": "u-8812"}, "order": "O-101"})
    lane.done(reserve, campaign=id_of("bread reserved"), party=MERCHANT)
    uploaded = lane.publish({"kind": "uploaded"}, "uploaded")
    lane.done(UploadCodes(codes=("A-1", "A-2", "A-3")), campaign=uploaded, party=MERCHANT)
    lane.issue(uploaded, "u1")
    given = lane.publish({"kind": "given"}, "given")
    lane.done(IssueCoupons(rows=(IssueRow(user="u1", code="G-1"),)), campaign=given, party=MERCHANT)
    for kept in (lane.events, lane.lines, lane.refusals, lane.dead, lane.replies):
        kept.clear()
    return lane


def _jobs(lane: MemoryLane) -> None:
    """A job that writes codes down and has begun, and one that was given up."""
    lane.holds_continuations = True
    stored = GenerateCampaign(terms=terms(), supply=GeneratedSupply(stored=True), quantity=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generating, "SLICE", 10)
        for name in ("generating", "failed"):
            lane.done(stored, campaign=id_of(name))
    lane.done(CancelGeneration(reason="r"), campaign=id_of("failed"))
    lane.holds_continuations = False
    lane.held_back.clear()
    assert [lane.campaign(id_of(name)).state for name in ("generating", "failed")] == ["generating", "failed"]


def world(told: bool) -> MemoryLane:
    """A world of one's own."""
    kept = _world(told)
    return copy.deepcopy(kept, {id(kept.work.codes): kept.work.codes, id(kept.reader): kept.reader})


@dataclass(frozen=True)
class Case:
    """A command that is done in the world: its record and who sends it."""

    name: str
    told: bool
    writer: str
    campaign: str
    record: dict[str, Any]

    @property
    def key(self) -> bytes:
        return str(self.record["subject"]).encode()

    def with_data(self, data: Any) -> "Case":
        return replace(self, record={**self.record, "data": data})

    def with_envelope(self, **members: Any) -> "Case":
        return replace(self, record={**self.record, **members})


def cases(name: str) -> Iterator[Case]:
    """The command's example on every campaign of the world, for each party and writer that might send it.

    After them the same with its required fields alone.
    """
    lane_wide = CLASSES[name] in LANE_WIDE
    data = example(name)["data"] | ({"partition": 0} if lane_wide else {})
    fields = schema(name)["$defs"][name]
    optional = {field for field in data if field not in fields.get("required", ())}
    bare = {field: value for field, value in data.items() if field not in optional}
    for shown, writer, told in product((data, bare), ("gateway", "core"), (False, True)):
        for campaign in ("new",) if lane_wide else CAMPAIGNS:
            for party in (PLATFORM,) if lane_wide else (PLATFORM, MERCHANT):
                subject = lane_key(0) if lane_wide else str(id_of(campaign, party if campaign == "new" else None))
                record = {
                    **{key: example(name)[key] for key in ("specversion", "id", "source", "type", "datacontenttype")},
                    "subject": subject,
                    "party": party,
                    "actor": "staff:test",
                    "notafter": (_world(told).now + timedelta(minutes=5)).isoformat(),
                    "replyto": "coupon.replies",
                    "replypartition": 0,
                    "data": shown,
                }
                yield Case(name, told, writer, campaign, record)


@cache
def good(name: str) -> Case:
    """The case in which the example is done; else one in which it is refused for what it says, not for where."""
    refused: list[Case] = []
    for case in cases(name):
        result = put(world(case.told), case)
        if result.what == "done":
            return case
        if result.why != "campaign_not_found":
            refused.append(case)
    return refused[0]


@dataclass(frozen=True)
class Result:
    """What became of a record: done, refused with a code, or dead with a reason."""

    what: str
    why: str = ""
    detail: str = ""


def writer_of(name: str) -> Writer:
    return Writer(name, 1, tool_key(TOOL_MASTER, name[5:], 1) if name.startswith("tool:") else KEYS[name][1])


def put(lane: MemoryLane, case: Case, document: Any = ...) -> Result:
    """Append the case's record, or another document in its place, and say what became of it; all is checked."""
    value = json.dumps(case.record if document is ... else document).encode()
    before = {campaign: _state(lane, campaign) for campaign in lane.work.campaigns}
    counted = len(lane.dead), len(lane.refusals), len(lane.replies), len(lane.lines)
    lane.append(case.key, value, (WRITER_HEADER, sign(writer_of(case.writer), TOPIC, case.key, value)))
    dead, refusals = lane.dead[counted[0] :], lane.refusals[counted[1] :]
    replies, lines = lane.replies[counted[2] :], lane.lines[counted[3] :]
    for campaign, was in before.items():
        if CLASSES[case.name] not in LANE_WIDE and str(campaign) != case.record["subject"]:
            assert _state(lane, campaign) == was, f"another campaign changed: {campaign}"
        lane.counters(campaign)
    if dead:
        assert not any((refusals, replies, lines)), "a dead letter has other effects"
        return Result("dead", dead[0].reason, dead[0].detail)
    answers = [reply for _, _, reply in replies]
    assert len({reply.command for reply in answers}) == len(answers), "answered more than once"
    if answers and answers[0].refusal is not None:
        overdue = ('"type":"scrip.coupon.expired.v1"', '"type":"scrip.coupon.released.v1"')
        assert all(any(kind in line for kind in overdue) for line in lines), f"refused, and yet: {lines}"
        return Result("refused", answers[0].refusal.code, answers[0].refusal.message)
    # RunDue is never answered, and a sender may ask for no answer.
    return Result("done" if not refusals or answers else "refused", "" if not refusals else refusals[0].data.code)


def _state(lane: MemoryLane, campaign: UUID) -> tuple[Any, ...]:
    kept = lane.campaign(campaign)
    return kept.seq, kept.state, tuple(kept.counts), kept.issued, kept.exported, kept.quantity, kept.listed


def judge(case: Case, tried: Iterator[Mutation]) -> tuple[list[str], int]:
    """What is wrong with the answers to these changed records, and how many records there were."""
    valid = validator(schema(case.name)).is_valid
    lane, wrong, count = world(case.told), [], 0
    for mutation in tried:
        count += 1
        document = mutation.document
        if isinstance(document, dict) and "id" in document and mutation.pointer != "/id":
            document = {**document, "id": str(uuid5(SCRIP, f"mutation {count}"))}
        try:
            result = put(lane, case, document)
        except Exception as error:
            wrong.append(f"{mutation}: {type(error).__name__}: {error}")
            lane = world(case.told)
            continue
        if result.why == "our_bug":
            wrong.append(f"{mutation}: {result.detail}")
        else:
            named = [part for part in mutation.pointer.split("/") if part and not part.isdigit()][-2:]
            told = not named or any(name in result.detail for name in named)
            # The schema is asked last: it takes longer than the decision.
            if (result.why == "unreadable" and told) or valid(mutation.document):
                pass
            elif result.why != "unreadable":
                wrong.append(f"{mutation}: breaks the schema and is {result.what} {result.why}")
            else:
                wrong.append(f"{mutation}: the dead letter names no field: {result.detail}")
        if result.what == "done":
            lane = world(case.told)
    return wrong, count


def report(wrong: list[str]) -> str:
    return f"{len(wrong)} wrong, of these:\n" + "\n".join(wrong[:25])


@pytest.mark.parametrize("name", NAMES)
def test_a_field_that_is_missing_wrong_or_extreme_is_named_refused_or_valid(name: str) -> None:
    case = good(name)
    changed = mutations(schema(name), case.record)
    wrong, count = judge(case, (each for each in changed if each.pointer.startswith("/data")))
    assert count > 30
    assert not wrong, report(wrong)


@pytest.mark.parametrize("name", [ClaimCoupon.__name__, SetMerchant.__name__])
def test_an_envelope_that_is_wrong_or_extreme_is_named_refused_or_valid(name: str) -> None:
    case = good(name)
    changed = mutations(schema(name), case.record)
    wrong, count = judge(case, (each for each in changed if not each.pointer.startswith("/data")))
    assert count > 500
    assert not wrong, report(wrong)


def _exhaust(lane: MemoryLane, campaign: UUID) -> None:
    kept = lane.campaign(campaign)
    if kept.quantity is not None or kept.supply != "generated":
        quantity = max(kept.issued + kept.exported, 1)
        change = lane.send if kept.state in ("generating", "failed") else lane.done  # there it is refused
        change(ChangeQuantity(quantity=quantity), campaign=campaign, party=kept.owner)


def _told(command: Contract) -> Callable[[MemoryLane, UUID], None]:
    def tell(lane: MemoryLane, campaign: UUID) -> None:
        lane.send(command, campaign=campaign, party=lane.campaign(campaign).owner)

    return tell


STATES: dict[str, Callable[[MemoryLane, UUID], None]] = {
    "paused": _told(PauseCampaign(reason="r")),
    "exhausted": _exhaust,
    "stopped": _told(StopCampaign(reason="r")),
    "void": _told(VoidCampaign(reason="r")),
    "over but not told so": lambda lane, _: setattr(lane, "now", lane.now + timedelta(days=40)),
    "ended": lambda lane, _: lane.pass_time(timedelta(days=90)),
}


@pytest.mark.parametrize("name", [name for name in SENT if CLASSES[name] not in LANE_WIDE])
@pytest.mark.parametrize("state", STATES)
def test_in_any_state_of_a_campaign_it_is_done_or_refused_by_name(name: str, state: str) -> None:
    for campaign in CAMPAIGNS[:-1]:
        lane = world(told=False)
        STATES[state](lane, id_of(campaign))
        later = (lane.now + timedelta(minutes=5)).isoformat()
        for case in cases(name):
            if case.campaign == campaign and case.record["party"] == owner(campaign) and not case.told:
                writer = good(name).writer
                result = put(lane, replace(case, writer=writer).with_envelope(notafter=later))
                assert result.what in ("done", "refused"), f"{campaign}: {result}"


@pytest.mark.parametrize("name", [name for name in NAMES if "CouponReference" in json.dumps(schema(name))])
def test_in_any_state_of_a_coupon_it_is_done_or_refused_by_name(name: str) -> None:
    case = replace(next(case for case in cases(name) if case.campaign == "states"), writer=good(name).writer)
    references: list[dict[str, Any]] = [*({"number": number} for number in (*range(1, 8), 99)), {"code": "BREAD5"}, {}]
    for reference in references:
        for user in (None, "u1", "stranger"):
            named = reference if user is None else {**reference, "user": user}
            data = {
                field: named if field == "coupon" else [named] if field == "coupons" else value
                for field, value in case.record["data"].items()
            }
            result = put(world(told=False), case.with_data(data))
            assert result.what in ("done", "refused"), f"{named}: {result}"


@pytest.mark.parametrize("name", [name for name in SENT if CLASSES[name] not in LANE_WIDE])
class TestForAnotherOwner:
    def test_a_campaign_looks_as_if_it_were_not_there(self, name: str) -> None:
        for campaign in CAMPAIGNS[1:-1]:
            case = replace(next(case for case in cases(name) if case.campaign == campaign), writer="gateway")
            result = put(world(told=False), case.with_envelope(party=OTHER))
            assert result.why in ("campaign_not_found", "campaign_exists"), f"{campaign}: {result}"

    @pytest.mark.parametrize("state", ["unknown", "suspended", "closed"])
    def test_a_merchant_that_is_not_active_is_told_so(self, name: str, state: str) -> None:
        lane = world(told=False)
        if state != "unknown":
            lane.activate(OTHER, state=state)
        party = OTHER if state != "unknown" else "00000000-0000-4000-8000-000000000000"
        case = replace(good(name), writer="gateway")
        assert put(lane, case.with_envelope(party=party)).why == "merchant_not_active"

    def test_a_tool_may_do_only_what_its_rights_allow(self, name: str) -> None:
        case = good(name).with_envelope(party=PLATFORM)
        for tool in ("none", "all"):
            spoken = replace(case.with_envelope(actor=f"tool:{tool}"), writer=f"tool:{tool}")
            result = put(world(told=False), spoken)
            assert result.what in ("done", "refused"), result
            assert tool == "all" or result.why == "not_allowed", result
        named = replace(case.with_envelope(actor="staff:boss"), writer="tool:all")
        assert put(world(told=False), named).why == "writer_not_allowed"


class TestTwice:
    @pytest.mark.parametrize("name", NAMES)
    def test_with_the_same_id_it_is_answered_again_and_has_no_second_effect(self, name: str) -> None:
        case = good(name)
        lane = world(case.told)
        became = put(lane, case)
        first, lines, state = lane.replies[-1:], list(lane.lines), _whole(lane)
        assert put(lane, case).what == became.what
        assert lane.lines == lines
        assert _whole(lane) == state
        if name in SENT:  # core's own continuations have no outcome
            assert first
            again = lane.replies[-1][2]
            assert again.replayed
            assert again.result == first[0][2].result

    @pytest.mark.parametrize("name", SENT)
    def test_with_the_same_id_and_other_content_it_is_refused_and_the_first_stays(self, name: str) -> None:
        case = good(name)
        is_valid = validator(schema(name)).is_valid
        others = (each for each in mutations(schema(name), case.record) if each.pointer.startswith("/data/"))
        others = (each for each in others if not each.pointer.endswith("/partition"))
        others = (each for each in others if is_valid(each.document) and each.document["data"] != case.record["data"])
        tried = 0
        for other in islice(others, 10):
            lane = world(case.told)
            became = put(lane, case)
            state, lines = _whole(lane), list(lane.lines)
            result = put(lane, case, other.document)
            if result.what == "dead" or lane.replies[-1][2].replayed:
                continue  # not readable after all, or the same in other words
            tried += 1
            assert result.why == "idempotency_conflict", f"{other}: {result}"
            assert (lane.lines, _whole(lane)) == (lines, state)
            assert put(lane, case).what == became.what, "the first answer is not given again"
        assert tried or not CLASSES[name].model_fields


EDGES = ("0001-01-01T00:00:00Z", "0001-01-02T12:00:00Z", "9999-12-30T23:59:59Z", "9999-12-31T23:59:59.999999Z")
"""Moments at which a day earlier or later may lie outside of the calendar."""


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.parametrize("clock", EDGES)
def test_at_the_edges_of_the_calendar_nothing_breaks(clock: str, zone: str) -> None:
    lane = MemoryLane(told=True)
    lane.done(AdvanceClock(partition=0, to=instant(clock)))
    lane.activate(MERCHANT)
    rules = BuildingRules(longest_days=36_500)
    lane.done(SetBuildingRules(partition=0, party=PLATFORM, version=1, rules=rules))
    spans: list[dict[str, Any]] = [
        {"starts": "0001-01-01", "ends": "0001-01-03"},
        {"starts": "9990-01-01", "ends": "9999-12-31"},
    ]
    more: list[dict[str, Any]] = [
        {},
        {"days_after_issue": 3_650, "waiting_days": 3_650},
        {"weekly": [{"days": ["mon", "sun"]}]},
    ]
    campaigns = []
    for number, (span, other) in enumerate(product(spans, more)):
        campaigns.append(campaign_id(PLATFORM, f"edge {number}"))
        made = terms(per_day_limit=9, per_month_limit=9, validity={**span, **other, "zone": zone})
        command = GenerateCampaign(terms=made, quantity=100)
        assert lane.send(command, campaign=campaigns[-1]).status in ("done", "refused")
        for used in (
            IssueCoupons(rows=(IssueRow(user="u1"), IssueRow(user="u2"))),
            ReserveCoupon(coupon=by_number(1), order="o", seconds=86_400),
            RedeemCoupon(coupon=by_number(2), order="o", amount=5_000),
            ReturnCoupon(coupon=by_number(2), reason="r"),
        ):
            assert lane.send(used, campaign=campaigns[-1]).status in ("done", "refused")
    for name in NAMES:
        for case in cases(name):
            if CLASSES[name] in LANE_WIDE:
                put(lane, case.with_envelope(id=str(uuid4())))
                continue
            for campaign in campaigns if case.campaign == "new" and case.record["party"] == PLATFORM else ():
                spoken = case.with_envelope(subject=str(campaign), id=str(uuid4()))
                for _ in range(2):
                    result = put(lane, spoken)
                    assert result.why != "our_bug", f"{name}: {result}"


def _whole(lane: MemoryLane) -> Any:
    facts = lane.state.facts
    return (
        [_state(lane, campaign) for campaign in lane.work.campaigns],
        sorted((key, coupon.state, coupon.redemptions) for key, coupon in lane.work.coupons.items()),
        (facts.rules, facts.merchants, facts.tools),
    )
