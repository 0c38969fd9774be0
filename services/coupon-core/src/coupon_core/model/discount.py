"""What an order is given off, in integer minor units."""

from __future__ import annotations

from contracts.campaigns import AmountOff, PercentOff, Terms
from contracts.refusals import MinimumSpendNotMet, OrderAmountRequired
from coupon_core.model.refused import Refused


def discount_of(terms: Terms, amount: int | None) -> int | None:
    """The discount for an order of `amount` minor units; None when it cannot be told without the amount.

    Never more than the amount. A percentage is rounded as the terms name.

    Raises:
        Refused: the minimum spend is not met, or the discount or the minimum depends on an amount not sent.
    """
    if amount is None:
        if terms.minimum_spend > 0 or isinstance(terms.discount, PercentOff):
            raise Refused(OrderAmountRequired())
        return terms.discount.amount if isinstance(terms.discount, AmountOff) else None
    if amount < terms.minimum_spend:
        raise Refused(MinimumSpendNotMet(amount=amount, minimum=terms.minimum_spend, currency=terms.currency))
    match terms.discount:
        case AmountOff(amount=off):
            return min(off, amount)
        case PercentOff(basis_points=points, cap=cap):
            product = amount * points
            if terms.rounding == "half_up":
                off = (product + 5_000) // 10_000
            elif terms.rounding == "up":
                off = (product + 9_999) // 10_000
            else:
                off = product // 10_000
            return off if cap is None else min(off, cap)
        case _:
            return None
