"""When a schedule is due. No I/O, no clock: the time comes in.

A cron expression names wall times of the task's zone; cronsim steps them. A wall time that the zone skips is due at
the end of the gap (several of one gap fall together there), one that comes twice at the first of the two. So an
expression for every quarter of an hour is silent in the hour that comes twice; an interval keeps steady distances.
cronsim's own stepping in a zone is not used: it lets `*/20 2 * * *` fall out where 2 o'clock is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from contracts.schedules import CronSchedule, IntervalSchedule, OnceSchedule

AnySchedule = CronSchedule | IntervalSchedule | OnceSchedule
NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class ScheduleUnusable(ValueError):
    """The cron expression cannot be read, or never comes true."""


def next_after(schedule: AnySchedule, moment: datetime) -> datetime | None:
    """The first due time later than `moment` (aware), in UTC; None: never again. Raises ScheduleUnusable."""
    match schedule:
        case OnceSchedule(at=at):
            return at if at > moment else None
        case IntervalSchedule(seconds=seconds, start=start):
            if start > moment:
                return start
            passed = (moment - start) // timedelta(seconds=seconds)
            return start + timedelta(seconds=seconds) * (passed + 1)
        case CronSchedule(expression=expression, zone=zone):
            text = NAMED.get(expression.strip().lower(), expression)
            try:
                return next(_cron_after(text, ZoneInfo(zone), moment), None)
            except CronSimError as error:
                raise ScheduleUnusable(f"{expression!r} is no cron expression: {error}") from None


def latest_until(schedule: AnySchedule, due: datetime, now: datetime) -> datetime:
    """The latest due time not later than `now`, given one, `due`, that is not.

    Looks back from `now` instead of stepping up to it: after a long pause those would be very many steps.
    """
    match schedule:
        case OnceSchedule():
            return due
        case IntervalSchedule(seconds=seconds):
            return due + timedelta(seconds=seconds) * ((now - due) // timedelta(seconds=seconds))
    back = timedelta(minutes=2)
    while now - back > due:
        found = _last(schedule, now - back, now)
        if found is not None:
            return found
        back *= 4
    return _last(schedule, due, now) or due


def _last(schedule: AnySchedule, after: datetime, until: datetime) -> datetime | None:
    found = None
    following = next_after(schedule, after)
    while following is not None and following <= until:
        found, following = following, next_after(schedule, following)
    return found


def _cron_after(expression: str, zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    # Wall times before the moment's own are due before it: before a gap's end the clock still reads less than the gap.
    last = moment
    for wall in CronSim(expression, moment.astimezone(zone).replace(tzinfo=None)):
        due = moment_of(wall, zone)
        if due > last:
            last = due
            yield due


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """A wall time of a zone in UTC: the first of two, or the end of the gap it lies in."""
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # In a gap the readings with the offset before and after lie on both sides of the change.
    low, high = sorted((first, wall.replace(tzinfo=zone, fold=1).astimezone(UTC)))
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) // 2).replace(microsecond=0)
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high


def first_due(schedule: AnySchedule, filed_at: datetime) -> datetime | None:
    """The first tick of a task filed at this moment; a one-off whose time is past is due at once."""
    if isinstance(schedule, OnceSchedule):
        return schedule.at
    return next_after(schedule, filed_at)
