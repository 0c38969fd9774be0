"""From the terms' words (dates in a zone) to instants in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from contracts.campaigns import Validity


@lru_cache(maxsize=4_096)
def _start_of(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(0), ZoneInfo(zone)).astimezone(UTC)


def bounds(validity: Validity) -> tuple[datetime, datetime]:
    """First instant at which coupons may be used, and the first at which they may not any more, in UTC.

    A date-only end includes that day in the campaign's zone (days of 23 and 25 hours too).
    """
    starts, ends = validity.starts, validity.ends
    first = starts.astimezone(UTC) if isinstance(starts, datetime) else _start_of(starts, validity.zone)
    if isinstance(ends, datetime):
        return first, ends.astimezone(UTC)
    return first, _start_of(ends + timedelta(days=1), validity.zone)
