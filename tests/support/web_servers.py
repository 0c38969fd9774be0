"""Small real servers for tests of outbound HTTP."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp, certificate: Path | None = None) -> Iterator[str]:
    """An ASGI application on a free port of this machine, in a thread; its address.

    certificate: a PEM file with key and certificate, to serve https.
    """
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=1,
            ssl_certfile=str(certificate) if certificate else None,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


class Canary:
    """A listener on loopback (IPv4 and, where there is one, IPv6) that nobody may touch."""

    def __init__(self) -> None:
        self.touched = 0
        self.port = 0

    async def touch(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.touched += 1
        writer.close()


@asynccontextmanager
async def watching_canary() -> AsyncIterator[Canary]:
    canary = Canary()
    servers = [await asyncio.start_server(canary.touch, "0.0.0.0", 0)]
    canary.port = servers[0].sockets[0].getsockname()[1]
    if socket.has_ipv6:
        try:
            servers.append(await asyncio.start_server(canary.touch, "::1", canary.port))
        except OSError:
            print("the canary has no IPv6 loopback to sit on")
    try:
        yield canary
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()
