import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from examples.consumer.coupon_events import Stream


def event(number: int, campaign: str = "c", **data: Any) -> bytes:
    return json.dumps({"stream": f"{campaign}/0", "seq": number, "data": data}).encode()


def numbers(stream: Stream, values: list[bytes]) -> list[int]:
    return [taken["seq"] for taken in stream.take_all(values)]


def test_events_in_order_are_all_taken() -> None:
    stream = Stream()
    assert numbers(stream, [event(1), event(2), event(3)]) == [1, 2, 3]
    assert (stream.repeats, stream.gaps, stream.last) == (0, [], {"c/0": 3})


def test_a_repeat_is_dropped_whenever_it_comes() -> None:
    stream = Stream()
    assert numbers(stream, [event(1), event(1), event(2), event(1), event(2), event(3)]) == [1, 2, 3]
    assert (stream.repeats, stream.gaps) == (3, [])


def test_a_gap_is_reported_and_reading_goes_on_behind_it() -> None:
    stream = Stream()
    assert numbers(stream, [event(1), event(2), event(5), event(6), event(9)]) == [1, 2, 5, 6, 9]
    assert stream.gaps == [("c/0", 3, 4), ("c/0", 7, 8)]


def test_a_reader_that_begins_in_the_middle_is_told_what_it_missed() -> None:
    stream = Stream()
    assert numbers(stream, [event(4)]) == [4]
    assert stream.gaps == [("c/0", 1, 3)]


def test_each_campaign_has_numbers_of_its_own() -> None:
    stream = Stream()
    assert numbers(stream, [event(1, "a"), event(1, "b"), event(2, "b"), event(2, "a"), event(2, "b")]) == [1, 1, 2, 2]
    assert (stream.repeats, stream.gaps) == (1, [])


@given(st.data(), st.integers(1, 30))
def test_whatever_is_repeated_each_event_is_taken_once_and_in_order(data: st.DataObject, events: int) -> None:
    """What the platform promises: 1..n in order, with any stretch of the past thrown in again at any time."""
    values = []
    for number in range(1, events + 1):
        values.append(event(number))
        back = data.draw(st.integers(0, number))
        values += [event(old) for old in range(number - back + 1, number + 1)]
    stream = Stream()
    assert numbers(stream, values) == list(range(1, events + 1))
    assert stream.gaps == []
    assert stream.repeats == len(values) - events


@given(st.sets(st.integers(1, 30), min_size=1), st.integers(1, 30))
def test_exactly_the_missing_numbers_are_reported(missing: set[int], events: int) -> None:
    stream = Stream()
    there = [number for number in range(1, events + 1) if number not in missing]
    assert numbers(stream, [event(number) for number in there]) == there
    reported = {number for _, first, last in stream.gaps for number in range(first, last + 1)}
    assert reported == {number for number in missing if there and number < there[-1]}
