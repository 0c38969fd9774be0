"""Which of the database's errors a record can be to blame for."""

import asyncpg
import pytest

from coupon_core.storage.faults import is_not_now


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CardinalityViolationError,
        asyncpg.CharacterNotInRepertoireError,
        asyncpg.NumericValueOutOfRangeError,
        asyncpg.UniqueViolationError,
        asyncpg.CheckViolationError,
        asyncpg.ProgramLimitExceededError,
        asyncpg.StatementTooComplexError,
        asyncpg.RaiseError,
    ],
)
def test_what_values_can_cause_is_not_waited_for(error: type[Exception]) -> None:
    assert not is_not_now(error("said"))


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.PostgresIOError,
        asyncpg.DiskFullError,
        asyncpg.OutOfMemoryError,
        asyncpg.TooManyConnectionsError,
        asyncpg.InternalServerError,
        asyncpg.DataCorruptedError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.UndefinedTableError,
        asyncpg.InvalidPasswordError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InvalidCachedStatementError,
        asyncpg.DeadlockDetectedError,
        asyncpg.AdminShutdownError,
        asyncpg.QueryCanceledError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.ConfigFileError,
        asyncpg.InterfaceError,
        ConnectionResetError,
        TimeoutError,
    ],
)
def test_what_no_value_can_cause_is_waited_for(error: type[Exception]) -> None:
    assert is_not_now(error("said"))


def test_an_error_of_our_own_is_not_waited_for() -> None:
    assert not is_not_now(KeyError("a bug"))
