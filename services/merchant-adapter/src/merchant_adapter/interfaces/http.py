"""The one place that knows httpx: every call of the adapter to a merchant's interface goes through here.

A merchant's server is slow, hostile or broken until it has shown otherwise. So: a client and a pool for each
merchant, one deadline over the whole call, a bounded reply, no redirects, no cookies, nothing from the
environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import structlog
from aiolimiter import AsyncLimiter
from pydantic_core import from_json, to_json

from merchant_adapter.interfaces.addresses import (
    AddressPolicy,
    GuardedTransport,
    Resolver,
    port_of,
    system_resolver,
)
from merchant_adapter.interfaces.breaker import Breakers
from merchant_adapter.interfaces.credentials import sign
from merchant_adapter.interfaces.failures import (
    InterfaceFailure,
    MerchantMisbehaves,
    MerchantUnavailable,
    OutcomeUnknown,
)
from merchant_adapter.interfaces.outcomes import failure_of
from merchant_adapter.interfaces.profile import (
    InterfaceProfile,
)

log = structlog.get_logger()

# They print request lines and header events; what we want to know of a call we say ourselves.
for chatty in ("httpx", "httpcore"):
    logging.getLogger(chatty).setLevel(logging.WARNING)

MAX_PROBLEM_BYTES = 64 * 1024


@dataclass(frozen=True)
class HttpLimits:
    """deadline: over one whole call, name look-up and reply included. reply_bytes: of a body."""

    deadline_seconds: float = 20
    connect_seconds: float = 5
    read_seconds: float = 15
    reply_bytes: int = 2 * 2**20
    connections_per_merchant: int = 8
    live_clients: int = 64
    calls_at_once: int = 32


@dataclass(frozen=True)
class Reply:
    """An answer. `body` is its JSON; None: it had no body, or (not with 2xx) one that is not JSON."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: Any = field(repr=False)


@dataclass
class _Client:
    http: httpx.AsyncClient
    at_once: asyncio.Semaphore
    requests_per_second: float
    limiter: AsyncLimiter
    in_use: int = 0


class Outbound:
    """All outbound HTTP of one process, on one event loop. Close it with `aclose`."""

    def __init__(
        self,
        policy: AddressPolicy,
        limits: HttpLimits | None = None,
        breakers: Breakers | None = None,
        resolve: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits or HttpLimits()
        self.breakers = breakers or Breakers()
        self._policy = policy
        self._resolve = resolve
        self._tls = tls or httpx.create_ssl_context(trust_env=False)
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._at_once = asyncio.Semaphore(self.limits.calls_at_once)

    def for_merchant(self, merchant: str, profile: InterfaceProfile) -> MerchantHttp:
        """The way to one merchant's interface. Cheap; holds no connection of its own."""
        return MerchantHttp(self, merchant, profile)

    async def aclose(self) -> None:
        while self._clients:
            _, client = self._clients.popitem()
            await client.http.aclose()

    @property
    def live_clients(self) -> int:
        return len(self._clients)

    @asynccontextmanager
    async def client(self, merchant: str, requests_per_second: float) -> AsyncIterator[httpx.AsyncClient]:
        """The merchant's own client, when it is this call's turn: per merchant first, then among all."""
        client = self._clients.get(merchant)
        if client is None:
            client = self._clients[merchant] = self._new_client(requests_per_second)
        if client.requests_per_second != requests_per_second:
            client.requests_per_second = requests_per_second
            client.limiter = _limiter(requests_per_second)
        self._clients.move_to_end(merchant)
        client.in_use += 1
        try:
            async with client.at_once, client.limiter, self._at_once:
                yield client.http
        finally:
            client.in_use -= 1
            await self._close_the_longest_unused()

    async def _close_the_longest_unused(self) -> None:
        for merchant, client in list(self._clients.items()):
            if len(self._clients) <= self.limits.live_clients:
                return
            if client.in_use == 0:
                del self._clients[merchant]
                await client.http.aclose()

    def _new_client(self, requests_per_second: float) -> _Client:
        limits = self.limits
        connections = limits.connections_per_merchant
        return _Client(
            httpx.AsyncClient(
                transport=GuardedTransport(
                    self._policy,
                    self._resolve,
                    self._tls,
                    httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
                ),
                timeout=httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds),
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": "Scrip merchant adapter",
                },
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                follow_redirects=False,
                trust_env=False,
            ),
            asyncio.Semaphore(connections),
            requests_per_second,
            _limiter(requests_per_second),
        )


def _limiter(requests_per_second: float) -> AsyncLimiter:
    if requests_per_second >= 1:
        return AsyncLimiter(requests_per_second, 1)
    return AsyncLimiter(1, 1 / requests_per_second)


class MerchantHttp:
    """Calls to one merchant's interface."""

    def __init__(self, outbound: Outbound, merchant: str, profile: InterfaceProfile) -> None:
        self._outbound = outbound
        self._merchant = merchant
        self._profile = profile
        self._base = httpx.URL(profile.base_url)

    async def call(
        self,
        operation: str,
        method: str,
        target: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        key: str | None = None,
        key_header: str | None = "Idempotency-Key",
        unsafe: bool = False,
        answers: tuple[int, ...] = (),
    ) -> Reply:
        """One call, and its reply if the status is 2xx or one of `answers`.

        operation: names the breaker. target: a path below the base address, or a whole URL on the same
        server. key: the idempotency key, sent in `key_header`. unsafe: the call changes something at the
        merchant, so that no usable answer means an unknown outcome.

        Raises:
            InterfaceFailure: anything else; the class says what to do.
        """
        outbound, profile = self._outbound, self._profile
        url = self._url(target)
        content = None if body is None else to_json(body)
        async with outbound.breakers.guard(self._merchant, operation):
            try:
                async with outbound.client(self._merchant, profile.requests_per_second) as client:
                    request = client.build_request(
                        method,
                        url.copy_merge_params(query) if query else url,
                        content=content,
                        headers=self._headers(content, key, key_header),
                    )
                    sign(request, content or b"", key, profile.authentication)
                    return await self._exchange(client, request, unsafe, answers)
            except InterfaceFailure as failure:
                log.warning(
                    "A call to a merchant's interface failed.",
                    action="merchant_call_failed",
                    merchant=self._merchant,
                    operation=operation,
                    failure=type(failure).__name__,
                    detail=str(failure),
                )
                raise

    def _url(self, target: str) -> httpx.URL:
        if target.startswith("/"):
            return httpx.URL(str(self._base).rstrip("/") + target)
        try:
            url = self._base.join(target)
        except httpx.InvalidURL:
            raise MerchantMisbehaves("the next page's address is not a URL") from None
        if (url.scheme, url.host, port_of(url)) != (self._base.scheme, self._base.host, port_of(self._base)):
            # Our credentials go to the server staff wrote down and to no other.
            raise MerchantMisbehaves("the next page's address is on another server")
        return url

    def _headers(self, content: bytes | None, key: str | None, key_header: str | None) -> dict[str, str]:
        headers = {} if content is None else {"Content-Type": "application/json"}
        if key is not None and key_header is not None:
            headers[key_header] = key
        return headers

    async def _exchange(
        self, client: httpx.AsyncClient, request: httpx.Request, unsafe: bool, answers: tuple[int, ...]
    ) -> Reply:
        limits = self._outbound.limits
        sent = False

        async def trace(event: str, _: object) -> None:
            nonlocal sent
            sent = sent or event.endswith("send_request_headers.started")

        request.extensions["trace"] = trace
        try:
            async with asyncio.timeout(limits.deadline_seconds):
                response = await client.send(request, stream=True)
                try:
                    return await _reply(response, unsafe, answers, limits.reply_bytes)
                finally:
                    await response.aclose()
        except TimeoutError:
            detail = f"no whole answer within {limits.deadline_seconds:g} s"
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as reason:
            detail = f"the connection failed: {_cause(reason)}"
        if unsafe and sent:
            raise OutcomeUnknown(detail)
        raise MerchantUnavailable(detail)


def _cause(failure: BaseException) -> str:
    """A word on a broken connection: a bad certificate is something staff can act on."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the TLS certificate is not good ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    return type(failure).__name__


async def _reply(response: httpx.Response, unsafe: bool, answers: tuple[int, ...], most: int) -> Reply:
    status = response.status_code
    if not 200 <= status < 300:
        problem = await _problem(response)
        if status in answers:
            return Reply(response.request.url, status, response.headers, problem)
        raise failure_of(status, response.headers, problem, unsafe)

    def misbehaves(detail: str) -> MerchantMisbehaves:
        return MerchantMisbehaves(detail, outcome_unknown=unsafe)

    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise misbehaves("the answer is compressed although identity was asked for")
    body = await _read(response, most)
    if body is None:
        raise misbehaves(f"the answer has more than {most} bytes")
    if not body:
        return Reply(response.request.url, status, response.headers, None)
    if not _is_json(response):
        raise misbehaves("the answer is not JSON but another media type")
    try:
        return Reply(response.request.url, status, response.headers, from_json(body, allow_inf_nan=False))
    except ValueError:
        raise misbehaves("the answer is not JSON in UTF-8") from None


async def _problem(response: httpx.Response) -> Any:
    if response.headers.get("content-encoding", "identity").lower() != "identity" or not _is_json(response):
        return None
    body = await _read(response, MAX_PROBLEM_BYTES)
    try:
        return from_json(body or b"", allow_inf_nan=False)
    except ValueError:
        return None


async def _read(response: httpx.Response, most: int) -> bytes | None:
    """The body; None: it is longer than `most` bytes, and the rest was not read."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _is_json(response: httpx.Response) -> bool:
    media_type: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def batch_key(delivery_ids: list[str]) -> str:
    """The idempotency key of a request: the delivery's own, or one derived from all of a batch."""
    if len(delivery_ids) == 1:
        return delivery_ids[0]
    return "batch-" + hashlib.sha256("\n".join(delivery_ids).encode()).hexdigest()
