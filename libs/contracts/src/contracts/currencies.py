"""Currencies of ISO 4217's list of those in use: which there are, and how many decimal places their amounts have."""

from __future__ import annotations

from iso4217 import Currency

EXPONENTS: dict[str, int] = {one.code: one.exponent for one in Currency if one.exponent is not None}
"""By code. What the list gives no decimal places (gold, codes for tests) is no money a coupon could take off."""


def exponent_of(currency: str) -> int:
    """Decimal places of a currency: 2,590 minor units are 25.90 EUR, or 2590 JPY; of one there is not, 2."""
    return EXPONENTS.get(currency, 2)
