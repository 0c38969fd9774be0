"""How much of a coupon there is to use, and what it may cost its campaign at most.

Both are counted in *units*: minor units of a gift card's balance, uses of every other coupon.
"""

from __future__ import annotations

from contracts.campaigns import AmountOff, GiftCard, Terms


def capacity(terms: Terms) -> int:
    """Units of a new coupon: its opening balance, or how often it may be used."""
    return terms.discount.balance if isinstance(terms.discount, GiftCard) else terms.uses


def in_parts(terms: Terms) -> bool:
    """Whether a coupon is used in parts: several uses, or a balance."""
    return terms.uses > 1 or isinstance(terms.discount, GiftCard)


def greatest_discount(terms: Terms) -> int | None:
    """What one unit may take off at most, in minor units; None: nothing bounds it."""
    match terms.discount:
        case AmountOff(amount=amount):
            return amount
        case GiftCard():
            return 1
        case other:
            return other.cap
