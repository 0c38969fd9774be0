"""Our credentials on a request to a merchant, in the way the profile says."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import uuid4

import httpx
from standardwebhooks import Webhook

from merchant_adapter.interfaces.profile import (
    Authentication,
    BasicAuthentication,
    BearerAuthentication,
    HeaderAuthentication,
)


def sign(request: httpx.Request, body: bytes, key: str | None, authentication: Authentication) -> None:
    """Puts our credentials on a request, over its target and body as they go out."""
    if isinstance(authentication, BearerAuthentication):
        request.headers["Authorization"] = f"Bearer {authentication.token.get_secret_value()}"
    elif isinstance(authentication, HeaderAuthentication):
        request.headers[authentication.name] = authentication.value.get_secret_value()
    elif isinstance(authentication, BasicAuthentication):
        pair = f"{authentication.user}:{authentication.password.get_secret_value()}"
        request.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        number, now = key or f"read-{uuid4()}", datetime.now(UTC).replace(microsecond=0)
        signed = f"{request.method} {request.url.raw_path.decode('ascii')}.{body.decode()}"
        request.headers["webhook-id"] = number
        request.headers["webhook-timestamp"] = str(int(now.timestamp()))
        request.headers["webhook-signature"] = " ".join(
            Webhook(secret.get_secret_value()).sign(number, now, signed) for secret in authentication.secrets
        )
