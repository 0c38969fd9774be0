"""All dialects, one line each, and the one function that finds a credential whatever the dialect's place for it."""

from __future__ import annotations

from contracts.merchants import DialectName
from dialects.declared import DECLARED
from dialects.protocol import (
    Credential,
    CredentialRefused,
    Dialect,
    HashedSecret,
    Profile,
    RawRequest,
    Secret,
    SigningSecret,
)
from dialects.scrip import SCRIP
from dialects.voucherify import VOUCHERIFY

DIALECTS: dict[DialectName, Dialect] = {
    "voucherify": VOUCHERIFY,
    "scrip": SCRIP,
    "declared": DECLARED,
}
"""In the order in which their places for a credential are looked at."""

_BY_KIND: dict[str, DialectName] = {
    "app_token": "voucherify",
    "signature": "scrip",
    "bearer": "scrip",
    "api_key": "declared",
    "basic": "declared",
}
_NO_HASH = HashedSecret(bytes(32))
_NO_SIGNING_SECRET = SigningSecret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")


def locate(request: RawRequest) -> Credential | None:
    """The credential a request shows, wherever a dialect has its place; None where there is none."""
    for dialect in DIALECTS.values():
        found = dialect.locate(request)
        if found is not None:
            return found
    return None


def verify(request: RawRequest, credential: Credential, secret: Secret | None, now: float) -> None:
    """Check a credential; `secret` is what is kept of the key, None when there is no such key. `now` in seconds.

    An unknown key costs the same work as a known one. Raises CredentialRefused.
    """
    known = secret
    if known is None:
        known = _NO_SIGNING_SECRET if credential.kind == "signature" else _NO_HASH
    DIALECTS[_BY_KIND[credential.kind]].verify(request, credential, known, now)
    if secret is None:
        raise CredentialRefused("there is no such key")


def spoken(request: RawRequest, credential: Credential | None, profile: Profile | None = None) -> DialectName:
    """The dialect in which a request is phrased, so that it is refused in the same one.

    Told by the credential's place. A bearer key may be `scrip` or a declared API: then by the path, and by whether
    the merchant's own declaration says that its callers send bearer keys.
    """
    if credential is None:
        return "voucherify" if any(name.startswith(("x-app-", "x-client-")) for name, _ in request.headers) else "scrip"
    if credential.kind == "bearer" and profile is not None and profile.declaration is not None:
        own = profile.declaration.authentication.kind == "bearer" and not request.path.startswith("/merchant/v1/")
        return "declared" if own else "scrip"
    return _BY_KIND[credential.kind]
