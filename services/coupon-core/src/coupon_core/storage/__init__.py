"""All SQL of coupon-core: a file per subject, each statement above the one function that runs it.

Joins are always from `unnest` to an index, so that no plan depends on statistics.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:  # asyncpg's classes take no type parameters at run time
    Connection = Any


def columns(rows: Collection[Sequence[object]], width: int = 0) -> list[list[object]]:
    """Rows as the arrays that `unnest` takes; `width` says how many where there may be no row."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
