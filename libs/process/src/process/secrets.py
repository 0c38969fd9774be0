"""Merchants' secrets at rest: AES-256-GCM under a key that is not in the database.

A sealed secret is the text `1.<key id>.<base64url of nonce and ciphertext>`. The context (for example
merchant id and field name) is authenticated with it: copied to another row it does not open.
"""

import base64
import binascii
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT = "1"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SealBroken(Exception):
    """A sealed secret does not open: changed, of another context, or sealed under a key we do not hold."""


def seal(key_id: int, key: bytes, plaintext: bytes, context: bytes) -> str:
    """Seal under the key (32 bytes). The same plaintext gives another text each time."""
    head = f"{_FORMAT}.{key_id}."
    nonce = os.urandom(_NONCE_BYTES)
    body = nonce + AESGCM(key).encrypt(nonce, plaintext, head.encode() + context)
    return head + base64.urlsafe_b64encode(body).decode().rstrip("=")


def open_sealed(sealed: str, keys: Mapping[int, bytes], context: bytes) -> bytes:
    """The plaintext; raises SealBroken, which never holds a part of it."""
    key_id = key_id_of(sealed)
    if key_id not in keys:
        raise SealBroken(f"The secret is sealed under key {key_id}, which this process does not hold.")
    head, _, text = sealed.rpartition(".")
    try:
        body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise SealBroken("The sealed secret is not base64url.") from None
    if len(body) < _NONCE_BYTES + _TAG_BYTES:
        raise SealBroken("The sealed secret is cut short.")
    try:
        aad = f"{head}.".encode() + context
        return AESGCM(keys[key_id]).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], aad)
    except InvalidTag:
        raise SealBroken("The sealed secret was changed or belongs to another context.") from None


def reseal(sealed: str, key_id: int, keys: Mapping[int, bytes], context: bytes) -> str:
    """The same secret under the key `key_id`: run over all rows this is the rotation, and may be repeated."""
    if key_id_of(sealed) == key_id:
        return sealed
    return seal(key_id, keys[key_id], open_sealed(sealed, keys, context), context)


def key_id_of(sealed: str) -> int:
    """The id of the key a text is sealed under, so that rows still to rotate can be found."""
    parts = sealed.split(".")
    if len(parts) != 3 or parts[0] != _FORMAT or not (parts[1].isascii() and parts[1].isdigit()):
        raise SealBroken("The text is not a sealed secret.")
    return int(parts[1])
