"""When a schedule's ticks are: pure functions of a schedule and a moment.

A cron expression speaks of wall times. Each wall time it names is one tick: where the zone skips it, the tick is at
the end of the gap (several skipped ones fall together there); where the zone has it twice, at the first. So an
expression for every quarter of an hour is silent during the hour that comes twice; who wants steady distances uses
an interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from contracts.schedules import CronSchedule, IntervalSchedule, OnceSchedule, Schedule

LONGEST_GAP = timedelta(days=1)  # Samoa left out a whole day


class ScheduleUnusable(ValueError):
    """The schedule's ticks cannot be computed; the message says what is wrong."""


def check(schedule: Schedule) -> None:
    """Raise ScheduleUnusable for a cron expression that is none, or that never comes true."""
    if isinstance(schedule, CronSchedule):
        try:
            first = next(CronSim(schedule.expression, datetime(2024, 1, 1)), None)
        except CronSimError as error:
            raise ScheduleUnusable(f"the cron expression cannot be read: {error}") from None
        if first is None:
            raise ScheduleUnusable("the cron expression names a date that never comes")


def ticks_after(schedule: Schedule, moment: datetime) -> Iterator[datetime]:
    """The ticks later than `moment`, in order, in UTC; each once."""
    if isinstance(schedule, OnceSchedule):
        return iter([schedule.at] if schedule.at > moment else [])
    if isinstance(schedule, IntervalSchedule):
        return _interval(schedule, moment)
    return _cron(schedule, moment)


def next_tick(schedule: Schedule, moment: datetime) -> datetime | None:
    """The first tick later than `moment`; None: there is none any more."""
    return next(ticks_after(schedule, moment), None)


def first_tick(schedule: Schedule, filed_at: datetime) -> datetime | None:
    """The first tick of a schedule filed now. `once` at a time already past is due at once."""
    return schedule.at if isinstance(schedule, OnceSchedule) else next_tick(schedule, filed_at)


def ticks_between(schedule: Schedule, first: datetime, last: datetime, most: int) -> list[datetime]:
    """The ticks from `first`, which is one, to `last` inclusive, but not more than `most`."""
    rest = islice(ticks_after(schedule, first), most - 1)
    return [first, *(tick for tick in _until(rest, last))]


def latest_tick(schedule: Schedule, first: datetime, now: datetime) -> datetime:
    """The latest tick that is not later than `now`, given one, `first`, that is not."""
    if isinstance(schedule, OnceSchedule):
        return first
    if isinstance(schedule, IntervalSchedule):
        return max(first, _at_interval(schedule, now))
    # Look back from now in growing steps: counting up from `first` would take long after a year's pause.
    back = timedelta(minutes=1)
    while now - back > first:
        found = list(_until(_cron(schedule, now - back), now))
        if found:
            return found[-1]
        back *= 4
    return ([first, *_until(_cron(schedule, first), now)])[-1]


def _until(ticks: Iterator[datetime], last: datetime) -> Iterator[datetime]:
    for tick in ticks:
        if tick > last:
            return
        yield tick


def _at_interval(schedule: IntervalSchedule, moment: datetime) -> datetime:
    """The latest multiple from the start that is not later than `moment`."""
    return schedule.start + timedelta(
        seconds=(moment - schedule.start) // timedelta(seconds=1) // schedule.seconds * schedule.seconds
    )


def _interval(schedule: IntervalSchedule, moment: datetime) -> Iterator[datetime]:
    tick = schedule.start if moment < schedule.start else _at_interval(schedule, moment)
    while True:
        if tick > moment:
            yield tick
        tick += timedelta(seconds=schedule.seconds)


def _cron(schedule: CronSchedule, moment: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(schedule.zone)
    # A wall time may stand for a later moment (the end of its gap) and never for an earlier one than its first.
    start = moment.astimezone(zone).replace(tzinfo=None, fold=0) - LONGEST_GAP - timedelta(hours=1)
    last = moment
    for wall in CronSim(schedule.expression, start):
        tick = _moment_of(wall, zone)
        if tick > last:
            last = tick
            yield tick


def _moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """A wall time in UTC: the first of two, or the end of the gap it lies in."""
    local = wall.replace(tzinfo=zone)
    tick = local.astimezone(UTC)
    if tick.astimezone(zone).replace(tzinfo=None) == wall:
        return tick
    # In a gap the two folds give the moments a gap's length apart, on both sides of the change.
    low, high = sorted((tick, local.replace(fold=1).astimezone(UTC)))
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
