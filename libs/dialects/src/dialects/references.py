"""References by which a merchant asks later what became of a command: `<command id>.<tag>`.

The tag is keyed with the merchant's own secret, so that a reference says nothing to any other merchant, and no table
is needed to know whose command it is. Requests that were cut into several commands go by their own id instead.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from uuid import UUID

_FORM = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{16})", re.ASCII)


def make_reference(secret: bytes, command: UUID) -> str:
    """A reference to a command of the merchant whose secret this is."""
    return f"{command.hex}.{_tag(secret, command)}"


def read_reference(secret: bytes, text: str) -> UUID | None:
    """The command a reference stands for; None where it is not one of this merchant's."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    command = UUID(found[1])
    return command if hmac.compare_digest(_tag(secret, command), found[2]) else None


def _tag(secret: bytes, command: UUID) -> str:
    return hmac.digest(secret, b"reference\n" + command.bytes, hashlib.sha256).hex()[:16]
