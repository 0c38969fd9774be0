"""Who may call: the bearer token we gave to Scrip, or a Standard Webhooks signature."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError


class Callers:
    """Knows the one caller this merchant has: Scrip."""

    def __init__(self, token: str, webhook_secret: str | None) -> None:
        self._token = token.encode()
        self._webhook = Webhook(webhook_secret) if webhook_secret else None

    def fault(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Why this request is not from Scrip, or nothing. `target`: path and query as they came."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if hmac.compare_digest(token.strip().encode(), self._token):
                return None
            return "the bearer token is not the one given to Scrip"
        if self._webhook is None or "webhook-signature" not in headers:
            return "no credentials: send Authorization: Bearer <token>"
        key = headers.get("idempotency-key")
        if key is not None and key != headers.get("webhook-id"):
            return "Idempotency-Key differs from webhook-id"
        try:
            self._webhook.verify(f"{method} {target}.".encode() + body, dict(headers), json_parse=False)
        except (
            WebhookVerificationError,
            ValueError,
        ) as reason:  # ValueError: malformed header, body not UTF-8
            return f"the signature is not good: {reason}"
        return None
