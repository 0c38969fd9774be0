import time
from collections.abc import Iterator

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as some

from benchmarks import code_checks
from coupon_core.codes import ff1
from coupon_core.codes.generated import (
    ALPHABET,
    BLOCK_SIZE,
    LENGTH,
    SERIALS,
    GeneratedCodes,
    block_of,
    index_of,
    last_four,
    normalise,
    number_at,
    serial_at,
    version_of,
)
from tests.coupon_core.codes import ff1_standard
from tests.support.figures import show

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
CODES = GeneratedCodes({1: OLD})
SERIAL = some.integers(0, SERIALS - 1)
CHANCE = 1 / (1 << 14)

# Made once and kept: a change here makes every printed code of the world invalid.
VECTORS = {
    0: "11H6V5EEXPB9",
    1: "1C4WPDYQBB5C",
    65_535: "13YZ54AZEQ09",
    65_536: "1YX11ENNWR1S",
    1_000_000_000: "1QRNYBGVESMS",
    SERIALS - 1: "1X630ADDYVN3",
}


class TestTheCodeOfASerial:
    @pytest.mark.parametrize(("serial", "code"), VECTORS.items())
    def test_never_changes(self, serial: int, code: str) -> None:
        assert CODES.code_of(serial) == code
        assert CODES.codes_of(serial, 1) == [code]
        assert CODES.serial_of(code) == serial

    @given(SERIAL)
    def test_leads_back_to_it(self, serial: int) -> None:
        code = CODES.code_of(serial)
        assert len(code) == LENGTH
        assert set(code) <= set(ALPHABET)
        assert CODES.serial_of(code) == serial
        assert CODES.serials_of([code]) == [serial]

    @given(SERIAL)
    def test_is_ff1_of_the_serial_and_14_zero_bits(self, serial: int) -> None:
        number = serial << 14
        numerals = ff1_standard.encrypt(
            OLD, 32, b"scrip.codes", [number >> 5 * place & 31 for place in range(10, -1, -1)]
        )
        assert CODES.code_of(serial) == "1" + "".join(ALPHABET[numeral] for numeral in numerals)

    @given(SERIAL, some.integers(0, 50))
    def test_is_the_same_one_by_one_and_in_rows(self, first: int, count: int) -> None:
        first = min(first, SERIALS - count)
        codes = CODES.codes_of(first, count)
        assert codes == [CODES.code_of(serial) for serial in range(first, first + count)]
        assert CODES.serials_of(codes) == list(range(first, first + count))

    @given(some.lists(some.tuples(some.integers(0, SERIALS - 50), some.integers(0, 50)), min_size=1, max_size=5))
    def test_is_the_same_in_several_runs_at_once(self, runs: list[tuple[int, int]]) -> None:
        apart = [CODES.codes_of(first, count, CODES.newest_version) for first, count in runs]
        assert CODES.codes_of_runs(runs, CODES.newest_version) == apart

    def test_is_another_for_each_serial_of_a_block(self) -> None:
        codes = CODES.codes_of(7 * BLOCK_SIZE, BLOCK_SIZE)
        assert len(set(codes)) == BLOCK_SIZE
        assert CODES.serials_of(codes) == list(range(7 * BLOCK_SIZE, 8 * BLOCK_SIZE))

    @pytest.mark.parametrize(("first", "count"), [(-1, 1), (SERIALS, 1), (SERIALS - 1, 2), (5, -1)])
    def test_exists_only_for_41_bits(self, first: int, count: int) -> None:
        with pytest.raises(ValueError, match="Serials"):
            CODES.codes_of(first, count)
        with pytest.raises(ValueError, match="Serials"):
            CODES.codes_of_runs([(0, 1), (first, count)], CODES.newest_version)
        if count == 1:
            with pytest.raises(ValueError, match="Serials"):
                CODES.code_of(first)

    def test_belongs_to_a_block_of_65_536(self) -> None:
        assert BLOCK_SIZE == 65_536
        assert (block_of(0), block_of(65_535), block_of(65_536)) == (0, 0, 1)
        assert block_of(SERIALS - 1) == (1 << 25) - 1

    @given(some.integers(1, 10**9), some.integers(0, (1 << 25) - 1))
    def test_stands_for_a_number_of_its_campaign_and_back(self, number: int, block: int) -> None:
        serial = serial_at(block, number)
        assert block_of(serial) == block
        assert number_at(index_of(number), serial) == number
        assert (index_of(65_536), index_of(65_537)) == (0, 1)


class TestVersions:
    def test_the_first_symbol_names_the_key(self) -> None:
        both = GeneratedCodes({1: OLD, 2: NEW})
        old, new = both.code_of(5, version=1), both.code_of(5)
        assert (old[0], new[0]) == ("1", "2")
        assert both.serial_of(old) == both.serial_of(new) == 5
        assert both.serials_of([old, new, "x"]) == [5, 5, None]
        assert (version_of(old), version_of(new), version_of("0" * 12), version_of("AB")) == (
            1,
            2,
            None,
            None,
        )

    def test_a_code_under_a_key_not_at_hand_is_refused(self) -> None:
        new = GeneratedCodes({2: NEW}).code_of(5)
        assert CODES.serial_of(new) is None
        assert CODES.serials_of([new]) == [None]
        with pytest.raises(ValueError, match="version 2"):
            CODES.code_of(5, version=2)

    @pytest.mark.parametrize("keys", [{}, {0: OLD}, {32: OLD}, {1: b"short"}])
    def test_wrong_keys_are_refused(self, keys: dict[int, bytes]) -> None:
        with pytest.raises(ValueError, match=r"key"):
            GeneratedCodes(keys)


class TestReading:
    @given(SERIAL, some.data())
    def test_case_spaces_dashes_and_look_alikes_do_not_matter(self, serial: int, data: some.DataObject) -> None:
        written = ""
        for symbol in CODES.code_of(serial):
            written += data.draw(some.sampled_from(["", "", "", " ", "-", "\u00a0", "\u2013"]))
            alike = {"0": "0Oo", "1": "1IiLl"}.get(symbol, symbol + symbol.lower())
            written += data.draw(some.sampled_from(list(alike)))
        assert CODES.serial_of(written) == serial
        assert CODES.serials_of([written]) == [serial]

    @given(some.text() | some.text(ALPHABET + "OILUoilu_-+ xX", min_size=10, max_size=14))
    def test_any_text_gets_the_same_answer_alone_and_in_rows(self, text: str) -> None:
        assert CODES.serials_of([text, "11H6V5EEXPB9"]) == [CODES.serial_of(text), 0]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "1",
            "11H6V5EEXPB",
            "11H6V5EEXPB99",
            "U1H6V5EEXPB9",
            "11H6V5EEXPBU",
            "11H6V5EEXP_9",
            "11H6V5EEXPB\x009",
            "11H6V5EEXPB\ud800",
            "11H6V5EEXPB\u0661",
            "01H6V5EEXPB9",
            "+1H6V5EEXPB9",
        ],
    )
    def test_what_has_not_the_form_is_refused(self, text: str) -> None:
        assert CODES.serial_of(text) is None
        assert CODES.serials_of([text]) == [None]

    def test_no_codes_are_no_serials(self) -> None:
        assert CODES.serials_of([]) == []


class TestWrongCodes:
    """Each passes by a chance of 1 in 16,384. Keys and serials are fixed, so the counts never vary."""

    def test_a_wrong_symbol_is_refused(self) -> None:
        wrong = [
            code[:place] + symbol + code[place + 1 :]
            for code in CODES.codes_of(987_654_321, 600)
            for place in range(1, LENGTH)
            for symbol in ALPHABET
            if symbol != code[place]
        ]
        self.count("wrong symbols", wrong)

    def test_a_swap_of_neighbours_is_refused(self) -> None:
        self.count("swapped neighbours", list(self.swaps(CODES.codes_of(987_654_321, 20_000))))

    def test_exactly_these_of_a_sample_of_300_codes_pass(self) -> None:
        codes = CODES.codes_of(987_654_321, 300)
        symbols, neighbours = list(code_checks.wrong_symbols(codes)), list(code_checks.swaps(codes))
        passed = [
            code
            for wrong in (symbols, neighbours)
            for code, serial in zip(wrong, CODES.serials_of(wrong), strict=True)
            if serial is not None
        ]
        assert (len(symbols), len(neighbours)) == (111_600, 3_197)
        assert passed == [
            *("1EVCDZMJQ1KA", "12YMR5SV6G1P", "18BTZ5GP1053", "1ZNF10WBEA7V"),
            *("1M5G21BF2DBC", "1BAXXWH0628Y", "1FNDAYNGJ36Z"),
        ]

    def test_another_first_symbol_is_always_refused(self) -> None:
        codes = CODES.codes_of(0, 200)
        wrong = [symbol + code[1:] for code in codes for symbol in ALPHABET if symbol != "1"]
        assert set(CODES.serials_of(wrong)) == {None}

    def test_an_invented_code_is_refused(self) -> None:
        invented = numpy.random.default_rng(2017).integers(0, 1 << 55, 1_000_000, dtype=numpy.uint64)
        began = time.perf_counter()
        numbers = ff1.Permutation.of_serials(OLD, b"scrip.codes").decrypt_all(invented)
        passed = int((numbers & numpy.uint64((1 << 14) - 1) == 0).sum())
        took = time.perf_counter() - began
        show(f"{passed} of 1,000,000 invented codes pass the arithmetic, 61 expected ({took:.2f} s)")
        self.is_chance(passed, 1_000_000)

    @staticmethod
    def swaps(codes: list[str]) -> Iterator[str]:
        for code in codes:
            for place in range(1, LENGTH - 1):
                if code[place] != code[place + 1]:
                    yield code[:place] + code[place + 1] + code[place] + code[place + 2 :]

    def count(self, what: str, wrong: list[str]) -> None:
        passed = sum(serial is not None for serial in CODES.serials_of(wrong))
        show(f"{passed} of {len(wrong):,} {what} pass the arithmetic, {len(wrong) * CHANCE:.1f} expected")
        self.is_chance(passed, len(wrong))

    @staticmethod
    def is_chance(passed: int, tries: int) -> None:
        expected = tries * CHANCE
        assert abs(passed - expected) <= 5 * expected**0.5


class TestNormalising:
    @given(some.text(max_size=80))
    def test_is_stable_and_bounded(self, text: str) -> None:
        once = normalise(text)
        if once is not None:
            assert 0 < len(once) <= 64
            assert normalise(once) == once

    @given(some.text(ALPHABET, min_size=1, max_size=40))
    def test_does_not_mind_case_spaces_and_dashes(self, text: str) -> None:
        assert normalise(f" {text.lower()}- ") == normalise(text) == text

    @pytest.mark.parametrize(
        ("written", "kept"),
        [
            ("save-10 now", "SAVE10NOW"),
            ("O0IL1", "O0IL1"),
            ("caf\u00e9", "CAF\u00c9"),
            ("cafe\u0301", "CAF\u00c9"),
            ("stra\u00dfe", "STRASSE"),
            ("10\u2013off\u00a0\u3000x", "10OFFX"),
            ("\u4f18\u60e0\u5238", "\u4f18\u60e0\u5238"),
            ("\U0001f381gift", "\U0001f381GIFT"),
            ("a_b.c/d", "A_B.C/D"),
            ("x" * 64, "X" * 64),
        ],
    )
    def test_keeps_what_tells_codes_apart(self, written: str, kept: str) -> None:
        assert normalise(written) == kept

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " - ",
            "\u2013",
            "a\x00b",
            "a\nb",
            "a\tb",
            "a\x7fb",
            "\u00e9\x00",
            "\u00e9\u0085",
            "a\ud800",
            "a\u200bb",
            "\u202eabc",
            "\u2028\u00e9",
            "\ue000",
            "x" * 65,
            "\u00e9" * 65,
        ],
    )
    def test_refuses_what_cannot_be_a_code(self, text: str) -> None:
        assert normalise(text) is None

    def test_refuses_a_long_text_without_reading_it(self) -> None:
        assert normalise("\u00e9" * 10_000_000) is None
        assert CODES.serial_of("1" * 10_000_000) is None


@pytest.mark.parametrize(
    ("code", "shown"),
    [("11H6V5EEXPB9", "XPB9"), ("12345678", "5678"), ("ABCDE", "DE"), ("AB", "B"), ("A", ""), ("", "")],
)
def test_last_four_never_show_over_half(code: str, shown: str) -> None:
    assert last_four(code) == shown
