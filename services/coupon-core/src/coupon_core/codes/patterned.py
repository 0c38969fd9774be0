"""Codes of a campaign's own pattern: prefix, symbols of a charset, suffix. None is stored before somebody holds it.

The code of the campaign's n-th number is a keyed permutation of n - 1 within the pattern's space (charset ** length):
FF1 over bits (`ff1.Permutation.of_bits`) with the campaign's id as tweak, taken again while the result lies outside
the space ("cycle walking": at most one bit of the domain is outside, so two rounds on average). So the codes of a
campaign differ from one another by construction, the same campaign always has the same codes, and a code read back
names its number by arithmetic. An invented code passes with the chance numbers used / space, bounded by `space_needed`.
"""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

import numpy

from contracts.campaigns import CodePattern
from coupon_core.codes.ff1 import FEWEST_BITS, Numbers, Permutation
from coupon_core.codes.generated import GeneratedCodes, Symbols, normalise, texts_of

LOOK_ALIKES = ("0O", "1IL")
GUESSES = 1_000
"""How many codes there must be for each one in use: one guess in so many hits, when all of a campaign is issued."""
SMALLEST_SPACE = 1_000_000
"""What FF1 needs to be safe."""


def space_needed(quantity: int) -> int:
    """How many codes a pattern must have for a campaign of this quantity."""
    return max(SMALLEST_SPACE, GUESSES * quantity)


class PatternedCodes:
    """The codes of one campaign, by the numbers of its coupons (from 1)."""

    def __init__(self, key: bytes, campaign: UUID, pattern: CodePattern) -> None:
        symbols = pattern.symbols()
        self._prefix, self._suffix, self._length = pattern.prefix, pattern.suffix, pattern.length
        self._head, self._tail = normalise(pattern.prefix) or "", normalise(pattern.suffix) or ""
        self._space = pattern.space()
        bits = max(FEWEST_BITS, (self._space - 1).bit_length())
        self._permutation = Permutation.of_bits(key, campaign.bytes, bits)
        self._symbols = symbols
        self._bytes = numpy.frombuffer(symbols.encode(), dtype=numpy.uint8)
        self._values = {symbol: value for value, symbol in enumerate(symbols)}
        for alike in LOOK_ALIKES:
            there = [symbol for symbol in alike if symbol in self._values]
            if len(there) == 1:
                self._values |= dict.fromkeys(alike, self._values[there[0]])

    def code_of(self, number: int) -> str:
        """The code of one number, as it is shown; some 20 microseconds."""
        value = self._permutation.encrypt(self._place(number, 1))
        while value >= self._space:
            value = self._permutation.encrypt(value)
        radix, written = len(self._symbols), [""] * self._length
        for place in reversed(range(self._length)):
            value, symbol = divmod(value, radix)
            written[place] = self._symbols[symbol]
        return f"{self._prefix}{''.join(written)}{self._suffix}"

    def codes_of(self, first: int, count: int) -> list[str]:
        """The codes of the numbers first, first + 1, … in that order; for single ones `code_of` is faster."""
        return texts_of(self.symbols_of(first, count))

    def symbols_of(self, first: int, count: int) -> Symbols:
        """The same as ASCII, a row each; all codes of a pattern are equally long."""
        place = self._place(first, count)
        values: Numbers = self._permutation.encrypt_all(numpy.arange(place, place + count, dtype=numpy.uint64))
        outside = numpy.flatnonzero(values > numpy.uint64(self._space - 1))
        while len(outside):
            values[outside] = self._permutation.encrypt_all(values[outside])
            outside = outside[values[outside] > numpy.uint64(self._space - 1)]
        width = len(self._prefix) + self._length + len(self._suffix)
        written = numpy.empty((count, width), dtype=numpy.uint8)
        start = len(self._prefix)
        written[:, :start] = numpy.frombuffer(self._prefix.encode(), dtype=numpy.uint8)
        written[:, start + self._length :] = numpy.frombuffer(self._suffix.encode(), dtype=numpy.uint8)
        radix = numpy.uint64(len(self._symbols))
        for column in reversed(range(start, start + self._length)):
            values, symbols = numpy.divmod(values, radix)
            written[:, column] = self._bytes[symbols]
        return written

    def number_of(self, code: str) -> int | None:
        """The number a code as typed stands for, or None: it is none of this pattern. Whether it is in use is not said.

        Case, spaces and dashes do not matter; a symbol that is not in the charset is taken for the one it looks like.
        """
        text = normalise(code)
        if text is None or len(text) != len(self._head) + self._length + len(self._tail):
            return None
        if not (text.startswith(self._head) and text.endswith(self._tail)):
            return None
        value, radix = 0, len(self._symbols)
        for symbol in text[len(self._head) : len(text) - len(self._tail)]:
            digit = self._values.get(symbol)
            if digit is None:
                return None
            value = value * radix + digit
        value = self._permutation.decrypt(value)
        while value >= self._space:
            value = self._permutation.decrypt(value)
        return value + 1

    def _place(self, first: int, count: int) -> int:
        if not 1 <= first <= first + count <= self._space + 1:
            raise ValueError(f"Numbers of this pattern are from 1 to {self._space}.")
        return first - 1


@lru_cache(maxsize=4_096)
def patterned(codes: GeneratedCodes, campaign: UUID, pattern: CodePattern, version: int) -> PatternedCodes:
    """The codes of a campaign under the key of this version. Raises ValueError when the key is not at hand."""
    return PatternedCodes(codes.key(version), campaign, pattern)


def head_of(pattern: CodePattern) -> tuple[str, int]:
    """By what a campaign is found from a code alone: the prefix, and the whole length, both of the normal form."""
    head, tail = normalise(pattern.prefix) or "", normalise(pattern.suffix) or ""
    return head, len(head) + pattern.length + len(tail)
