"""A log decided in memory by the real `decide`: batch after batch, each on a view copied from a plain store's rows.

One seed makes one life: commands, repeats, time, merchants' states. It is lived record by record, each answer beside
the model's; then the same log is decided again in larger batches, with take-overs, and must come out the same.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import count
from typing import TypeVar
from unittest import mock
from uuid import UUID, uuid5

from contracts.answers import Reply
from contracts.commands import AdvanceClock, CommandRecord, RunDue, StopCampaign, VoidCampaign, VoidMatching, record_for
from contracts.identifiers import SCRIP, lane_key
from contracts.writers import WRITER_HEADER, Writer, sign
from coupon_core.decide import BARRIERS, decide
from coupon_core.lanes import loading
from coupon_core.lanes.reading import TOPIC, Reader
from coupon_core.lanes.writing import journal_rows
from coupon_core.model.campaign import HELD, RESERVED, STATE_NAMES, Campaign, Coupon, Redemption
from coupon_core.model.lane import Facts, LaneState
from coupon_core.model.periods import Period
from coupon_core.model.selecting import ALL_OPEN, of_all
from coupon_core.operations import generating
from coupon_core.storage.journal import COMMANDS, EVENTS
from coupon_core.work import DueRange, Entry, Outcome, PeriodCount, UploadedCode, Work
from tests.coupon_core.never_wrong.asking import AT_FIRST, VERBS, Asker
from tests.coupon_core.never_wrong.asking_terms import MERCHANTS, Dice
from tests.coupon_core.never_wrong.judging import (
    KeptCampaign,
    KeptCoupon,
    Wrong,
    check_answer,
    check_rows,
    check_story,
    check_tried,
    learn_codes,
)
from tests.coupon_core.never_wrong.pure_model import Model
from tests.support.deciding import CODES, KEYS, TOOL_MASTER, Written

T = TypeVar("T")
LANES = 2
SLICE = 2
"""Coupons one slice of a range changes, and codes one slice of a job writes: so few that most need several."""
BATCHES = (7, 1_000)
CHOICES = [verb for verb, often in VERBS.items() for _ in range(often)]


@contextmanager
def short_slices() -> Iterator[None]:
    """Core works in slices of SLICE inside this block."""
    with mock.patch.object(loading, "SLICE", SLICE), mock.patch.object(generating, "SLICE", SLICE):
        yield


def copied(row: T) -> T:
    """A copy of a row of slots; its lists too."""
    new = object.__new__(type(row))
    for name in row.__slots__:  # type: ignore[attr-defined]
        value = getattr(row, name)
        object.__setattr__(new, name, list(value) if isinstance(value, list) else value)
    return new


@dataclass
class Store:
    """Rows, as a database would hold them: a view never shares an object with it."""

    told: bool
    lanes: dict[int, LaneState] = field(
        default_factory=lambda: {lane: LaneState(lane, None, 0, 0, 0, Facts()) for lane in range(LANES)}
    )
    campaigns: dict[UUID, Campaign] = field(default_factory=dict)
    coupons: dict[int, dict[int, Coupon]] = field(default_factory=lambda: defaultdict(dict))
    redemptions: dict[tuple[int, int], list[Redemption]] = field(default_factory=dict)
    uploaded: dict[int, dict[str, UploadedCode]] = field(default_factory=lambda: defaultdict(dict))
    exported: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    period_counts: dict[tuple[int, Period, date], PeriodCount] = field(default_factory=dict)
    voided: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    blocks: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    outcomes: dict[tuple[int, UUID], Outcome] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Events by campaign."""
    following: list[str] = field(default_factory=list)
    """Continuations."""

    def view(self, entries: Iterable[Entry]) -> Work:
        """What these entries may touch, copied."""
        entries = list(entries)
        lanes = {entry.partition for entry in entries}
        work = Work({lane: self.lanes[lane].copy() for lane in lanes}, self.told, LANES, CODES)
        ranged = [e for e in entries if e.record is not None and isinstance(e.record.data, RunDue | AdvanceClock)]
        whole = {entry.partition for entry in ranged}
        touched = {entry.campaign for entry in entries}
        for row in self.campaigns.values():
            if row.id in touched or row.partition in whole:
                self._view_campaign(work, copied(row))
        for entry in entries:
            for command in _commands_of(entry):
                known = self.outcomes.get((entry.partition, command))
                if known is not None:
                    work.outcomes[entry.partition][command] = copied(known)
        for block, (campaign, index, version) in self.blocks.items():
            work.blocks[block] = (campaign, index, version)
            work.block_at[campaign, index] = (block, version)
        return work

    def _view_campaign(self, work: Work, campaign: Campaign) -> None:
        number = campaign.number
        campaign.new = campaign.changed = campaign.amended = False
        work.campaigns[campaign.id] = campaign
        for _, row in sorted(self.coupons[number].items()):
            coupon = copied(row)
            coupon.new = coupon.changed = coupon.beyond_state = coupon.counting = False
            work.coupons[number, coupon.number] = coupon
            if coupon.user is not None:
                work.by_user.setdefault((number, coupon.user), []).append(coupon)
            if coupon.code is not None:
                work.by_code[number, coupon.code] = coupon
            if coupon.redemptions:
                rows = self.redemptions[number, coupon.number]
                work.redemptions[number, coupon.number] = [copied(redemption) for redemption in rows]
        codes = [copied(code) for code in self.uploaded[number].values()]
        for code in codes:
            work.uploaded[number, code.code] = code
        work.free_codes[number] = [code for code in codes if not code.taken]
        work.exported[number] = list(self.exported[number])
        for key, issued in self.period_counts.items():
            if key[0] == number:
                work.period_counts[key] = copied(issued)
                work.period_counts[key].changed = False
        work.voided[number] = list(self.voided[number])

    def write(self, work: Work) -> list[CommandRecord]:
        """Take a view over; the continuations it decided."""
        for row in journal_rows(work):
            if row.kind == EVENTS:
                self.lines[str(row.campaign)] += row.lines
            elif row.kind == COMMANDS:
                self.following += row.lines
        self.lanes |= work.lanes
        self.campaigns |= work.campaigns
        for (campaign, number), coupon in work.coupons.items():
            self.coupons[campaign][number] = coupon
        self.redemptions |= work.redemptions
        self.period_counts |= {key: issued for key, issued in work.period_counts.items() if issued.changed}
        for campaign, code in work.new_codes:
            self.uploaded[campaign][code.code] = copied(code)
        taken = set(work.taken_codes)
        for campaign in {campaign for campaign, _ in taken}:
            for code in self.uploaded[campaign].values():
                code.taken = code.taken or (campaign, code.position) in taken
        for campaign, first, last in work.new_exports:
            self.exported[campaign].append((first, last))
        for campaign, first, last, _ in work.new_voids:
            self.voided[campaign].append((first, last))
        for block, campaign, index, version in work.new_blocks:
            self.blocks[block] = (campaign, index, version)
        for outcome in work.new_outcomes:
            self.outcomes[outcome.partition, outcome.command] = outcome
        return [record for _, record in work.continuations]


def _commands_of(entry: Entry) -> list[UUID]:
    if entry.record is None:
        return []
    waiting = getattr(entry.record.data, "waiting", None)
    return [entry.record.id] + ([] if waiting is None else [waiting.command])


def decide_batch(store: Store, entries: Sequence[Entry]) -> tuple[Work, list[Reply]]:
    """Decide these as one batch, each lane's in order; nothing is written."""
    work = store.view(entries)
    for entry in entries:
        if _is_dry_run(entry):
            _try(work, entry)
            continue
        if entry.record is not None and entry.dead is None and type(entry.record.data) in BARRIERS:
            _load_range(work, entry)
        decide(work, entry)
    if work.dead:
        raise Wrong(f"a dead letter: {work.dead[0][1:]}")
    return work, [reply for _, _, reply in work.replies]


def _try(work: Work, entry: Entry) -> None:
    """Decide a dry run on a copy, of which only the answer is kept."""
    shared = [work.codes, entry, *(campaign.terms for campaign in work.campaigns.values())]
    memo: dict[int, object] = {id(each): each for each in shared}
    memo |= {id(work.replies): [], id(work.outcomes): copy.copy(work.outcomes)}
    memo |= {id(each): [] for each in (work.new_outcomes, work.refusals, work.continuations)}
    trial = copy.deepcopy(work, memo)
    _load_range(trial, entry)
    decide(trial, entry)
    work.replies += trial.replies


def _load_range(work: Work, entry: Entry) -> None:
    """What PostgreSQL would find for a range, by plain loops."""
    command = entry.record.data if entry.record is not None else None
    work.due = work.selection = None
    if _is_dry_run(entry) and isinstance(command, VoidCampaign | StopCampaign):
        command = VoidMatching(matching=ALL_OPEN, reason="counted")
    if isinstance(command, VoidMatching):
        now = _now(work, entry)
        campaign = work.campaigns.get(entry.campaign_id())
        if campaign is not None:
            number = campaign.number
            there = {n: coupon for (of, n), coupon in work.coupons.items() if of == number}
            ranges = work.exported.get(number, []), work.voided.get(number, [])
            work.selection = of_all(campaign, there, *ranges, command, SLICE, dry_run=_is_dry_run(entry), now=now)
        return
    if not isinstance(command, VoidCampaign | RunDue | AdvanceClock):
        return
    if isinstance(command, VoidCampaign):
        campaign = work.campaigns.get(entry.campaign_id())
        if campaign is not None:
            left = _open(work, campaign, command.after)
            work.due = DueRange([(campaign, left[:SLICE])], more=len(left) > SLICE)
        return
    lane, now = work.lanes[entry.partition], _now(work, entry)
    times = {one: one.next_due for one in work.campaigns.values() if one.partition == lane.partition}
    waiting = [(time, one.number, one) for one, time in times.items() if time is not None]
    if isinstance(command, AdvanceClock):
        lane.next_due = min((time for time, _, _ in waiting), default=None)
        return
    due = sorted(each for each in waiting if each[0] <= now)
    later = min((time for time, _, _ in waiting if time > now), default=None)
    work.next_due = {}
    if not due:
        work.due = DueRange([], more=False, next_due=later)
        return
    campaign = due[0][2]
    over = now >= campaign.ends
    coupons = _open(work, campaign, campaign.swept if over else 0)
    if not over:
        held = sorted((c.due_at, c.number, c) for c in coupons if c.due_at is not None)
        coupons = [c for at, _, c in held if at <= now]
        still = [at for at, _, _ in held[min(len(coupons), SLICE) :]]
        if still:
            work.next_due[campaign.number] = min(still)
    more = len(due) > 1 or len(coupons) > SLICE
    work.due = DueRange([(campaign, coupons[:SLICE])], more, None if more else later)


def _now(work: Work, entry: Entry) -> datetime:
    clock = work.lanes[entry.partition].clock
    return clock if work.told and clock else max(clock or entry.time, entry.time)


def _is_dry_run(entry: Entry) -> bool:
    return entry.record is not None and entry.record.dryrun


def _open(work: Work, campaign: Campaign, after: int) -> list[Coupon]:
    found = [c for (of, n), c in work.coupons.items() if of == campaign.number and n > after]
    return sorted((c for c in found if c.state in (HELD, RESERVED)), key=lambda coupon: coupon.number)


# --- a life


class Life:
    """One seed's life."""

    def __init__(self, seed: int, steps: int = 60, special: tuple[str, ...] = ()) -> None:
        self.seed = seed
        self.dice = Dice(seed)
        self.told = seed % 2 == 0
        self.store = Store(self.told)
        self.models = {lane: Model(SLICE) for lane in range(LANES)}
        self.asker = Asker(self.models, told=self.told)
        self.asker.special = special
        self.reader = Reader(LANES, KEYS, TOOL_MASTER)
        self.log: list[Entry] = []
        self.replies: list[Reply] = []
        self._offsets = [count(), count()]
        self._following: list[CommandRecord] = []
        self._steps = steps
        self._dues = count()
        self._unanswered: set[UUID] = set()

    def live(self) -> None:
        """Record by record, beside the model. Raises Wrong."""
        for lane in range(LANES):
            self._pass_time(lane)
            for merchant in MERCHANTS:
                self._decide(self.asker.merchant(lane, merchant, "active"))
        for verb in AT_FIRST:
            self._ask(verb)
        for _ in range(self._steps):
            if self._following and self.dice.number(1, 3) > 1:
                self._decide(self._following.pop(0), "core")
            elif self.dice.number(1, 15) == 1:
                self.asker.time = max(self.asker.time, self.asker.later(self.dice))
                for lane in range(LANES):
                    self._pass_time(lane)
            else:
                self._ask(self.dice.pick(CHOICES))
        self._settle()
        self._compare()

    def again(self, most: int) -> None:
        """The same log in batches of `most`, with take-overs that throw a decided batch away. Raises Wrong."""
        store, replies, at = Store(self.told), [], 0
        while at < len(self.log):
            batch = self.log[at : at + most]
            if self.dice.number(1, 4) == 1:  # its owner dies before the commit; some of it is decided with what follows
                decide_batch(store, batch)
                batch = batch[: self.dice.number(1, len(batch))]
            work, told = decide_batch(store, batch)
            store.write(work)
            replies += told
            at += len(batch)
        if store.lines != self.store.lines:
            raise Wrong(f"batches of {most}: other events than one by one")
        if sorted(store.following) != sorted(self.store.following):
            raise Wrong(f"batches of {most}: other continuations than one by one")
        if replies != self.replies:
            raise Wrong(f"batches of {most}: other answers than one by one")

    # --- one record

    def _ask(self, verb: str) -> None:
        record = getattr(self.asker, verb)(self.dice)
        if record is not None:
            self._decide(record)

    def _pass_time(self, lane: int) -> None:
        if self.told:
            self._decide(self.asker.record(AdvanceClock(partition=lane, to=self.asker.time), lane_key(lane)))
        elif self.dice.number(1, 2) == 1:
            self._run_due(lane)

    def _run_due(self, lane: int) -> None:
        """As the lane's owner sends it."""
        command = RunDue(partition=lane, until=self.asker.time)
        record = record_for(
            command,
            id=uuid5(SCRIP, f"due {next(self._dues)}"),
            source="/coupon-core",
            subject=lane_key(lane),
            party="platform",
            actor="service:core",
            notafter=self.asker.time + timedelta(hours=1),
        )
        self._decide(record, "core")

    def _decide(self, record: CommandRecord, writer: str = "gateway") -> None:
        lane = self.asker.lane_of(record)
        jitter = timedelta(seconds=self.dice.pick((0, 0, 0, -2)))  # brokers' clocks may go back a little
        time: datetime = self.asker.time + jitter
        key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
        header = (WRITER_HEADER, sign(Writer(writer, 1, KEYS[writer][1]), TOPIC, key, value))
        written = Written(lane, next(self._offsets[lane]), round(time.timestamp() * 1000), key, value, (header,))
        entry = self.reader.read(written)
        self.log.append(entry)
        work, replies = decide_batch(self.store, [entry])
        following = self.store.write(work)
        self._following += following
        self.replies += replies
        if isinstance(record.data, RunDue):
            self.models[lane].take(record, None if self.told else time, by_core=True)
            self._check_answers_of_slices(lane, record, replies)
            if not following:
                self.models[lane].all_that_is_due_has_happened()
            return
        answer = self.models[lane].take(record, None if self.told else time, by_core=writer == "core")
        self._check_answers_of_slices(lane, record, replies)
        said = [reply for reply in replies if reply.command == record.id]
        if said:
            check = check_tried if record.dryrun else check_answer
            check(answer, said[0], f"{'dry run of ' if record.dryrun else ''}{record.data!r} for {record.party}")
            learn_codes(self.models[lane], record, said[0])
        elif record.replyto is not None and answer.later is False:
            raise Wrong(f"{type(record.data).__name__} was not answered")
        elif record.replyto is not None:
            self._unanswered.add(record.id)

    def _check_answers_of_slices(self, lane: int, record: CommandRecord, replies: Sequence[Reply]) -> None:
        """The last slice of work answers the command that began it."""
        for reply in replies:
            if reply.command != record.id:
                check_answer(
                    self.models[lane].answered[reply.command][1], reply, f"{reply.command}, by its last slice,"
                )
                self._unanswered.remove(reply.command)

    def _settle(self) -> None:
        for _ in range(400):
            if self._following:
                self._decide(self._following.pop(0), "core")
                continue
            clocks = {lane: state.clock for lane, state in self.store.lanes.items()}
            late = [
                lane
                for lane, state in self.store.lanes.items()
                if state.next_due and state.next_due <= (clocks[lane] if self.told else self.asker.time)  # type: ignore[operator]
            ]
            if not late:
                return
            self._run_due(late[0])
        raise Wrong("what is due never ends")

    def _compare(self) -> None:
        if self._unanswered:
            raise Wrong(f"{self._unanswered} were never answered")
        rows: dict[str, KeptCampaign] = {}
        for row in self.store.campaigns.values():
            coupons = {
                number: KeptCoupon(
                    coupon.user,
                    STATE_NAMES[coupon.state],
                    coupon.reserved_order,
                    coupon.redemptions,
                    coupon.spent or 0,
                    coupon.reserved_units,
                )
                for number, coupon in self.store.coupons[row.number].items()
            }
            counters = {STATE_NAMES[state]: n for state, n in enumerate(row.counts) if n}
            money = (row.budget_reserved, row.budget_spent)
            kept = KeptCampaign(row.state, row.quantity, row.issued, row.exported, *money, counters, coupons)
            rows[row.text] = kept
        check_rows(self.models.values(), rows)
        for name, lines in self.store.lines.items():
            check_story(name, lines)


def simulate(seed: int, special: tuple[str, ...] = ()) -> None:
    """One life, and again in larger batches. Raises Wrong, or whatever core raised."""
    life = Life(seed, special=special)
    with short_slices():
        life.live()
        for most in BATCHES:
            life.again(most)
