"""What is asked, written down before it is sent, with every answer that came."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

CLAIM, REDEEM, RETURN = "ClaimCoupon", "RedeemCoupon", "ReturnCoupon"


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: `done` with its facts, `refused` with its code, or `dead`."""

    status: str
    code: str | None
    facts: dict[str, Any]
    via: str
    """`http` or `kafka`."""


@dataclass(slots=True)
class Asked:
    """One command under one request number, however often and by whatever way it was sent."""

    command: str
    """Its id, derived from the request number."""
    kind: str
    campaign: str
    number: str
    data: dict[str, Any]
    asked_at: float = field(default_factory=time.monotonic)
    answered_at: float | None = None
    sent: int = 0
    answers: list[Said] = field(default_factory=list)

    @property
    def coupon(self) -> int | None:
        """The coupon it names; a claim names none."""
        named = self.data.get("coupon")
        return None if named is None else int(named["number"])

    def hear(self, said: Said) -> None:
        """Keep an answer."""
        if self.answered_at is None:
            self.answered_at = time.monotonic()
        self.answers.append(said)


@dataclass(slots=True)
class Opened:
    """A campaign made for the proof."""

    id: str
    quantity: int
    user_limit: int
    given: list[int] = field(default_factory=list)
    """Coupon numbers that callers were told."""
    exhausted: int = 0
    """How often a caller was told that there are no more."""
