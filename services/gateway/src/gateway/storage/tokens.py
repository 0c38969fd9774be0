"""Bearer tokens of staff and apps, and the answers given to their requests that no campaign's log remembers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.storage.connections import Connection
from process.database import Pool


@dataclass(frozen=True, slots=True)
class StoredToken:
    """Whom a token names and what it may do."""

    id: UUID
    name: str
    roles: list[str]
    party: str
    created_at: datetime
    revoked_at: datetime | None


_BY_HASH = """
SELECT id, name, roles, party, created_at, revoked_at FROM token WHERE sha256 = $1 AND revoked_at IS NULL
"""


async def valid_token(pool: Pool, sha256: bytes) -> StoredToken | None:
    """The token with this hash, unless revoked."""
    row = await pool.fetchrow(_BY_HASH, sha256)
    return None if row is None else StoredToken(**dict(row))


_ADD = "INSERT INTO token (id, sha256, name, roles, party, created_by) VALUES ($1, $2, $3, $4, $5, $6)"


async def add_token(
    connection: Connection, token: UUID, sha256: bytes, name: str, roles: list[str], party: str, actor: str
) -> None:
    """Store a new token's hash."""
    await connection.execute(_ADD, token, sha256, name, roles, party, actor)


_ALL = "SELECT id, name, roles, party, created_at, revoked_at FROM token ORDER BY created_at LIMIT 1000"


async def tokens(pool: Pool) -> list[StoredToken]:
    """All tokens, revoked ones too, the oldest first."""
    return [StoredToken(**dict(row)) for row in await pool.fetch(_ALL)]


_REVOKE = "UPDATE token SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING true"


async def revoke_token(connection: Connection, token: UUID) -> bool:
    """End a token now; False: there is no such valid one."""
    return bool(await connection.fetchval(_REVOKE, token))


_CLAIM = """
INSERT INTO request_answer (scope, operation, key, hash, status, answer) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (scope, operation, key) DO NOTHING RETURNING true
"""
_EARLIER = "SELECT hash, status, answer FROM request_answer WHERE scope = $1 AND operation = $2 AND key = $3"


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """What was answered to a request number before."""

    hash: bytes
    status: int
    answer: dict[str, Any]


async def earlier_answer(connection: Pool | Connection, scope: str, operation: str, key: str) -> EarlierAnswer | None:
    """The answer given to this request number by this caller for this operation."""
    row = await connection.fetchrow(_EARLIER, scope, operation, key)
    return None if row is None else EarlierAnswer(bytes(row["hash"]), row["status"], row["answer"])


async def keep_answer(connection: Connection, scope: str, operation: str, key: str, kept: EarlierAnswer) -> bool:
    """Keep an answer in the transaction of what it tells; False: another request with this number was faster."""
    return bool(await connection.fetchval(_CLAIM, scope, operation, key, kept.hash, kept.status, kept.answer))


_FORGET = "DELETE FROM request_answer WHERE created_at < now() - make_interval(days => $1)"


async def forget_older(pool: Pool, days: int) -> None:
    """Drop answers nobody will ask for again."""
    await pool.execute(_FORGET, days)
