"""Refusals: the order a coupon is used for: its amount, its lines, the discount."""

from __future__ import annotations

from contracts.refusals.base import Refusal


class MinimumSpendNotMet(Refusal):
    code = "minimum_spend_not_met"
    message = "The order comes to {amount}; the coupon needs {minimum} (minor units of {currency})."
    amount: int
    minimum: int
    currency: str


class OrderAmountRequired(Refusal):
    code = "order_amount_required"
    message = "This coupon's discount depends on the order's amount: send it."


class ItemRequired(Refusal):
    code = "item_required"
    message = "The coupon makes one {item} free: send the order's lines, with that item and its price."
    item: str


class DiscountRequired(Refusal):
    code = "discount_required"
    message = "The merchant decides this coupon's discount: send it."


class DiscountNotExpected(Refusal):
    code = "discount_not_expected"
    message = "The discount of a coupon of the kind {kind} is computed: send none."
    kind: str


class DiscountAboveAmount(Refusal):
    code = "discount_above_amount"
    message = "A discount of {discount} is more than the order's {amount} minor units of {currency}."
    discount: int
    amount: int
    currency: str


class DiscountAboveCap(Refusal):
    code = "discount_above_cap"
    message = "A discount of {discount} is more than the coupon's {cap} minor units of {currency}."
    discount: int
    cap: int
    currency: str


class BalanceTooLow(Refusal):
    code = "balance_too_low"
    message = "{balance} minor units of {currency} can be used of the balance, not {asked}."
    balance: int
    asked: int
    currency: str


class NothingToPay(Refusal):
    code = "nothing_to_pay"
    message = "The order comes to nothing: there is nothing to pay from the balance."


class AmountNotExpected(Refusal):
    code = "amount_not_expected"
    message = "Only of a gift card a part can be held; of {kind} send no amount."
    kind: str
