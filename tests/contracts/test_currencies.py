"""Currencies and their decimal places are those of ISO 4217, also where the small coins are gone from use."""

import pytest

from contracts.currencies import EXPONENTS, exponent_of


@pytest.mark.parametrize(
    ("currency", "places"),
    [("EUR", 2), ("CNY", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("IQD", 3), ("RSD", 2), ("MGA", 2), ("CLF", 4)],
)
def test_decimal_places_are_the_standards(currency: str, places: int) -> None:
    assert EXPONENTS[currency] == exponent_of(currency) == places


@pytest.mark.parametrize("code", ["DEM", "XXX", "XTS", "XAU", "QQQ"])
def test_old_ones_and_what_is_no_money_are_none(code: str) -> None:
    assert code not in EXPONENTS
