import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.campaigns import Terms, Validity
from coupon_core.model.validity import EARLIEST, LATEST, bounds
from tests.support.deciding import terms


def of(starts: str, ends: str, zone: str = "UTC") -> tuple[str, str]:
    validity = Validity.model_validate_json(json.dumps({"starts": starts, "ends": ends, "zone": zone}))
    first, over = bounds(validity)
    return first.isoformat(), over.isoformat()


class TestDates:
    def test_an_end_that_is_a_date_includes_that_day(self) -> None:
        assert of("2026-03-01", "2026-03-31") == ("2026-03-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00")

    def test_one_day_is_a_day(self) -> None:
        assert of("2026-03-01", "2026-03-01") == ("2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00")

    @pytest.mark.parametrize(
        ("day", "zone", "hours"),
        [
            ("2026-03-08", "America/New_York", 23),
            ("2026-11-01", "America/New_York", 25),
            ("2026-03-29", "Europe/Berlin", 23),
            ("2026-10-25", "Europe/Berlin", 25),
            ("2026-04-05", "Australia/Lord_Howe", 24.5),
            ("2026-06-01", "Asia/Shanghai", 24),
            ("2017-03-12", "America/New_York", 23),
        ],
    )
    def test_a_day_is_as_long_as_it_is_in_its_zone(self, day: str, zone: str, hours: float) -> None:
        first, over = of(day, day, zone)
        assert datetime.fromisoformat(over) - datetime.fromisoformat(first) == timedelta(hours=hours)
        assert datetime.fromisoformat(first).astimezone(ZoneInfo(zone)).isoformat().startswith(f"{day}T00:00:00")

    def test_midnight_that_is_not_there_is_the_first_instant_of_the_day(self) -> None:
        """In Cairo the clocks go from 23:59:59 to 1:00 on the last Friday of April."""
        first, _ = of("2026-04-24", "2026-04-24", "Africa/Cairo")
        assert first == "2026-04-23T22:00:00+00:00"

    def test_midnight_that_is_there_twice_begins_with_the_first(self) -> None:
        """In Havana the clocks go back from 1:00 to 0:00 on the first Sunday of November."""
        first, _ = of("2026-11-01", "2026-11-01", "America/Havana")
        assert first == "2026-11-01T04:00:00+00:00"


class TestInstants:
    def test_an_end_that_is_an_instant_is_that_instant(self) -> None:
        assert of("2026-03-01T10:00:00+01:00", "2026-03-01T10:00:01Z", "Asia/Tokyo") == (
            "2026-03-01T09:00:00+00:00",
            "2026-03-01T10:00:01+00:00",
        )

    @pytest.mark.parametrize("midnight", ["2026-04-01T00:00:00Z", "2026-04-01T00:00:00+08:00", "2026-04-01T00:00Z"])
    def test_midnight_written_as_an_instant_is_no_date_and_includes_no_day(self, midnight: str) -> None:
        _, over = of("2026-03-01", midnight, "America/New_York")
        assert datetime.fromisoformat(over) == datetime.fromisoformat(midnight)

    def test_both_kinds_may_be_mixed(self) -> None:
        assert of("2026-03-01", "2026-03-02T12:00:00Z", "Asia/Tokyo") == (
            "2026-02-28T15:00:00+00:00",
            "2026-03-02T12:00:00+00:00",
        )

    def test_terms_stay_what_they_are_when_they_are_stored_and_read_again(self) -> None:
        for validity in (
            {"starts": "2026-03-01", "ends": "2026-04-01T00:00:00Z"},
            {"starts": "2026-03-01T00:00:00Z", "ends": "2026-04-01"},
        ):
            made = terms(validity=validity)
            assert bounds(Terms.model_validate_json(made.model_dump_json()).validity) == bounds(made.validity)


@given(
    st.dates(date(2016, 1, 1), date(2036, 12, 31)),
    st.integers(0, 400),
    st.sampled_from(sorted(available_timezones())),
)
def test_a_range_of_dates_holds_each_local_day_whole(first_day: date, days: int, zone: str) -> None:
    last_day = first_day + timedelta(days=days)
    first, over = bounds(Validity(starts=first_day, ends=last_day, zone=zone))
    assert first.tzinfo is UTC
    assert over.tzinfo is UTC
    local_first, local_last = (
        first.astimezone(ZoneInfo(zone)),
        (over - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)),
    )
    assert first < over
    assert local_first.date() in (first_day, first_day + timedelta(days=1))  # a day may be left out of a calendar
    assert local_last.date() in (last_day, last_day - timedelta(days=1))
    before = (first - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    assert before.date() < first_day or (before.hour, before.minute) >= (23, 0)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Los_Angeles", "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        ("0001-01-01", "9999-12-31"),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("2026-03-01", "9999-12-30"),
    ],
)
def test_a_range_to_the_ends_of_the_calendar_has_bounds_that_can_be_stored(starts: str, ends: str, zone: str) -> None:
    first, over = bounds(Validity.model_validate_json(json.dumps({"starts": starts, "ends": ends, "zone": zone})))
    assert EARLIEST <= first < over <= LATEST
