"""Our copy of the merchants' profiles."""

from __future__ import annotations

from uuid import UUID

from contracts.merchants import MerchantProfile
from merchant_adapter.storage import Connection

STORE = """
INSERT INTO merchant (id, version, state, profile) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state, profile = excluded.profile,
    trouble = NULL
WHERE merchant.version < excluded.version
"""


async def store_profile(connection: Connection, profile: MerchantProfile) -> None:
    """Keep the profile; an older version than the one known changes nothing. New settings end any trouble."""
    await connection.execute(STORE, profile.merchant, profile.version, profile.state, profile.model_dump_json())


FIND = "SELECT profile, trouble FROM merchant WHERE id = $1"


async def profile_of(connection: Connection, merchant: UUID) -> tuple[MerchantProfile, str | None] | None:
    """The profile and why the interface is not called, if it is not."""
    row = await connection.fetchrow(FIND, merchant)
    return None if row is None else (MerchantProfile.model_validate_json(row["profile"]), row["trouble"])


TROUBLE = "UPDATE merchant SET trouble = $2 WHERE id = $1"


async def note_trouble(connection: Connection, merchant: UUID, trouble: str) -> None:
    """Call the interface no more until staff change its settings."""
    await connection.execute(TROUBLE, merchant, trouble)
