"""The view of a batch: what was loaded and decided, what must be written. Operations change it, in memory only."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.answers import Reply
from contracts.commands import CommandRecord
from contracts.refusals import CampaignNotFound, Refusal
from contracts.topics import COUPON_REPLIES
from coupon_core.codes.generated import GeneratedCodes
from coupon_core.model.campaign import Campaign, Coupon, Redemption
from coupon_core.model.lane import LaneState
from coupon_core.model.periods import Period
from coupon_core.model.recording import Cause, Recorder
from coupon_core.model.refused import Refused
from coupon_core.model.selecting import Selection

RUNNING, DONE, REFUSED, DEAD = 0, 1, 2, 3
OUTCOME_LIFE = timedelta(days=35)
"""For so long, of lane clock, the same command id gets the first answer."""


@dataclass(slots=True, eq=False)
class Entry:
    """One record of `coupon.commands`, read but not yet decided. `dead` says why it cannot be."""

    partition: int
    offset: int
    time: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    record: CommandRecord | None = None
    writer: str | None = None
    """Who signed it; of a redrive, who signed the command that died."""
    writer_version: int = 0
    redriven: bool = False
    hash: int = 0
    effects: int = 1
    dead: tuple[str, str] | None = None
    """Reason and detail."""
    campaign: UUID | None = None

    def campaign_id(self) -> UUID:
        """The campaign the record is keyed by; only for records of campaigns."""
        if self.campaign is None:
            raise ValueError("this record is lane-wide")
        return self.campaign


@dataclass(slots=True)
class Outcome:
    """What became of a command in its lane. `body` is the result, or the refusal, as JSON-ready values."""

    partition: int
    command: UUID
    campaign: UUID | None
    hash: int
    status: int
    at: datetime
    body: dict[str, Any] | None
    replayed: bool = False
    position: int | None = None
    """Where in its lane's log the command stands that was decided."""


@dataclass(slots=True)
class StoredRefusal:
    """A refusal to be kept and told; `row` None: of the whole command."""

    entry: Entry
    row: int | None
    at: datetime
    refusal: Refusal
    user: str | None = None
    order: str | None = None
    coupon: int | None = None
    seq: int | None = None
    """The latest event of the campaign by then; None: there was no campaign."""


@dataclass(slots=True)
class PeriodCount:
    """Coupons issued in one period of a campaign, and how many may be at most."""

    campaign: int
    period: Period
    first: date
    begins: datetime
    ends: datetime
    issued: int
    most: int
    changed: bool = False


@dataclass(slots=True)
class UploadedCode:
    """A code of an uploaded supply; `position` becomes the coupon's number."""

    position: int
    code: str
    shown: str
    taken: bool = False


@dataclass(slots=True)
class DueRange:
    """A slice of coupons in a stated order; `more` says another slice is needed.

    The order: campaigns by their due time, then number; of a campaign that is over, coupons by number; of one that
    goes on, by their own due time, then number.
    """

    parts: list[tuple[Campaign, list[Coupon]]]
    more: bool
    next_due: datetime | None = None
    """The lane's earliest due time after this slice's end, when there is no more."""


@dataclass
class Work:
    """Everything one batch touches. Keys with a campaign use its number."""

    lanes: dict[int, LaneState]
    told: bool
    partitions: int
    codes: GeneratedCodes
    campaigns: dict[UUID, Campaign] = field(default_factory=dict)
    coupons: dict[tuple[int, int], Coupon] = field(default_factory=dict)
    by_user: dict[tuple[int, str], list[Coupon]] = field(default_factory=dict)
    """In order of their numbers."""
    loaded_users: set[tuple[int, str]] = field(default_factory=set)
    """Keys of `by_user` that hold all there is; others hold only what this batch made."""
    by_code: dict[tuple[int, str], Coupon | None] = field(default_factory=dict)
    """Coupons by normal code for uploaded and given supplies; a None was looked for and is not there."""
    uploaded: dict[tuple[int, str], UploadedCode | None] = field(default_factory=dict)
    free_codes: dict[int, list[UploadedCode]] = field(default_factory=dict)
    """Uploaded codes not given out, next first."""
    blocks: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Block of serials → (campaign number, index, key version)."""
    block_at: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """(campaign number, index) → block, key version."""
    next_codes: dict[int, deque[str]] = field(default_factory=dict)
    """Generated codes of the numbers that follow a campaign's last one, computed ahead."""
    made_codes: dict[tuple[int, int], str] = field(default_factory=dict)
    """Of coupons made in this batch, by (campaign number, coupon number): a reply need not compute them once more."""
    expected: dict[int, int] = field(default_factory=dict)
    """How many numbers this segment may take, by campaign."""
    exported: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Exported ranges of coupon numbers."""
    voided: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Ranges of exported codes that became void: all numbers in them of which there is no coupon."""
    next_due: dict[int, datetime] = field(default_factory=dict)
    """Campaign → the earliest due time of a coupon after this slice, loaded for the barrier being decided."""
    period_counts: dict[tuple[int, Period, date], PeriodCount] = field(default_factory=dict)
    """By campaign, period and its first day. What is not here and lies after the lane's clock as loaded is 0."""
    redemptions: dict[tuple[int, int], list[Redemption]] = field(default_factory=dict)
    outcomes: defaultdict[int, dict[UUID, Outcome]] = field(default_factory=lambda: defaultdict(dict))
    """By lane and command: an id in the log of another lane is another command, as no order joins the two."""
    recorders: dict[UUID, Recorder] = field(default_factory=dict)
    new_outcomes: list[Outcome] = field(default_factory=list)
    refusals: list[StoredRefusal] = field(default_factory=list)
    not_kept: int = 0
    """Refusals that are only counted: of codes that arithmetic alone refuses."""
    dead: list[tuple[Entry, str, str]] = field(default_factory=list)
    replies: list[tuple[str, int | None, Reply]] = field(default_factory=list)
    continuations: list[tuple[int, CommandRecord]] = field(default_factory=list)
    new_codes: list[tuple[int, UploadedCode]] = field(default_factory=list)
    taken_codes: list[tuple[int, int]] = field(default_factory=list)
    new_blocks: list[tuple[int, int, int, int]] = field(default_factory=list)
    new_exports: list[tuple[int, int, int]] = field(default_factory=list)
    new_voids: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(campaign number, first, last, how many codes)."""
    changed_facts: list[tuple[int, str, str, int, str, int]] = field(default_factory=list)
    """(lane, kind, key, version, data, position of the command that told it)."""
    due: DueRange | None = None
    """What the barrier being decided ranges over, loaded for it."""
    selection: Selection | None = None
    """What the void by filter being decided means, loaded for it."""

    def clock_at(self, entry: Entry) -> datetime | None:
        """What the lane's clock reads once this record has come; None while told time was never told."""
        clock = self.lanes[entry.partition].clock
        if not self.told:
            return entry.time if clock is None or entry.time > clock else clock
        at = entry.record.at if entry.record is not None else None
        return at if at is not None and clock is not None and at > clock else clock

    def answered_at(self, entry: Entry) -> tuple[str, int | None] | None:
        """Topic and partition on which the writer is answered: services on the replies topic, tools on their own.

        None: it asks for no answer, or for one where it may not be answered.
        """
        record, writer = entry.record, entry.writer or ""
        if record is None or record.replyto is None:
            return None
        if writer.startswith("tool:"):
            tool = self.lanes[entry.partition].facts.tools.get(writer[5:])
            known = tool is not None and tool.reply_topic == record.replyto
            return (record.replyto, None) if known else None  # a partition that does not exist must not hold up others
        return (record.replyto, record.replypartition) if record.replyto == COUPON_REPLIES.name else None

    def recorder(self, campaign: Campaign) -> Recorder:
        """The campaign's recorder in this batch."""
        found = self.recorders.get(campaign.id)
        if found is None:
            found = self.recorders[campaign.id] = Recorder(campaign)
        return found

    def add_coupon(self, campaign: Campaign, coupon: Coupon) -> None:
        """Take a new coupon into the view; the campaign's counters are the caller's."""
        coupon.new = True
        self.coupons[campaign.number, coupon.number] = coupon
        if coupon.user is not None:
            held = self.by_user.setdefault((campaign.number, coupon.user), [])
            insort(held, coupon, key=lambda each: each.number)  # of an exported or uploaded code: not the greatest
        if coupon.code is not None:
            self.by_code[campaign.number, coupon.code] = coupon

    def set_due(self, campaign: Campaign, due: datetime | None) -> None:
        """Say when something is next due in a campaign; the lane's own earliest time follows."""
        campaign.next_due = due
        campaign.changed = True
        lane = self.lanes[campaign.partition]
        if due is not None and (lane.next_due is None or due < lane.next_due):
            lane.next_due = due

    def note_due(self, campaign: Campaign, due: datetime) -> None:
        """Say that something is due in a campaign at that moment; what is due earlier stays the next."""
        if campaign.next_due is None or due < campaign.next_due:
            self.set_due(campaign, due)


@dataclass(slots=True)
class Call:
    """One command being decided: what an operation is given."""

    work: Work
    entry: Entry
    record: CommandRecord
    command: Any
    party: str
    now: datetime
    cause: Cause
    lane: LaneState

    def campaign(self) -> Campaign:
        """The campaign the command names, for those who may know of it.

        Raises:
            Refused: there is none, or it is not this party's business.
        """
        found = self.work.campaigns.get(self.entry.campaign_id())
        if found is None or not found.visible_to(self.party):
            raise Refused(CampaignNotFound())
        return found

    def own_campaign(self) -> Campaign:
        """The campaign the command names, for its owner only."""
        found = self.campaign()
        if found.owner != self.party:
            raise Refused(CampaignNotFound())
        return found

    def by_staff_of(self, campaign: Campaign) -> bool:
        """Whether a person of the campaign's owner asks, not a till, an app or a tool."""
        return self.party == campaign.owner and self.record.actor.startswith("staff:")

    def refuse(self, row: int | None, no: Refused, user: str | None = None, order: str | None = None) -> dict[str, Any]:
        """Keep the refusal of one row of a bulk command, or of all of it (None), or count it where it is not to be
        kept; returns it as it stands in the answer.
        """
        if no.kept:
            self._keep_refusal(row, no.refusal, user, order, no.coupon)
        else:
            self.work.not_kept += 1
        return no.told.as_json()

    def refuse_row(self, row: int, refusal: Refusal, user: str | None = None) -> dict[str, Any]:
        """Keep the refusal of one row of a bulk command; returns it as it stands in the answer."""
        self._keep_refusal(row, refusal, user, None, None)
        return refusal.as_json()

    def _keep_refusal(
        self, row: int | None, refusal: Refusal, user: str | None, order: str | None, coupon: int | None
    ) -> None:
        """With the campaign's place in its history."""
        campaign = None if self.entry.campaign is None else self.work.campaigns.get(self.entry.campaign)
        seq = None if campaign is None else campaign.seq
        self.work.refusals.append(StoredRefusal(self.entry, row, self.now, refusal, user, order, coupon, seq))
