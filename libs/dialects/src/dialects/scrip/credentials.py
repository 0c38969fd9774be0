"""Who speaks `scrip`: a bearer terminal key, or a signature in the form of Standard Webhooks.

Signed text: `webhook-id.webhook-timestamp.METHOD target.body`, raw bytes; target is the path with its query exactly as
in the request line. `Scrip-Key` names the key. Published with a vector and samples in `docs/signing.md`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from dialects.keys import read_key
from dialects.protocol import (
    TOLERANCE_SECONDS,
    Credential,
    CredentialRefused,
    RawRequest,
    Secret,
    SigningSecret,
    check_shown,
)

KEY_HEADER = "scrip-key"
MAX_SIGNATURES = 8


def locate(request: RawRequest) -> Credential | None:
    """A signature if one of its headers is there, else a bearer key."""
    if request.has(KEY_HEADER) or request.has("webhook-signature"):
        signatures = request.header("webhook-signature") or ""
        return Credential("signature", request.header(KEY_HEADER) or "", signatures, KEY_HEADER)
    if request.has("authorization"):
        scheme, _, text = (request.header("authorization") or "").partition(" ")
        if scheme.lower() == "bearer":
            key = read_key(text.strip())
            return Credential("bearer", key.public_id if key else "", key.secret if key else "", "authorization")
    return None


def signed_text(request_id: str, timestamp: str, method: str, target: str, body: bytes) -> bytes:
    """What is signed, as bytes."""
    return f"{request_id}.{timestamp}.{method} {target}.".encode("latin-1", "replace") + body


def signature(secret: str, text: bytes) -> str:
    """`v1,<base64 of HMAC-SHA256>`. Raises ValueError when the secret is not `whsec_` and base64."""
    # The library of Standard Webhooks takes the payload as text; a body that is not UTF-8 must be verifiable too.
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("a signing secret is whsec_ and base64") from None
    return "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()


def verify(request: RawRequest, credential: Credential, secret: Secret, now: float) -> None:
    """Check a shown key, or a signature over the raw request. Raises CredentialRefused."""
    if credential.kind != "signature":
        check_shown(credential.proof, secret)
        return
    if not isinstance(secret, SigningSecret):
        raise CredentialRefused("the key is a bearer key; it does not sign")
    request_id, timestamp = request.header("webhook-id") or "", request.header("webhook-timestamp") or ""
    text = signed_text(request_id, timestamp, request.method, request.target, request.body)
    expected = signature(secret.text, text).encode()
    # All are compared, whichever fits, so that the time taken says nothing.
    given = credential.proof.encode("utf-8", "surrogateescape").split(b" ")[:MAX_SIGNATURES]
    fits = [hmac.compare_digest(one, expected) for one in given]
    if not any(fits):
        raise CredentialRefused("no signature fits the request")
    if not request_id:
        raise CredentialRefused("webhook-id is missing")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise CredentialRefused("webhook-timestamp is not a number of seconds")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise CredentialRefused("webhook-timestamp is too far from our time")
