"""Rows of codes written column by column are the rows that are written one by one."""

import random
from typing import Literal

import numpy
import pytest

from coupon_core.codes.generated import LENGTH, GeneratedCodes, texts_of
from coupon_core.queries import code_columns
from coupon_core.queries.exporting import CODES, as_csv, as_json_lines

SYMBOLS = GeneratedCodes({1: bytes(range(32))})


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("first", [1, 8, 95, 99_990, 100_000, 999_999_990])
@pytest.mark.parametrize("states", [(0,), (1,), (0, 3), tuple(range(7))])
def test_columns_are_the_same_text_as_rows(form: Literal["csv", "jsonl"], first: int, states: tuple[int, ...]) -> None:
    chance = random.Random(first)
    held = numpy.array([chance.choice(states) for _ in range(40)], dtype=numpy.uint8)
    numbers = numpy.arange(first, first + len(held))
    symbols = SYMBOLS.symbols_of(first, len(held))
    rows = [
        (number, code, code_columns.STATES[state])
        for number, code, state in zip(numbers.tolist(), texts_of(symbols), held.tolist(), strict=True)
    ]
    expected = as_csv(CODES, rows) if form == "csv" else as_json_lines(CODES, rows)
    assert code_columns.write(form, numbers, symbols, held) == expected


def test_rows_may_be_left_out_also_all_of_them() -> None:
    numbers, symbols = numpy.array([9, 10, 12]), SYMBOLS.symbols_of(0, 3)
    held = numpy.array([0, 1, 0], dtype=numpy.uint8)
    lines = code_columns.write("csv", numbers[held == 0], symbols[held == 0], held[held == 0]).splitlines()
    assert [line.partition(b",")[0] for line in lines] == [b"9", b"12"]
    nothing = numpy.zeros((0, LENGTH), dtype=numpy.uint8)
    assert code_columns.write("csv", numbers[:0], nothing, held[:0]) == b""
