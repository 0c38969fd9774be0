"""Hours in which coupons may be used: weekdays and times as the zone's clocks show them, and single stretches of time.

On the day the clocks go back an hour is shown twice and counts both times; one that is left out counts not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.campaigns import Validity, WeeklyHours
from coupon_core.model.validity import day_of, days_later, range_bounds, start_of

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_AHEAD_DAYS = 15
"""A weekly window comes again within 8 days, or within 15 where a day or the hour in question was left out."""
MIDNIGHT = time(0)


def is_open(validity: Validity, moment: datetime) -> bool:
    """Whether one of the windows is open; without windows always."""
    if not validity.weekly and not validity.irregular:
        return True
    if validity.weekly:
        local = moment.astimezone(ZoneInfo(validity.zone))
        today, yesterday, clock = local.weekday(), (local.weekday() - 1) % 7, local.time()
        for hours in validity.weekly:
            opens, closes, over_midnight = _times(hours)
            if WEEKDAYS[today] in hours.days and clock >= opens and (over_midnight or clock < closes):
                return True
            if over_midnight and WEEKDAYS[yesterday] in hours.days and clock < closes:
                return True
    for stretch in validity.irregular:
        first, end = range_bounds(stretch.starts, stretch.ends, validity.zone)
        if first <= moment < end:
            return True
    return False


def next_opening(validity: Validity, moment: datetime, ends: datetime) -> datetime | None:
    """The first instant from `moment` on, and before `ends`, at which a window is open; None: there is none."""
    ahead = (one for one in _openings(validity, moment) if moment <= one < ends and is_open(validity, one))
    return min(ahead, default=None)


def _times(hours: WeeklyHours) -> tuple[time, time, bool]:
    """(opens, closes, whether it closes on the next day); 24:00 is the next day's midnight."""
    opens = time.fromisoformat(hours.opens)
    closes = MIDNIGHT if hours.closes == "24:00" else time.fromisoformat(hours.closes)
    return opens, closes, closes <= opens


def _openings(validity: Validity, moment: datetime) -> Iterator[datetime]:
    """All instants at which a window may open next; not all of them lie ahead, and at some none opens."""
    yield moment
    for stretch in validity.irregular:
        yield range_bounds(stretch.starts, stretch.ends, validity.zone)[0]
    if not validity.weekly:
        return
    zone = ZoneInfo(validity.zone)
    today = day_of(moment, validity.zone)
    for ahead in range(LOOK_AHEAD_DAYS + 1):
        day = days_later(today, ahead)
        if day == date.max:
            return
        yield start_of(day, validity.zone)
        for hours in validity.weekly:
            for fold in (0, 1):
                yield datetime.combine(day, _times(hours)[0], zone).replace(fold=fold).astimezone(UTC)
        yield from _clock_changes(day, validity.zone)


def _clock_changes(day: date, name: str) -> Iterator[datetime]:
    """The instant at which the zone's clocks are changed on that day, if they are."""
    zone = ZoneInfo(name)
    low, high = start_of(day, name), start_of(days_later(day, 1), name)
    if low.astimezone(zone).utcoffset() == high.astimezone(zone).utcoffset():
        return
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset():
            low = middle
        else:
            high = middle
    yield high.replace(microsecond=0)
