"""When schedules are due, by the rule: a wall time in a gap at its end, one that comes twice at the first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.schedules import CronSchedule, IntervalSchedule, OnceSchedule
from scheduler.times import AnySchedule, ScheduleUnusable, first_due, latest_until, next_after

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # changes at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Chatham",  # at 2:45
    "Africa/Casablanca",  # twice more around Ramadan
    "Asia/Gaza",
    "Europe/Dublin",  # its winter is the exception
    "America/Santiago",
    "Asia/Shanghai",  # never
)
EXPRESSIONS = (
    "0 2 * * *", "30 2 * * *", "30 1 * * *", "0 0 * * *", "15 0 * * *", "0 3 * * *", "59 23 * * *",
    "*/15 * * * *", "*/20 2 * * *", "0 * * * *", "45 1-3 * * *", "10,50 0,2 * * *",
)  # fmt: skip


def minutes(first: datetime, last: datetime) -> list[datetime]:
    return [first + timedelta(minutes=n) for n in range(int((last - first) / timedelta(minutes=1)))]


def changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The minutes in which the zone's offset becomes another."""
    start, found = datetime(year, 1, 1, tzinfo=UTC), []
    for day in range(366):
        first, last = start + timedelta(days=day), start + timedelta(days=day + 1)
        if first.astimezone(zone).utcoffset() != last.astimezone(zone).utcoffset():
            offset = first.astimezone(zone).utcoffset()
            found.append(
                next(m for m in minutes(first, last + timedelta(minutes=1)) if m.astimezone(zone).utcoffset() != offset)
            )
    return found


def matches(expression: str, wall: datetime) -> bool:
    """Minute and hour of a cron expression, read in the plainest way."""

    def holds(field: str, value: int) -> bool:
        for part in field.split(","):
            span, _, step = part.partition("/")
            low, _, high = span.partition("-")
            first, last = (0, 59) if span == "*" else (int(low), int(high or low))
            if first <= value <= last and (value - first) % int(step or 1) == 0:
                return True
        return False

    minute, hour, *_ = expression.split()
    return holds(minute, wall.minute) and holds(hour, wall.hour)


def due_by_the_rule(expression: str, zone: ZoneInfo, first: datetime, last: datetime) -> list[datetime]:
    """Every wall minute looked at: where the clock shows it first, or, where it never does, where it jumps over it."""
    due: set[datetime] = set()
    shown: set[datetime] = set()
    previous = (first - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None)
    for moment in minutes(first, last):
        wall = moment.astimezone(zone).replace(tzinfo=None)
        step = previous + timedelta(minutes=1)
        while step < wall:  # the gap
            if matches(expression, step):
                due.add(moment)
            step += timedelta(minutes=1)
        if wall not in shown and matches(expression, wall):
            due.add(moment)
        shown.add(wall)
        previous = wall
    return sorted(due)


def due_between(schedule: AnySchedule, first: datetime, last: datetime) -> list[datetime]:
    found, moment = [], next_after(schedule, first - timedelta(seconds=1))
    while moment is not None and moment < last:
        found.append(moment)
        moment = next_after(schedule, moment)
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_around_every_change_of_a_year_each_wall_time_is_due_once_by_the_rule(zone: str) -> None:
    found = changes(ZoneInfo(zone), 2026)
    assert bool(found) == (zone != "Asia/Shanghai")
    for change in found or [datetime(2026, 6, 1, tzinfo=UTC)]:
        first, last = change - timedelta(hours=5), change + timedelta(hours=5)
        for expression in EXPRESSIONS:
            schedule = CronSchedule(expression=expression, zone=zone)
            expected = due_by_the_rule(expression, ZoneInfo(zone), first, last)
            assert due_between(schedule, first, last) == expected, expression


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
def test_the_next_due_time_is_the_same_from_whatever_moment_one_asks(zone: str) -> None:
    for change in changes(ZoneInfo(zone), 2026):
        first, last = change - timedelta(hours=3), change + timedelta(hours=3)
        for expression in ("*/20 2 * * *", "*/15 * * * *"):
            schedule = CronSchedule(expression=expression, zone=zone)
            expected = due_by_the_rule(expression, ZoneInfo(zone), first, last + timedelta(days=2))
            for moment in minutes(first, last)[::7]:
                later = min(each for each in expected if each > moment)
                assert next_after(schedule, moment) == later
                assert next_after(schedule, moment + timedelta(seconds=59.5)) == min(
                    each for each in expected if each > moment + timedelta(seconds=59.5)
                )


def test_a_day_a_zone_left_out_is_due_once_at_its_end() -> None:
    schedule = CronSchedule(expression="0 12 * * *", zone="Pacific/Apia")
    found = due_between(schedule, datetime(2011, 12, 29, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC))
    assert [moment.isoformat() for moment in found] == [
        "2011-12-29T22:00:00+00:00",  # noon of the 29th
        "2011-12-30T10:00:00+00:00",  # the 30th never was; the 31st begins
        "2011-12-30T22:00:00+00:00",  # noon of the 31st
        "2011-12-31T22:00:00+00:00",
    ]


def test_days_of_week_and_names_are_understood() -> None:
    schedule = CronSchedule(expression="30 8 * * MON-FRI", zone="Asia/Tokyo")
    found = due_between(schedule, datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert [moment.isoformat() for moment in found] == [
        "2026-11-22T23:30:00+00:00",
        "2026-11-23T23:30:00+00:00",
    ]
    assert next_after(CronSchedule(expression="@hourly"), datetime(2026, 1, 1, 0, 30, tzinfo=UTC)) == datetime(
        2026, 1, 1, 1, tzinfo=UTC
    )


@pytest.mark.parametrize("expression", ["x", "* * * *", "61 * * * *", "* * * * * * *", ""])
def test_an_expression_that_is_none_is_refused_with_its_text(expression: str) -> None:
    schedule = CronSchedule.model_construct(kind="cron", expression=expression, zone="UTC")
    with pytest.raises(ScheduleUnusable, match="is no cron expression"):
        next_after(schedule, datetime(2026, 1, 1, tzinfo=UTC))


def test_an_expression_that_never_comes_true_is_refused_too() -> None:
    with pytest.raises(ScheduleUnusable):
        first_due(CronSchedule(expression="0 0 30 2 *"), datetime(2026, 1, 1, tzinfo=UTC))


def test_intervals_count_from_their_start_and_once_is_once() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    every = IntervalSchedule(seconds=90, start=start)
    assert first_due(every, start - timedelta(days=3)) == start
    assert next_after(every, start) == start + timedelta(seconds=90)
    assert next_after(every, start + timedelta(seconds=89.9)) == start + timedelta(seconds=90)
    once = OnceSchedule(at=start)
    assert first_due(once, start + timedelta(days=1)) == start, "filed too late, it is due at once"
    assert next_after(once, start) is None


@pytest.mark.parametrize("expression", ["* * * * *", "0 3 * * *", "0 0 1 * *", "0 0 29 2 *"])
def test_the_latest_due_time_is_found_without_stepping_through_years(expression: str) -> None:
    schedule = CronSchedule(expression=expression, zone="America/New_York")
    first = next_after(schedule, datetime(2023, 1, 1, tzinfo=UTC))
    now = datetime(2026, 11, 22, 7, 30, 15, tzinfo=UTC)
    assert first is not None
    latest = latest_until(schedule, first, now)
    following = next_after(schedule, latest)
    assert latest <= now
    assert following is not None
    assert following > now
    assert latest_until(schedule, first, first) == first
