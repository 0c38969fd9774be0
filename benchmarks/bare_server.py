"""The gateway's HTTP server with no work behind it: the limit of whatever the gateway answers.

python -m benchmarks.bare_server FILE   → prints its port, then serves until it is ended

A POST is read and answered 202 as the gateway acknowledges a command; a GET is answered with the bytes of FILE.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from process.health import serve

ANSWER = b'{"status":"pending","command":"00000000-0000-0000-0000-000000000000"}'
POSTED: Message = {
    "type": "http.response.start",
    "status": 202,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())],
}
STREAMED: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]}
PART = 64 * 1024


def bare(content: bytes) -> ASGIApp:
    """The application."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["method"] == "POST":
            await send(POSTED)
            await send({"type": "http.response.body", "body": ANSWER})
            return
        await send(STREAMED)
        for start in range(0, len(content), PART):
            await send({"type": "http.response.body", "body": content[start : start + PART], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


async def run(content: bytes) -> None:
    """Serve until the process is ended."""
    async with serve(bare(content), "127.0.0.1", 0) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Path(sys.argv[1]).read_bytes()))
