"""What the database's errors mean for the loop: the record is to blame, or what it found must be waited for."""

from __future__ import annotations

import asyncpg

from messaging.not_now import AWAY

DATABASE_AWAY: tuple[type[Exception], ...] = (*AWAY, asyncpg.InterfaceError)
"""Nothing is wrong with the records. Whether a commit went through is unknown."""

ANY_FAULT: type[Exception] = asyncpg.PostgresError
"""Anything the server says no with."""

ABOUT_VALUES = frozenset({"21", "22", "23", "44", "54", "P0"})
"""Classes of SQLSTATE that one record's values can cause: a row met twice, a value that cannot be written, a
constraint, a limit of the server, what our own triggers raise. Statements are the same for every record, so all other
classes are about where they run: storage (53, 58), the server (57, XX), rights and schema (28, 3D, 42), other
transactions (40, 55)."""


def is_not_now(error: Exception) -> bool:
    """Whether to hold and try again. False: the record, or what we make of it, is wrong; it becomes a dead letter."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] not in ABOUT_VALUES
    return isinstance(error, DATABASE_AWAY)
