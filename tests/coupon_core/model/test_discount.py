import random
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import OrderItem
from contracts.refusals import MinimumSpendNotMet, OrderAmountRequired
from coupon_core.model.discount import discount_of
from coupon_core.model.refused import Refused
from tests.support.deciding import terms


def percent(basis_points: int, cap: int | None = None, **more: Any) -> Any:
    return terms(discount={"kind": "percent_off", "basis_points": basis_points, "cap": cap}, **more)


GIFT_CARD = {"kind": "gift_card", "balance": 1_000}


def refusal(of: Any, amount: int | None, **more: Any) -> str:
    with pytest.raises(Refused) as no:
        discount_of(of, amount, **more)
    return no.value.refusal.code


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


class TestFixedPrice:
    def test_is_what_the_goods_cost_above_the_price(self) -> None:
        exchange = terms(discount={"kind": "fixed_price", "price": 100})
        assert discount_of(exchange, 1_999) == 1_899
        assert discount_of(exchange, 100) == 0

    def test_takes_nothing_off_and_adds_nothing_where_the_goods_are_cheaper(self) -> None:
        assert discount_of(terms(discount={"kind": "fixed_price", "price": 100}), 99) == 0

    def test_is_at_most_the_cap(self) -> None:
        assert discount_of(terms(discount={"kind": "fixed_price", "price": 0, "cap": 500}), 1_999) == 500

    def test_needs_the_goods_price(self) -> None:
        assert refusal(terms(discount={"kind": "fixed_price", "price": 100}), None) == "order_amount_required"


BREAD = (OrderItem(item="bread", price=300, quantity=2), OrderItem(item="rolls", price=50))


class TestFreeItem:
    def test_is_the_price_of_one_piece_whatever_else_is_bought(self) -> None:
        assert discount_of(terms(discount={"kind": "free_item", "item": "bread"}), 650, items=BREAD) == 300

    def test_of_several_lines_is_the_lowest_price(self) -> None:
        cheaper = (*BREAD, OrderItem(item="bread", price=250))
        assert discount_of(terms(discount={"kind": "free_item", "item": "bread"}), 900, items=cheaper) == 250

    def test_is_at_most_the_cap_and_the_order(self) -> None:
        assert discount_of(terms(discount={"kind": "free_item", "item": "bread", "cap": 200}), 650, items=BREAD) == 200
        assert discount_of(terms(discount={"kind": "free_item", "item": "bread"}), 120, items=BREAD) == 120

    def test_needs_the_item(self) -> None:
        assert refusal(terms(discount={"kind": "free_item", "item": "cake"}), 650, items=BREAD) == "item_required"


class TestMerchantDecided:
    def test_is_what_the_merchant_names_up_to_the_whole_order(self) -> None:
        assert discount_of(terms(discount={"kind": "merchant_decided"}), 650, named=650) == 650
        assert discount_of(terms(discount={"kind": "merchant_decided"}), 650, named=0) == 0

    def test_is_bounded_by_the_amount_and_the_cap(self) -> None:
        assert refusal(terms(discount={"kind": "merchant_decided"}), 650, named=651) == "discount_above_amount"
        assert refusal(terms(discount={"kind": "merchant_decided"}), None, named=1) == "order_amount_required"
        capped = terms(discount={"kind": "merchant_decided", "cap": 100})
        assert discount_of(capped, 650, named=100) == 100
        assert refusal(capped, 650, named=101) == "discount_above_cap"


class TestGiftCard:
    def test_pays_what_the_order_comes_to_or_the_balance_holds(self) -> None:
        assert discount_of(terms(discount=GIFT_CARD), 650, balance=1_000) == 650
        assert discount_of(terms(discount=GIFT_CARD), 1_650, balance=1_000) == 1_000

    def test_pays_the_part_that_is_named(self) -> None:
        assert discount_of(terms(discount=GIFT_CARD), 650, named=100, balance=1_000) == 100
        assert discount_of(terms(discount=GIFT_CARD), None, named=100, balance=1_000) == 100

    def test_pays_no_more_than_there_is_and_never_nothing(self) -> None:
        assert refusal(terms(discount=GIFT_CARD), 650, named=651, balance=1_000) == "discount_above_amount"
        assert refusal(terms(discount=GIFT_CARD), None, named=51, balance=50) == "balance_too_low"
        assert refusal(terms(discount=GIFT_CARD), None, balance=50) == "order_amount_required"
        assert refusal(terms(discount=GIFT_CARD), 0, balance=50) == "nothing_to_pay"
        assert refusal(terms(discount=GIFT_CARD), 10, named=0, balance=50) == "nothing_to_pay"


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


def test_a_million_discounts_add_up_to_the_last_minor_unit() -> None:
    some = random.Random(36)
    of = {(points, rounding): percent(points, rounding=rounding)
          for points in (1, 333, 1_250, 3_333, 9_999) for rounding in ("half_up", "down", "up")}  # fmt: skip
    given_off = exact = corrections = 0
    for _ in range(1_000_000 // len(of) + 1):
        amount = some.randrange(10 ** some.randrange(1, 16))
        for (points, rounding), terms_ in of.items():
            given_off += discount_of(terms_, amount)
            exact += amount * points
            rest = amount * points % 10_000
            up = {"half_up": rest >= 5_000, "up": rest > 0, "down": False}[rounding]
            corrections += (10_000 - rest) if up else -rest
    assert given_off * 10_000 == exact + corrections
