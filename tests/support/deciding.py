"""A lane of coupon-core in memory: real records read, decided and journalled by the real code, no server.

    lane = MemoryLane("2026-03-10T12:00:00Z")
    campaign = lane.generate(quantity=10)
    lane.done(IssueCoupons(...), campaign=campaign)
    lane.refused(RedeemCoupon(...), campaign=campaign)      # the refusal's code

The view of one batch stands in for the database: it holds all there is. What PostgreSQL would find for a range
(what is due, what is to be voided) is found here by plain loops.
"""

import copy
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from contracts.answers import DeadLetter, Reply
from contracts.campaigns import Terms
from contracts.commands import (
    LANE_WIDE,
    AdvanceClock,
    CommandRecord,
    CouponReference,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PublishCampaign,
    RunDue,
    SetBuildingRules,
    SetMerchant,
    StopCampaign,
    VoidCampaign,
    VoidMatching,
    record_for,
)
from contracts.events import EVENT_RECORD, EventRecord, RefusalRecord
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import SCRIP, campaign_id, lane_key
from contracts.writers import WRITER_HEADER, Writer, sign, tool_key
from coupon_core.codes.generated import GeneratedCodes
from coupon_core.decide import decide
from coupon_core.lanes.reading import TOPIC, Reader
from coupon_core.lanes.writing import journal_rows
from coupon_core.model.campaign import HELD, RESERVED, VOIDED, Campaign, Coupon
from coupon_core.model.lane import Facts, LaneState
from coupon_core.model.selecting import ALL_OPEN, of_all
from coupon_core.storage.journal import COMMANDS, DEAD_LETTERS, EVENTS, REFUSALS
from coupon_core.work import DueRange, Entry, Work

MERCHANT = "0d9d1c8e-6f5b-5a0e-8f3e-2f1c7f6b9a11"
OTHER = "7b1f6a52-3c44-5d2a-9a57-60b3f1f2c9d0"
TOOL_MASTER = b"m" * 32
KEYS = {name: {1: name.encode() * 4} for name in ("gateway", "core", "adapter", "scheduler")}
CODES = GeneratedCodes({1: bytes(range(32))})
TERMS: dict[str, Any] = {
    "name": "Spring",
    "currency": "EUR",
    "discount": {"kind": "amount_off", "amount": 500},
    "validity": {"starts": "2026-03-01", "ends": "2026-03-31"},
}


def terms(**changes: Any) -> Terms:
    """Five euros off in March 2026 (UTC), with changes."""
    return Terms.model_validate_json(json.dumps(TERMS | changes))


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Written:
    """A record as a Kafka client gives it."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Died(Exception):
    """The command became a dead letter, which is the argument."""


@dataclass
class MemoryLane:
    """One lane, number 0 of one. `now` is the time of the records appended; tests move it."""

    start: str = "2026-03-10T12:00:00Z"
    told: bool = False
    slice: int = 5_000
    holds_continuations: bool = False
    """Keep core's own following commands in `held_back` instead of deciding them at once."""
    now: datetime = field(init=False)
    work: Work = field(init=False)
    events: list[EventRecord] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The events as they stand in the journal."""
    refusals: list[RefusalRecord] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    replies: list[tuple[str, int | None, Reply]] = field(default_factory=list)
    held_back: list[CommandRecord] = field(default_factory=list)
    offset: int = 0

    def __post_init__(self) -> None:
        self.now = instant(self.start)
        self.work = Work({0: LaneState(0, None, 0, 0, 0, Facts())}, self.told, 1, CODES)
        self.reader = Reader(1, KEYS, TOOL_MASTER)

    # --- commands in

    def record(
        self,
        command: Contract,
        *,
        campaign: UUID | str | None = None,
        party: str = PLATFORM,
        id: UUID | None = None,
        **more: Any,
    ) -> CommandRecord:
        """The record of a command, answered on coupon.replies."""
        envelope = {
            "id": id or uuid5(SCRIP, f"test {self.offset}"),
            "source": "/test",
            "subject": lane_key(0) if type(command) in LANE_WIDE else str(campaign),
            "party": party,
            "actor": "staff:test" if party == PLATFORM else f"merchant:{party}/till",
            "notafter": self.now + timedelta(minutes=5),
            "replyto": "coupon.replies",
            "replypartition": 0,
        }
        return record_for(command, **(envelope | more))

    def append(self, key: bytes | None, value: bytes | None, *headers: tuple[str, bytes], partition: int = 0) -> Entry:
        """Put a record into the log as it is and decide it, and the continuations that follow."""
        written = Written(partition, self.offset, round(self.now.timestamp() * 1000), key, value, headers)
        self.offset += 1
        entry = self.reader.read(written)
        entry.partition = 0
        self._decide(entry)
        return entry

    def append_record(self, record: CommandRecord, writer: str = "gateway") -> Entry:
        """Sign a command as the writer named (`tool:<name>` too) and decide it."""
        key, value = record.subject.encode(), record.model_dump_json(exclude_none=True).encode()
        secret = tool_key(TOOL_MASTER, writer[5:], 1) if writer.startswith("tool:") else KEYS[writer][1]
        return self.append(key, value, (WRITER_HEADER, sign(Writer(writer, 1, secret), TOPIC, key, value)))

    def send(self, command: Contract | CommandRecord, *, writer: str = "gateway", **envelope: Any) -> Reply:
        """Decide a command; its reply. Raises Died when it became a dead letter."""
        record = command if isinstance(command, CommandRecord) else self.record(command, **envelope)
        dead, replies = len(self.dead), len(self.replies)
        self.append_record(record, writer)
        if len(self.dead) > dead:
            raise Died(self.dead[-1])
        answers = [reply for _, _, reply in self.replies[replies:] if reply.command == record.id]
        assert len(answers) == 1, f"{type(record.data).__name__} was answered {len(answers)} times"
        return answers[0]

    def done(self, command: Contract | CommandRecord, **arguments: Any) -> dict[str, Any]:
        """The result of a command that must be done."""
        reply = self.send(command, **arguments)
        assert reply.status == "done", reply
        return reply.result or {}

    def refused(self, command: Contract | CommandRecord, **arguments: Any) -> str:
        """The code of a command that must be refused."""
        reply = self.send(command, **arguments)
        assert reply.refusal is not None, reply
        return reply.refusal.code

    def pass_time(self, to: str | timedelta) -> None:
        """Record time goes on; what became due happens as the lane's owner makes it happen."""
        self.now = self.now + to if isinstance(to, timedelta) else instant(to)
        for _ in range(1_000):
            due = self.state.next_due
            if due is None or due > self.now:
                return
            record = self.record(RunDue(partition=0, until=self.now), actor="service:core", replyto=None)
            self.append_record(record, "core")
        raise AssertionError("what is due never ends")

    # --- shorter ways to what tests need

    @property
    def state(self) -> LaneState:
        return self.work.lanes[0]

    def activate(self, *merchants: str, state: str = "active") -> None:
        """Tell the lane a merchant's state."""
        for merchant in merchants:
            version = self.state.facts.merchants.get(merchant, (0, ""))[0] + 1
            self.done(
                SetMerchant.model_validate({**VERSIONED, "merchant": merchant, "version": version, "state": state})
            )

    def make_partners(self, owner: str, *partners: str) -> None:
        """Let campaigns of this merchant name the others in `redeemable_by` and `senders`."""
        rules = {"partition": 0, "party": owner, "version": 1, "rules": {"partners": partners}}
        self.done(SetBuildingRules.model_validate(rules))

    def generate(
        self,
        name: str = "spring",
        *,
        quantity: int | None = 100,
        supply: Any = None,
        party: str = PLATFORM,
        **changes: Any,
    ) -> UUID:
        """A campaign made by GenerateCampaign; its id."""
        fields = {"terms": terms(**changes), "quantity": quantity} | ({} if supply is None else {"supply": supply})
        campaign = campaign_id(party, name)
        self.done(GenerateCampaign.model_validate(fields), campaign=campaign, party=party)
        return campaign

    def publish(
        self,
        supply: dict[str, Any],
        name: str = "bread",
        *,
        quantity: int | None = None,
        party: str = MERCHANT,
        **changes: Any,
    ) -> UUID:
        """A merchant's own campaign; its id. The merchant is made active where it is unknown."""
        if party not in self.state.facts.merchants:
            self.activate(party)
        campaign = campaign_id(party, name)
        fields = {"terms": terms(**changes), "supply": supply, "quantity": quantity}
        self.done(PublishCampaign.model_validate(fields), campaign=campaign, party=party)
        return campaign

    def issue(self, campaign: UUID, *users: str, party: str | None = None) -> list[dict[str, Any]]:
        """One coupon each; the rows of the answer."""
        rows = tuple(IssueRow(user=user) for user in users)
        result = self.done(IssueCoupons(rows=rows), campaign=campaign, party=party or self.campaign(campaign).owner)
        assert result["refused"] == 0, result
        issued: list[dict[str, Any]] = result["rows"]
        return issued

    def campaign(self, campaign: UUID) -> Campaign:
        return self.work.campaigns[campaign]

    def coupon(self, campaign: UUID, number: int = 1) -> Coupon:
        return self.work.coupons[self.campaign(campaign).number, number]

    def kinds(self, campaign: UUID | None = None) -> list[str]:
        """The types of the events so far, `scrip.` and `.v1` left out."""
        stream = None if campaign is None else f"{campaign}/0"
        return [event.type[6:-3] for event in self.events if stream in (None, event.stream)]

    def counters(self, campaign: UUID) -> dict[str, int]:
        """The ledger of a campaign, checked."""
        kept = self.campaign(campaign)
        names = ("held", "reserved", "redeemed", "burned", "voided", "expired")
        counted = dict(zip(names, kept.counts[1:], strict=True))
        assert kept.issued == sum(counted.values())
        coupons = [coupon for (number, _), coupon in self.work.coupons.items() if number == kept.number]
        codes = sum(count for number, _, _, count in self.work.new_voids if number == kept.number)
        rows = [sum(coupon.state == state for coupon in coupons) for state in range(1, 7)]
        rows[VOIDED - 1] += codes
        assert kept.counts[1:] == rows
        return {name: count for name, count in counted.items() if count}

    # --- as the loop does it

    def _decide(self, entry: Entry) -> None:
        work = self.work
        if entry.dead is None and entry.record is not None and entry.record.dryrun:
            self._try(entry)
            return
        self._load_range(entry)
        decide(work, entry)
        continuations = list(work.continuations)
        for row in journal_rows(work):
            if row.kind == EVENTS:
                self.lines += row.lines
                self.events += [EVENT_RECORD.validate_json(line) for line in row.lines]
            elif row.kind == REFUSALS:
                self.refusals += [RefusalRecord.model_validate_json(line) for line in row.lines]
            elif row.kind == DEAD_LETTERS:
                self.dead += [DeadLetter.model_validate_json(line) for line in row.lines]
            else:
                assert row.kind == COMMANDS
        self.replies += work.replies
        work.recorders, work.refusals, work.dead = {}, [], []
        work.replies, work.continuations, work.new_outcomes = [], [], []
        for _, record in continuations:
            if self.holds_continuations:
                self.held_back.append(record)
            else:
                self.append_record(record, "core")

    def _try(self, entry: Entry) -> None:
        """As the lane does it: on a view of its own, of which only the answer stays."""
        kept = self.work
        self.work = copy.deepcopy(kept, {id(kept.codes): kept.codes, id(entry): entry})
        try:
            self._load_range(entry)
            decide(self.work, entry)
            self.replies += self.work.replies
        finally:
            self.work = kept

    def _load_range(self, entry: Entry) -> None:
        self.work.due = self.work.selection = None
        if entry.record is None or entry.dead is not None:
            return
        if isinstance(entry.record.data, RunDue):
            self.work.due = self._due()
        elif isinstance(entry.record.data, AdvanceClock):
            times = [campaign.next_due for campaign in self.work.campaigns.values() if campaign.next_due is not None]
            self.state.next_due = min(times, default=None)
        elif isinstance(entry.record.data, VoidMatching):
            self._select(entry, entry.record.data, dry_run=entry.record.dryrun)
        elif entry.record.dryrun and isinstance(entry.record.data, VoidCampaign | StopCampaign):
            self._select(entry, VoidMatching(matching=ALL_OPEN, reason="counted"), dry_run=True)
        elif isinstance(entry.record.data, VoidCampaign):
            campaign = self.work.campaigns.get(entry.campaign_id())
            if campaign is None:
                return
            left = self._open(campaign, entry.record.data.after)
            self.work.due = DueRange([(campaign, left[: self.slice])], more=len(left) > self.slice)

    def _select(self, entry: Entry, command: VoidMatching, *, dry_run: bool) -> None:
        campaign = self.work.campaigns.get(entry.campaign_id())
        if campaign is None:
            return
        number = campaign.number
        coupons = {place: coupon for (of, place), coupon in self.work.coupons.items() if of == number}
        ranges = self.work.exported.get(number, []), self.work.voided.get(number, [])
        now = max(self.state.clock or self.now, self.now)
        self.work.selection = of_all(campaign, coupons, *ranges, command, self.slice, dry_run=dry_run, now=now)

    def _open(self, campaign: Campaign, after: int) -> list[Coupon]:
        coupons = sorted(self.work.coupons.items())
        return [
            coupon
            for (number, place), coupon in coupons
            if number == campaign.number and place > after and coupon.state in (HELD, RESERVED)
        ]

    def _due(self) -> DueRange:
        """One campaign a slice: the first in which something is due."""
        now = (self.state.clock or self.now) if self.told else max(self.state.clock or self.now, self.now)
        waiting = [campaign for campaign in self.work.campaigns.values() if campaign.next_due is not None]
        due = sorted((c for c in waiting if c.next_due and c.next_due <= now), key=lambda c: (c.next_due, c.number))
        later = min((c.next_due for c in waiting if c.next_due and c.next_due > now), default=None)
        if not due:
            return DueRange([], more=False, next_due=later)
        campaign = due[0]
        coupons = self._open(campaign, campaign.swept if now >= campaign.ends else 0)
        self.work.next_due = {}
        if now < campaign.ends:
            ahead = [coupon.due_at for coupon in coupons if coupon.due_at and coupon.due_at > now]
            coupons = [coupon for coupon in coupons if coupon.due_at and coupon.due_at <= now]
            coupons.sort(key=lambda coupon: (coupon.due_at, coupon.number))
            still = [coupon.due_at for coupon in coupons[self.slice :] if coupon.due_at] + ahead
            if still:
                self.work.next_due[campaign.number] = min(still)
        more = len(due) > 1 or len(coupons) > self.slice
        return DueRange([(campaign, coupons[: self.slice])], more=more, next_due=None if more else later)


VERSIONED = {"partition": 0, "version": 1}


def by_number(number: int = 1) -> CouponReference:
    return CouponReference(number=number)


def by_code(code: str, user: str | None = None) -> CouponReference:
    return CouponReference(code=code, user=user)
