"""Watching the gateway's live stream, as any reader of server-sent events would."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.gateway import GatewayPlatform


class Reader:
    """A reader of server-sent events that knows the protocol and nothing of ours."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self.lines = lines
        self.last_event_id = ""

    async def events(self, count: int, within: float = 20.0) -> list[dict[str, Any]]:
        """The next events; fails when they do not come in time."""
        found: list[dict[str, Any]] = []
        data: list[str] = []
        async with asyncio.timeout(within):
            while len(found) < count:
                line = await anext(self.lines)
                if line.startswith("data: "):
                    data.append(line[6:])
                elif line.startswith("id: "):
                    self.last_event_id = line[4:]
                elif not line and data:
                    found.append(json.loads("\n".join(data)))
                    data = []
        return found

    async def position(self, within: float = 20.0) -> str:
        """Read on until the first id has come."""
        async with asyncio.timeout(within):
            while not self.last_event_id:
                line = await anext(self.lines)
                if line.startswith("id: "):
                    self.last_event_id = line[4:]
        return self.last_event_id


@asynccontextmanager
async def watching(
    gateway: GatewayPlatform, *, instance: int = 0, last: str = "", **query: str
) -> AsyncIterator[Reader]:
    headers = {"authorization": f"Bearer {gateway.admin_token}"} | ({"last-event-id": last} if last else {})
    url = f"{gateway.url(instance)}/internal/v1/events"
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as http,
        http.stream("GET", url, headers=headers, params=query) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer.aiter_lines())


async def claim(gateway: GatewayPlatform, campaign: str, *users: str) -> None:
    for user in users:
        await gateway.done("POST", f"/campaigns/{campaign}/claim", {"user": user})
