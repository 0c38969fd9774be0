"""`scrip prove` on a running platform: right under kills, and red as soon as one row or one answer is changed."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scrip.errors import PlatformError
from scrip.platform import Platform
from scrip.prove import running
from scrip.prove.asking import CLAIM, REDEEM, RETURN, Asked, Opened, Said
from scrip.prove.evidence import Evidence
from scrip.prove.judging import PROMISES, Verdict, judge
from scrip.prove.running import Plan, lines, run
from tests.support.figures import show
from tests.support.journeys import Journey

PLAN = Plan(seed=5, seconds=5, callers=12, kafka_callers=60, campaigns=3, quantity=6, faults=True)
Case = tuple[list[Asked], list[Opened], Evidence]
Plant = Callable[[list[Asked], Evidence], None]
PLANTS: list[tuple[str, Plant]] = []


@pytest.fixture(scope="module")
def proved(journey: Journey) -> tuple[dict[str, Any], Case]:
    """A run's report, and what it compared."""
    seen: list[Any] = []

    def judged(*case: Any) -> Verdict:
        seen.append(case)
        return judge(*case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "judge", judged)
        report = run(journey.platform.home.path, PLAN)
    (case,) = seen
    for name in ("coupon_core", "gateway"):
        journey.platform.wait_ready(name)
    return report, case


def test_every_answer_is_right_while_core_and_gateway_are_killed(proved: tuple[dict[str, Any], Case]) -> None:
    report, (asked, opened, _) = proved
    assert report["differences"] == [], "\n".join(lines(report))
    assert all(report["compared"][promise] > 0 for promise in PROMISES)
    assert {fault["process"] for fault in report["faults"]} >= {"coupon_core"}
    assert report["answers"]["http"] > 0 < report["answers"]["kafka"]
    assert {"done", "campaign_exhausted"} <= report["answered"].keys()
    assert {each.kind for each in asked} == {CLAIM, REDEEM, RETURN}
    assert len(opened) >= PLAN.campaigns
    assert "comparisons are right" in "\n".join(lines(report))
    json.dumps(report)


def test_a_row_changed_in_the_database_is_seen(journey: Journey) -> None:
    coupon = "number = 1 AND campaign = (SELECT number FROM core.campaign WHERE id = $1)"
    changed: dict[str, int] = {}

    def change(asked: Sequence[Asked]) -> None:
        campaign = next(each.campaign for each in asked if each.kind == CLAIM and each.answers[0].status == "done")
        statement = f"UPDATE core.coupon SET state = 5 WHERE {coupon} RETURNING old.state"
        changed[campaign] = journey.in_database(statement, campaign)

    plan = replace(PLAN, seconds=1, kafka_callers=20, callers=4, campaigns=2, faults=False)
    report = run(journey.platform.home.path, plan, before_reading=change)
    for campaign, state in changed.items():
        journey.in_database(f"UPDATE core.coupon SET state = $2 WHERE {coupon}", campaign, state)
    assert {each["promise"] for each in report["differences"]} == {"ledger and coupons are what the events say"}
    assert "DIFFER" in lines(report)[-2]


@pytest.mark.soak
def test_two_cores_and_two_gateways_are_right_while_each_of_them_is_killed(tmp_path: Path) -> None:
    """HTTP and Kafka at once, all four processes under kills."""
    plan = replace(PLAN, seconds=90, callers=24, kafka_callers=300, campaigns=8, quantity=40)
    platform = Platform(tmp_path / "home", cores=2, gateways=2, report=print)
    platform.home.port("gateway")  # any but the usual one
    with platform:
        report = run(platform.home.path, plan)
    platform.erase()
    for line in lines(report):
        show(line)
    assert report["differences"] == [], "\n".join(lines(report))
    assert all(report["compared"][promise] > 0 for promise in PROMISES)
    assert {fault["process"] for fault in report["faults"]} == {"coupon_core", "coupon_core-1", "gateway", "gateway-1"}
    assert report["answers"]["http"] > 0 < report["answers"]["kafka"]


def plant(promise: str) -> Callable[[Plant], Plant]:
    """A fault that the comparison must find under this promise."""

    def keep(change: Plant) -> Plant:
        PLANTS.append((promise, change))
        return change

    return keep


def a_claim(asked: list[Asked], status: str = "done", kind: str = CLAIM) -> Asked:
    return next(each for each in asked if each.kind == kind and each.answers[0].status == status)


def a_campaign(evidence: Evidence) -> str:
    return next(campaign for campaign, events in evidence.events.items() if len(events) > 8)


@plant("events are 1..n, repeats identical")
def an_event_is_missing(asked: list[Asked], evidence: Evidence) -> None:
    del evidence.events[a_campaign(evidence)][6]


@plant("events are 1..n, repeats identical")
def a_repeat_says_something_else(asked: list[Asked], evidence: Evidence) -> None:
    events = evidence.events[a_campaign(evidence)]
    events.append(events[5].replace(b'"coupon":', b'"coupon": '))


@plant("never a coupon too many")
def the_ledger_counts_one_too_many(asked: list[Asked], evidence: Evidence) -> None:
    evidence.ledger[a_campaign(evidence)]["issued"] = PLAN.quantity + 1


@plant("nothing twice")
def a_coupon_is_redeemed_twice(asked: list[Asked], evidence: Evidence) -> None:
    redeemed = a_claim(asked, kind=REDEEM)
    events = evidence.events[redeemed.campaign]
    event = next(json.loads(each) for each in events if redeemed.command.encode() in each)
    events.append(json.dumps({**event, "seq": len(set(events)) + 1}).encode())


@plant("ledger and coupons are what the events say")
def a_coupon_has_another_user(asked: list[Asked], evidence: Evidence) -> None:
    evidence.coupons[a_campaign(evidence)][0]["user"] = "somebody"


@plant("every done answer is true, and nothing was done untold")
def a_caller_was_told_done_for_nothing(asked: list[Asked], evidence: Evidence) -> None:
    refused = a_claim(asked, "refused")
    refused.answers[:] = [Said("done", None, {"coupon": f"{refused.campaign}.1", "user": refused.data["user"]}, "http")]


@plant("every done answer is true, and nothing was done untold")
def a_caller_was_told_another_coupon(asked: list[Asked], evidence: Evidence) -> None:
    claimed = a_claim(asked)
    claimed.answers[:] = [replace(claimed.answers[0], facts={**claimed.answers[0].facts, "coupon": "other.1"})]


@plant("every done answer is true, and nothing was done untold")
def a_caller_was_told_no_for_what_was_done(asked: list[Asked], evidence: Evidence) -> None:
    claimed = a_claim(asked)
    claimed.answers[:] = [Said("refused", "campaign_exhausted", {}, "kafka")]


@plant("every refusal was right when it was decided")
def a_refusal_had_no_reason(asked: list[Asked], evidence: Evidence) -> None:
    refused = next(each for each in asked if each.answers[0].code == "campaign_exhausted")
    evidence.refusals[refused.command]["time"] = "2020-01-01T00:00:00Z"


@plant("every refusal was right when it was decided")
def a_refusal_was_not_kept(asked: list[Asked], evidence: Evidence) -> None:
    del evidence.refusals[a_claim(asked, "refused").command]


@plant("everything was answered, again with the same")
def a_caller_was_never_answered(asked: list[Asked], evidence: Evidence) -> None:
    a_claim(asked, "refused").answers.clear()


@plant("everything was answered, again with the same")
def a_caller_was_told_two_things(asked: list[Asked], evidence: Evidence) -> None:
    a_claim(asked).answers.append(Said("refused", "campaign_exhausted", {}, "http"))


@pytest.mark.parametrize(("promise", "change"), PLANTS, ids=[change.__name__ for _, change in PLANTS])
def test_a_planted_difference_is_found(proved: tuple[dict[str, Any], Case], promise: str, change: Plant) -> None:
    asked, opened, evidence = copy.deepcopy(proved[1])
    change(asked, evidence)
    assert promise in {difference.promise for difference in judge(asked, opened, evidence).differences}


def test_every_promise_has_a_difference_that_it_finds() -> None:
    assert {promise for promise, _ in PLANTS} == set(PROMISES)


def test_without_a_platform_it_says_how_to_start_one(
    journey: Journey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(PlatformError, match="scrip up"):
        run(tmp_path_factory.mktemp("nothing"), PLAN)
