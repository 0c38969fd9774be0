"""From the terms' words (dates in a zone) to instants in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from contracts.campaigns import Moment, Validity

EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
"""What lies beyond is taken as these: many systems write "never" as 9999-12-31, whose end no clock can tell."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return min(max(moment.astimezone(UTC), EARLIEST), LATEST)
    except OverflowError:
        return EARLIEST if moment.year == 1 else LATEST


@lru_cache(maxsize=4_096)
def _start_of(day: date, zone: str) -> datetime:
    return _in_utc(datetime.combine(day, time(0), ZoneInfo(zone)))


def day_of(moment: datetime, zone: str) -> date:
    """The calendar day in the zone."""
    try:
        return moment.astimezone(ZoneInfo(zone)).date()
    except OverflowError:
        return date.min if moment.year == 1 else date.max


def days_later(day: date, days: int) -> date:
    """So many calendar days later; what lies beyond the calendar is its last day."""
    return day + timedelta(days=days) if days <= (date.max - day).days else date.max


def start_of(day: date, zone: str) -> datetime:
    """The first instant of a day in the zone, in UTC; of the last day there is: LATEST."""
    return LATEST if day == date.max else _start_of(day, zone)


def range_bounds(starts: Moment, ends: Moment, zone: str) -> tuple[datetime, datetime]:
    """Starts and exclusive end in UTC; a date-only end includes that day (days of 23 and 25 hours too)."""
    first = _in_utc(starts) if isinstance(starts, datetime) else _start_of(starts, zone)
    if isinstance(ends, datetime):
        return first, _in_utc(ends)
    return first, LATEST if ends == date.max else _start_of(ends + timedelta(days=1), zone)


def coupon_span(validity: Validity, starts: datetime, ends: datetime, received: datetime) -> tuple[datetime, datetime]:
    """First instant at which a coupon received then may be used, and the first at which it may not any more.

    `starts` and `ends` are the campaign's. Days are calendar days of the zone and the day of receipt counts; received
    before the campaign starts, its first day counts as that day.
    """
    day = days_later(day_of(max(received, starts), validity.zone), validity.waiting_days)
    first = max(starts, start_of(day, validity.zone)) if validity.waiting_days else starts
    if validity.days_after_issue is None:
        return first, ends
    return first, min(ends, start_of(days_later(day, validity.days_after_issue), validity.zone))


def bounds(validity: Validity) -> tuple[datetime, datetime]:
    """First instant at which coupons may be used, and the first at which they may not any more, in UTC.

    A date-only end includes that day in the campaign's zone.
    """
    return range_bounds(validity.starts, validity.ends, validity.zone)
