"""What can go wrong between us and a merchant's interface; the class tells the job what to do next.

Messages are our own words and hold no secret, no code and nothing of a user. What the merchant wrote stands
apart (`MerchantRefused.reason`): it is shown to staff, not logged.
"""

from __future__ import annotations


class InterfaceFailure(Exception):
    """A call to a merchant's interface did not do its work.

    `outcome_unknown`: the merchant may have applied the request. Look the delivery up or send the very same
    again where the interface allows that; never send it under another key.
    """

    outcome_unknown = False


class MerchantUnavailable(InterfaceFailure):
    """Nothing was applied; try again later, not before `retry_after_seconds` where it is known.

    `throttled`: the merchant lives and asks us to be slower (429).
    """

    def __init__(self, detail: str, retry_after_seconds: float | None = None, *, throttled: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
        self.throttled = throttled


class OutcomeUnknown(InterfaceFailure):
    """The request went out and no usable answer came back."""

    outcome_unknown = True


class MerchantRefused(InterfaceFailure):
    """The merchant refused for good: do not send it again. `code`: a slug; `reason`: the merchant's words."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(f"refused with {status} ({code})")
        self.status = status
        self.code = code
        self.reason = reason


class MerchantMisbehaves(InterfaceFailure):
    """The answer is not what the interface promises: HTML, bad JSON, another shape, circles, too much.

    Try again later and tell staff: somebody has to mend something.
    """

    def __init__(self, detail: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(detail)
        self.outcome_unknown = outcome_unknown


class CredentialsRefused(InterfaceFailure):
    """401 or 403: stop calling and tell staff."""


class InterfaceGone(InterfaceFailure):
    """410: disable the interface until staff enable it again."""


class AddressRefused(InterfaceFailure):
    """The interface's address is one we do not call; nothing was sent. The message says why."""


class NotOffered(InterfaceFailure):
    """The profile has no such operation; nothing was sent. `abilities` says so beforehand."""
