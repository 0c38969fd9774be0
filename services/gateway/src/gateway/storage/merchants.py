"""Merchants, their profiles, access requests and interfaces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.merchants import DialectName, MerchantState
from gateway.storage.connections import Connection
from process.database import Pool


@dataclass(frozen=True, slots=True)
class StoredMerchant:
    """A merchant with its current profile and interface."""

    id: UUID
    name: str
    contact: str | None
    state: MerchantState
    version: int
    dialect: DialectName
    profile_version: int
    settings: dict[str, Any]
    interface: dict[str, Any] | None
    created_at: datetime


_INSERT = """
INSERT INTO merchant (id, name, contact, state, dialect, sealed_secret, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_INSERT_PROFILE = """
INSERT INTO merchant_profile (merchant, version, dialect, settings, created_by) VALUES ($1, $2, $3, $4, $5)
"""


async def add_merchant(
    connection: Connection,
    merchant: UUID,
    name: str,
    contact: str | None,
    state: MerchantState,
    dialect: DialectName,
    settings: dict[str, Any],
    sealed_secret: str,
    actor: str,
) -> None:
    """A new merchant with version 1 of its profile."""
    await connection.execute(_INSERT, merchant, name, contact, state, dialect, sealed_secret, actor)
    await connection.execute(_INSERT_PROFILE, merchant, 1, dialect, settings, actor)


_SELECT = """
SELECT m.id, m.name, m.contact, m.state, m.version, p.dialect, m.profile_version, p.settings,
       i.settings AS interface, m.created_at
FROM merchant m
JOIN merchant_profile p ON p.merchant = m.id AND p.version = m.profile_version
LEFT JOIN merchant_interface i ON i.merchant = m.id
"""
_ONE = _SELECT + "WHERE m.id = $1"
_LOCKED = _SELECT + "WHERE m.id = $1 FOR UPDATE OF m"
_PAGE = _SELECT + (
    "WHERE ($1::text IS NULL OR m.state = $1) AND ($2::uuid IS NULL OR m.id > $2) ORDER BY m.id LIMIT $3"
)


async def merchant(pool: Pool, name: UUID) -> StoredMerchant | None:
    """The merchant with this id."""
    row = await pool.fetchrow(_ONE, name)
    return None if row is None else StoredMerchant(**dict(row))


async def lock_merchant(connection: Connection, name: UUID) -> StoredMerchant | None:
    """The merchant, locked until the transaction ends: changes of one merchant follow one another."""
    row = await connection.fetchrow(_LOCKED, name)
    return None if row is None else StoredMerchant(**dict(row))


async def merchants(pool: Pool, state: str | None, after: UUID | None, limit: int) -> list[StoredMerchant]:
    """A page of merchants by id, after an id."""
    return [StoredMerchant(**dict(row)) for row in await pool.fetch(_PAGE, state, after, limit)]


_SET_STATE = "UPDATE merchant SET state = $2, version = version + 1 WHERE id = $1 RETURNING version"


async def set_state(connection: Connection, name: UUID, state: MerchantState) -> int:
    """The merchant's next version."""
    return int(await connection.fetchval(_SET_STATE, name, state))


_NEXT_PROFILE = """
UPDATE merchant SET profile_version = profile_version + 1, version = version + 1, dialect = $2 WHERE id = $1
RETURNING version, profile_version
"""


async def put_profile(
    connection: Connection, name: UUID, dialect: DialectName, settings: dict[str, Any], actor: str
) -> tuple[int, int]:
    """Make this the current profile; the merchant's next version, and the profile's."""
    row = await connection.fetchrow(_NEXT_PROFILE, name, dialect)
    if row is None:
        raise LookupError(f"merchant {name} is not there though it was locked")
    await connection.execute(_INSERT_PROFILE, name, row["profile_version"], dialect, settings, actor)
    return row["version"], row["profile_version"]


_PUT_INTERFACE = """
INSERT INTO merchant_interface (merchant, settings, changed_by) VALUES ($1, $2, $3)
ON CONFLICT (merchant) DO UPDATE SET settings = EXCLUDED.settings, changed_by = EXCLUDED.changed_by, changed_at = now()
"""
_NEXT_VERSION = "UPDATE merchant SET version = version + 1 WHERE id = $1 RETURNING version"


async def put_interface(connection: Connection, name: UUID, settings: dict[str, Any], actor: str) -> int:
    """Set how the merchant is called; its next version."""
    await connection.execute(_PUT_INTERFACE, name, settings, actor)
    return int(await connection.fetchval(_NEXT_VERSION, name))


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """An access request and what became of its merchant."""

    id: UUID
    merchant: UUID
    name: str
    contact: str | None
    dialect: DialectName
    state: MerchantState
    terminal_label: str
    token_sha256: bytes
    created_at: datetime
    collected_at: datetime | None


_ADD_REQUEST = """
INSERT INTO access_request (id, merchant, token_sha256, terminal_label) VALUES ($1, $2, $3, $4)
"""


async def add_request(
    connection: Connection, request: UUID, merchant: UUID, token_sha256: bytes, terminal_label: str
) -> None:
    """File an applicant's request beside its merchant row."""
    await connection.execute(_ADD_REQUEST, request, merchant, token_sha256, terminal_label)


_SELECT_REQUEST = """
SELECT r.id, r.merchant, m.name, m.contact, m.dialect, m.state, r.terminal_label, r.token_sha256,
       r.created_at, r.collected_at
FROM access_request r JOIN merchant m ON m.id = r.merchant
"""
_REQUEST = _SELECT_REQUEST + "WHERE r.id = $1"
_REQUESTS = _SELECT_REQUEST + (
    "WHERE ($1::text IS NULL OR m.state = $1) AND ($2::uuid IS NULL OR r.id > $2) ORDER BY r.id LIMIT $3"
)


async def request(connection: Pool | Connection, name: UUID) -> StoredRequest | None:
    """The access request with this id."""
    row = await connection.fetchrow(_REQUEST, name)
    return None if row is None else StoredRequest(**dict(row))


async def requests(pool: Pool, state: str | None, after: UUID | None, limit: int) -> list[StoredRequest]:
    """A page of access requests by id, those in this state."""
    return [StoredRequest(**dict(row)) for row in await pool.fetch(_REQUESTS, state, after, limit)]


_COLLECT = "UPDATE access_request SET collected_at = now() WHERE id = $1 AND collected_at IS NULL RETURNING true"


async def collect(connection: Connection, name: UUID) -> bool:
    """Take the right to see the credentials; False: it was taken before."""
    return bool(await connection.fetchval(_COLLECT, name))
