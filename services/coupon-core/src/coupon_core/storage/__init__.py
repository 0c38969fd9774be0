"""All SQL of coupon-core: a file per table, each statement above the one function that runs it.

Joins are always from `unnest` to an index, so that no plan depends on statistics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:  # asyncpg's classes take no type parameters at run time
    Connection = Any
