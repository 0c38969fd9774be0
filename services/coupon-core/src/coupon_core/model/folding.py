"""A campaign and its coupons as its events tell them, up to a moment: events folded from the first one on.

What the lanes wrote into the tables follows from the events; a test folds every campaign of a story and compares.
Not in the events, and so not folded: codes, and the lane's own marks (`swept`, `next_due`, the campaign's number).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts import events
from contracts.campaigns import CodePattern, Terms
from contracts.events import ENDS, EVENT_TYPES
from contracts.fields import Fact
from coupon_core.codes.generated import normalise
from coupon_core.model.campaign import (
    BURNED,
    EXPIRED,
    HELD,
    RESERVED,
    STATE_NUMBERS,
    VOIDED,
    Campaign,
    Coupon,
    Redemption,
)
from coupon_core.model.chain import linked

LINE = re.compile(
    rb'^\{"specversion":"1\.0","id":"[^"]+:(\d+)","source":"/coupon-core","type":"([^"]+)",'
    rb'"subject":"[^".]+(?:\.(\d+))?","time":"([^"]+)".*$',
    re.MULTILINE,
)
"""An event: sequence number, type, coupon number, time. Anchored to the line: no text within one can look like it."""
ISSUED = EVENT_TYPES[events.CouponIssued]
ENDS_IN = {EVENT_TYPES[event]: STATE_NUMBERS[state] for event, state in ENDS.items()}
"""By type, the state a coupon is in afterwards; types that are not here leave a coupon of one use as it was."""


@dataclass(frozen=True, slots=True)
class CausedBy:
    """The event that made something what it was, and the command and actor behind it."""

    seq: int
    event: str
    command: str
    actor: str
    at: datetime


@dataclass(slots=True)
class Told:
    """One event while it is folded."""

    seq: int
    kind: str
    coupon: int
    """0: of the campaign itself."""
    at: datetime
    event: dict[str, Any]
    """The whole event; empty for those of coupons that are only counted."""

    @property
    def data(self) -> dict[str, Any]:
        """What the event says."""
        data: dict[str, Any] = self.event["data"]
        return data

    @property
    def caused_by(self) -> CausedBy:
        """The command and the actor."""
        return CausedBy(self.seq, self.kind, self.event["causationid"], self.event["actor"], self.at)


@dataclass
class Folding:
    """Folds a campaign's events in order, from the first. `upto` and `until`: the last event that counts.

    `wanted`: numbers of the coupons that are kept whole (None: all). Of the others the state alone is kept where that
    suffices for the campaign's counters; nothing with `only_wanted`, which leaves the counters meaningless.
    """

    id: UUID
    wanted: Collection[int] | None = ()
    only_wanted: bool = False
    upto: int | None = None
    until: datetime | None = None
    number: int = 0
    """The campaign's own number, of the tables; coupons and redemptions name it."""
    partition: int = 0
    campaign: Campaign | None = None
    coupons: dict[int, Coupon] = field(default_factory=dict)
    redemptions: dict[int, list[Redemption]] = field(default_factory=dict)
    exported: list[tuple[int, int]] = field(default_factory=list)
    voided: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of exported codes that became void while nobody held them."""
    caused_of: dict[int, CausedBy] = field(default_factory=dict)
    """Of the wanted coupons."""
    over: bool = False
    """An event beyond the moment was met; no later one can count."""
    issues: list[datetime] = field(default_factory=list)
    """When coupons were issued, in order; kept only where the campaign counts them by period."""
    _states: dict[int, int] = field(default_factory=dict)
    """Of coupons that are only counted."""
    _line: bytes = b""

    def take(self, lines: bytes) -> None:
        """Fold further events: lines as they stand in the journal, in order."""
        text, at = b"", datetime.min
        for line in LINE.finditer(lines):
            seq, kind, coupon = int(line[1]), line[2].decode(), int(line[3] or 0)
            if line[4] != text:
                text, at = line[4], datetime.fromisoformat(line[4].decode())
            if (self.upto is not None and seq > self.upto) or (self.until is not None and at > self.until):
                self.over = True
                break
            wanted = coupon == 0 or self.wanted is None or coupon in self.wanted
            if wanted or not self.only_wanted:
                if wanted or self._at_work().counts_units:
                    told = Told(seq, kind, coupon, at, json.loads(line[0]))
                    _FOLD[kind](self, told)
                    if coupon and wanted:
                        self.caused_of[coupon] = told.caused_by
                else:
                    self._count(kind, coupon)
                if kind == ISSUED and self._at_work().counted:
                    self.issues.append(at)
            campaign, self._line = self._at_work(), line[0]
            campaign.seq = seq
            if not self.only_wanted:
                campaign.chain = linked(campaign.chain, (line[0],))

    @property
    def caused(self) -> CausedBy | None:
        """What the campaign's latest event was, and who is behind it."""
        if not self._line:
            return None
        event = json.loads(self._line)
        return Told(event["seq"], event["type"], 0, datetime.fromisoformat(event["time"]), event).caused_by

    def knows(self, number: int) -> bool:
        """Whether the coupon had come into being."""
        return number in self.coupons or number in self._states

    # --- what happens to a campaign

    def _at_work(self) -> Campaign:
        if self.campaign is None:
            raise ValueError("the first event of a campaign says that it was created")
        return self.campaign

    def create(self, told: Told) -> None:
        data, event = told.data, told.event
        terms = Terms.model_validate_json(json.dumps(data["terms"]))
        self.campaign = Campaign(
            number=self.number,
            id=self.id,
            partition=self.partition,
            owner=event["owner"],
            origin=event["origin"],
            state="draft",
            terms=terms,
            supply=data["supply"],
            code=data["code"],
            code_normal=None if data["code"] is None else normalise(data["code"]),
            listed=terms.listed,
            quantity=data["quantity"],
            starts=datetime.fromisoformat(data["starts"]),
            ends=datetime.fromisoformat(data["ends"]),
            created_at=told.at,
            budget=terms.budget,
            pattern=None if data.get("pattern") is None else CodePattern.model_validate(data["pattern"]),
            key_version=data.get("key_version"),
        )

    def set_state(self, state: Any) -> None:
        self._at_work().state = state

    def amend(self, told: Told) -> None:
        campaign, data = self._at_work(), told.data
        before = campaign.terms.model_dump(mode="json") | {"listed": campaign.listed}  # it may have been unpublished
        campaign.terms = Terms.model_validate_json(json.dumps(before | data["after"]))
        campaign.starts, campaign.ends = datetime.fromisoformat(data["starts"]), datetime.fromisoformat(data["ends"])
        campaign.listed = campaign.terms.listed
        campaign.budget = campaign.terms.budget
        campaign.look_up_terms()

    def begin_generating(self, told: Told) -> None:
        self._at_work().state = "generating"
        if told.data["total"] is not None:  # codes are written down
            self._at_work().job_began = told.at

    def write_down(self, done: int) -> None:
        """Codes up to this number are written down; more there are where some were uploaded."""
        campaign = self._at_work()
        done = max(done, campaign.last_number)
        campaign.available += done - campaign.last_number
        campaign.last_number = done

    def generated(self, told: Told) -> None:
        campaign = self._at_work()
        campaign.state = "active"
        if campaign.writes_codes_down():
            self.write_down(told.data["quantity"])

    def give_up(self, told: Told) -> None:
        self._at_work().state = "failed"
        self.write_down(told.data["done"])

    def publish(self, told: Told) -> None:
        self._at_work().state, self._at_work().listed = "active", told.data["listed"]

    def unpublish(self, told: Told) -> None:
        self._at_work().listed = False

    def change_quantity(self, told: Told) -> None:
        campaign = self._at_work()
        before, campaign.quantity = campaign.quantity or 0, told.data["after"]
        if (
            campaign.writes_codes_down()
            and campaign.state != "draft"
            and before <= campaign.last_number < told.data["after"]
        ):
            campaign.job_began, campaign.job_from = told.at, campaign.last_number

    def upload(self, told: Told) -> None:
        self._at_work().available = told.data["available"]
        self._at_work().last_number += told.data["accepted"]

    def export(self, told: Told) -> None:
        first, last = told.data["first"], told.data["last"]
        self.exported.append((first, last))
        self._at_work().export(last - first + 1)
        self._at_work().last_number = last

    def void_codes(self, told: Told) -> None:
        self.voided.append((told.data["first"], told.data["last"]))
        self._at_work().void_codes(told.data["count"])

    # --- what happens to a coupon

    def _count(self, kind: str, number: int) -> None:
        """The campaign's counters alone, for a coupon of one use and no budget."""
        campaign = self._at_work()
        before = self._states.get(number)
        state = ENDS_IN.get(kind, before)
        if before is None:
            self._appear(number, issued=kind == ISSUED)
            before = HELD
        if state is not None:
            campaign.counts[before] -= 1
            campaign.counts[state] += 1
            self._states[number] = state

    def _appear(self, number: int, *, issued: bool) -> None:
        """A coupon comes into being: issued, or a bearer code is used for the first time."""
        campaign = self._at_work()
        campaign.add(HELD)
        if campaign.supply == "uploaded":
            campaign.available -= 1
        elif issued:
            campaign.last_number = max(campaign.last_number, number)
        else:
            campaign.export(-1)

    def _coupon(self, told: Told, *, issued: bool = False) -> Coupon:
        number = told.coupon
        found = self.coupons.get(number)
        if found is None:
            self._appear(number, issued=issued)
            found = self.coupons[number] = Coupon(self.number, number, told.data["user"], HELD, 0, told.at)
            found.due_at = self._at_work().own_end(found)
        return found

    def _move(self, coupon: Coupon, state: int) -> None:
        campaign = self._at_work()
        campaign.move(coupon, state)
        if state != RESERVED:
            coupon.reserved_order = coupon.reserved_units = None
            coupon.due_at = campaign.own_end(coupon) if state == HELD else None

    def issue(self, told: Told) -> None:
        self._coupon(told, issued=True)

    def reserve(self, told: Told) -> None:
        coupon, terms = self._coupon(told), self._at_work().terms
        self._move(coupon, RESERVED)
        coupon.reserved_order = told.data["order"]
        coupon.due_at = datetime.fromisoformat(told.data["until"])
        coupon.reserved_units = told.data.get("amount") or (1 if terms.uses > 1 else None)

    def use(self, told: Told) -> None:
        coupon, campaign, data = self._coupon(told), self._at_work(), told.data
        discount: int = data["discount"] or 0
        campaign.use(coupon, self._units(discount), discount)
        state = STATE_NUMBERS[data.get("state", "redeemed")]
        if coupon.state != state:
            self._move(coupon, state)
        coupon.redemptions = data["redemption"]
        row = Redemption(
            campaign=self.number,
            coupon=told.coupon,
            number=data["redemption"],
            order=data["order"],
            amount=data["amount"],
            discount=data["discount"],
            party=data["at_party"],
            actor=told.event["actor"],
            at=told.at,
            command=UUID(told.event["causationid"]),
        )
        self.redemptions.setdefault(told.coupon, []).append(row)

    def give_back(self, told: Told, *, restored: bool, state: int | None = None) -> None:
        coupon, campaign, data = self._coupon(told), self._at_work(), told.data
        (row,) = [row for row in self.redemptions[told.coupon] if row.number == data["redemption"]]
        amount: int = row.left() if data.get("amount") is None else data["amount"]
        units = self._units(amount)
        row.returned = (row.returned or 0) + amount
        row.restored = (row.restored or 0) + (units if restored else 0)
        row.return_reason = data["reason"]
        if row.left() == 0:
            row.returned_at = told.at
        if campaign.budget is not None:
            campaign.budget_spent -= amount
        if restored:
            campaign.restore(coupon, units)
        if state is not None:
            self._move(coupon, state)

    def _units(self, amount: int) -> int:
        """How many units of a coupon a discount takes."""
        return amount if self._at_work().gift else 1

    def void(self, told: Told) -> None:
        self._move(self._coupon(told), VOIDED)

    def release(self, told: Told) -> None:
        self._move(self._coupon(told), HELD)

    def expire(self, told: Told) -> None:
        self._move(self._coupon(told), EXPIRED)


Fold = Callable[[Folding, Told], None]


def _state(name: str) -> Fold:
    return lambda folding, told: folding.set_state(name)


FOLD: dict[type[Fact], Fold] = {
    events.CampaignCreated: Folding.create,
    events.CampaignAmended: Folding.amend,
    events.CampaignGenerationStarted: Folding.begin_generating,
    events.CampaignGenerationProgressed: lambda folding, told: folding.write_down(told.data["done"]),
    events.CampaignGenerationFailed: Folding.give_up,
    events.CampaignGenerated: Folding.generated,
    events.CampaignPublished: Folding.publish,
    events.CampaignUnpublished: Folding.unpublish,
    events.CampaignPaused: _state("paused"),
    events.CampaignResumed: lambda folding, told: folding.set_state(told.data["state"]),
    events.CampaignExhausted: _state("exhausted"),
    events.CampaignReplenished: _state("active"),
    events.CampaignLimitReached: lambda folding, told: None,
    events.CampaignPoolLow: lambda folding, told: None,
    events.CampaignQuantityChanged: Folding.change_quantity,
    events.CampaignStopped: _state("stopped"),
    events.CampaignEnded: _state("ended"),
    events.CodesUploaded: Folding.upload,
    events.CodesExported: Folding.export,
    events.CodesVoided: Folding.void_codes,
    events.CouponIssued: Folding.issue,
    events.CouponReserved: Folding.reserve,
    events.CouponReleased: Folding.release,
    events.CouponUsed: Folding.use,
    events.CouponRedeemed: Folding.use,
    events.CouponReturned: lambda folding, told: folding.give_back(told, restored=True, state=HELD),
    events.CouponRefunded: lambda folding, told: folding.give_back(told, restored=told.data["restored"]),
    events.CouponBurned: lambda folding, told: folding.give_back(told, restored=False, state=BURNED),
    events.CouponVoided: Folding.void,
    events.CouponExpired: Folding.expire,
}
"""What each event changes; every type of `EVENT_TYPES` stands here."""
_FOLD = {EVENT_TYPES[event]: fold for event, fold in FOLD.items()}
