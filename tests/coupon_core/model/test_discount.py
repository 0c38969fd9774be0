from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.refusals import MinimumSpendNotMet, OrderAmountRequired
from coupon_core.model.discount import discount_of
from coupon_core.model.refused import Refused
from tests.support.deciding import terms


def percent(basis_points: int, cap: int | None = None, **more: Any) -> Any:
    return terms(discount={"kind": "percent_off", "basis_points": basis_points, "cap": cap}, **more)


class TestAmountOff:
    def test_is_the_amount(self) -> None:
        assert discount_of(terms(), 2_000) == 500

    def test_is_never_more_than_the_order(self) -> None:
        assert discount_of(terms(), 499) == 499
        assert discount_of(terms(), 0) == 0

    def test_is_known_without_the_orders_amount(self) -> None:
        assert discount_of(terms(), None) == 500


class TestPercentOff:
    @pytest.mark.parametrize(
        ("rounding", "amount", "off"),
        [
            ("half_up", 1_999, 250),  # 249.875
            ("down", 1_999, 249),
            ("up", 1_999, 250),
            ("half_up", 4, 1),  # 0.5
            ("down", 4, 0),
            ("up", 4, 1),
            ("half_up", 3, 0),  # 0.375
            ("up", 1, 1),  # 0.125
            ("half_up", 800, 100),
            ("down", 800, 100),
            ("up", 800, 100),
            ("up", 0, 0),
        ],
    )
    def test_is_rounded_as_the_terms_name(self, rounding: str, amount: int, off: int) -> None:
        assert discount_of(percent(1_250, rounding=rounding), amount) == off

    def test_is_at_most_the_cap(self) -> None:
        assert discount_of(percent(1_250, cap=300), 2_400) == 300
        assert discount_of(percent(1_250, cap=300), 2_401) == 300
        assert discount_of(percent(1_250, cap=300), 2_399) == 300
        assert discount_of(percent(1_250, cap=300), 2_392) == 299

    def test_needs_the_orders_amount(self) -> None:
        with pytest.raises(Refused) as no:
            discount_of(percent(1_250), None)
        assert no.value.refusal == OrderAmountRequired()


class TestMinimumSpend:
    def test_is_enough_when_it_is_met_exactly(self) -> None:
        assert discount_of(terms(minimum_spend=2_000), 2_000) == 500

    def test_is_refused_below_with_the_figures(self) -> None:
        with pytest.raises(Refused) as no:
            discount_of(terms(minimum_spend=2_000), 1_999)
        assert no.value.refusal == MinimumSpendNotMet(amount=1_999, minimum=2_000, currency="EUR")

    def test_cannot_be_told_without_the_orders_amount(self) -> None:
        with pytest.raises(Refused) as no:
            discount_of(terms(minimum_spend=2_000), None)
        assert no.value.refusal == OrderAmountRequired()


@given(
    st.integers(0, 10**15),
    st.integers(1, 10_000),
    st.none() | st.integers(1, 10**15),
    st.sampled_from(["half_up", "down", "up"]),
)
def test_a_percentage_is_exact_whole_and_between_nothing_and_the_order(
    amount: int, basis_points: int, cap: int | None, rounding: str
) -> None:
    exact = Fraction(amount * basis_points, 10_000)
    rounded = {"half_up": floor(exact + Fraction(1, 2)), "down": floor(exact), "up": ceil(exact)}[rounding]
    off = discount_of(percent(basis_points, cap, rounding=rounding), amount)
    assert off == (rounded if cap is None else min(rounded, cap))
    assert 0 <= off <= amount
