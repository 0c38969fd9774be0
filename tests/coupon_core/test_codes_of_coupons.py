"""Codes of many coupons at once are those of each alone."""

import random

from coupon_core.codes.generated import BLOCK_SIZE, GeneratedCodes
from coupon_core.queries.source import code_of_each

CODES = GeneratedCodes({1: bytes(32), 2: bytes(range(32))})


def test_dense_and_scattered_serials_of_several_blocks_and_keys_have_their_own_codes() -> None:
    chance = random.Random(7)
    dense = [(1, BLOCK_SIZE - 300 + number) for number in range(600) if number % 3]
    scattered = [(2, chance.randrange(1 << 41)) for _ in range(200)]
    beside = [(2, serial + 1) for _, serial in scattered[:50]]
    serials = {*dense, *scattered, *beside}
    made = code_of_each(CODES, serials)
    assert made == {(version, serial): CODES.code_of(serial, version) for version, serial in serials}


def test_no_serials_have_no_codes() -> None:
    assert code_of_each(CODES, []) == {}
