"""The text of a terminal's key: `sk_<public id>_<secret>`.

The public id finds the key without a search and may be logged; the secret is kept as SHA-256 only. Being
recognisable, a key is found wherever a dialect puts it, and secret scanners find leaked ones.
"""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass, field

PUBLIC_LENGTH = 20
SECRET_LENGTH = 40
_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_LETTERS = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FORM = re.compile(rf"sk_([a-z0-9]{{{PUBLIC_LENGTH}}})_([A-Za-z0-9]{{{SECRET_LENGTH}}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TerminalKey:
    """A key in its two parts."""

    public_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What the merchant is given for a bearer or header key."""
        return f"sk_{self.public_id}_{self.secret}"


def new_key() -> TerminalKey:
    """A new random key (103 bits of public id, 238 bits of secret)."""
    return TerminalKey(
        "".join(secrets.choice(_LOWER) for _ in range(PUBLIC_LENGTH)),
        "".join(secrets.choice(_LETTERS) for _ in range(SECRET_LENGTH)),
    )


def read_key(text: str) -> TerminalKey | None:
    """The parts of a key's text; None where it is none."""
    found = _FORM.fullmatch(text)
    return None if found is None else TerminalKey(found[1], found[2])


def new_signing_secret() -> str:
    """A new secret for requests signed in the Standard Webhooks form: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
