"""The type of a connection inside a transaction, and telling other processes what it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_TELL = "SELECT pg_notify($1, $2)"


async def tell_of_merchant(connection: Connection, merchant: UUID) -> None:
    """When the transaction commits, every gateway forgets what it remembers of this merchant."""
    await connection.execute(_TELL, "gateway_identity", str(merchant))


async def tell_of_token(connection: Connection, token: UUID) -> None:
    """When the transaction commits, every gateway forgets this token."""
    await connection.execute(_TELL, "gateway_token", str(token))
