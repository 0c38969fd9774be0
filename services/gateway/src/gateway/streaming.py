"""An answer of another service passed on as it comes, without being held."""

from __future__ import annotations

import asyncio

import httpx
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

SLOWEST_SECONDS = 60.0
"""A reader who takes nothing for so long is cut off."""
PASSED = ("cache-control", "content-type")


class PassedOn(StreamingResponse):
    """Streams an open answer and closes it. Where the service breaks off, so does this: the body is then not whole."""

    def __init__(self, upstream: httpx.Response, filename: str) -> None:
        headers = {name: upstream.headers[name] for name in PASSED if name in upstream.headers}
        headers["content-disposition"] = f'attachment; filename="{filename}"'
        super().__init__(upstream.aiter_raw(), 200, headers)
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SLOWEST_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            await self._upstream.aclose()
