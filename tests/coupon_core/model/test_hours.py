"""Hours in which coupons may be used, on the clocks of the campaign's zone; calendars drawn by hypothesis."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.campaigns import Validity, WeeklyHours
from coupon_core.model.hours import WEEKDAYS, is_open, next_opening

ZONES = (
    *("UTC", "America/New_York", "Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana"),
    *("Africa/Cairo", "Pacific/Apia", "Asia/Kathmandu", "America/St_Johns"),
)


def validity(zone: str = "UTC", **windows: Any) -> Validity:
    document = {"starts": "2000-01-01", "ends": "2099-12-31", "zone": zone, **windows}
    return Validity.model_validate_json(json.dumps(document))


def weekly(days: str, opens: str = "00:00", closes: str = "24:00") -> dict[str, Any]:
    return {"days": days.split(), "opens": opens, "closes": closes}


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    """What the zone's clocks show, as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def shown(moment: datetime | None, zone: str) -> str | None:
    return None if moment is None else moment.astimezone(ZoneInfo(zone)).isoformat()


class TestWeekly:
    lunch = validity("Asia/Shanghai", weekly=[weekly("mon tue wed thu fri", "11:00", "14:00")])

    @pytest.mark.parametrize(
        ("clock", "opened"),
        [
            ("2026-03-10 10:59:59", False),
            ("2026-03-10 11:00:00", True),
            ("2026-03-10 13:59:59.999999", True),
            ("2026-03-10 14:00:00", False),
            ("2026-03-14 12:00:00", False),
        ],
    )
    def test_opens_inclusive_closes_exclusive_in_the_zone(self, clock: str, opened: bool) -> None:
        assert is_open(self.lunch, at(clock, "Asia/Shanghai")) is opened

    def test_after_friday_comes_monday(self) -> None:
        found = next_opening(self.lunch, at("2026-03-13 14:00", "Asia/Shanghai"), at("2026-04-01"))
        assert shown(found, "Asia/Shanghai") == "2026-03-16T11:00:00+08:00"

    def test_over_midnight_belongs_to_the_day_it_opens_on(self) -> None:
        night = validity("Europe/Berlin", weekly=[weekly("fri", "22:00", "02:00")])
        clocks = {"2026-03-13 21:59": False, "2026-03-13 22:00": True, "2026-03-14 01:59": True}
        clocks |= {"2026-03-14 02:00": False, "2026-03-14 22:30": False, "2026-03-13 01:00": False}
        assert {clock: is_open(night, at(clock, "Europe/Berlin")) for clock in clocks} == clocks

    def test_a_whole_day_is_as_long_as_it_is_in_its_zone(self) -> None:
        """Sunday the 8th of March 2026 has 23 hours in New York."""
        sundays = validity("America/New_York", weekly=[weekly("sun")])
        start = datetime(2026, 3, 8, 5, tzinfo=UTC)
        hours = [is_open(sundays, start + timedelta(hours=hour)) for hour in range(-1, 24)]
        assert hours == [False, *[True] * 23, False]

    def test_an_hour_left_out_is_not_made_up_for(self) -> None:
        """In Berlin the clocks go from 2:00 to 3:00 on the 29th of March 2026."""
        early = validity("Europe/Berlin", weekly=[weekly("sun", "02:00", "03:00")])
        found = next_opening(early, at("2026-03-28", "Europe/Berlin"), at("2026-05-01"))
        assert shown(found, "Europe/Berlin") == "2026-04-05T02:00:00+02:00"

    def test_hours_that_begin_in_the_gap_begin_after_it(self) -> None:
        early = validity("Europe/Berlin", weekly=[weekly("sun", "02:30", "04:00")])
        found = next_opening(early, at("2026-03-28", "Europe/Berlin"), at("2026-05-01"))
        assert shown(found, "Europe/Berlin") == "2026-03-29T03:00:00+02:00"

    def test_an_hour_shown_twice_counts_twice(self) -> None:
        """In New York the clocks go back from 2:00 to 1:00 on the 1st of November 2026."""
        zone = "America/New_York"
        early = validity(zone, weekly=[weekly("sun", "00:00", "01:30")])
        assert is_open(early, at("2026-11-01 01:29", zone))
        assert not is_open(early, at("2026-11-01 01:30", zone))
        assert is_open(early, at("2026-11-01 01:29", zone, fold=1))
        found = next_opening(early, at("2026-11-01 01:45", zone), at("2026-12-01"))
        assert shown(found, zone) == "2026-11-01T01:00:00-05:00"

    def test_a_weekday_left_out_altogether_comes_a_week_later(self) -> None:
        """Apia had no 30th of December 2011, a Friday."""
        fridays = validity("Pacific/Apia", weekly=[weekly("fri", "08:00", "18:00")])
        found = next_opening(fridays, at("2011-12-23 18:00", "Pacific/Apia"), at("2012-02-01"))
        assert shown(found, "Pacific/Apia") == "2012-01-06T08:00:00+14:00"


class TestIrregular:
    def test_a_date_only_end_includes_that_day_in_the_zone(self) -> None:
        zone = "America/New_York"
        days = validity(zone, irregular=[{"starts": "2026-11-01", "ends": "2026-11-01"}])
        assert is_open(days, at("2026-11-01 00:00", zone))
        assert is_open(days, at("2026-11-01 23:59:59", zone))
        assert not is_open(days, at("2026-11-02 00:00", zone))

    def test_next_is_the_earliest_of_all_windows(self) -> None:
        stretches = [
            {"starts": "2026-03-20T10:00:00Z", "ends": "2026-03-20T11:00:00Z"},
            {"starts": "2026-03-18", "ends": "2026-03-18"},
        ]
        both = validity(weekly=[weekly("sat")], irregular=stretches)
        opened = [at("2026-03-14"), at("2026-03-18"), at("2026-03-20 10:00"), at("2026-03-21")]
        moment = at("2026-03-12")
        for expected in opened:
            found = next_opening(both, moment, at("2026-04-01"))
            assert found == expected
            moment = expected
            while is_open(both, moment):
                moment += timedelta(hours=1)

    def test_what_opens_at_the_end_or_later_does_not_count(self) -> None:
        one = validity(irregular=[{"starts": "2026-03-20", "ends": "2026-03-20"}])
        assert next_opening(one, at("2026-03-12"), at("2026-03-20")) is None
        assert next_opening(one, at("2026-03-12"), at("2026-03-20 00:00:01")) == at("2026-03-20")
        assert next_opening(one, at("2026-03-21"), at("2099-01-01")) is None

    def test_without_windows_it_is_always_open(self) -> None:
        assert is_open(validity(), at("2026-03-12 03:00"))
        assert next_opening(validity(), at("2026-03-12 03:00"), at("2026-04-01")) == at("2026-03-12 03:00")


CLOCK = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
WEEKLY = st.builds(
    WeeklyHours,
    days=st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3).map(tuple),
    opens=CLOCK,
    closes=CLOCK | st.just("24:00"),
)
AROUND_CLOCK_CHANGES = (
    *("2026-03-07T12", "2026-03-28T12", "2026-10-24T12", "2026-10-31T12", "2026-04-04T06", "2026-04-23T06"),
    *("2011-12-29T00", "2026-07-01T00"),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(WEEKLY, min_size=1, max_size=3),
    st.sampled_from(AROUND_CLOCK_CHANGES),
    st.integers(0, 4 * 48),
)
def test_the_next_opening_is_the_first_open_minute(
    zone: str, hours: list[WeeklyHours], day: str, quarters: int
) -> None:
    """Quarter by quarter through the days around changes of the clocks, which happen at full quarters."""
    named = validity(zone).model_copy(update={"weekly": tuple(hours)})
    moment = datetime.fromisoformat(f"{day}:00:00+00:00") + quarters * timedelta(minutes=15)
    ends = moment + timedelta(days=15)
    step = moment
    while step < ends and not is_open(named, step):
        step += timedelta(minutes=15)
    assert next_opening(named, moment, ends) == (step if step < ends else None)


@given(st.sampled_from(ZONES), st.lists(WEEKLY, min_size=1, max_size=3), st.datetimes(datetime(2000, 1, 1)))
def test_open_says_what_the_clock_on_the_wall_says(zone: str, hours: list[WeeklyHours], moment: datetime) -> None:
    """Told another way: minutes of the week since Monday."""
    named = validity(zone).model_copy(update={"weekly": tuple(hours)})
    moment = moment.replace(year=min(moment.year, 2090), tzinfo=UTC) if (moment.month, moment.day) != (2, 29) else (
        moment.replace(day=28, year=min(moment.year, 2090), tzinfo=UTC)
    )  # fmt: skip
    wall = moment.astimezone(ZoneInfo(zone))
    now = (wall.weekday() * 1_440 + wall.hour * 60 + wall.minute) + wall.second / 60 + wall.microsecond / 6e7

    def minutes(clock: str) -> int:
        hour, minute = clock.split(":")
        return int(hour) * 60 + int(minute)

    expected = False
    for one in hours:
        length = (minutes(one.closes) - minutes(one.opens)) % 1_440 or 1_440
        for day in one.days:
            opens = WEEKDAYS.index(day) * 1_440 + minutes(one.opens)
            expected |= any(opens <= now + week < opens + length for week in (0, 7 * 1_440))
    assert is_open(named, moment) is expected
