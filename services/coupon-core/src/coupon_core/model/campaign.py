"""A campaign, its counters and a coupon, as they stand while a batch is decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.campaigns import CampaignState, Origin, Terms

HELD, RESERVED, REDEEMED, BURNED, VOIDED, EXPIRED = 1, 2, 3, 4, 5, 6
STATE_NAMES = {
    HELD: "held",
    RESERVED: "reserved",
    REDEEMED: "redeemed",
    BURNED: "burned",
    VOIDED: "voided",
    EXPIRED: "expired",
}
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
    """Earliest moment at which something happens to this very coupon (a reservation runs out)."""
    new: bool = False
    changed: bool = False
    was_reserved: bool = False
    """Its row may hold a reservation that must be cleared."""
    shown: str | None = None
    """The code as its merchant wrote it, for the answer; only where it was just given out."""


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
    swept: int = 0
    """Coupons up to this number have been expired or voided by a sweep."""
    next_due: datetime | None = None
    counts: list[int] = field(default_factory=lambda: [0] * 7)
    """Coupons by state; index 0 unused."""
    chain: bytes = b""
    """Of the events so far (`model/chain.py`)."""
    new: bool = False
    changed: bool = False
    text: str = ""
    """The id as text, made once."""

    def __post_init__(self) -> None:
        self.text = str(self.id)
        self.chain = self.chain or self.id.bytes

    def add(self, state: int) -> None:
        """Count a coupon that has just come into being in this state."""
        self.issued += 1
        self.counts[state] += 1
        self.changed = True

    def move(self, coupon: Coupon, state: int) -> None:
        """Move a coupon to another state, counters included."""
        self.counts[coupon.state] -= 1
        if coupon.state == RESERVED:
            coupon.was_reserved = True
        self.counts[state] += 1
        coupon.state = state
        coupon.changed = True
        self.changed = True

    def room(self) -> int | None:
        """How many more may be issued or exported; None: no bound."""
        return None if self.quantity is None else self.quantity - self.issued - self.exported

    def visible_to(self, party: str) -> bool:
        """Whether this party may know that the campaign exists."""
        return party == self.owner or party in self.terms.redeemable_by or party in self.terms.senders
