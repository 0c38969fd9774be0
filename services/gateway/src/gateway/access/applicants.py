"""How often somebody unknown may ask for access."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from dialects.protocol import Problem, RequestRefused


class ApplicantLimit:
    """How many unknown applicants one address may file per minute, in this process."""

    def __init__(self, per_minute: int) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._item = RateLimitItemPerMinute(per_minute)

    def check(self, address: str) -> None:
        """Count one. Raises RequestRefused (429)."""
        if not self._limiter.hit(self._item, "access", address):
            raise RequestRefused(
                Problem(
                    "too_many_requests",
                    429,
                    "Too many requests",
                    "Too many access requests came from this address: try again in a minute.",
                    retry_after_seconds=60,
                )
            )
