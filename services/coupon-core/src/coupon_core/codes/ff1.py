"""FF1, the format-preserving encryption of NIST SP 800-38G, over AES, for the two formats of our codes.

One number at a time or arrays of numbers; tests hold both equal to the standard's own steps for any radix, and those
to its samples. In both formats the radix is a power of two and a half has at most 32 bits, so the arithmetic is short:

- b is 4 bytes at most and d = 8 bytes, so y is the first half of one AES block, and as it is taken modulo a power
  of two of 32 bits at most, bytes 4 to 7 of the block are all of it that counts.
- All of P || Q but its last block is fixed for key and tweak, and the last differs between rounds in the number of
  the round and the half only: one AES call per round.
"""

from __future__ import annotations

import numpy
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

ROUNDS = 10
# The arrays of one chunk (16 bytes a number, in and out) stay in the processor's cache.
CHUNK = 10_000
TWEAK_BYTES = 11
LEFT_BITS, RIGHT_BITS = 25, 30
BITS = LEFT_BITS + RIGHT_BITS
FEWEST_BITS, MOST_BITS = 20, 64
"""FF1 wants a million inputs at least; halves of more than 32 bits would not fit the arrays."""
LONG_TWEAK_BYTES = 16

Numbers = NDArray[numpy.uint64]
_Half = NDArray[numpy.uint32]


class Permutation:
    """FF1 with AES-256 and one tweak, as a permutation of the numbers below a power of two.

    `of_serials`: radix 32, n = 11; the numeral string is the number in base 32, most significant first.
    `of_bits`: radix 2, n = 20 to 64 bits. Instances keep no state between calls and may be shared.
    """

    def __init__(self, cipher: Cipher[modes.ECB], blocks: tuple[int, ...], left_bits: int, right_bits: int) -> None:
        self._cipher = cipher
        self._blocks = blocks
        """The last block of P || Q, mixed with what comes before it, for each round, with the half still 0."""
        self._right_bits = right_bits
        # Round 0 makes a new left half, round 1 a new right half, and so on.
        bits = [right_bits if number % 2 else left_bits for number in range(ROUNDS)]
        self._masks = tuple((1 << width) - 1 for width in bits)
        self._array_masks = tuple(numpy.uint32(mask) for mask in self._masks)

    @classmethod
    def of_serials(cls, key: bytes, tweak: bytes) -> Permutation:
        """Numbers below 2^55 as 11 symbols of radix 32; the tweak has 11 bytes, so that Q is one block."""
        if len(tweak) != TWEAK_BYTES:
            raise ValueError(f"The tweak must have {TWEAK_BYTES} bytes.")
        cipher = _cipher(key)
        start = _mac(cipher, 0, _fixed(32, 11, tweak))
        return cls(cipher, _rounds(start ^ int.from_bytes(tweak) << 40, 4), LEFT_BITS, RIGHT_BITS)

    @classmethod
    def of_bits(cls, key: bytes, tweak: bytes, bits: int) -> Permutation:
        """Numbers below 2^bits as bits; the tweak has 16 bytes, so that Q is two blocks, of which it is the first."""
        if len(tweak) != LONG_TWEAK_BYTES or not FEWEST_BITS <= bits <= MOST_BITS:
            raise ValueError(f"The tweak must have {LONG_TWEAK_BYTES} bytes, the numbers {FEWEST_BITS} to {MOST_BITS}.")
        cipher = _cipher(key)
        start = _mac(cipher, _mac(cipher, 0, _fixed(2, bits, tweak)), tweak)
        left_bits = bits // 2
        right_bits = bits - left_bits
        return cls(cipher, _rounds(start, -(-right_bits // 8)), left_bits, right_bits)

    def encrypt(self, number: int) -> int:
        """One number; about 10 microseconds."""
        encipher = self._cipher.encryptor().update
        left, right = number >> self._right_bits, number & (1 << self._right_bits) - 1
        for block, mask in zip(self._blocks, self._masks, strict=True):
            value = int.from_bytes(encipher((block ^ right).to_bytes(16))[4:8])
            left, right = right, (left + value) & mask
        return left << self._right_bits | right

    def decrypt(self, number: int) -> int:
        """The inverse of `encrypt`."""
        encipher = self._cipher.encryptor().update
        left, right = number >> self._right_bits, number & (1 << self._right_bits) - 1
        for block, mask in zip(reversed(self._blocks), reversed(self._masks), strict=True):
            value = int.from_bytes(encipher((block ^ left).to_bytes(16))[4:8])
            left, right = (right - value) & mask, left
        return left << self._right_bits | right

    def encrypt_all(self, numbers: Numbers) -> Numbers:
        """Many numbers at once; the memory in use beside the result does not grow with them."""
        result = numpy.empty_like(numbers)
        for start in range(0, len(numbers), CHUNK):
            part = slice(start, start + CHUNK)
            rounds = _Rounds(self._cipher, self._blocks, len(numbers[part]))
            left, right = self._split(numbers[part])
            for number in range(ROUNDS):
                left, right = right, (left + rounds.values(number, right)) & self._array_masks[number]
            result[part] = self._join(left, right)
        return result

    def decrypt_all(self, numbers: Numbers) -> Numbers:
        """The inverse of `encrypt_all`."""
        result = numpy.empty_like(numbers)
        for start in range(0, len(numbers), CHUNK):
            part = slice(start, start + CHUNK)
            rounds = _Rounds(self._cipher, self._blocks, len(numbers[part]))
            left, right = self._split(numbers[part])
            for number in reversed(range(ROUNDS)):
                left, right = (right - rounds.values(number, left)) & self._array_masks[number], left
            result[part] = self._join(left, right)
        return result

    def _split(self, numbers: Numbers) -> tuple[_Half, _Half]:
        left, right = numbers >> numpy.uint64(self._right_bits), numbers & numpy.uint64((1 << self._right_bits) - 1)
        return left.astype(numpy.uint32), right.astype(numpy.uint32)

    def _join(self, left: _Half, right: _Half) -> Numbers:
        return left.astype(numpy.uint64) << numpy.uint64(self._right_bits) | right


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


def _cipher(key: bytes) -> Cipher[modes.ECB]:
    if len(key) != 32:
        raise ValueError("The key must have 32 bytes.")
    # ECB, because each block that FF1 enciphers is one of its own; no message is enciphered with it.
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305


def _fixed(radix: int, length: int, tweak: bytes) -> bytes:
    """P of step 5."""
    head = b"\x01\x02\x01" + radix.to_bytes(3) + bytes((ROUNDS, length // 2))
    return head + length.to_bytes(4) + len(tweak).to_bytes(4)


def _mac(cipher: Cipher[modes.ECB], before: int, block: bytes) -> int:
    return int.from_bytes(cipher.encryptor().update((before ^ int.from_bytes(block)).to_bytes(16)))


def _rounds(start: int, half_bytes: int) -> tuple[int, ...]:
    return tuple(start ^ number << 8 * half_bytes for number in range(ROUNDS))
