"""How an operation says no."""

from __future__ import annotations

from contracts.refusals import Refusal


class Refused(Exception):
    """A rule said no. Raised by operations before they changed anything but overdue coupons; caught in `decide`.

    `told` is what whoever asked is told, where that must not be the reason that is kept. `kept` False: it is counted
    and answered only, as codes are that arithmetic alone refuses.
    """

    def __init__(
        self, refusal: Refusal, coupon: int | None = None, told: Refusal | None = None, *, kept: bool = True
    ) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.coupon = coupon
        self.told = told or refusal
        self.kept = kept
