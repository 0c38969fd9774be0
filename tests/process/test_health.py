import asyncio
import socket
import time

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from process import health


async def nothing_is_missing() -> list[str]:
    return []


class TestHealth:
    async def test_a_ready_process_says_so_and_shows_its_metrics(self) -> None:
        app = health.health_app(nothing_is_missing)
        async with health.serve(app, "127.0.0.1", 0) as port, client_of(port) as client:
            assert (await client.get("/healthz")).json()["alive"] is True
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})
            metrics = await client.get("/metrics")
            assert "scrip_event_loop_lag_seconds_bucket" in metrics.text
            assert metrics.headers["content-type"].startswith("text/plain")

    async def test_what_is_missing_is_told_with_503(self) -> None:
        async def ready() -> list[str]:
            return ["No lane is assigned."]

        async with health.serve(health.health_app(ready), "127.0.0.1", 0) as port, client_of(port) as client:
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["reasons"]) == (503, ["No lane is assigned."])

    async def test_a_check_that_hangs_or_breaks_is_not_ready_and_still_alive(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health, "READY_TIMEOUT_SECONDS", 0.05)

        async def hangs() -> list[str]:
            await asyncio.sleep(60)
            return []

        async def breaks() -> list[str]:
            raise ConnectionError("postgresql://core:hunter2@db")

        for ready, reason in ((hangs, "did not end"), (breaks, "ConnectionError")):
            app = health.health_app(ready)
            async with health.serve(app, "127.0.0.1", 0) as port, client_of(port) as client:
                answer = await client.get("/readyz")
                assert answer.status_code == 503
                assert reason in answer.text
                assert "hunter2" not in answer.text
                assert (await client.get("/healthz")).status_code == 200

    async def test_a_stopping_process_is_not_ready_and_still_serves(self) -> None:
        stop = asyncio.Event()
        app = health.health_app(nothing_is_missing, stop=stop)
        async with health.serve(app, "127.0.0.1", 0) as port, client_of(port) as client:
            assert (await client.get("/readyz")).status_code == 200
            stop.set()
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200

    async def test_a_loop_that_hung_is_seen_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "TICK_SECONDS", 0.01)
        heartbeat = health.Heartbeat()
        assert heartbeat.late_seconds() == 0
        beating = asyncio.create_task(heartbeat.beat())
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 (the fault that is tested)
        assert heartbeat.late_seconds() > 0.1
        beating.cancel()


class TestServe:
    async def test_an_open_request_is_answered_when_the_server_stops(self) -> None:
        entered, release = asyncio.Event(), asyncio.Event()

        async def slow(_: Request) -> Response:
            entered.set()
            await release.wait()
            return PlainTextResponse("done")

        app = health.health_app(nothing_is_missing, extra_routes=[Route("/slow", slow)])
        async with contextual_client() as client:
            async with health.serve(app, "127.0.0.1", 0) as port:
                answer = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow"))
                await entered.wait()
                asyncio.get_running_loop().call_later(0.2, release.set)
            assert (await answer).text == "done"

    async def test_a_request_that_never_ends_does_not_hold_the_stop(self) -> None:
        entered = asyncio.Event()

        async def endless(_: Request) -> Response:
            entered.set()
            await asyncio.Event().wait()
            return PlainTextResponse("never")

        app = health.health_app(nothing_is_missing, extra_routes=[Route("/endless", endless)])
        async with contextual_client() as client:
            async with asyncio.timeout(10), health.serve(app, "127.0.0.1", 0, drain_seconds=1) as port:
                answer = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/endless"))
                await entered.wait()
            await asyncio.wait([answer])
            assert answer.exception() is not None or answer.result().status_code == 500

    async def test_a_taken_port_is_told_in_one_sentence(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(health.AddressUnavailable, match=f"port {port}"):
                async with health.serve(health.health_app(nothing_is_missing), "127.0.0.1", port):
                    pass

    async def test_an_error_in_the_block_passes_unchanged(self) -> None:
        with pytest.raises(KeyError):
            async with health.serve(health.health_app(nothing_is_missing), "127.0.0.1", 0):
                raise KeyError


def contextual_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=10)


def client_of(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)
