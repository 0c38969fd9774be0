"""When a schedule is due. No I/O, no clock: the time comes in.

Cron by cronsim, which steps wall time in the task's zone: a wall time in a gap fires once, at the gap's end; in an
overlap once, at the first of the two.
"""

from __future__ import annotations

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
                return next(CronSim(text, moment.astimezone(ZoneInfo(zone)))).astimezone(UTC)
            except CronSimError as error:
                raise ScheduleUnusable(f"{expression!r} is no cron expression: {error}") from None
            except StopIteration:
                return None


def first_due(schedule: AnySchedule, filed_at: datetime) -> datetime | None:
    """The first tick of a task filed at this moment; a one-off whose time is past is due at once."""
    if isinstance(schedule, OnceSchedule):
        return schedule.at
    return next_after(schedule, filed_at)
