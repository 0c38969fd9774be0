"""What the database's errors mean for the loop."""

from __future__ import annotations

import asyncpg

from messaging.not_now import AWAY

DATABASE_AWAY: tuple[type[Exception], ...] = (*AWAY, asyncpg.InterfaceError)
"""Hold and try again: nothing is wrong with the records. Whether a commit went through is unknown."""

DATA_REFUSED: type[Exception] = asyncpg.DataError
"""The values cannot be written: our bug. (An InterfaceError by class, and so one of DATABASE_AWAY too.)"""

ANY_FAULT: type[Exception] = asyncpg.PostgresError
"""Anything the server says no with."""
