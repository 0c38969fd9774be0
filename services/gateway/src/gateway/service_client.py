"""HTTP to the read APIs of our own services."""

from __future__ import annotations

from typing import Any

import httpx

TIMEOUT_SECONDS = 5.0
CONNECTIONS = 32
STREAMS = 8
STREAM_TIMEOUT = httpx.Timeout(10.0, pool=1.0)
"""Of each read and write of a stream, not of the whole."""


class ServiceAway(Exception):
    """The service cannot be reached, does not answer in time, or fails: the same request may work later."""

    def __init__(self, service: str, detail: str) -> None:
        super().__init__(f"{service}: {detail}")
        self.service = service


class QueryRefused(Exception):
    """The service says that the question is wrong (4xx but 404); `problem` is its problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('detail') or problem.get('title')}")
        self.status = status
        self.problem = problem


class ServiceClient:
    """One service's read API. Close it with `await close()`."""

    def __init__(self, service: str, base_url: str | None, token: str) -> None:
        self.service = service
        self._http = None if base_url is None else _client(base_url, token, CONNECTIONS)
        # Of their own, so that slow readers of exports take no connection from questions.
        self._streams = None if base_url is None else _client(base_url, token, STREAMS)

    async def get(self, path: str, **query: str | int | None) -> dict[str, Any] | None:
        """The JSON object at `path`, or None for 404; parameters that are None are left out.

        Raises ServiceAway, QueryRefused.
        """
        given = {name: str(value) for name, value in query.items() if value is not None}
        return await self._ask("GET", path, params=given)

    async def get_slowly(self, path: str, patience_seconds: float) -> dict[str, Any] | None:
        """As `get`, for what takes the service longer than an ordinary question."""
        return await self._ask("GET", path, timeout=patience_seconds)

    async def post(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """The JSON object answered to a question. Raises ServiceAway, QueryRefused (404 too)."""
        answer = await self._ask("POST", path, json=question)
        if answer is None:
            raise QueryRefused(404, {"title": "Not found"})
        return answer

    async def stream(self, path: str, **query: str | int | None) -> httpx.Response | None:
        """An answer whose body is read as it comes; to be closed. None for 404. Raises ServiceAway, QueryRefused."""
        if self._streams is None:
            raise ServiceAway(self.service, "no address of it is set")
        given = {name: str(value) for name, value in query.items() if value is not None}
        request = self._streams.build_request("GET", path, params=given, timeout=STREAM_TIMEOUT)
        try:
            answer = await self._streams.send(request, stream=True)
            if answer.status_code == 200:
                return answer
            await answer.aread()
            await answer.aclose()
        except httpx.HTTPError as error:
            raise ServiceAway(self.service, type(error).__name__) from None
        if answer.status_code == 404:
            return None
        if answer.status_code >= 500:
            raise ServiceAway(self.service, f"it answers {answer.status_code}")
        raise QueryRefused(answer.status_code, answer.json())

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._http, self._streams):
            if client is not None:
                await client.aclose()

    async def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any] | None:
        if self._http is None:
            raise ServiceAway(self.service, "no address of it is set")
        try:
            answer = await self._http.request(method, path, **what)
        except httpx.HTTPError as error:
            raise ServiceAway(self.service, type(error).__name__) from None
        if answer.status_code == 404:
            return None
        if answer.status_code >= 500:
            raise ServiceAway(self.service, f"it answers {answer.status_code}")
        try:
            document = answer.json()
        except ValueError:
            raise ServiceAway(self.service, "it answers no JSON") from None
        if answer.status_code >= 400:
            raise QueryRefused(answer.status_code, document)
        if not isinstance(document, dict):
            raise ServiceAway(self.service, "it answers no JSON object")
        return document


def _client(base_url: str, token: str, connections: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"authorization": f"Bearer {token}"},
        timeout=TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        # Our own services are never behind the environment's proxies.
        trust_env=False,
    )
