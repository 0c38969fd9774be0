"""Generated codes: a keyed permutation of serial numbers, so that none is stored before somebody holds it.

A code is 12 Crockford base-32 symbols. The first names the version, that is the key and this format; the
other 11 are, most significant first, FF1 (`ff1.Permutation`) of the 55-bit number `serial << 14`: the 41 bits
of the serial, then 14 zero bits. So the left half that FF1 begins with is the serial's block, and a number
that does not end in 14 zero bits after deciphering was never made by us: an invented or mistyped code passes
once in 2^14 = 16,384 tries, and is then for the block's and the coupon's state to refuse.
"""

import hmac
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy
from numpy.typing import NDArray

from coupon_core.codes.ff1 import BITS, Numbers, Permutation

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12
SERIAL_BITS = 41
SERIALS = 1 << SERIAL_BITS
# A campaign takes serials from its lane's share by whole blocks.
BLOCK_BITS = 16
BLOCK_SIZE = 1 << BLOCK_BITS
LONGEST_CODE = 64

_ZERO_BITS = BITS - SERIAL_BITS
_ZEROS = (1 << _ZERO_BITS) - 1
_TWEAK = b"scrip.codes"

# What int(text, 32) reads for each symbol; a letter that is none of ours must not be a digit of that base.
_DIGITS = str.maketrans(
    {symbol: "0123456789abcdefghijklmnopqrstuv"[value] for value, symbol in enumerate(ALPHABET)}
    | {"O": "0", "I": "1", "L": "1", "U": "~"}
)
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_PAIR_SYMBOLS = numpy.frombuffer("".join(_PAIRS).encode(), dtype=numpy.uint16)
_NO_SYMBOL = 255
_VALUES = numpy.full(256, _NO_SYMBOL, dtype=numpy.uint8)
for _value, _symbol in enumerate(ALPHABET):
    _VALUES[ord(_symbol)] = _VALUES[ord(_symbol.lower())] = _value
for _symbol, _value in (("O", 0), ("I", 1), ("L", 1)):
    _VALUES[ord(_symbol)] = _VALUES[ord(_symbol.lower())] = _value
_SHIFTS = tuple(5 * place for place in reversed(range(LENGTH - 1)))

Symbols = NDArray[numpy.uint8]
"""Codes as ASCII, a row each."""


class GeneratedCodes:
    """Codes of serials and back, under the keys given; a version is a number from 1 to 31.

    A serial has another code under each version, so whoever keeps a serial keeps its version too, and
    compares it with `version_of` the code presented.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Raises ValueError when there is no key, a version is out of range or a key has not 32 bytes."""
        if not keys or not all(1 <= version < len(ALPHABET) for version in keys):
            raise ValueError(f"Code keys need versions from 1 to {len(ALPHABET) - 1}.")
        self._keys = dict(keys)
        self._permutations = {version: Permutation.of_serials(key, _TWEAK) for version, key in keys.items()}
        self.newest_version = max(keys)
        self.versions = tuple(sorted(keys))

    def code_of(self, serial: int, version: int | None = None) -> str:
        """The code of one serial, by default under the newest key; about 10 microseconds."""
        version = self.newest_version if version is None else version
        _require_serials(serial, 1)
        number = self._permutation(version).encrypt(serial << _ZERO_BITS)
        pairs = [_PAIRS[number >> shift & 0x3FF] for shift in (40, 30, 20, 10, 0)]
        return ALPHABET[version] + ALPHABET[number >> 50] + "".join(pairs)

    def codes_of(self, first: int, count: int, version: int | None = None) -> list[str]:
        """The codes of the serials first, first + 1, … in that order; for single ones `code_of` is faster."""
        return texts_of(self.symbols_of(first, count, version))

    def codes_of_runs(self, runs: Sequence[tuple[int, int]], version: int) -> list[list[str]]:
        """`codes_of` for several runs (first serial, count) at once, each as a list."""
        for first, count in runs:
            _require_serials(first, count)
        serials = numpy.concatenate([numpy.arange(first, first + count, dtype=numpy.uint64) for first, count in runs])
        texts = iter(texts_of(self._symbols(serials, version)))
        return [list(islice(texts, count)) for _, count in runs]

    def symbols_of(self, first: int, count: int, version: int | None = None) -> Symbols:
        """The same as `codes_of` as ASCII, a row each: shape (count, 12)."""
        _require_serials(first, count)
        serials = numpy.arange(first, first + count, dtype=numpy.uint64)
        return self._symbols(serials, self.newest_version if version is None else version)

    def _symbols(self, serials: Numbers, version: int) -> Symbols:
        numbers = self._permutation(version).encrypt_all(serials << numpy.uint64(_ZERO_BITS))
        numbers |= numpy.uint64(version << BITS)
        pairs = numpy.empty((len(serials), LENGTH // 2), dtype=numpy.uint16)
        for place, shift in enumerate((50, 40, 30, 20, 10, 0)):
            pairs[:, place] = _PAIR_SYMBOLS[numbers >> numpy.uint64(shift) & numpy.uint64(0x3FF)]
        return pairs.view(numpy.uint8)

    def serial_of(self, code: str) -> int | None:
        """The serial, or None when this is no code of ours: wrong length, symbol, version or zero bits.

        Case, spaces and dashes do not matter, O is read as 0, I and L as 1. A serial returned may still never
        have been given to anybody.
        """
        value = _value_of(code)
        if value is None:
            return None
        permutation = self._permutations.get(value >> BITS)
        if permutation is None:
            return None
        number = permutation.decrypt(value & ((1 << BITS) - 1))
        return None if number & _ZEROS else number >> _ZERO_BITS

    def serials_of(self, codes: Sequence[str]) -> list[int | None]:
        """`serial_of` for many codes at once."""
        if not codes:
            return []
        written = [code if len(code) == LENGTH and code.isascii() else _canonical(code) for code in codes]
        symbols = _VALUES[numpy.frombuffer("".join(written).encode("ascii"), dtype=numpy.uint8)]
        symbols = symbols.reshape(len(codes), LENGTH)
        readable = (symbols != _NO_SYMBOL).all(axis=1)
        numbers: Numbers = numpy.zeros(len(codes), dtype=numpy.uint64)
        for place, shift in enumerate(_SHIFTS, start=1):
            numbers |= (symbols[:, place] & numpy.uint8(31)).astype(numpy.uint64) << numpy.uint64(shift)
        serials: list[int | None] = [None] * len(codes)
        for version, permutation in self._permutations.items():
            places = numpy.flatnonzero(readable & (symbols[:, 0] == version))
            deciphered = permutation.decrypt_all(numbers[places])
            ours = deciphered & numpy.uint64(_ZEROS) == 0
            found = (deciphered[ours] >> numpy.uint64(_ZERO_BITS)).tolist()
            for place, serial in zip(places[ours].tolist(), found, strict=True):
                serials[place] = serial
        return serials

    def fingerprints(self) -> dict[int, bytes]:
        """By version, what tells its key from any other and says nothing of it."""
        return {version: hmac.digest(key, b"scrip.code-key", "sha256")[:8] for version, key in self._keys.items()}

    def key(self, version: int) -> bytes:
        """The key of a version. Raises ValueError when it is not at hand."""
        self._permutation(version)
        return self._keys[version]

    def _permutation(self, version: int) -> Permutation:
        if version not in self._permutations:
            raise ValueError(f"The key of code version {version} is not at hand.")
        return self._permutations[version]


def texts_of(symbols: Symbols) -> list[str]:
    """The codes of the rows."""
    count, width = symbols.shape
    text = symbols.tobytes().decode("ascii")
    return [text[start : start + width] for start in range(0, count * width, width)]


def version_of(code: str) -> int | None:
    """The version a generated code names, or None when it has not the form of one; needs no key."""
    value = _value_of(code)
    return None if value is None else value >> BITS or None


def block_of(serial: int) -> int:
    """The block of 65,536 serials that this one belongs to."""
    return serial >> BLOCK_BITS


def index_of(number: int) -> int:
    """Which of its campaign's blocks, from 0, has the serial of the coupon with this number."""
    return (number - 1) >> BLOCK_BITS


def serial_at(block: int, number: int) -> int:
    """The serial of the coupon with this number, where its campaign's block for it is known."""
    return (block << BLOCK_BITS) | ((number - 1) & (BLOCK_SIZE - 1))


def number_at(index: int, serial: int) -> int:
    """The number of the coupon with this serial, whose block is its campaign's with this index."""
    return (index << BLOCK_BITS) + (serial & (BLOCK_SIZE - 1)) + 1


def normalise(code: str) -> str | None:
    """How any code, of whatever supply, is stored and compared; None when it cannot be a code.

    NFC, without spaces and dashes, in upper case. Refused: nothing left, more than 64 characters, NUL and
    other control, format (invisible) or private characters, lone surrogates. Stable: what comes out comes out
    again. O and 0, or I and 1, stay apart: a merchant's own codes may use both.
    """
    if len(code) > 4 * LONGEST_CODE:  # so that a long text costs nothing
        return None
    if code.isascii():
        text = code.replace(" ", "").replace("-", "").upper()
        return text if text.isprintable() and 0 < len(text) <= LONGEST_CODE else None
    kept = []
    for character in unicodedata.normalize("NFC", code):
        category = unicodedata.category(character)
        if category[0] == "C" or category in ("Zl", "Zp"):
            return None
        if category not in ("Zs", "Pd"):
            kept.append(character)
    text = unicodedata.normalize("NFC", "".join(kept).casefold().upper())
    return text if 0 < len(text) <= LONGEST_CODE else None


def last_four(code: str) -> str:
    """What events, logs and refusals may show of a normalised code: four symbols, never over half of it."""
    return code[-min(4, len(code) // 2) :] if len(code) > 1 else ""


def _value_of(code: str) -> int | None:
    """Version and number as one value of 60 bits."""
    text = normalise(code)
    if text is None or len(text) != LENGTH or not (text.isascii() and text.isalnum()):
        return None
    try:
        return int(text.translate(_DIGITS), 32)
    except ValueError:
        return None


def _canonical(code: str) -> str:
    """Twelve ASCII characters for `serials_of`, unreadable ones when this is no code."""
    text = normalise(code)
    return text if text is not None and len(text) == LENGTH and text.isascii() else "~" * LENGTH


def _require_serials(first: int, count: int) -> None:
    if not 0 <= first <= first + count <= SERIALS:
        raise ValueError(f"Serials are from 0 to {SERIALS - 1}.")
