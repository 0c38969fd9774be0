"""What a campaign's terms mean, said once more without coupon-core's code: times, limits, rules, discounts.

The times are worked out by hand for the few hours and zones that campaigns here have (`HOURS`, `ZONES`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import campaigns as contracts

START = datetime(2026, 5, 31, 23, 50, tzinfo=UTC)
"""When everything begins: ten minutes before a day, a week and a month begin in UTC."""
ZONES = {"UTC": timedelta(0), "Asia/Tokyo": timedelta(hours=9)}
DAY = timedelta(days=1)
WEEKS = 60
"""So many are worked out; nothing is played that takes longer."""


class No(Exception):
    """A rule said no; the arguments are the codes of which one must be answered."""


def at(minutes: int) -> datetime:
    """So many minutes after START."""
    return START + timedelta(minutes=minutes)


@dataclass(frozen=True)
class Hours:
    """Hours as terms say them, and the stretches of time they mean in the days that are played."""

    zone: str = "UTC"
    weekly: tuple[contracts.WeeklyHours, ...] = ()
    irregular: tuple[contracts.TimeRange, ...] = ()
    open: tuple[tuple[datetime, datetime], ...] = ()


def each_week(opens: datetime, closes: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """This stretch, and the same in the weeks that follow: neither zone changes its clocks."""
    return tuple((opens + week * 7 * DAY, closes + week * 7 * DAY) for week in range(WEEKS))


HOURS = (
    Hours(
        "UTC", (contracts.WeeklyHours(days=("sun",), opens="22:00", closes="00:05"),), (), each_week(at(-110), at(15))
    ),
    Hours(
        "Asia/Tokyo",
        (contracts.WeeklyHours(days=("mon",), opens="08:55", closes="09:10"),),
        open=each_week(at(5), at(20)),
    ),
    Hours(
        irregular=(contracts.TimeRange(starts=at(5), ends=at(25)), contracts.TimeRange(starts=at(40), ends=at(70))),
        open=((at(5), at(25)), (at(40), at(70))),
    ),
)


@dataclass(frozen=True)
class Rule:
    """A rule of eligibility in CEL, and what it means."""

    expression: str
    attributes: Mapping[str, contracts.AttributeType]
    holds: Callable[[Mapping[str, Any], int | None], bool]
    of_order: bool = False
    """It asks for the order's amount, which is known at redemption only."""


RULES = {
    rule.expression: rule
    for rule in (
        Rule("age >= 18", {"age": "int"}, lambda of, amount: of["age"] >= 18),
        Rule("tier in ['gold', 'silver'] || age > 60", {"tier": "string", "age": "int"},
             lambda of, amount: of["tier"] in ("gold", "silver") or of["age"] > 60),
        Rule("vip && amount >= 1500", {"vip": "bool"}, lambda of, amount: of["vip"] and (amount or 0) >= 1_500, True),
    )
}  # fmt: skip
TYPES: dict[str, type] = {"int": int, "string": str, "bool": bool}


def midnight(moment: datetime, zone: str) -> datetime:
    """The beginning of the zone's day; no clock is changed in these zones."""
    local = moment + ZONES[zone]
    return local.replace(hour=0, minute=0, second=0, microsecond=0) - ZONES[zone]


def period_of(period: str, moment: datetime, zone: str) -> tuple[int, ...]:
    """What tells the day, week or month from others."""
    local = moment + ZONES[zone]
    if period == "month":
        return local.year, local.month
    return tuple(local.isocalendar())[:2] if period == "week" else (local.toordinal(),)


@dataclass(frozen=True)
class Terms:
    """What the model minds of a campaign's terms."""

    starts: datetime
    ends: datetime
    zone: str
    days: int | None
    """Calendar days each coupon lasts; None: as long as the campaign."""
    waiting: int
    """Calendar days before a coupon may be used."""
    open: tuple[tuple[datetime, datetime], ...] | None
    user_limit: int | None
    user_day_limit: int | None
    limits: Mapping[str, int]
    """By period."""
    policy: str
    redeemers: tuple[str, ...]
    minimum: int
    discount: Any
    uses: int
    budget: int | None
    rule: Rule | None
    rule_at: str

    @staticmethod
    def of(terms: contracts.Terms) -> Terms:
        validity, rule = terms.validity, terms.eligibility
        assert isinstance(validity.starts, datetime)
        assert isinstance(validity.ends, datetime)
        windows = (validity.zone, validity.weekly, validity.irregular)
        known = [hours.open for hours in HOURS if (hours.zone, hours.weekly, hours.irregular) == windows]
        limits = {"day": terms.per_day_limit, "week": terms.per_week_limit, "month": terms.per_month_limit}
        return Terms(
            starts=validity.starts,
            ends=validity.ends,
            zone=validity.zone,
            days=validity.days_after_issue,
            waiting=validity.waiting_days,
            open=known[0] if known else None,
            user_limit=terms.per_user_limit,
            user_day_limit=terms.per_user_day_limit,
            limits={period: limit for period, limit in limits.items() if limit is not None},
            policy=terms.return_policy,
            redeemers=tuple(terms.redeemable_by),
            minimum=terms.minimum_spend,
            discount=terms.discount,
            uses=terms.uses,
            budget=terms.budget,
            rule=None if rule is None else RULES[rule.expression],
            rule_at="" if rule is None else rule.applies_at,
        )

    # --- what a coupon is worth

    @property
    def gift(self) -> bool:
        return bool(self.discount.kind == "gift_card")

    @property
    def units(self) -> int:
        """Of a new coupon: its balance, or its uses."""
        return int(self.discount.balance) if self.gift else self.uses

    @property
    def in_parts(self) -> bool:
        return self.gift or self.uses > 1

    @property
    def unit_worth(self) -> int:
        """What a unit takes off at most."""
        if self.gift:
            return 1
        return int(self.discount.amount if self.discount.kind == "amount_off" else self.discount.cap)

    @property
    def worth(self) -> int:
        """What a new coupon takes off at most."""
        return self.units * self.unit_worth

    def taken_off(self, amount: int | None, named: int | None, free: int) -> int:
        """What an order is given off. `free` is what of a gift card this order may use."""
        if amount is None and self.minimum:
            raise No("order_amount_required")
        if amount is not None and amount < self.minimum:
            raise No("minimum_spend_not_met")
        if self.gift:
            if named is None:
                if amount is None:
                    raise No("order_amount_required")
                named = min(amount, free)
            if amount is not None and named > amount:
                raise No("discount_above_amount")
            if named > free:
                raise No("balance_too_low")
            if named == 0:
                raise No("nothing_to_pay")
            return named
        if named is not None:
            raise No("discount_not_expected")
        if self.discount.kind == "amount_off":
            return int(self.discount.amount if amount is None else min(self.discount.amount, amount))
        if amount is None:
            raise No("order_amount_required")
        half_up = (amount * self.discount.basis_points * 2 + 10_000) // 20_000
        return int(min(half_up, self.discount.cap))

    # --- when

    def span(self, received: datetime) -> tuple[datetime, datetime]:
        """From when, and until when, a coupon received then may be used."""
        first_day = midnight(max(received, self.starts), self.zone) + self.waiting * DAY
        first = max(self.starts, first_day) if self.waiting else self.starts
        return first, self.ends if self.days is None else min(self.ends, first_day + self.days * DAY)

    def why_not_now(self, now: datetime, received: datetime | None) -> str | None:
        """Why a coupon received then (None: nobody received it) may not be used now, if so."""
        if now < self.starts:
            return "campaign_not_started"
        if received is None and self.waiting:
            return "coupon_not_received"
        first, end = (self.starts, self.ends) if received is None else self.span(received)
        if now < first:
            return "coupon_not_yet_usable"
        if self.open is not None and not any(opens <= now < closes for opens, closes in self.open):
            again = any(now < opens < end for opens, _ in self.open)
            return "outside_hours" if again else "no_hours_left"
        return None

    @property
    def never_usable(self) -> bool:
        first, _ = self.span(self.starts)
        stretches = [(self.starts, self.ends)] if self.open is None else self.open
        return not any(closes > first and max(opens, first) < self.ends for opens, closes in stretches)

    def moments(self, now: datetime) -> list[datetime]:
        """Moments at which something changes, of opening hours the next ones only."""
        hours = [moment for stretch in self.open or () for moment in stretch if moment < now + 2 * DAY]
        days = (
            [midnight(now, self.zone) + DAY] if self.days or self.waiting or self.limits or self.user_day_limit else []
        )
        return [self.starts, self.ends, *hours, *days]

    # --- who

    def check_user(self, stage: str, attributes: Mapping[str, Any] | None, amount: int | None = None) -> None:
        """Whether the rule lets this user have (`issue`) or use (`redeem`) a coupon."""
        rule = self.rule if self.rule_at in (stage, "both") else None
        given = attributes or {}
        if rule is None or given.keys() - rule.attributes.keys():
            if given:
                raise No("attribute_not_expected")
            return
        if rule.attributes.keys() - given.keys():
            raise No("attribute_missing")
        if any(type(given[name]) is not TYPES[kind] for name, kind in rule.attributes.items()):
            raise No("attribute_mismatch")
        if rule.of_order and amount is None:
            raise No("order_amount_required")
        if not rule.holds(given, amount):
            raise No("not_eligible")
