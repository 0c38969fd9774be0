"""What an answer other than 2xx means: the table of the public contract."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from merchant_adapter.interfaces.failures import (
    CredentialsRefused,
    InterfaceFailure,
    InterfaceGone,
    MerchantMisbehaves,
    MerchantRefused,
    MerchantUnavailable,
    OutcomeUnknown,
)

LONGEST_RETRY_AFTER_SECONDS = 86_400.0


def failure_of(status: int, headers: httpx.Headers, problem: Any, unsafe: bool) -> InterfaceFailure:
    """What an answer other than 2xx means (the table of the public contract)."""
    if status in (401, 403):
        return CredentialsRefused(f"the merchant answered {status}: the credentials are not good")
    if status == 410:
        return InterfaceGone("the merchant answered 410: the interface is closed")
    if status in (429, 503):
        wait = retry_after_seconds(headers)
        return MerchantUnavailable(f"the merchant answered {status}", wait, throttled=status == 429)
    if status >= 500 or status in (408, 425):
        if unsafe:
            return OutcomeUnknown(f"the merchant answered {status}")
        return MerchantUnavailable(f"the merchant answered {status}", retry_after_seconds(headers))
    if status < 400:
        return MerchantMisbehaves(f"the merchant answered {status}: redirects are not followed", outcome_unknown=unsafe)
    if status in (404, 405):
        return MerchantMisbehaves(f"the merchant answered {status}: there is no such operation at this address")
    said = problem if isinstance(problem, dict) else {}
    code = said.get("code")
    if not isinstance(code, str) or not code.isascii() or not code.replace("_", "a").isalnum() or len(code) > 64:
        code = "key_conflict" if status == 409 else f"http_{status}"
    words = [text for text in (said.get("title"), said.get("detail")) if isinstance(text, str)]
    return MerchantRefused(status, code, plain(": ".join(words)) or f"HTTP {status}")


def retry_after_seconds(headers: httpx.Headers) -> float | None:
    """The wait a merchant asks for, at most a day; None: none, or one that cannot be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = (moment - datetime.now(UTC)).total_seconds()
    return min(max(0.0, wait), LONGEST_RETRY_AFTER_SECONDS)


def plain(text: str) -> str:
    """A merchant's text for staff to read: printable, on one line, at most 200 characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:400]).strip()[:200]
