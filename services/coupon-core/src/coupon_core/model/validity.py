"""From the terms' words (dates in a zone) to instants in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from contracts.campaigns import Validity

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


def bounds(validity: Validity) -> tuple[datetime, datetime]:
    """First instant at which coupons may be used, and the first at which they may not any more, in UTC.

    A date-only end includes that day in the campaign's zone (days of 23 and 25 hours too).
    """
    starts, ends = validity.starts, validity.ends
    first = _in_utc(starts) if isinstance(starts, datetime) else _start_of(starts, validity.zone)
    if isinstance(ends, datetime):
        return first, _in_utc(ends)
    return first, LATEST if ends == date.max else _start_of(ends + timedelta(days=1), validity.zone)
