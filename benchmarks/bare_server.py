"""The gateway's HTTP server with no work behind it: the limit of whatever the gateway answers.

python -m benchmarks.bare_server FILE [BOOTSTRAP]   → prints its port, then serves until it is ended

A POST is read and answered 202 as the gateway acknowledges a command; a GET is answered with the bytes of FILE.
With BOOTSTRAP a POST's body is given to that broker as a command first, and the answer waits for its acknowledgement:
what the server and the Kafka client alone cost, with nothing of ours between them.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaProducer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.topics import COUPON_COMMANDS
from messaging.sending import producer_settings
from process.health import serve

ANSWER = b'{"status":"pending","command":"00000000-0000-0000-0000-000000000000"}'
POSTED: Message = {
    "type": "http.response.start",
    "status": 202,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())],
}
STREAMED: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]}
PART = 64 * 1024


def bare(content: bytes, producer: AIOKafkaProducer | None) -> ASGIApp:
    """The application."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["method"] == "POST":
            if producer is not None:
                await (await producer.send(COUPON_COMMANDS.name, body, b"key", partition=0))
            await send(POSTED)
            await send({"type": "http.response.body", "body": ANSWER})
            return
        await send(STREAMED)
        for start in range(0, len(content), PART):
            await send({"type": "http.response.body", "body": content[start : start + PART], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


async def run(content: bytes, bootstrap: str | None) -> None:
    """Serve until the process is ended."""
    producer = None
    if bootstrap is not None:
        producer = AIOKafkaProducer(**producer_settings(bootstrap, client_id="bare"))
        await producer.start()
    async with serve(bare(content, producer), "127.0.0.1", 0) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Path(sys.argv[1]).read_bytes(), sys.argv[2] if len(sys.argv) > 2 else None))
