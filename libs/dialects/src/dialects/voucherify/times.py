"""When a Voucherify campaign's vouchers may be used, both ways: weekdays, hours of weekdays, or a recurring time frame.

Weekdays and hours are those of the zone in the merchant's profile. Only one of the three may be said: Voucherify's
clients do not tell what two of them together mean.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from contracts.campaigns import TimeRange, Weekday, WeeklyHours
from contracts.fields import Contract
from dialects.protocol import FieldProblem, invalid

DAYS: tuple[Weekday, ...] = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""By Voucherify's numbers: 0 is Sunday."""
MOST_PERIODS = 200
"""Times at which a time frame may open, as many as a campaign can hold."""
DURATION = re.compile(r"P(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?", re.ASCII)

DaysOfWeek = Annotated[tuple[Annotated[int, Field(ge=0, le=6, strict=True)], ...], Field(min_length=1, max_length=7)]
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class DailyBody(Contract):
    """Hours of some weekdays: from `start_time` on, and not after `expiration_time`."""

    start_time: Clock
    expiration_time: Clock
    days_of_week: DaysOfWeek


class HoursBody(Contract):
    """Hours of weekdays."""

    daily: Annotated[tuple[DailyBody, ...], Field(min_length=1, max_length=50)]


class TimeframeBody(Contract):
    """Open for `duration` once in every `interval` from the start date on; ISO 8601 without months and years."""

    interval: Annotated[str, StringConstraints(max_length=40)]
    duration: Annotated[str, StringConstraints(max_length=40)]


Times = tuple[tuple[WeeklyHours, ...], tuple[TimeRange, ...]]
"""Hours of weekdays, and single stretches of time."""


def times_of(
    days: DaysOfWeek | None,
    hours: HoursBody | None,
    frame: TimeframeBody | None,
    starts: date | datetime | None,
    ends: date | datetime | None,
) -> Times:
    """What was said, as our terms have it. Raises RequestRefused."""
    said = {"validity_day_of_week": days, "validity_hours": hours, "validity_timeframe": frame}
    names = [name for name, value in said.items() if value is not None]
    if len(names) > 1:
        raise _invalid(names[1], f"is not offered together with {names[0]}")
    if days is not None:
        return (WeeklyHours(days=_weekdays(days)),), ()
    if hours is not None:
        return tuple(_weekly(place, one) for place, one in enumerate(hours.daily)), ()
    return (), () if frame is None else _stretches(frame, starts, ends)


def _weekdays(numbers: tuple[int, ...]) -> tuple[Weekday, ...]:
    return tuple(DAYS[number] for number in sorted(set(numbers)))


def _weekly(place: int, daily: DailyBody) -> WeeklyHours:
    if daily.expiration_time <= daily.start_time:
        raise _invalid(f"validity_hours/daily/{place}/expiration_time", "must be later than start_time, the same day")
    return WeeklyHours(days=_weekdays(daily.days_of_week), opens=daily.start_time, closes=daily.expiration_time)


def _stretches(
    frame: TimeframeBody, starts: date | datetime | None, ends: date | datetime | None
) -> tuple[TimeRange, ...]:
    interval, duration = _length(frame.interval, "interval"), _length(frame.duration, "duration")
    if duration >= interval:
        raise _invalid("validity_timeframe/duration", "must be shorter than the interval")
    if not isinstance(starts, datetime) or not isinstance(ends, datetime):
        raise _invalid("validity_timeframe", "needs start_date and expiration_date, both instants")
    count = -(-(ends - starts) // interval)
    if count > MOST_PERIODS:
        raise _invalid(
            "validity_timeframe", f"opens {count} times until expiration_date; {MOST_PERIODS} times at most are offered"
        )
    opens = [starts + number * interval for number in range(count)]
    return tuple(TimeRange(starts=one, ends=min(one + duration, ends)) for one in opens)


def _length(text: str, field: str) -> timedelta:
    found = DURATION.fullmatch(text)
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0,) * 5
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise _invalid(
            f"validity_timeframe/{field}", "must be a duration such as P2D or PT1H, in weeks, days, hours, minutes"
        )
    return length


def times_object(validity: dict[str, Any]) -> dict[str, Any]:
    """`validity_day_of_week`, `validity_hours` and `validity_timeframe` of canonical terms; null where not said."""
    weekly, irregular = validity.get("weekly") or [], validity.get("irregular") or []
    made: dict[str, Any] = dict.fromkeys(("validity_day_of_week", "validity_hours", "validity_timeframe"))
    if weekly and all((one["opens"], one["closes"]) == ("00:00", "24:00") for one in weekly):
        made["validity_day_of_week"] = sorted({DAYS.index(day) for one in weekly for day in one["days"]})
    elif weekly:
        daily = [
            {
                "start_time": one["opens"],
                "expiration_time": one["closes"],
                "days_of_week": [DAYS.index(day) for day in one["days"]],
            }
            for one in weekly
        ]
        made["validity_hours"] = {"daily": daily}
    if len(irregular) > 1:
        made["validity_timeframe"] = _frame_object(irregular)
    return made


def _frame_object(irregular: list[dict[str, str]]) -> dict[str, str] | None:
    """The time frame of evenly spaced stretches; None: they are none."""
    try:
        stretches = [(_moment(one["starts"]), _moment(one["ends"])) for one in irregular]
    except ValueError:
        return None  # whole days, which another API said
    (first, first_end), (second, _) = stretches[:2]
    interval, duration = second - first, first_end - first
    even = all(starts == first + number * interval for number, (starts, _) in enumerate(stretches))
    same = all(ends - starts == duration for starts, ends in stretches[:-1])
    return {"interval": _said(interval), "duration": _said(duration)} if even and same else None


def _moment(text: str) -> datetime:
    if len(text) == len("2026-03-01"):
        raise ValueError("a day")
    return datetime.fromisoformat(text).astimezone(UTC)


def _said(length: timedelta) -> str:
    """ISO 8601: whole days as days, all else as hours, minutes and seconds."""
    if not length.seconds:
        return f"P{length.days}D"
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    return "PT" + "".join(f"{number}{unit}" for number, unit in parts if number)


def _invalid(field: str, detail: str) -> Exception:
    return invalid(f"{field} {detail}.", FieldProblem(f"/{field}", detail), code="invalid_campaign_params", status=400)
