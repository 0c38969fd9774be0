"""The checker itself: it is content with a run in peace, and names every kind of fault planted in a copy of it."""

import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.commands import StopCampaign
from tests.failures.checker import CHECKS, differences
from tests.failures.evidence import ORDER, Evidence, LogRecord, Row, read_evidence
from tests.failures.load import Load
from tests.failures.rebuilds import rebuilt_differently
from tests.failures.story import EVENT_NAMES
from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.servers import Servers

Plant = Callable[[Evidence], None]
PLANTS: list[tuple[str, Plant]] = []


@pytest.fixture(scope="module")
async def evidence(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Evidence]:
    """A small run: everything it left behind, and two dead letters."""
    async with running_core(databases, backend.bootstrap, tmp_path_factory.mktemp("core"), told=False) as core:
        load = Load(core)
        async with load.client:
            await load.prepare(8)
            load.start()
            await load.until(150)
            await load.client.ask(
                StopCampaign(reason="over"), campaign=load.campaigns[0].id, party=load.campaigns[0].owner
            )
            await core.append(b"nobody", b"not signed")
            await load.finish()
            core.processes[0].stop()  # nothing becomes due any more while this is read
            yield await read_evidence(core.bootstrap, core.database.url("core"), load.client.journal, core.partitions)


def plant(check: str) -> Callable[[Plant], Plant]:
    """A fault that this check must name."""

    def keep(change: Plant) -> Plant:
        PLANTS.append((check, change))
        return change

    return keep


def test_a_run_in_peace_shows_no_difference(evidence: Evidence) -> None:
    assert not differences(evidence)
    seen = {_event(record)["type"] for record in evidence.topics.events}
    assert {"CouponIssued", "CouponRedeemed", "CodesUploaded", "CampaignStopped"} <= {
        EVENT_NAMES[kind] for kind in seen
    }


def test_identical_repeats_are_no_difference(evidence: Evidence) -> None:
    again = a_copy_of(evidence)
    again.topics.events += [_later(record) for record in again.topics.events[5:40]]
    again.topics.refusals += [_later(record) for record in again.topics.refusals]
    assert not differences(again)


def a_copy_of(evidence: Evidence) -> Evidence:
    """A copy to plant faults in; what no plant changes in place is shared."""
    topics, tables = copy.copy(evidence.topics), copy.copy(evidence.tables)
    for name in ("commands", "events", "refusals", "dead_letters", "replies"):
        setattr(topics, name, [copy.copy(record) for record in getattr(topics, name)])
    for name in ORDER:
        setattr(tables, name, [dict(row) for row in getattr(tables, name)])
    for row in tables.journal:
        row["lines"] = list(row["lines"])
    journal = {command: replace(sent, answers=list(sent.answers)) for command, sent in evidence.journal.items()}
    return Evidence(topics, tables, journal, evidence.partitions)


def _later(record: LogRecord) -> LogRecord:
    return LogRecord(
        record.topic, record.partition, record.offset + 100_000, record.timestamp, record.key, record.value
    )


def _event(record: LogRecord) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(record.value or b"")
    return event


def _first(records: list[LogRecord], name: str) -> LogRecord:
    return next(record for record in records if EVENT_NAMES[_event(record)["type"]] == name)


def _rewrite(record: LogRecord, **changed: Any) -> None:
    event = _event(record)
    record.value = json.dumps({**event, "data": {**event["data"], **changed}}).encode()


def _append_event(evidence: Evidence, like: LogRecord, **changed: Any) -> None:
    """A new event of the same kind and cause, numbered as the next one, as if it had been decided."""
    event = _event(like)
    campaign = event["stream"].partition("/")[0]
    row = next(row for row in evidence.tables.campaign if str(row["id"]) == campaign)
    row["seq"] += 1
    event |= {"seq": row["seq"], "id": f"{campaign}:{row['seq']}", "data": {**event["data"], **changed}}
    line = json.dumps(event)
    last = max(record.offset for record in evidence.topics.events if record.partition == like.partition)
    evidence.topics.events.append(
        LogRecord(like.topic, like.partition, last + 1, like.timestamp, like.key, line.encode())
    )
    journal = next(row for row in evidence.tables.journal if str(row["campaign"]) == campaign)
    journal["lines"].append(line)
    journal["count"] += 1


def _outcome_of(evidence: Evidence, kind: str, status: int = 1) -> Row:
    """The first outcome of a command of this kind that one of our clients sent."""
    for command, sent in evidence.journal.items():
        if type(sent.record.data).__name__ == kind and sent.answers:
            row = next(row for row in evidence.tables.outcome if row["command"] == command)
            if row["status"] == status:
                return row
    raise LookupError(f"no {kind} with status {status}")


@plant("outcomes")
def a_command_without_an_outcome(evidence: Evidence) -> None:
    evidence.tables.outcome.remove(_outcome_of(evidence, "ClaimCoupon"))


@plant("outcomes")
def an_acknowledged_command_that_is_not_in_the_log(evidence: Evidence) -> None:
    command = str(_outcome_of(evidence, "ClaimCoupon")["command"])
    evidence.topics.commands = [
        record for record in evidence.topics.commands if command.encode() not in (record.value or b"")
    ]


@plant("outcomes")
def work_that_was_never_finished(evidence: Evidence) -> None:
    _outcome_of(evidence, "ClaimCoupon")["status"] = 0


@plant("outcomes")
def an_outcome_that_died(evidence: Evidence) -> None:
    _outcome_of(evidence, "ClaimCoupon")["status"] = 3


@plant("numbers")
def an_event_that_never_came(evidence: Evidence) -> None:
    evidence.topics.events.remove(_first(evidence.topics.events, "CouponIssued"))


@plant("numbers")
def two_events_that_changed_places(evidence: Evidence) -> None:
    events = evidence.topics.events
    one = next(n for n in range(len(events) - 1) if events[n].key == events[n + 1].key)
    events[one], events[one + 1] = events[one + 1], events[one]


@plant("numbers")
def an_event_in_another_partition(evidence: Evidence) -> None:
    record = evidence.topics.events[-1]
    record.partition = (record.partition + 1) % evidence.partitions


@plant("numbers")
def the_last_event_missing(evidence: Evidence) -> None:
    evidence.topics.events.pop()


@plant("repeats")
def a_repeat_with_other_bytes(evidence: Evidence) -> None:
    repeat = _later(_first(evidence.topics.events, "CouponIssued"))
    _rewrite(repeat, user="somebody else")
    evidence.topics.events.append(repeat)


@plant("repeats")
def a_refusal_told_again_differently(evidence: Evidence) -> None:
    repeat = _later(evidence.topics.refusals[0])
    _rewrite(repeat, code="another_code")
    evidence.topics.refusals.append(repeat)


@plant("effects")
def a_claim_that_gave_two_coupons(evidence: Evidence) -> None:
    _append_event(evidence, _first(evidence.topics.events, "CouponIssued"), coupon=9_999)


@plant("effects")
def a_coupon_redeemed_twice(evidence: Evidence) -> None:
    _append_event(evidence, _first(evidence.topics.events, "CouponRedeemed"), redemption=2)


@plant("effects")
def a_second_redemption_row(evidence: Evidence) -> None:
    row = evidence.tables.redemption[0]
    evidence.tables.redemption.append({**row, "number": row["number"] + 1})


@plant("effects")
def one_coupon_given_twice(evidence: Evidence) -> None:
    issued = json.loads(_outcome_of(evidence, "IssueCoupons")["body"])
    claimed = _outcome_of(evidence, "ClaimCoupon")
    coupon = next(row["coupon"] for row in issued["rows"] if "coupon" in row)
    claimed["body"] = json.dumps({**json.loads(claimed["body"]), "coupon": coupon})


@plant("effects")
def a_refused_command_that_had_an_effect(evidence: Evidence) -> None:
    _outcome_of(evidence, "ClaimCoupon")["status"] = 2


@plant("effects")
def an_effect_nobody_ordered(evidence: Evidence) -> None:
    record = _first(evidence.topics.events, "CouponIssued")
    event = _event(record) | {"causationid": "00000000-0000-0000-0000-000000000000"}
    record.value = json.dumps(event).encode()


@plant("bounds")
def more_coupons_than_the_quantity(evidence: Evidence) -> None:
    campaign = _event(_first(evidence.topics.events, "CouponIssued"))["stream"].partition("/")[0]
    for record in evidence.topics.events:
        name = EVENT_NAMES[_event(record)["type"]]
        if record.key == campaign.encode() and name in ("CampaignCreated", "CampaignQuantityChanged"):
            _rewrite(record, **{"quantity" if name == "CampaignCreated" else "after": 0})


@plant("bounds")
def more_coupons_for_a_user_than_the_limit(evidence: Evidence) -> None:
    campaign = _event(_first(evidence.topics.events, "CouponIssued"))["stream"].partition("/")[0]
    created = next(record for record in evidence.topics.events if record.key == campaign.encode())
    _rewrite(created, terms={**_event(created)["data"]["terms"], "per_user_limit": 0})


@plant("bounds")
def more_coupons_on_a_day_than_the_limit(evidence: Evidence) -> None:
    campaign = _event(_first(evidence.topics.events, "CouponIssued"))["stream"].partition("/")[0]
    created = next(record for record in evidence.topics.events if record.key == campaign.encode())
    _rewrite(created, terms={**_event(created)["data"]["terms"], "per_day_limit": 0})


@plant("states")
def a_coupon_in_another_state(evidence: Evidence) -> None:
    row = next(row for row in evidence.tables.coupon if row["state"] == 1)
    row["state"] = 5


@plant("states")
def a_coupon_of_another_user(evidence: Evidence) -> None:
    evidence.tables.coupon[0]["user_id"] = "somebody else"


@plant("states")
def a_coupon_without_a_row(evidence: Evidence) -> None:
    evidence.tables.coupon.pop()


@plant("states")
def a_campaign_in_another_state(evidence: Evidence) -> None:
    evidence.tables.campaign[0]["state"] = "draft"


@plant("states")
def a_redemption_marked_as_returned(evidence: Evidence) -> None:
    row = next(row for row in evidence.tables.redemption if row["returned_at"] is None)
    row["returned_at"] = row["at"]


@plant("ledger")
def a_counter_that_is_off_by_one(evidence: Evidence) -> None:
    evidence.tables.campaign[0]["held"] += 1


@plant("ledger")
def an_uploaded_code_marked_as_taken(evidence: Evidence) -> None:
    next(row for row in evidence.tables.uploaded_code if not row["taken"])["taken"] = True


@plant("journal")
def a_row_that_was_never_emitted(evidence: Evidence) -> None:
    record = _first(evidence.topics.events, "CouponRedeemed")
    evidence.topics.events = [other for other in evidence.topics.events if other.value != record.value]


@plant("journal")
def a_continuation_that_was_never_sent(evidence: Evidence) -> None:
    line = next(row["lines"][0] for row in evidence.tables.journal if row["kind"] == 3)
    evidence.topics.commands = [record for record in evidence.topics.commands if record.value != line.encode()]


@plant("journal")
def a_record_nobody_decided(evidence: Evidence) -> None:
    extra = _later(evidence.topics.refusals[0])
    extra.value = (extra.value or b"").replace(b"scrip.refusal.v1", b"scrip.refusal.v2")
    evidence.topics.refusals.append(extra)


@plant("journal")
def a_lane_that_counts_back(evidence: Evidence) -> None:
    next(row for row in evidence.tables.lane if row["lane_seq"])["lane_seq"] -= 1


@plant("refusals")
def a_refusal_that_was_not_told(evidence: Evidence) -> None:
    value = evidence.topics.refusals[0].value
    evidence.topics.refusals = [record for record in evidence.topics.refusals if record.value != value]


@plant("refusals")
def a_refusal_that_was_not_kept(evidence: Evidence) -> None:
    evidence.tables.refusal.pop()


@plant("dead_letters")
def a_dead_letter_of_our_own_making(evidence: Evidence) -> None:
    evidence.tables.dead_letter[0]["reason"] = "our_bug"


@plant("dead_letters")
def a_dead_letter_that_lost_its_record(evidence: Evidence) -> None:
    row = evidence.tables.dead_letter[0]
    row["body"] = json.dumps({**json.loads(row["body"]), "value": "AAAA"})


@plant("dead_letters")
def a_dead_letter_that_is_not_on_the_topic(evidence: Evidence) -> None:
    evidence.topics.dead_letters.clear()


@plant("answers")
def an_answer_that_is_not_true_any_more(evidence: Evidence) -> None:
    command = _outcome_of(evidence, "ClaimCoupon")["command"]
    answers = evidence.journal[command].answers
    answers.append(answers[0].model_copy(update={"result": {**(answers[0].result or {}), "user": "somebody else"}}))


@plant("answers")
def an_answer_the_outcome_contradicts(evidence: Evidence) -> None:
    row = _outcome_of(evidence, "RedeemCoupon")
    row["body"] = json.dumps({**json.loads(row["body"]), "redemption": 7})


@plant("answers")
def a_command_that_was_never_answered(evidence: Evidence) -> None:
    command = _outcome_of(evidence, "ClaimCoupon")["command"]
    evidence.journal[command].answers.clear()
    evidence.topics.replies = [record for record in evidence.topics.replies if record.key != str(command).encode()]


@plant("lanes")
def a_lane_that_did_not_go_on(evidence: Evidence) -> None:
    next(row for row in evidence.tables.lane if row["position"])["position"] -= 1


@pytest.mark.parametrize(("check", "change"), PLANTS, ids=[change.__name__ for _, change in PLANTS])
def test_a_planted_fault_is_named(evidence: Evidence, check: str, change: Plant) -> None:
    planted = a_copy_of(evidence)
    change(planted)
    assert check in {difference.check for difference in differences(planted)}


def test_every_check_has_a_fault_that_it_names() -> None:
    assert {check for check, _ in PLANTS} == set(CHECKS)


@pytest.mark.parametrize("table", ["lane", "campaign", "coupon", "redemption", "outcome", "refusal", "uploaded_code"])
def test_a_database_that_was_built_differently_is_noticed(evidence: Evidence, table: str) -> None:
    other = a_copy_of(evidence).tables
    getattr(other, table).pop()
    assert table in {difference.check for difference in rebuilt_differently(evidence.tables, other)}


def test_event_bytes_that_came_out_differently_are_noticed(evidence: Evidence) -> None:
    other = a_copy_of(evidence).tables
    assert not rebuilt_differently(evidence.tables, other)
    row = next(row for row in other.journal if row["kind"] == 1)
    row["lines"][0] = row["lines"][0].replace("coupon", "Coupon", 1)
    assert "event bytes" in {difference.check for difference in rebuilt_differently(evidence.tables, other)}
