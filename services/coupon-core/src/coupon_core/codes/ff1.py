"""FF1, the format-preserving encryption of NIST SP 800-38G, over AES.

`encrypt` and `decrypt` follow the standard's steps for any radix; the standard's samples test them.
`Permutation` is the same cipher for the one format of our codes (radix 32, 11 numerals, tweak of 11 bytes),
one number at a time or arrays of numbers; tests hold it equal to `encrypt`. There the arithmetic is short:

- u = 5 and v = 6 numerals, so the halves are numbers of 25 and 30 bits, and b = 4, d = 8 bytes.
- The tweak of 11 bytes needs no padding, so Q is one block and the CBC-MAC of P || Q is
  AES(AES(P) xor Q), of which AES(P) is fixed for a key: one AES call per round.
- y is taken modulo 2^25 or 2^30, so only the lowest 30 of its 64 bits count: bytes 4 to 7 of the block.
"""

from collections.abc import Sequence

import numpy
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

ROUNDS = 10
# The arrays of one chunk (16 bytes a number, in and out) stay in the processor's cache.
CHUNK = 10_000


def encrypt(key: bytes, radix: int, tweak: bytes, numerals: Sequence[int]) -> list[int]:
    """FF1.Encrypt: numerals (each 0 <= numeral < radix) to as many others. About 0.1 ms a call."""
    left, right = _halves(radix, numerals)
    for number in range(ROUNDS):
        width = len(left)
        mixed = _number(left, radix) + _round_value(key, radix, tweak, len(numerals), number, right)
        left, right = right, _numerals(mixed % radix**width, radix, width)
    return [*left, *right]


def decrypt(key: bytes, radix: int, tweak: bytes, numerals: Sequence[int]) -> list[int]:
    """FF1.Decrypt: the inverse of `encrypt`."""
    left, right = _halves(radix, numerals)
    for number in reversed(range(ROUNDS)):
        width = len(right)
        mixed = _number(right, radix) - _round_value(key, radix, tweak, len(numerals), number, left)
        left, right = _numerals(mixed % radix**width, radix, width), left
    return [*left, *right]


def _halves(radix: int, numerals: Sequence[int]) -> tuple[list[int], list[int]]:
    if not 2 <= radix <= 1 << 16 or radix ** len(numerals) < 1_000_000:
        raise ValueError("FF1 needs a radix of 2 to 65,536 and at least 1,000,000 possible inputs.")
    if not all(0 <= numeral < radix for numeral in numerals):
        raise ValueError(f"Each numeral must be from 0 to {radix - 1}.")
    middle = len(numerals) // 2
    return list(numerals[:middle]), list(numerals[middle:])


def _round_value(key: bytes, radix: int, tweak: bytes, length: int, number: int, half: Sequence[int]) -> int:
    """Steps 6.i to 6.iv: the number y that round `number` adds to the other half."""
    first = length // 2
    # Step 3, ceil(ceil(v * log2(radix)) / 8): as many bytes as the greatest number of v numerals takes.
    value_bytes = ((radix ** (length - first) - 1).bit_length() + 7) // 8
    wanted = 4 * -(-value_bytes // 4) + 4
    fixed = b"".join(
        (
            b"\x01\x02\x01",
            radix.to_bytes(3),
            bytes((ROUNDS, first % 256)),
            length.to_bytes(4),
            len(tweak).to_bytes(4),
        )
    )
    padding = bytes((-len(tweak) - value_bytes - 1) % 16)
    message = fixed + tweak + padding + bytes((number,)) + _number(half, radix).to_bytes(value_bytes)
    mac = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor().update(message)[-16:]
    stream = mac
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 (prescribed: CIPH of single blocks)
    for counter in range(1, -(-wanted // 16)):
        stream += ecb.update((int.from_bytes(mac) ^ counter).to_bytes(16))
    return int.from_bytes(stream[:wanted])


def _number(numerals: Sequence[int], radix: int) -> int:
    value = 0
    for numeral in numerals:
        value = value * radix + numeral
    return value


def _numerals(value: int, radix: int, width: int) -> list[int]:
    numerals = [0] * width
    for place in reversed(range(width)):
        value, numerals[place] = divmod(value, radix)
    return numerals


TWEAK_BYTES = 11
LEFT_BITS, RIGHT_BITS = 25, 30
BITS = LEFT_BITS + RIGHT_BITS
_LEFT_MASK, _RIGHT_MASK = (1 << LEFT_BITS) - 1, (1 << RIGHT_BITS) - 1
# Round 0 makes a new left half of 25 bits, round 1 a new right half of 30, and so on.
_MASKS = tuple(_RIGHT_MASK if number % 2 else _LEFT_MASK for number in range(ROUNDS))
_ARRAY_MASKS = tuple(numpy.uint32(mask) for mask in _MASKS)

Numbers = NDArray[numpy.uint64]
_Half = NDArray[numpy.uint32]


class Permutation:
    """FF1 with AES-256, radix 32, n = 11 and one tweak, as a permutation of the numbers below 2^55.

    The numeral string is the number in base 32, most significant first. Instances keep no state between
    calls and may be shared.
    """

    def __init__(self, key: bytes, tweak: bytes) -> None:
        if len(key) != 32 or len(tweak) != TWEAK_BYTES:
            raise ValueError(f"The key must have 32 bytes and the tweak {TWEAK_BYTES}.")
        # ECB, because each block that FF1 enciphers is one of its own; no message is enciphered with it.
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305
        fixed = b"\x01\x02\x01" + (32).to_bytes(3) + bytes((ROUNDS, 5)) + (11).to_bytes(4) + TWEAK_BYTES.to_bytes(4)
        start = int.from_bytes(self._cipher.encryptor().update(fixed))
        rest = int.from_bytes(tweak) << 40
        # AES(P) xor Q for each round, with the half still 0.
        self._blocks = tuple(start ^ rest ^ (number << 32) for number in range(ROUNDS))

    def encrypt(self, number: int) -> int:
        """One number below 2^55; about 10 microseconds."""
        encipher = self._cipher.encryptor().update
        left, right = number >> RIGHT_BITS, number & _RIGHT_MASK
        for block, mask in zip(self._blocks, _MASKS, strict=True):
            value = int.from_bytes(encipher((block ^ right).to_bytes(16))[4:8])
            left, right = right, (left + value) & mask
        return left << RIGHT_BITS | right

    def decrypt(self, number: int) -> int:
        """The inverse of `encrypt`."""
        encipher = self._cipher.encryptor().update
        left, right = number >> RIGHT_BITS, number & _RIGHT_MASK
        for block, mask in zip(reversed(self._blocks), reversed(_MASKS), strict=True):
            value = int.from_bytes(encipher((block ^ left).to_bytes(16))[4:8])
            left, right = (right - value) & mask, left
        return left << RIGHT_BITS | right

    def encrypt_all(self, numbers: Numbers) -> Numbers:
        """Many numbers at once; the memory in use beside the result does not grow with them."""
        result = numpy.empty_like(numbers)
        for start in range(0, len(numbers), CHUNK):
            part = slice(start, start + CHUNK)
            rounds = _Rounds(self._cipher, self._blocks, len(numbers[part]))
            left, right = _split(numbers[part])
            for number in range(ROUNDS):
                left, right = right, (left + rounds.values(number, right)) & _ARRAY_MASKS[number]
            result[part] = _join(left, right)
        return result

    def decrypt_all(self, numbers: Numbers) -> Numbers:
        """The inverse of `encrypt_all`."""
        result = numpy.empty_like(numbers)
        for start in range(0, len(numbers), CHUNK):
            part = slice(start, start + CHUNK)
            rounds = _Rounds(self._cipher, self._blocks, len(numbers[part]))
            left, right = _split(numbers[part])
            for number in reversed(range(ROUNDS)):
                left, right = (right - rounds.values(number, left)) & _ARRAY_MASKS[number], left
            result[part] = _join(left, right)
        return result


class _Rounds:
    """The buffers of one chunk: all blocks of a round go through AES in one call."""

    def __init__(self, cipher: Cipher[modes.ECB], blocks: tuple[int, ...], count: int) -> None:
        self._encipher = cipher.encryptor()
        self._words = [[block >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0)] for block in blocks]
        self._input = bytearray(count * 16)
        self._columns = numpy.frombuffer(self._input, dtype=">u4").reshape(count, 4)
        self._columns[:, 0:2] = self._words[0][0:2]  # the same in each round
        # update_into wants room for 15 bytes more than it writes.
        self._output = bytearray(count * 16 + 15)
        self._values = numpy.frombuffer(self._output, dtype=">u4", count=count * 4)[1::4]

    def values(self, number: int, half: _Half) -> _Half:
        self._columns[:, 2] = self._words[number][2]
        self._columns[:, 3] = half ^ numpy.uint32(self._words[number][3])
        self._encipher.update_into(self._input, self._output)
        return self._values.astype(numpy.uint32)


def _split(numbers: Numbers) -> tuple[_Half, _Half]:
    left, right = numbers >> numpy.uint64(RIGHT_BITS), numbers & numpy.uint64(_RIGHT_MASK)
    return left.astype(numpy.uint32), right.astype(numpy.uint32)


def _join(left: _Half, right: _Half) -> Numbers:
    return left.astype(numpy.uint64) << numpy.uint64(RIGHT_BITS) | right
