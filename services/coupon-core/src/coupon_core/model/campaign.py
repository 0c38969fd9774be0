"""A campaign with its counters, a coupon and its redemptions, as they stand while a batch is decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.campaigns import CampaignState, CodePattern, Eligibility, GiftCard, Origin, Terms
from contracts.fields import PLATFORM
from contracts.identifiers import coupon_id
from coupon_core.model.validity import coupon_span
from coupon_core.model.worth import capacity, greatest_discount, in_parts

HELD, RESERVED, REDEEMED, BURNED, VOIDED, EXPIRED = 1, 2, 3, 4, 5, 6
STATE_NAMES = {
    HELD: "held",
    RESERVED: "reserved",
    REDEEMED: "redeemed",
    BURNED: "burned",
    VOIDED: "voided",
    EXPIRED: "expired",
}
STATE_NUMBERS = {name: state for state, name in STATE_NAMES.items()}
LIVE_STATES = ("active", "paused", "exhausted")


@dataclass(slots=True, eq=False)
class Coupon:
    """One coupon. `number` is its number in the campaign, from 1; `state` one of the constants above."""

    campaign: int
    number: int
    user: str | None
    state: int
    redemptions: int
    issued_at: datetime
    code: str | None = None
    reserved_order: str | None = None
    due_at: datetime | None = None
    """Earliest moment at which something happens to this very coupon (a reservation or its own time runs out)."""
    spent: int | None = None
    """Units (`model.worth`) taken and not restored; None where its campaign does not count them, or none yet."""
    reserved_units: int | None = None
    """How many the reserving order holds; None: all there are."""
    new: bool = False
    changed: bool = False
    beyond_state: bool = False
    """More than its state is another than in its row: a reservation, the count of redemptions."""
    counting: bool = False
    """`spent` or `reserved_units` is another one than in its row."""
    shown: str | None = None
    """The code as its merchant wrote it, for the answer; only where it was just given out."""


@dataclass(slots=True)
class Redemption:
    """One redemption row; `returned_at` set when all of it was undone."""

    campaign: int
    coupon: int
    number: int
    order: str | None
    amount: int | None
    discount: int | None
    party: str
    actor: str
    at: datetime
    command: UUID
    returned_at: datetime | None = None
    return_reason: str | None = None
    returned: int | None = None
    """Minor units of the discount given back so far."""
    restored: int | None = None
    """Uses, or minor units of a balance, that the coupon got again; fewer than were returned where they lapsed."""
    new: bool = False
    changed: bool = False

    def left(self) -> int:
        """What of the discount can still be given back, in minor units."""
        return (self.discount or 0) - (self.returned or 0)


@dataclass(slots=True, eq=False)
class Campaign:
    """A campaign with its counters; every change of a counter happens through `move`, `add` and the operations."""

    number: int
    id: UUID
    partition: int
    owner: str
    origin: Origin
    state: CampaignState
    terms: Terms
    supply: str
    code: str | None
    code_normal: str | None
    listed: bool
    quantity: int | None
    starts: datetime
    ends: datetime
    created_at: datetime
    seq: int = 0
    issued: int = 0
    exported: int = 0
    available: int = 0
    """Uploaded codes not given out."""
    last_number: int = 0
    """Highest coupon number (or upload position) used."""
    job_began: datetime | None = None
    """When the latest job that writes its codes down began."""
    job_from: int = 0
    """The last number of those that were there by then."""
    swept: int = 0
    """Coupons up to this number have been expired or voided by a sweep."""
    next_due: datetime | None = None
    budget: int | None = None
    """Minor units all discounts may come to; None: no bound."""
    budget_reserved: int = 0
    """Kept for what coupons held, reserved or exported may still take off."""
    budget_spent: int = 0
    pattern: CodePattern | None = None
    """How generated codes look, where the campaign says so."""
    key_version: int | None = None
    """The code key's version under which codes of the pattern are made."""
    counts: list[int] = field(default_factory=lambda: [0] * 7)
    """Coupons by state; index 0 unused."""
    chain: bytes = b""
    """Of the events so far (`model/chain.py`)."""
    block: tuple[int, int, int] | None = None
    """Index, block and key version of the serials last taken from, where they are known; in no row of its own."""
    new: bool = False
    changed: bool = False
    amended: bool = False
    """Its terms are others than its row says."""
    text: str = ""
    """The id as text, made once."""
    lasting: bool = False
    """Each coupon has a time of its own, within the campaign's."""
    timed: bool = False
    """Its coupons wait, last some days, or may be used at some hours only."""
    counted: bool = False
    """Issues are counted by period or by user and day."""
    rule_at_issue: Eligibility | None = None
    rule_at_redeem: Eligibility | None = None
    plain: bool = False
    """Nothing but the quantity, the limit per user and the state speaks when a coupon is issued."""

    gift: bool = False
    """Its coupons are gift cards."""
    in_parts: bool = False
    """Its coupons are used in parts: several uses, or a balance."""
    counts_units: bool = False
    """Its coupons keep count of what was taken of them."""

    def __post_init__(self) -> None:
        self.text = str(self.id)
        self.chain = self.chain or self.id.bytes
        self.look_up_terms()

    def left(self, coupon: Coupon) -> int:
        """Units that may still be used of a coupon."""
        return capacity(self.terms) - (coupon.spent or 0) if coupon.state in (HELD, RESERVED) else 0

    def unit_worth(self) -> int:
        """What a unit may take off at most; only with a budget, whose campaigns bound it."""
        return greatest_discount(self.terms) or 0

    def coupon_worth(self) -> int:
        """What a new coupon may take off at most; only with a budget."""
        return capacity(self.terms) * self.unit_worth()

    def look_up_terms(self) -> None:
        """Set what is asked of the terms for every coupon; after the terms were changed, too."""
        terms, validity = self.terms, self.terms.validity
        self.gift, self.in_parts = isinstance(terms.discount, GiftCard), in_parts(terms)
        self.counts_units = self.in_parts or self.budget is not None
        self.lasting = validity.days_after_issue is not None
        self.timed = self.lasting or bool(validity.waiting_days or validity.weekly or validity.irregular)
        limits = (terms.per_user_day_limit, terms.per_day_limit, terms.per_week_limit, terms.per_month_limit)
        self.counted = limits != (None, None, None, None)
        rule = terms.eligibility
        self.rule_at_issue = None if rule is None or rule.applies_at == "redeem" else rule
        self.rule_at_redeem = None if rule is None or rule.applies_at == "issue" else rule
        self.plain = not (self.timed or self.counted or rule is not None or terms.low_pool_at is not None)

    def users_of(self) -> str | None:
        """The merchant whose users' attributes the campaign's rule asks for; None: who sends a command knows them."""
        rule = self.terms.eligibility
        owner = None if self.owner == PLATFORM else self.owner
        return owner if rule is None or rule.users_of is None else rule.users_of

    def add(self, state: int) -> None:
        """Count a coupon that has just come into being in this state."""
        self.issued += 1
        self.counts[state] += 1
        self.changed = True
        if self.budget is not None:
            self.budget_reserved += self.coupon_worth()

    def export(self, count: int) -> None:
        """Count codes that leave the platform as bearer codes; fewer again where one came back to be used."""
        self.exported += count
        self.changed = True
        if self.budget is not None:
            self.budget_reserved += count * self.coupon_worth()

    def void_codes(self, count: int) -> None:
        """Exported codes that nobody holds become void: counted as issued and voided, without a coupon each."""
        self.export(-count)
        self.issued += count
        self.counts[VOIDED] += count

    def use(self, coupon: Coupon, units: int, discount: int) -> None:
        """Take units of a coupon held or reserved; its state is the caller's."""
        coupon.beyond_state = True
        if self.counts_units:
            coupon.spent = (coupon.spent or 0) + units
            coupon.counting = True
        if self.budget is not None:
            self.budget_reserved -= units * self.unit_worth()
            self.budget_spent += discount
        coupon.changed = self.changed = True

    def restore(self, coupon: Coupon, units: int) -> None:
        """Give units back to a coupon; its state is the caller's."""
        before = self.left(coupon)
        if coupon.spent is not None:
            coupon.spent -= units
            coupon.counting = True
        if self.budget is not None:
            self.budget_reserved += (self.left(coupon) - before) * self.unit_worth()
        coupon.changed = self.changed = True

    def move(self, coupon: Coupon, state: int) -> None:
        """Move a coupon to another state, counters included."""
        self.counts[coupon.state] -= 1
        if coupon.state == RESERVED:
            coupon.beyond_state = True
            coupon.counting = coupon.counting or coupon.reserved_units is not None
        self.counts[state] += 1
        before = 0 if self.budget is None else self.left(coupon)
        coupon.state = state
        if self.budget is not None:
            self.budget_reserved += (self.left(coupon) - before) * self.unit_worth()
        coupon.changed = True
        self.changed = True

    def open_coupons(self) -> int:
        """How many are held or reserved: what can still expire."""
        return self.counts[HELD] + self.counts[RESERVED]

    def room(self) -> int | None:
        """How many more may be issued or exported; None: no bound."""
        room = None if self.quantity is None else self.quantity - self.issued - self.exported
        if self.budget is None:
            return room
        affordable = self.budget_left() // self.coupon_worth()
        return affordable if room is None else min(room, affordable)

    def budget_left(self) -> int:
        """Minor units of the budget neither reserved nor spent; only with a budget."""
        return (self.budget or 0) - self.budget_reserved - self.budget_spent

    def stock_left(self) -> int | None:
        """How many more somebody may get: by the quantity, and of uploaded codes those there are."""
        room = self.room()
        if self.supply != "uploaded":
            return room
        return self.available if room is None else min(room, self.available)

    def span_of(self, coupon: Coupon) -> tuple[datetime, datetime]:
        """From when, and until when, a coupon may be used."""
        return self.span_from(coupon.issued_at)

    def span_from(self, received: datetime) -> tuple[datetime, datetime]:
        """The same for a coupon received at that moment."""
        if not self.timed:
            return self.starts, self.ends
        return coupon_span(self.terms.validity, self.starts, self.ends, received)

    def own_end(self, coupon: Coupon) -> datetime | None:
        """The end of a coupon's own time, where that comes before the campaign's end."""
        if not self.lasting:
            return None
        end = self.span_of(coupon)[1]
        return end if end < self.ends else None

    def writes_codes_down(self) -> bool:
        """Whether its codes are made by a job before somebody holds them."""
        return self.supply == "uploaded" and self.pattern is not None

    def takes_blocks(self) -> bool:
        """Whether its codes are serials of its lane's share; those of a pattern follow from the campaign alone."""
        return self.supply == "generated" and self.pattern is None

    def coupon_id(self, number: int) -> str:
        """The public id of the coupon with this number."""
        return coupon_id(self.text, number)

    def redeemable_at(self, party: str) -> bool:
        """Whether its coupons may be used at this party."""
        return party == self.owner or party in self.terms.redeemable_by

    def issuable_by(self, party: str) -> bool:
        """Whether this party may give its coupons out."""
        return party == self.owner or party in self.terms.senders

    def visible_to(self, party: str) -> bool:
        """Whether this party may know that the campaign exists."""
        return self.redeemable_at(party) or self.issuable_by(party)

    def explained_to(self, party: str) -> bool:
        """Whether this party may know the users' attributes that the campaign's rule looked at."""
        return party in (PLATFORM, self.owner, self.users_of())
