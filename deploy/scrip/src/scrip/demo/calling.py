"""How the demo's callers speak HTTP: blocking, one connection a thread, the same request until it is answered."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

CALLS_AT_ONCE = 16
PATIENCE_SECONDS = 60.0
AGAIN_SECONDS = 0.25
TIMEOUT_SECONDS = 60.0

Given = TypeVar("Given")
Found = TypeVar("Found")


class UnexpectedAnswer(Exception):
    """The platform answered what this story does not foresee; the demo ends with it."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        """The refusal's code, or nothing."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    def expect(self, *statuses: int) -> Any:
        """The body. Raises UnexpectedAnswer when the status is another one."""
        if self.status not in statuses:
            raise UnexpectedAnswer(f"The platform answered {self.status}: {json.dumps(self.body)[:600]}")
        return self.body


class Client:
    """One caller of one server, usable from many threads."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "127.0.0.1", place.port or 80
        self._headers = dict(headers)
        self._timeout_seconds = timeout_seconds
        self._mine = threading.local()

    def get(self, path: str) -> Any:
        """The body of an answer 200. Raises UnexpectedAnswer."""
        return self.send("GET", path).expect(200)

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """Send it, and the very same again while the outcome is not known: not acknowledged (503), pending (202) or
        the connection lost. The idempotency key makes a repeat harmless.
        """
        headers = {**self._headers, "accept": "application/json"}
        content = None
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            headers["content-type"] = "application/json"
        if method != "GET":
            headers["idempotency-key"] = key or uuid4().hex
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self._once(method, path, content, headers)
                if answer.status not in (202, 503) or time.monotonic() > deadline:
                    return answer
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if time.monotonic() > deadline:
                    raise UnexpectedAnswer(f"{method} {path} was not answered: {error}") from error
            time.sleep(AGAIN_SECONDS)

    def send_once(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """For answers in which 202 is the last word."""
        content = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "content-type": "application/json", "idempotency-key": key or uuid4().hex}
        try:
            return self._once(method, path, content, headers)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise UnexpectedAnswer(f"{method} {path} was not answered: {error}") from error

    def _once(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)
            self._mine.connection = connection
        connection.request(method, path, content, dict(headers))
        answer = connection.getresponse()
        text = answer.read()
        return Answer(answer.status, json.loads(text) if text else None)

    def _drop(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if connection is not None:
            connection.close()
        self._mine.connection = None


class Crowd:
    """Many calls at once. Blocking; the first exception of a call is raised."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="caller")

    def each(self, call: Callable[[Given], Found], things: Iterable[Given]) -> Iterator[Found]:
        """What `call` gives for each thing, in their order, as it becomes known."""
        return self._pool.map(call, things)

    def close(self) -> None:
        """Let nobody call any more."""
        self._pool.shutdown(cancel_futures=True)
