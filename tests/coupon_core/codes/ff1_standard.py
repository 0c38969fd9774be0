"""FF1 as NIST SP 800-38G writes it down, step by step and for any radix: what `codes/ff1.py` must be equal to."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ROUNDS = 10


def encrypt(key: bytes, radix: int, tweak: bytes, numerals: Sequence[int]) -> list[int]:
    """FF1.Encrypt: numerals (each 0 <= numeral < radix) to as many others."""
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
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
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
