"""The internal API as the command line uses it: where it is, the token, and errors as one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from scrip.checkout import default_home
from scrip.errors import PlatformError
from scrip.home import Home

TOKEN_SETTING = "SCRIP_TOKEN"  # noqa: S105 (a name)
URL_SETTING = "SCRIP_GATEWAY_URL"
TIMEOUT_SECONDS = 60.0


class GatewayClient:
    """Blocking calls to one gateway. Its address and token come from SCRIP_GATEWAY_URL and SCRIP_TOKEN, else from
    the local platform's home.
    """

    def __init__(self, home: Path | None) -> None:
        self._home = Home(home or default_home())
        self.url = os.environ.get(URL_SETTING) or self._address("gateway")
        self._token = os.environ.get(TOKEN_SETTING) or self._home.secret("admin-token")

    def _address(self, name: str) -> str:
        address = self._home.state().get("addresses", {}).get(name)
        if address is None:
            raise PlatformError(
                f"No platform has run in {self._home.path}: start one with `scrip up`, or name a gateway with "
                f"{URL_SETTING} and a token with {TOKEN_SETTING}."
            )
        return str(address)

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The decoded answer. Raises PlatformError with the problem's own words."""
        headers = {"Authorization": f"Bearer {self._token}"}
        if method != "GET":
            headers["Idempotency-Key"] = str(uuid4())
        given = {name: value for name, value in query.items() if value is not None}
        return _answer(f"{self.url}/internal/v1{path}", method, headers, body, given)

    def audit(self) -> Any:
        """coupon-core's own check of ledger and sequence numbers; only beside the local platform."""
        headers = {"Authorization": f"Bearer {self._home.secret('service-token')}"}
        return _answer(f"{self._address('coupon_core')}/audit", "GET", headers, None, {}, seconds=600.0)

    def events(self, last_event_id: str | None, **query: Any) -> Iterator[dict[str, Any]]:
        """The live stream, for ever: each event as an object. Blocks while nothing happens."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        given = {name: value for name, value in query.items() if value is not None}
        address = f"{self.url}/internal/v1/events"
        try:
            with httpx.stream("GET", address, headers=headers, params=given, timeout=None, trust_env=False) as stream:  # noqa: S113
                if stream.status_code != 200:
                    stream.read()
                    raise PlatformError(_problem(stream))
                for line in stream.iter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line.removeprefix("data:"))
        except httpx.HTTPError as error:
            raise PlatformError(f"The stream of {self.url} ended ({type(error).__name__}).") from error


def _answer(
    address: str,
    method: str,
    headers: dict[str, str],
    body: Any,
    query: dict[str, Any],
    seconds: float = TIMEOUT_SECONDS,
) -> Any:
    try:
        answer = httpx.request(
            method, address, json=body, params=query, headers=headers, timeout=seconds, trust_env=False
        )
    except httpx.HTTPError as error:
        raise PlatformError(f"{address} does not answer ({type(error).__name__}); is the platform up?") from error
    if answer.status_code >= 400:
        raise PlatformError(_problem(answer))
    return answer.json() if answer.content else None


def _problem(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        return f"{problem.get('detail') or problem.get('title')} ({problem.get('code', answer.status_code)})"
    except ValueError:
        return f"the gateway answered {answer.status_code}"
