"""What every service serves beside its work: /healthz, /readyz, /metrics, and the HTTP server itself."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

READY_TIMEOUT_SECONDS = 2.0
TICK_SECONDS = 0.25
LATEST_TICK_SECONDS = 5.0

Ready = Callable[[], Awaitable[list[str]]]

logger = structlog.get_logger()

_loop_lag = Histogram(
    "scrip_event_loop_lag_seconds",
    "How much later than asked for the event loop ran a task.",
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30),
)


class Heartbeat:
    """Ticks on the event loop; how late the last tick is tells whether the loop still turns."""

    def __init__(self) -> None:
        self._due: float | None = None

    async def beat(self) -> None:
        """Run for ever, as a task."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._due = loop.time() + TICK_SECONDS
                await asyncio.sleep(TICK_SECONDS)
                _loop_lag.observe(max(0.0, loop.time() - self._due))
        finally:
            self._due = None

    def late_seconds(self) -> float:
        """0 while the loop turns or before the first tick."""
        return 0.0 if self._due is None else max(0.0, asyncio.get_running_loop().time() - self._due)


# One process has one event loop and so one heartbeat; `serve` starts it.
_heartbeat = Heartbeat()


def health_routes(ready: Ready, stop: asyncio.Event | None = None) -> list[BaseRoute]:
    """The three routes, for an application that has others of its own.

    `ready` returns the reasons why no work can be done now, an empty list when it can; it is cut off after
    `READY_TIMEOUT_SECONDS`. Once `stop` is set /readyz says 503 whatever `ready` says. /healthz only says
    that the event loop turns: a broker or database away must not restart a process.
    """

    async def healthz(_: Request) -> Response:
        late = _heartbeat.late_seconds()
        alive = late <= LATEST_TICK_SECONDS
        return JSONResponse({"alive": alive, "loop_late_seconds": round(late, 3)}, 200 if alive else 503)

    async def readyz(_: Request) -> Response:
        reasons = ["The process is stopping."] if stop is not None and stop.is_set() else await _ask(ready)
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


def health_app(ready: Ready, extra_routes: Sequence[BaseRoute] = (), stop: asyncio.Event | None = None) -> Starlette:
    """An application of the three routes and `extra_routes`."""
    return Starlette(routes=[*health_routes(ready, stop), *extra_routes])


async def _ask(ready: Ready) -> list[str]:
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            return await ready()
    except TimeoutError:
        return [f"The readiness check did not end within {READY_TIMEOUT_SECONDS:g} s."]
    except Exception as error:
        logger.warning("The readiness check failed.", action="readiness_check_failed", exc_info=True)
        return [f"The readiness check failed ({type(error).__name__})."]


class AddressUnavailable(Exception):
    """The HTTP server cannot listen on its address."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals belong to process.lifecycle.
        yield


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    drain_seconds: int = 10,
    keep_alive_seconds: int = 30,
    concurrency_limit: int | None = None,
) -> AsyncIterator[int]:
    """Serve `app` on the running loop while the block runs; yields the port listened on (`port` 0 picks one).

    Leaving the block stops accepting and gives open requests `drain_seconds` before they are cancelled.
    Over `concurrency_limit` open connections and requests the answer is 503. Raises AddressUnavailable.
    The heartbeat of /healthz beats meanwhile.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="httptools",
        server_header=False,
        # Proxy headers would let any caller choose the address it is seen under.
        proxy_headers=False,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=drain_seconds,
        limit_concurrency=concurrency_limit,
    )
    server = _Server(config)
    heartbeat = asyncio.create_task(_heartbeat.beat())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.005)  # uvicorn tells its start by this flag only
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=drain_seconds + 2)
        serving.cancel()
        heartbeat.cancel()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise AddressUnavailable(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
