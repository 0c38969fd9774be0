"""The outcome *not now*: which errors say that the database is away, and how long to wait then."""

from __future__ import annotations

import random

import asyncpg

AWAY: tuple[type[Exception], ...] = (
    OSError,  # refused, reset, timed out
    TimeoutError,  # the pool had no connection, or a statement took too long
    asyncpg.PostgresConnectionError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, cancelled by a time-out
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.PostgresSystemError,  # its storage does not answer
    asyncpg.TransactionRollbackError,  # serialization failure, deadlock
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # the primary became a standby
    asyncpg.InternalClientError,  # the connection broke amid a statement, and asyncpg lost its place in the protocol
    asyncpg.exceptions.OutdatedSchemaCacheError,
)
"""All but InterfaceError, which says it only by its text."""
# asyncpg tells a lost connection and a caller's mistake by the same class.
_LOST_CONNECTION = ("connection is closed", "connection was closed", "pool is clos", "has been released back")


def database_is_away(error: BaseException) -> bool:
    """Whether doing the same again later may work without anybody changing anything."""
    if isinstance(error, asyncpg.InterfaceError):
        return any(text in str(error) for text in _LOST_CONNECTION)
    return isinstance(error, AWAY)


def backoff_seconds(failures: int, *, first: float = 0.2, longest: float = 10.0) -> float:
    """How long to wait after this many failures in a row (from 1): doubling, at most `longest`.

    With jitter between a quarter and the whole of it, so that processes do not come back in step.
    """
    ceiling = min(longest, first * 2.0 ** min(failures - 1, 30))
    return ceiling * random.uniform(0.25, 1.0)  # noqa: S311 - spreads load, guards nothing
