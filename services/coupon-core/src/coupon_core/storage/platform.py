"""What the whole database belongs to: how many lanes, which log, which kind of time."""

from __future__ import annotations

from coupon_core.storage import Connection

PLATFORM_ROW = """
INSERT INTO platform (partitions, cluster_id, told) VALUES ($1, $2, $3) ON CONFLICT (one) DO NOTHING
"""
READ_PLATFORM = "SELECT partitions, cluster_id, told FROM platform"


async def platform_identity(
    connection: Connection, partitions: int, cluster_id: str, told: bool
) -> tuple[int, str, bool]:
    """(partitions, cluster id, told) of this database; the first process ever stores its own."""
    await connection.execute(PLATFORM_ROW, partitions, cluster_id, told)
    row = await connection.fetchrow(READ_PLATFORM)
    if row is None:
        raise RuntimeError("the platform row is gone")
    return row["partitions"], row["cluster_id"], row["told"]


async def cluster_of(connection: Connection) -> str | None:
    """The cluster id of the log this database was made from; None: no process ever started on it."""
    found: str | None = await connection.fetchval("SELECT cluster_id FROM platform")
    return found


async def set_cluster(connection: Connection, cluster: str) -> None:
    """An operator's word: the log is this cluster's from now on."""
    await connection.execute("UPDATE platform SET cluster_id = $1", cluster)
