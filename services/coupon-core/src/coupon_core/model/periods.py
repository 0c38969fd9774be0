"""Days, weeks (from Monday) and months of a zone, in which limits count."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from contracts.campaigns import Terms
from coupon_core.model.validity import day_of, days_later, start_of

Period = Literal["day", "week", "month"]


def period_limits(terms: Terms) -> list[tuple[Period, int]]:
    """The limits of periods the terms name, the shortest period first."""
    named: list[tuple[Period, int | None]] = [
        ("day", terms.per_day_limit),
        ("week", terms.per_week_limit),
        ("month", terms.per_month_limit),
    ]
    return [(period, limit) for period, limit in named if limit is not None]


def period_start(period: Period, moment: datetime, zone: str) -> date:
    """The first day of the period in which the moment lies."""
    day = day_of(moment, zone)
    if period == "week":
        return date.fromordinal(max(day.toordinal() - day.weekday(), 1))
    return day.replace(day=1) if period == "month" else day


def period_end(period: Period, first: date, zone: str) -> datetime:
    """When the next period begins."""
    if period == "month":
        following = days_later(first, 31)
        return start_of(following if following == date.max else following.replace(day=1), zone)
    return start_of(days_later(first, 7 if period == "week" else 1), zone)
