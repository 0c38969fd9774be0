"""What an order is given off, in integer minor units."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.campaigns import AmountOff, FixedPrice, FreeItem, GiftCard, MerchantDecided, PercentOff, Terms
from contracts.commands import OrderItem
from contracts.refusals import (
    BalanceTooLow,
    DiscountAboveAmount,
    DiscountAboveCap,
    DiscountNotExpected,
    DiscountRequired,
    ItemRequired,
    MinimumSpendNotMet,
    NothingToPay,
    OrderAmountRequired,
)
from coupon_core.model.refused import Refused


def discount_of(
    terms: Terms,
    amount: int | None,
    *,
    named: int | None = None,
    items: Sequence[OrderItem] = (),
    balance: int = 0,
) -> int:
    """The discount for an order of `amount` minor units, never more than that.

    A percentage is rounded as the terms name.
    `named` is the discount the command names (the merchant's decision, or what to use of a balance), `items` the
    order's lines, `balance` what a gift card holds for this order.

    Raises:
        Refused: the minimum spend is not met, something the discount depends on was not sent, or what was named
            is more than may be.
    """
    if amount is None and terms.minimum_spend > 0:
        raise Refused(OrderAmountRequired())
    if amount is not None and amount < terms.minimum_spend:
        raise Refused(MinimumSpendNotMet(amount=amount, minimum=terms.minimum_spend, currency=terms.currency))
    match terms.discount:
        case MerchantDecided(cap=cap):
            return _decided(terms, amount, named, cap)
        case GiftCard():
            return _from_balance(terms, amount, named, balance)
        case _ if named is not None:
            raise Refused(DiscountNotExpected(kind=terms.discount.kind))
        case AmountOff(amount=off):
            return off if amount is None else min(off, amount)
        case FreeItem(item=item, cap=cap):
            prices = [line.price for line in items if line.item == item]
            if not prices:
                raise Refused(ItemRequired(item=item))
            return min(price for price in (min(prices), amount, cap) if price is not None)
        case PercentOff(basis_points=points, cap=cap):
            off = _percentage(_needed(amount), points, terms.rounding)
        case FixedPrice(price=price, cap=cap):
            off = max(_needed(amount) - price, 0)
    return off if cap is None else min(off, cap)


def _needed(amount: int | None) -> int:
    if amount is None:
        raise Refused(OrderAmountRequired())
    return amount


def _percentage(amount: int, basis_points: int, rounding: str) -> int:
    product = amount * basis_points
    if rounding == "half_up":
        return (product + 5_000) // 10_000
    return (product + 9_999) // 10_000 if rounding == "up" else product // 10_000


def _decided(terms: Terms, amount: int | None, named: int | None, cap: int | None) -> int:
    if named is None:
        raise Refused(DiscountRequired())
    if named > _needed(amount):
        raise Refused(DiscountAboveAmount(discount=named, amount=_needed(amount), currency=terms.currency))
    if cap is not None and named > cap:
        raise Refused(DiscountAboveCap(discount=named, cap=cap, currency=terms.currency))
    return named


def _from_balance(terms: Terms, amount: int | None, named: int | None, balance: int) -> int:
    if named is None:
        named = min(_needed(amount), balance)
    elif amount is not None and named > amount:
        raise Refused(DiscountAboveAmount(discount=named, amount=amount, currency=terms.currency))
    elif named > balance:
        raise Refused(BalanceTooLow(balance=balance, asked=named, currency=terms.currency))
    if named == 0:
        raise Refused(NothingToPay())
    return named
