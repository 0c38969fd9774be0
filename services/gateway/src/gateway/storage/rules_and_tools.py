"""Building rules of the platform and of merchants, and Kafka tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.storage.connections import Connection
from process.database import Pool

_RULES = "SELECT version, rules FROM building_rules WHERE party = $1"


async def building_rules(pool: Pool, party: str) -> tuple[int, dict[str, Any]]:
    """Version and rules of a party; version 0 where none were ever set."""
    row = await pool.fetchrow(_RULES, party)
    return (0, {}) if row is None else (row["version"], row["rules"])


_PUT_RULES = """
INSERT INTO building_rules (party, version, rules, changed_by) VALUES ($1, 1, $2, $3)
ON CONFLICT (party) DO UPDATE SET version = building_rules.version + 1, rules = EXCLUDED.rules,
    changed_by = EXCLUDED.changed_by, changed_at = now()
RETURNING version
"""


async def put_building_rules(connection: Connection, party: str, rules: dict[str, Any], actor: str) -> int:
    """Set a party's rules; their version."""
    return int(await connection.fetchval(_PUT_RULES, party, rules, actor))


@dataclass(frozen=True, slots=True)
class StoredTool:
    """A program that writes commands to Kafka itself."""

    name: str
    version: int
    key_version: int
    rights: list[str]
    reply_topic: str | None
    active: bool


# A new key each time it is put; which versions are good is told to the lanes.
_PUT_TOOL = """
INSERT INTO tool (name, version, key_version, rights, reply_topic, active, changed_by)
VALUES ($1, 1, 1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET version = tool.version + 1, key_version = tool.key_version + 1,
    rights = EXCLUDED.rights, reply_topic = EXCLUDED.reply_topic, active = EXCLUDED.active,
    changed_by = EXCLUDED.changed_by, changed_at = now()
RETURNING name, version, key_version, rights, reply_topic, active
"""


async def put_tool(
    connection: Connection, name: str, rights: list[str], reply_topic: str | None, active: bool, actor: str
) -> StoredTool:
    """Register a tool, or change it: it gets a new key version either way."""
    row = await connection.fetchrow(_PUT_TOOL, name, rights, reply_topic, active, actor)
    if row is None:
        raise LookupError(f"tool {name} was not stored")
    return StoredTool(**dict(row))


_TOOLS = "SELECT name, version, key_version, rights, reply_topic, active FROM tool ORDER BY name LIMIT 1000"


async def tools(pool: Pool) -> list[StoredTool]:
    """All tools by name."""
    return [StoredTool(**dict(row)) for row in await pool.fetch(_TOOLS)]
