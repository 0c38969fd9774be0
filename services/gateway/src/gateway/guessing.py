"""A budget of wrong codes per caller: who guesses is slowed down, whichever API is used and whatever the answer says.

A terminal, a token or an app that named too many codes that are none of its coupons within a minute is answered 429 to
every further code, right ones included, until the minute is over: so nothing is learnt from the answers in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from prometheus_client import Counter

from contracts.commands import CouponReference, VoidCoupons
from contracts.fields import Contract
from dialects.protocol import Problem, RequestRefused

WRONG = frozenset({"coupon_not_found", "not_this_users_coupon", "code_not_expected", "code_taken"})
"""Refusals and reasons that mean: not a code of this caller's coupons."""

_wrong = Counter("scrip_gateway_wrong_codes", "Codes that were none, by the kind of caller.", ["caller"])
_refused = Counter("scrip_gateway_guessing_refused", "Requests refused for too many wrong codes.", ["caller"])


class WrongCodes:
    """How many wrong codes a caller may name per minute, in this process."""

    def __init__(self, per_minute: int) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._item = RateLimitItemPerMinute(per_minute)

    def check(self, actor: str) -> None:
        """To be asked before a code is looked at. Raises RequestRefused (429) when the caller's budget is used up."""
        if self._limiter.test(self._item, "codes", actor):
            return
        _refused.labels(actor.partition(":")[0]).inc()
        raise RequestRefused(
            Problem(
                "too_many_wrong_codes",
                429,
                "Too many wrong codes",
                "Too many codes from here were wrong: try again in a minute.",
                retry_after_seconds=60,
            )
        )

    def count(self, actor: str, wrong: int = 1) -> None:
        """A caller named so many codes that were none."""
        for _ in range(wrong):
            self._limiter.hit(self._item, "codes", actor)
        _wrong.labels(actor.partition(":")[0]).inc(wrong)


def names_code(command: Contract) -> bool:
    """Whether a command names a coupon by its code, or a code to claim."""
    if isinstance(command, VoidCoupons):
        return any(reference.code is not None for reference in command.coupons)
    coupon = getattr(command, "coupon", None)
    return (coupon.code if isinstance(coupon, CouponReference) else getattr(command, "code", None)) is not None


def wrong_codes(refusal: str | None, result: dict[str, Any] | None) -> int:
    """How many codes were none, by the refusal of the whole (also as it is told later), the reasons of a validation, or
    the refusals of rows."""
    if refusal is None and result is not None and "refusal" in result:
        refusal = result["refusal"]["code"]
    if refusal is not None:
        return int(refusal in WRONG)
    return sum(code in WRONG for code in _refusals(result or {}))


def _refusals(result: dict[str, Any]) -> Iterator[str]:
    for reason in result.get("reasons", ()):
        yield reason["code"]
    for row in result.get("rows", ()):
        if "refusal" in row:
            yield row["refusal"]["code"]
