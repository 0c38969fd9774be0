from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from contracts.campaigns import CHARSETS, CodePattern
from coupon_core.codes.generated import GeneratedCodes, normalise
from coupon_core.codes.patterned import GUESSES, PatternedCodes, head_of, patterned, space_needed
from tests.support.figures import show

KEY = bytes(range(32))
CAMPAIGN = UUID("0d9d1c8e-6f5b-5a0e-8f3e-2f1c7f6b9a11")
OTHER = UUID("7b1f6a52-3c44-5d2a-9a57-60b3f1f2c9d0")

patterns = some.builds(
    lambda prefix, charset, places, suffix: (prefix, charset, places, suffix),
    some.from_regex(r"([0-9A-Za-z][0-9A-Za-z_-]{0,8})?", fullmatch=True),
    some.sampled_from([*CHARSETS, "01", "ABC", "23456789ABCDEFGHJKMNPQRSTVWXYZ"]),
    some.integers(1, 64),
    some.from_regex(r"[0-9A-Za-z_-]{0,8}", fullmatch=True),
)


def pattern_of(drawn: tuple[str, str, int, str]) -> CodePattern:
    """The nearest pattern that has between a million and 2^64 codes."""
    prefix, charset, length, suffix = drawn
    radix = len(CHARSETS.get(charset, charset))
    least = next(places for places in range(1, 65) if radix**places >= 1_000_000)
    most = next(places for places in range(64, 0, -1) if radix**places <= 2**64)
    length = min(max(length, least), most, 64 - len(prefix) - len(suffix))
    return CodePattern(prefix=prefix, charset=charset, length=length, suffix=suffix)


# Made once and kept: a change here makes printed codes invalid.
VECTORS = [
    (CodePattern(length=12), 1, "QR0AKVF0P4EQ"),
    (CodePattern(prefix="SAVE-", charset="digits", length=9), 1, "SAVE-413921221"),
    (CodePattern(charset="letters", length=8, suffix="-x"), 1_000, "DGCEOYSV-x"),
]


class TestTheCodeOfANumber:
    @pytest.mark.parametrize(("pattern", "number", "code"), VECTORS)
    def test_never_changes(self, pattern: CodePattern, number: int, code: str) -> None:
        assert PatternedCodes(KEY, CAMPAIGN, pattern).code_of(number) == code

    @given(patterns.map(pattern_of), some.data())
    def test_looks_as_ordered_and_leads_back_to_the_number(self, pattern: CodePattern, data: some.DataObject) -> None:
        codes = PatternedCodes(KEY, CAMPAIGN, pattern)
        number = data.draw(some.integers(1, pattern.space()))
        code = codes.code_of(number)
        body = code[len(pattern.prefix) : len(code) - len(pattern.suffix)]
        assert code == f"{pattern.prefix}{body}{pattern.suffix}"
        assert len(body) == pattern.length
        assert set(body) <= set(pattern.symbols())
        assert codes.number_of(code) == codes.number_of(f" {code.lower()}-") == number
        head, length = head_of(pattern)
        normal = normalise(code) or ""
        assert normal.startswith(head)
        assert len(normal) == length

    @given(patterns.map(pattern_of), some.integers(1, 500_000), some.integers(0, 40))
    def test_is_the_same_one_by_one_and_in_rows(self, pattern: CodePattern, first: int, count: int) -> None:
        codes = PatternedCodes(KEY, CAMPAIGN, pattern)
        assert codes.codes_of(first, count) == [codes.code_of(number) for number in range(first, first + count)]

    @pytest.mark.parametrize("pattern", [CodePattern(charset="digits", length=6), CodePattern(charset="01", length=20)])
    def test_is_another_for_each_number_of_the_whole_space(self, pattern: CodePattern) -> None:
        codes = PatternedCodes(KEY, CAMPAIGN, pattern).codes_of(1, pattern.space())
        assert len(set(codes)) == pattern.space()

    def test_does_not_exist_beyond_the_space(self) -> None:
        codes = PatternedCodes(KEY, CAMPAIGN, CodePattern(charset="digits", length=6))
        for first, count in ((0, 1), (1_000_001, 1), (1_000_000, 2), (5, -1)):
            with pytest.raises(ValueError, match="Numbers"):
                codes.codes_of(first, count)

    def test_depends_on_campaign_and_key(self) -> None:
        pattern = CodePattern(length=12)
        made = {
            tuple(PatternedCodes(key, campaign, pattern).codes_of(1, 50))
            for key in (KEY, bytes(32))
            for campaign in (CAMPAIGN, OTHER)
        }
        assert len(made) == 4
        assert len({code for codes in made for code in codes}) == 200

    def test_is_made_under_the_key_of_its_version(self) -> None:
        pattern, keys = CodePattern(length=12), GeneratedCodes({1: KEY, 2: bytes(32)})
        under_the_second = PatternedCodes(bytes(32), CAMPAIGN, pattern)
        assert patterned(keys, CAMPAIGN, pattern, 2).code_of(7) == under_the_second.code_of(7)
        with pytest.raises(ValueError, match="version 3"):
            patterned(keys, CAMPAIGN, pattern, 3)


class TestReading:
    CODES = PatternedCodes(KEY, CAMPAIGN, CodePattern(prefix="SAVE-", length=9))

    def test_a_symbol_outside_the_charset_is_taken_for_the_one_it_looks_like(self) -> None:
        alike = {"0": "Oo0", "1": "IiLl1"}
        for number in range(1, 200):
            code = self.CODES.code_of(number)
            written = "SAVE-" + "".join(alike.get(symbol, symbol)[0] for symbol in code[5:])
            assert self.CODES.number_of(written) == number

    def test_where_both_are_in_the_charset_they_stay_apart(self) -> None:
        codes = PatternedCodes(KEY, CAMPAIGN, CodePattern(charset="letters_and_digits", length=9))
        code = next(code for code in codes.codes_of(1, 500) if "0" in code)
        assert codes.number_of(code.replace("0", "O")) != codes.number_of(code)

    @given(some.text() | some.text("SAVE-0123456789UOIL", max_size=20))
    def test_any_text_is_a_number_of_the_space_or_none(self, text: str) -> None:
        number = self.CODES.number_of(text)
        assert number is None or (1 <= number <= 32**9 and len(normalise(text) or "") == 13)

    @pytest.mark.parametrize(
        "text", ["", "SAVE", "SAVE-12345678", "SAVE-1234567890", "SAVF-123456789", "SAVE-12345678U"]
    )
    def test_what_has_not_the_form_is_none(self, text: str) -> None:
        assert self.CODES.number_of(text) is None


class TestPatterns:
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"length": 0}, "greater than or equal to 1"),
            ({"charset": "AAB", "length": 20}, "twice"),
            ({"charset": "abc", "length": 20}, "pattern"),
            ({"charset": "digits", "length": 20}, "length is 19 at most"),
            ({"length": 13}, "length is 12 at most"),
            ({"length": 50, "charset": "01", "prefix": "A" * 15}, "64 characters together"),
            ({"length": 8, "prefix": "-X"}, "pattern"),
            ({"length": 8, "prefix": "=1+"}, "pattern"),
            ({"length": 8, "suffix": "é"}, "pattern"),
        ],
    )
    def test_what_cannot_be_made_is_refused_in_words(self, wrong: dict[str, object], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            CodePattern.model_validate(wrong)

    def test_a_guess_hits_once_in_a_thousand_tries_at_most(self) -> None:
        assert GUESSES == 1_000
        assert space_needed(1_000_000) == 1_000_000_000
        assert space_needed(1) == 1_000_000
        pattern = CodePattern(charset="digits", length=7)
        codes = PatternedCodes(KEY, CAMPAIGN, pattern)
        quantity = pattern.space() // GUESSES
        numbers = [codes.number_of(f"{guess:07}") or 0 for guess in range(0, 10_000_000, 97)]
        hits = sum(number <= quantity for number in numbers)
        show(f"{hits} of {len(numbers):,} guesses hit one of {quantity:,} codes of 7 digits")
        assert abs(hits - len(numbers) / GUESSES) <= 5 * (len(numbers) / GUESSES) ** 0.5
