"""Currencies: which there are, and how many decimal places their amounts have."""

from __future__ import annotations

from functools import cache

from babel.numbers import get_currency_precision, list_currencies


@cache
def currencies() -> frozenset[str]:
    """ISO 4217 codes, old ones included."""
    return frozenset(list_currencies())


@cache
def exponent_of(currency: str) -> int:
    """Decimal places of a currency: 2,590 minor units are 25.90 EUR, or 2590 JPY.

    From Unicode's CLDR, which follows use: a few currencies whose small coins are gone have fewer than in ISO 4217.
    """
    return get_currency_precision(currency)
