"""The tables of messaging stand word for word in the first migration of each service that has an outbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.messaging.support import TABLES

SERVICES = Path(__file__).parents[2] / "services"


@pytest.mark.parametrize(
    "service", ["gateway/src/gateway", "merchant-adapter/src/merchant_adapter", "scheduler/src/scheduler"]
)
def test_the_first_migration_holds_the_tables(service: str) -> None:
    (migration,) = (SERVICES / service / "migrations").glob("0001*.sql")
    assert TABLES.read_text() in migration.read_text()
