"""A campaign and its coupons as the model keeps them: few facts; what can be counted is counted anew each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from contracts import campaigns as contracts
from tests.coupon_core.never_wrong.pure_terms import No, Terms, period_of

LIVE = ("active", "paused", "exhausted")
OPEN = ("held", "reserved")


@dataclass
class Redemption:
    """What one redemption took off, and how much of that was given back."""

    discount: int
    returned: int = 0
    over: bool = False
    """All of it was given back."""


@dataclass
class Coupon:
    """A coupon somebody has, or had."""

    user: str | None
    at: datetime
    bearer: bool = False
    state: str = "held"
    order: str | None = None
    until: datetime | None = None
    spent: int = 0
    """Units taken and not restored; 0 where the campaign does not count them."""
    holds: int | None = None
    """Units the reserving order holds."""
    redemptions: list[Redemption] = field(default_factory=list)

    def let_go(self) -> None:
        """No order holds it any more."""
        self.order = self.until = self.holds = None


@dataclass
class Campaign:
    """A campaign. `exported` and `free` are numbers of codes that nobody holds yet.

    `void_codes` were exported and became void while nobody held them: coupons, but none that has a row.
    """

    id: str
    owner: str
    told: contracts.Terms
    supply: str
    code: str | None
    quantity: int | None
    stored: bool = False
    """Its codes are written down before somebody holds them."""
    state: str = "active"
    last: int = 0
    coupons: dict[int, Coupon] = field(default_factory=dict)
    exported: set[int] = field(default_factory=set)
    void_codes: set[int] = field(default_factory=set)
    out: set[int] = field(default_factory=set)
    """Numbers that were ever exported, but for the stretches of them that were voided."""
    free: list[int] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.terms = Terms.of(self.told)

    def amend(self, told: contracts.Terms) -> None:
        self.told, self.terms = told, Terms.of(told)

    @property
    def lacks_codes(self) -> bool:
        """It goes on, and codes that are written down before somebody holds them are not all there."""
        return self.stored and self.state in LIVE and self.last < (self.quantity or 0)

    # --- units and money

    @property
    def counts_units(self) -> bool:
        return self.terms.in_parts or self.terms.budget is not None

    def left(self, coupon: Coupon) -> int:
        """Units that may still be used."""
        return self.terms.units - coupon.spent if coupon.state in OPEN else 0

    def free_for(self, coupon: Coupon, order: str | None) -> int:
        """Those of them that no other order holds."""
        left = self.left(coupon)
        if coupon.state != "reserved" or (order is not None and order == coupon.order):
            return left
        return 0 if coupon.holds is None else left - coupon.holds

    @property
    def budget_reserved(self) -> int:
        if self.terms.budget is None:
            return 0
        units = sum(self.left(coupon) for coupon in self.coupons.values()) + len(self.exported) * self.terms.units
        return units * self.terms.unit_worth

    @property
    def budget_spent(self) -> int:
        if self.terms.budget is None:
            return 0
        return sum(each.discount - each.returned for coupon in self.coupons.values() for each in coupon.redemptions)

    @property
    def budget_left(self) -> int:
        return (self.terms.budget or 0) - self.budget_reserved - self.budget_spent

    # --- how many more

    def room(self) -> int | None:
        """How many more may be issued or exported; None: no bound."""
        rooms = []
        if self.quantity is not None:
            rooms.append(self.quantity - len(self.coupons) - len(self.exported))
        if self.terms.budget is not None:
            rooms.append(self.budget_left // self.terms.worth)
        return min(rooms, default=None)

    def check_room(self, count: int = 1) -> None:
        """Raises No unless so many more may be issued or exported."""
        room = self.room()
        if room is not None and room < count:
            self.none_left(count)

    def none_left(self, count: int = 1) -> None:
        """Raises No, by the bound that is met."""
        by_quantity = self.quantity is not None and self.quantity < len(self.coupons) + len(self.exported) + count
        raise No("campaign_exhausted" if by_quantity or self.terms.budget is None else "budget_exhausted")

    def mind_the_room(self) -> None:
        """active or exhausted, as there is room."""
        if self.state in ("active", "exhausted"):
            room = self.room()
            self.state = "exhausted" if room is not None and room <= 0 else "active"

    def check_limits(self, user: str, now: datetime) -> None:
        """Raises No where the user, or the period, has had as many as may be."""
        terms = self.terms
        for period, limit in terms.limits.items():
            this = period_of(period, now, terms.zone)
            issued = [coupon.at for coupon in self.coupons.values() if not coupon.bearer]
            if sum(period_of(period, moment, terms.zone) == this for moment in issued) >= limit:
                raise No("period_limit_reached")
        if terms.user_day_limit is not None:
            today = period_of("day", now, terms.zone)
            theirs = [coupon.at for coupon in self.coupons.values() if coupon.user == user]
            if sum(period_of("day", moment, terms.zone) == today for moment in theirs) >= terms.user_day_limit:
                raise No("user_day_limit_reached")

    def void_unheld(self, numbers: set[int], now: datetime) -> int:
        """Make void what nobody holds of these exported numbers, stretch by stretch; how many were."""
        stretches: list[set[int]] = []
        for number in sorted(numbers):
            if stretches and number - 1 in stretches[-1]:
                stretches[-1].add(number)
            else:
                stretches.append({number})
        voided = set[int]()
        for stretch in stretches:
            if stretch & self.exported:
                voided |= stretch & self.exported
                self.out -= stretch
        self.exported -= voided
        self.void_codes |= voided
        self.coupons |= {number: Coupon(None, now, bearer=True, state="voided") for number in voided}
        return len(voided)

    def counted(self) -> dict[str, int]:
        """Coupons by state."""
        states = [coupon.state for coupon in self.coupons.values()]
        return {state: states.count(state) for state in sorted(set(states))}
