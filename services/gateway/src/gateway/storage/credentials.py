"""Terminals and their keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from contracts.merchants import DialectName, MerchantState
from process.database import Pool

if TYPE_CHECKING:
    from gateway.storage.connections import Connection


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A valid key, its terminal, merchant and current profile."""

    public_id: str
    sha256: bytes | None
    sealed_secret: str | None
    terminal: UUID
    terminal_label: str
    merchant: UUID
    name: str
    state: MerchantState
    sealed_merchant_secret: str
    dialect: DialectName
    profile_version: int
    settings: dict[str, Any]


_VALID = """
SELECT c.public_id, c.sha256, c.sealed_secret, t.id AS terminal, t.label AS terminal_label,
       m.id AS merchant, m.name, m.state, m.sealed_secret AS sealed_merchant_secret,
       p.dialect, p.version AS profile_version, p.settings
FROM credential c
JOIN terminal t ON t.id = c.terminal
JOIN merchant m ON m.id = t.merchant
JOIN merchant_profile p ON p.merchant = m.id AND p.version = m.profile_version
WHERE c.public_id = $1 AND c.revoked_at IS NULL AND (c.not_after IS NULL OR c.not_after > now())
  AND t.closed_at IS NULL
"""


async def valid_credential(pool: Pool, public_id: str) -> StoredCredential | None:
    """The key with this public id, unless it is revoked, over, or its terminal is closed."""
    row = await pool.fetchrow(_VALID, public_id)
    return None if row is None else StoredCredential(**dict(row))


_ADD_TERMINAL = "INSERT INTO terminal (id, merchant, label, created_by) VALUES ($1, $2, $3, $4)"


class TerminalExists(Exception):
    """The merchant has a terminal with this label."""


async def add_terminal(connection: Connection, terminal: UUID, merchant: UUID, label: str, actor: str) -> None:
    """Raises TerminalExists."""
    try:
        await connection.execute(_ADD_TERMINAL, terminal, merchant, label, actor)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "terminal_label_unique":
            raise TerminalExists(label) from None
        raise


_ADD_CREDENTIAL = """
INSERT INTO credential (public_id, terminal, kind, sha256, sealed_secret, created_by) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def add_credential(
    connection: Connection,
    public_id: str,
    terminal: UUID,
    kind: str,
    sha256: bytes | None,
    sealed_secret: str | None,
    actor: str,
) -> None:
    """Store a new key: the hash of what is shown, or the sealed secret that signs."""
    await connection.execute(_ADD_CREDENTIAL, public_id, terminal, kind, sha256, sealed_secret, actor)


# The row's lock makes rotations of one terminal follow one another, so that two keys at most stay valid.
_LOCK_TERMINAL = """
SELECT t.id, t.label, t.merchant FROM terminal t WHERE t.id = $1 AND t.merchant = $2 AND t.closed_at IS NULL FOR UPDATE
"""


async def lock_terminal(connection: Connection, terminal: UUID, merchant: UUID) -> str | None:
    """Lock an open terminal of this merchant until the transaction ends; its label, or None when there is none."""
    row = await connection.fetchrow(_LOCK_TERMINAL, terminal, merchant)
    return None if row is None else str(row["label"])


_END_OLDER = """
UPDATE credential SET
    revoked_at = CASE WHEN place > 1 OR $2::float = 0 THEN now() END,
    not_after = least(not_after, now() + make_interval(secs => $2))
FROM (
    SELECT public_id AS id, row_number() OVER (ORDER BY created_at DESC, public_id) AS place FROM credential
    WHERE terminal = $1 AND revoked_at IS NULL AND (not_after IS NULL OR not_after > now())
) AS valid
WHERE public_id = valid.id
"""


async def end_older_credentials(connection: Connection, terminal: UUID, overlap_seconds: float) -> None:
    """Before a new key: the newest one stays valid for the overlap, all others end now (two at most are valid)."""
    await connection.execute(_END_OLDER, terminal, overlap_seconds)


_REVOKE = """
UPDATE credential SET revoked_at = now()
WHERE public_id = $1 AND terminal = $2 AND revoked_at IS NULL RETURNING true
"""


async def revoke_credential(connection: Connection, public_id: str, terminal: UUID) -> bool:
    """End one key now; False: the terminal has no such valid key."""
    return bool(await connection.fetchval(_REVOKE, public_id, terminal))


_CLOSE_TERMINAL = "UPDATE terminal SET closed_at = now() WHERE id = $1"


async def close_terminal(connection: Connection, terminal: UUID) -> None:
    """End a terminal with all its keys."""
    await connection.execute(_CLOSE_TERMINAL, terminal)


@dataclass(frozen=True, slots=True)
class StoredTerminal:
    """A terminal and the public ids of its valid keys."""

    id: UUID
    label: str
    created_at: datetime
    closed_at: datetime | None
    keys: list[str]


_TERMINALS = """
SELECT t.id, t.label, t.created_at, t.closed_at,
       coalesce(array_agg(c.public_id ORDER BY c.created_at) FILTER (WHERE c.public_id IS NOT NULL), '{}') AS keys
FROM terminal t
LEFT JOIN credential c ON c.terminal = t.id AND c.revoked_at IS NULL AND (c.not_after IS NULL OR c.not_after > now())
WHERE t.merchant = $1 GROUP BY t.id ORDER BY t.created_at, t.id
"""


async def terminals(pool: Pool, merchant: UUID) -> list[StoredTerminal]:
    """All terminals of a merchant, the oldest first."""
    return [StoredTerminal(**dict(row)) for row in await pool.fetch(_TERMINALS, merchant)]
