"""Raw requests and profiles for tests of dialects."""

import json
from typing import Any

from dialects.protocol import Profile, RawRequest

MERCHANT = "0b2f5c1e-8a57-5d5c-9a3e-3b1f6e0f7a10"
OTHER = "1c2f5c1e-8a57-5d5c-9a3e-3b1f6e0f7a11"
PROFILE = Profile(MERCHANT, currency="EUR", zone="Europe/Berlin", secret=bytes(range(32)))


def raw(
    method: str,
    target: str,
    body: Any = None,
    headers: dict[str, str] | tuple[tuple[str, str], ...] | None = None,
) -> RawRequest:
    """A request; a body that is not bytes is sent as JSON."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = headers if isinstance(headers, tuple) else tuple((headers or {}).items())
    return RawRequest(method, target, tuple((name.lower(), value) for name, value in pairs), content)
