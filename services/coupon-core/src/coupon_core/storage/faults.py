"""What the database's errors mean for the loop."""

from __future__ import annotations

import asyncpg

DATABASE_AWAY: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection broke amid a statement, and asyncpg lost its place in the protocol
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, cancelled
    asyncpg.InsufficientResourcesError,  # disk or memory full, too many connections
    asyncpg.TransactionRollbackError,  # serialization failure, deadlock
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # the primary became a standby
)
"""Hold and try again: nothing is wrong with the records. Whether a commit went through is unknown."""

DATA_REFUSED: type[Exception] = asyncpg.DataError
"""The values cannot be written: our bug. (An InterfaceError by class, so it must be asked for first.)"""

ANY_FAULT: type[Exception] = asyncpg.PostgresError
"""Anything the server says no with."""
