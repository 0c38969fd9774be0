"""What arithmetic refuses before anything is looked up: single wrong symbols, swaps of neighbours, invented codes.

Exact counts over a sample of codes under fixed keys: every wrong symbol at every place, every swap of unequal
neighbours, and codes drawn at random. Then the same for a pattern of which a part is in use.

    python -m benchmarks.code_checks [--codes 2000] [--invented 1000000] [--json FILE]
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy

from contracts.campaigns import CodePattern
from coupon_core.codes.generated import ALPHABET, LENGTH, GeneratedCodes
from coupon_core.codes.patterned import GUESSES, PatternedCodes

KEY = bytes(range(32))
CODES = GeneratedCodes({1: KEY})
FIRST_SERIAL = 987_654_321
AT_ONCE = 1_000_000


def wrong_symbols(codes: list[str]) -> Iterator[str]:
    for code in codes:
        for place in range(LENGTH):
            for symbol in ALPHABET:
                if symbol != code[place]:
                    yield code[:place] + symbol + code[place + 1 :]


def swaps(codes: list[str]) -> Iterator[str]:
    for code in codes:
        for place in range(LENGTH - 1):
            if code[place] != code[place + 1]:
                yield code[:place] + code[place + 1] + code[place] + code[place + 2 :]


def invented(count: int) -> Iterator[str]:
    """Codes of the right form and version, all else at random."""
    symbols = numpy.frombuffer(ALPHABET.encode(), dtype=numpy.uint8)
    drawn = symbols[numpy.random.default_rng(2017).integers(0, len(ALPHABET), (count, LENGTH))]
    drawn[:, 0] = ord("1")
    text = drawn.tobytes().decode()
    return (text[start : start + LENGTH] for start in range(0, len(text), LENGTH))


def passed(wrong: Iterator[str]) -> tuple[int, int]:
    """(how many pass the arithmetic, of how many)."""
    through = tried = 0
    chunk: list[str] = []
    for code in wrong:
        chunk.append(code)
        if len(chunk) == AT_ONCE:
            through, tried, chunk = through + count_passed(chunk), tried + len(chunk), []
    return through + count_passed(chunk), tried + len(chunk)


def count_passed(codes: list[str]) -> int:
    return sum(serial is not None for serial in CODES.serials_of(codes))


def guesses_at_a_pattern(tries: int) -> tuple[int, int, int]:
    """(guesses that name a code in use, tries, codes in use) for 9 digits, as many in use as the rule allows."""
    pattern = CodePattern(charset="digits", length=9)
    in_use = pattern.space() // GUESSES
    own, chance = PatternedCodes(KEY, UUID(int=7), pattern), random.Random(2017)
    numbers = (own.number_of(f"{chance.randrange(10**9):09}") for _ in range(tries))
    return sum(number is not None and number <= in_use for number in numbers), tries, in_use


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--codes", type=int, default=2_000, help="codes of which every wrong form is tried")
    arguments.add_argument("--invented", type=int, default=1_000_000)
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()

    codes = CODES.codes_of(FIRST_SERIAL, options.codes)
    found = {
        "single wrong symbols": passed(wrong_symbols(codes)),
        "swaps of neighbours": passed(swaps(codes)),
        "invented codes": passed(invented(options.invented)),
    }
    print(f"{'':24}{'tried':>12}{'pass arithmetic':>18}{'refused before I/O':>22}")
    for what, (through, tried) in found.items():
        print(f"{what:24}{tried:>12,}{through:>18,}{1 - through / tried:>22.5%}")
    hits, tries, in_use = guesses_at_a_pattern(options.invented // 10)
    print(f"{'pattern of 9 digits':24}{tries:>12,}{hits:>18,}{1 - hits / tries:>22.5%}  ({in_use:,} codes in use)")
    if options.json:
        document = {what: {"tried": tried, "passed": through} for what, (through, tried) in found.items()}
        options.json.write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
