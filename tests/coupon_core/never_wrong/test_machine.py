"""Hypothesis plays the platform on a real database, beside the pure model: any order of anything, and dying owners.

A rule asks one thing; what it must be answered is known from the model at once. Records wait in the log until a rule
decides a batch of random size, or lets its owner die before or after the commit.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from contracts.commands import COMMAND_RECORD, AdvanceClock, CommandRecord
from contracts.identifiers import lane_key
from coupon_core.__main__ import LOOP_PLANNER
from coupon_core.model.campaign import STATE_NAMES
from tests.coupon_core.never_wrong.asking import AT_FIRST, VERBS, Asker
from tests.coupon_core.never_wrong.asking_terms import MERCHANTS
from tests.coupon_core.never_wrong.judging import (
    KeptCampaign,
    KeptCoupon,
    Wrong,
    check_answer,
    check_rows,
    check_tried,
    learn_codes,
)
from tests.coupon_core.never_wrong.planted_bugs import BUGS_OF_LANES, Bug, planted
from tests.coupon_core.never_wrong.pure_coupons import Answer
from tests.coupon_core.never_wrong.pure_model import Model
from tests.coupon_core.never_wrong.pure_terms import START
from tests.coupon_core.never_wrong.simulated import LANES, SLICE, short_slices
from tests.coupon_core.never_wrong.stored import StoredLanes, emptied
from tests.failures.checker import differences
from tests.failures.evidence import Sent, Tables
from tests.support.databases import Databases, FreshDatabase

T = TypeVar("T")
STEPS = 50
QUICK = settings(
    max_examples=50,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # to make a failure small takes minutes: the nightly run does
    suppress_health_check=list(HealthCheck),
)
NIGHTLY = settings(QUICK, max_examples=200, derandomize=False, phases=list(Phase), print_blob=True)


class Drawn:
    """Choices by Hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def pick(self, choices: Sequence[T]) -> T:
        return self._data.draw(st.sampled_from(choices))

    def number(self, least: int, most: int) -> int:
        return self._data.draw(st.integers(least, most))


class Stage:
    """The database all examples use one after the other, and the loop in which it is asked."""

    def __init__(self, database: FreshDatabase) -> None:
        self.runner = asyncio.Runner()
        self.url = database.url("core")
        self.admin = self.run(asyncpg.connect(database.admin_url))
        self.core = self.run(asyncpg.connect(self.url, server_settings={**LOOP_PLANNER, "synchronous_commit": "off"}))

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    def close(self) -> None:
        self.run(self.core.close())
        self.run(self.admin.close())
        self.runner.close()


class Machine(RuleBasedStateMachine):
    """One example."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        stage.run(emptied(stage.admin))
        self.models = {lane: Model(SLICE) for lane in range(LANES)}
        self.asker = Asker(self.models, told=True)
        self.lanes = StoredLanes(stage.core, stage.url, START)
        self.records: dict[UUID, CommandRecord] = {}
        self.journal: dict[UUID, Sent] = {}
        self.tried: dict[UUID, Answer] = {}
        """What dry runs must be answered."""
        stage.run(self.lanes.take_over())

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self._pass_time()
        for lane in range(LANES):
            for merchant in MERCHANTS:
                self._append(self.asker.merchant(lane, merchant, "active"))
        for verb in AT_FIRST:
            self.ask(verb, data)

    # --- what happens in the log (each of VERBS becomes a rule below)

    def ask(self, verb: str, data: st.DataObject) -> None:
        draw = Drawn(data)
        record = getattr(self.asker, verb)(draw)
        if record is not None:
            self._append(record, gap=draw.pick((0, 0, 0, 1, 5)))

    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        self.asker.time = max(self.asker.time, self.asker.later(Drawn(data)))
        self._pass_time()

    @rule()
    def what_is_due_is_noticed(self) -> None:
        for lane in self.lanes.due():
            self.lanes.append_due(lane)

    @rule()
    def a_continuation_arrives(self) -> None:
        if self.lanes.following:
            lane, line = self.lanes.following.pop(0)
            record = COMMAND_RECORD.validate_json(line)
            self.lanes.append(record, lane, "core")
            self.models[lane].take(record, None, by_core=True)

    # --- what happens to the owner of the lanes

    @rule(most=st.sampled_from([1, 2, 7, 1_000]))
    def a_batch_is_decided(self, most: int) -> None:
        self._decide(most)

    @rule(most=st.sampled_from([1, 7, 1_000]), dies=st.sampled_from(["before", "after"]))
    def the_owner_dies(self, most: int, dies: str) -> None:
        self._decide(most, dies)

    @rule()
    def the_lanes_go_to_another_and_the_first_goes_on(self) -> None:
        self.stage.run(self.lanes.take_over())
        self.stage.run(self.lanes.wake_the_sleeper())

    # --- the end

    def teardown(self) -> None:
        self._settle()
        for record in list(self.records.values()):  # everything again: each is answered as before, and changes nothing
            self._append(record.model_copy(update={"notafter": self.asker.time + timedelta(days=20)}))
        self._settle()
        evidence = self.stage.run(self.lanes.evidence(self.journal))
        check_rows(self.models.values(), kept_campaigns(evidence.tables))
        found = differences(evidence)
        if found:
            raise Wrong("\n".join(map(str, found)))

    def _settle(self) -> None:
        for _ in range(200):
            self.a_continuation_arrives()
            self._decide(1_000)
            if all(self.lanes.quiet(lane) for lane in range(LANES)):
                return
            self.what_is_due_is_noticed()
        raise Wrong("what is due never ends")

    # --- pieces

    def _pass_time(self) -> None:
        self.lanes.time = self.asker.time
        for lane in range(LANES):
            self._append(self.asker.record(AdvanceClock(partition=lane, to=self.asker.time), lane_key(lane)))

    def _append(self, record: CommandRecord, gap: int = 0) -> None:
        lane = self.asker.lane_of(record)
        if record.dryrun:
            self.lanes.append(record, lane, gap=gap)
            self.tried[record.id] = self.models[lane].take(record, None)
            return
        first = self.records.setdefault(record.id, record)
        self.journal.setdefault(record.id, Sent(first)).acknowledged += 1
        self.lanes.append(record, lane, gap=gap)
        self.models[lane].take(record, None)

    def _decide(self, most: int, dies: str | None = None) -> None:
        self.stage.run(self.lanes.decide(most, dies=dies))
        heard, self.lanes.heard = self.lanes.heard, []
        for reply in heard:
            if reply.refusal is not None and reply.refusal.code == "idempotency_conflict":
                continue  # the record that brought it is not told apart; the checker sees that it changed nothing
            if reply.dry_run:
                check_tried(self.tried[reply.command], reply, f"dry run {reply.command}")
                continue
            record = self.records[reply.command]
            model = self.models[self.asker.lane_of(record)]
            check_answer(model.answered[record.id][1], reply, f"{record.data!r} for {record.party}")
            learn_codes(model, record, reply)
            self.journal[record.id].answers.append(reply)
        for lane, model in self.models.items():
            if self.lanes.quiet(lane):
                model.all_that_is_due_has_happened()


def _rule_of(verb: str) -> Callable[..., None]:
    def ask(self: Machine, data: st.DataObject) -> None:
        self.ask(verb, data)

    ask.__name__ = ask.__qualname__ = verb
    return rule(data=st.data())(ask)


for _verb in VERBS:
    setattr(Machine, _verb, _rule_of(_verb))


def kept_campaigns(tables: Tables) -> dict[str, KeptCampaign]:
    """What the tables hold, for the comparison with the models."""
    kept = {}
    for row in tables.campaign:
        counters = {name: row[name] for name in STATE_NAMES.values() if row[name]}
        coupons = {
            coupon["number"]: KeptCoupon(
                coupon["user_id"],
                STATE_NAMES[coupon["state"]],
                coupon["reserved_order"],
                coupon["redemptions"],
                coupon["spent"] or 0,
                coupon["reserved_units"],
            )
            for coupon in tables.coupon
            if coupon["campaign"] == row["number"]
        }
        money = (row["budget_reserved"] or 0, row["budget_spent"] or 0)
        kept[str(row["id"])] = KeptCampaign(
            row["state"], row["quantity"], row["issued"], row["exported"], *money, counters, coupons
        )
    return kept


@pytest.fixture(scope="module")
def stage(databases: Databases) -> Iterator[Stage]:
    database = databases.fresh("core")
    stage = Stage(database)
    with short_slices():
        yield stage
    stage.close()
    databases.drop(database)


def play(stage: Stage, how: settings) -> None:
    run_state_machine_as_test(functools.partial(Machine, stage), settings=how)  # type: ignore[arg-type]


def test_whatever_is_asked_in_whatever_order_is_answered_and_kept_as_the_model_says(stage: Stage) -> None:
    play(stage, QUICK)


@pytest.mark.parametrize("bug", BUGS_OF_LANES, ids=lambda bug: bug.name)
def test_it_finds_a_planted_bug(stage: Stage, bug: Bug) -> None:
    with planted(bug), pytest.raises(AssertionError):
        play(stage, QUICK)


@pytest.mark.soak
def test_200_times_50_steps_are_as_the_model_says(stage: Stage) -> None:
    play(stage, NIGHTLY)
