"""Codes from a Voucherify `code_config`: unique, the same for the same campaign again, guessable by nobody else.

Each code is drawn by HMAC-SHA512 under the merchant's own secret from (campaign, counter); what was drawn before is
passed over. Core compares codes without regard to case, spaces and dashes, so the alphabet is taken that way too.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from contracts.fields import Contract
from dialects.protocol import FieldProblem, invalid

PLACE = "#"
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
DEFAULT_LENGTH = 8
MAX_LENGTH = 60
MAX_CODES = 20_000
"""Codes made in one request."""

Part = Annotated[str, StringConstraints(max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$")]


class CodeConfig(Contract):
    """How codes look: a pattern with `#` for each random symbol, or prefix, length and postfix."""

    pattern: Annotated[str, StringConstraints(max_length=MAX_LENGTH, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    prefix: Part | None = None
    postfix: Part | None = None
    length: Annotated[int, Field(ge=1, le=32)] | None = None
    charset: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    initial_count: int | None = None

    def template(self) -> str:
        """The pattern, whichever way it was said."""
        if self.pattern:
            return (self.prefix or "") + self.pattern + (self.postfix or "")
        return (self.prefix or "") + PLACE * (self.length or DEFAULT_LENGTH) + (self.postfix or "")

    def alphabet(self) -> str:
        """The symbols that fill the places, each once as core compares them."""
        if not self.charset:
            return ALPHABET
        return "".join(dict.fromkeys(one.upper() for one in self.charset if one not in " -" and len(one.upper()) == 1))


def make_codes(config: CodeConfig, count: int, campaign: UUID, secret: bytes) -> tuple[str, ...]:
    """`count` different codes.

    Raises:
        RequestRefused: the pattern has too few places for so many codes, or is too long (`invalid_code_config`).
    """
    template, alphabet = config.template(), config.alphabet()
    places = template.count(PLACE)
    if not 1 <= len(template) <= MAX_LENGTH or not alphabet:
        raise _refused(f"A code has 1 to {MAX_LENGTH} characters, and its charset at least one.")
    space = len(alphabet) ** places
    if space < count:
        raise _refused(
            f"{places} places of {len(alphabet)} symbols make {space} codes; {count} were ordered. Use more `{PLACE}`."
        )
    parts = template.split(PLACE)
    made: list[str] = []
    if space <= 4 * count:
        # A nearly full space: put all of it in an order of its own instead of drawing for ever.
        order = sorted(range(space), key=lambda value: _drawn(secret, campaign, b"order", value))
        made = [_filled(parts, alphabet, value) for value in order[:count]]
    else:
        seen: set[int] = set()
        counter = 0
        while len(made) < count:
            value = int.from_bytes(_drawn(secret, campaign, b"draw", counter)) % space
            counter += 1
            if value not in seen:
                seen.add(value)
                made.append(_filled(parts, alphabet, value))
    return tuple(made)


def _drawn(secret: bytes, campaign: UUID, purpose: bytes, number: int) -> bytes:
    return hmac.digest(secret, b"codes\n%b\n%b\n%d" % (purpose, campaign.bytes, number), hashlib.sha512)


def _filled(parts: list[str], alphabet: str, value: int) -> str:
    made = [parts[0]]
    for part in parts[1:]:
        value, symbol = divmod(value, len(alphabet))
        made += (alphabet[symbol], part)
    return "".join(made)


def _refused(detail: str) -> Exception:
    return invalid(detail, FieldProblem("/voucher/code_config", detail), code="invalid_code_config", status=400)
