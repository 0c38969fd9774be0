"""A merchant's terminals and their keys: made, shown once, rotated, revoked."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import Field

from contracts.merchants import DialectName
from dialects.keys import TerminalKey, new_key
from dialects.protocol import FieldProblem, Problem, RequestRefused, invalid
from gateway.access.profiles import ProfileSettings
from gateway.identity.front_door import credential_context
from gateway.storage import credentials
from gateway.storage.connections import Connection, tell_of_merchant
from gateway.storage.credentials import TerminalExists
from gateway.storage.merchants import StoredMerchant
from process.secrets import seal

OVERLAP_SECONDS = 86_400.0
"""How long the key before stays valid after a rotation, unless told otherwise."""
SIGNING_BYTES = 32

TerminalLabel = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f/]+$")]
"""What a merchant calls a terminal; stands in the actor of its commands."""


async def add_terminal(
    connection: Connection, merchant: StoredMerchant, label: str, keys: Mapping[int, bytes], actor: str
) -> tuple[UUID, dict[str, Any]]:
    """A new terminal with its first key: its id, and its credentials, which are never to be had again.

    Raises RequestRefused when the merchant has a terminal with this label.
    """
    terminal = uuid4()
    try:
        await credentials.add_terminal(connection, terminal, merchant.id, label, actor)
    except TerminalExists:
        raise invalid(
            "The merchant has a terminal with this label.",
            FieldProblem("/label", "stands for another terminal"),
            code="terminal_exists",
            status=409,
        ) from None
    return terminal, await add_key(connection, merchant, terminal, label, keys, actor)


async def rotate(
    connection: Connection,
    merchant: StoredMerchant,
    terminal: UUID,
    overlap_seconds: float,
    keys: Mapping[int, bytes],
    actor: str,
) -> dict[str, Any]:
    """A new key beside the one before, which ends after the overlap. Raises RequestRefused (404)."""
    label = await credentials.lock_terminal(connection, terminal, merchant.id)
    if label is None:
        raise terminal_not_found()
    await credentials.end_older_credentials(connection, terminal, overlap_seconds)
    return await add_key(connection, merchant, terminal, label, keys, actor)


async def revoke(connection: Connection, merchant: UUID, terminal: UUID, public_id: str | None) -> None:
    """End one key, or the terminal with all its keys. Raises RequestRefused (404)."""
    if await credentials.lock_terminal(connection, terminal, merchant) is None:
        raise terminal_not_found()
    if public_id is None:
        await credentials.close_terminal(connection, terminal)
    elif not await credentials.revoke_credential(connection, public_id, terminal):
        raise RequestRefused(Problem("key_not_found", 404, "Key not found", "The terminal has no such valid key."))
    await tell_of_merchant(connection, merchant)


async def add_key(
    connection: Connection,
    merchant: StoredMerchant,
    terminal: UUID,
    label: str,
    keys: Mapping[int, bytes],
    actor: str,
) -> dict[str, Any]:
    """Store a new key of the terminal; its credentials in the shape of the merchant's dialect."""
    settings = ProfileSettings.model_validate(merchant.settings)
    key = new_key()
    signing: str | None = None
    if merchant.dialect == "scrip" and settings.authentication == "signed":
        signing = "whsec_" + base64.b64encode(secrets.token_bytes(SIGNING_BYTES)).decode()
        newest = max(keys)
        sealed = seal(newest, keys[newest], signing.encode(), credential_context(key.public_id))
        await credentials.add_credential(connection, key.public_id, terminal, "signature", None, sealed, actor)
    else:
        hashed = hashlib.sha256(key.secret.encode()).digest()
        await credentials.add_credential(connection, key.public_id, terminal, "shown", hashed, None, actor)
    await tell_of_merchant(connection, merchant.id)
    return {"terminal": label, **shape(merchant.dialect, settings, key, signing)}


def shape(dialect: DialectName, settings: ProfileSettings, key: TerminalKey, signing: str | None) -> dict[str, Any]:
    """Credentials in the words of the dialect, with the place where each belongs."""
    if signing is not None:
        return {"type": "signature", "scrip_key": key.public_id, "secret": signing}
    if dialect == "voucherify":
        return {"type": "app_token", "app_id": key.public_id, "app_token": key.secret}
    declaration = settings.declared()
    if declaration is None or declaration.authentication.kind == "bearer":
        return {"type": "bearer", "key": key.text}
    if declaration.authentication.kind == "basic":
        return {"type": "basic", "user": key.public_id, "password": key.secret}
    return {"type": "header", "header": declaration.authentication.header, "key": key.text}


def terminal_not_found() -> RequestRefused:
    """The merchant has no such open terminal."""
    return RequestRefused(
        Problem("terminal_not_found", 404, "Terminal not found", "The merchant has no such open terminal.")
    )
