"""Every request none of our own routes takes: who is it, which API is matched to it, what does it ask."""

from __future__ import annotations

import asyncio
import time
from functools import cache

import structlog
from prometheus_client import Histogram
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.merchants import DialectName
from dialects.calls import Call, ExportRows
from dialects.protocol import Problem, Profile, RawAnswer, RawRequest
from dialects.registry import DIALECTS, locate, spoken
from gateway import problems
from gateway.external_apis.carrying_out import carry_out, export
from gateway.identity.model import CredentialUnknown, Identity
from gateway.parts import Parts
from gateway.requests import body_limit, raw_request, read_body, room_for
from gateway.streaming import PassedOn
from process import logs

PARSED_BESIDE_BYTES = 100_000
"""Larger bodies are translated in a thread: they would keep the loop from other requests."""

logger = structlog.get_logger()
_seconds = Histogram(
    "scrip_gateway_external_seconds",
    "Merchants' requests, by dialect, call and class of status.",
    ["dialect", "call", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class _Talk:
    """What is known of a request so far: enough to phrase a problem in the dialect it speaks."""

    def __init__(self, head: RawRequest) -> None:
        self.head = head
        """The request without its body."""
        self.credential = locate(head)
        self.dialect: DialectName = spoken(head, self.credential)
        self.call: Call | None = None
        self.profile: Profile | None = None
        self.headers: list[tuple[str, str]] = []

    def matched(self, identity: Identity) -> None:
        """Take the profile of who it turned out to be, and with it tell the dialect spoken."""
        self.dialect = spoken(self.head, self.credential, identity.profile)
        if self.dialect == identity.dialect:
            self.profile = identity.profile
        logs.bind(merchant=str(identity.merchant), terminal=identity.terminal_label)


def merchants_app(parts: Parts) -> ASGIApp:
    """One ASGI application for merchants' requests on any path. Never raises; HTTP only."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        response = await _answer(parts, Request(scope, receive))
        await response(scope, receive, send)

    return application


async def _answer(parts: Parts, request: Request) -> Response:
    started = time.perf_counter()
    talk = _Talk(raw_request(request, b""))
    answer: RawAnswer | PassedOn
    try:
        async with room_for(request):
            answer = await _carried_out(parts, request, talk)
    except Exception as error:
        answer = DIALECTS[talk.dialect].error(_problem_of(error, talk), talk.call, talk.profile)
    call = type(talk.call).__name__ if talk.call is not None else "none"
    response = answer if isinstance(answer, PassedOn) else _response(answer)
    _of(talk.dialect, call, response.status_code // 100).observe(time.perf_counter() - started)
    for name, value in talk.headers:
        response.headers.append(name, value)
    return response


async def _carried_out(parts: Parts, request: Request, talk: _Talk) -> RawAnswer | PassedOn:
    body = await read_body(request, body_limit(request.headers.get("content-type", "")))
    raw = RawRequest(talk.head.method, talk.head.target, talk.head.headers, body)
    identity = await parts.front_door.identify(raw, talk.credential)
    talk.matched(identity)
    left = parts.front_door.admit(identity)
    talk.headers += [
        ("RateLimit-Limit", str(identity.requests_per_second)),
        ("RateLimit-Remaining", str(left)),
        ("RateLimit-Reset", "1"),
    ]
    if talk.profile is None:
        raise _NotTheirs(identity)
    dialect = DIALECTS[identity.dialect]
    if len(body) > PARSED_BESIDE_BYTES:
        talk.call = await asyncio.to_thread(dialect.parse, raw, identity.profile)
    else:
        talk.call = dialect.parse(raw, identity.profile)
    if isinstance(talk.call, ExportRows):
        return await export(parts, identity, talk.call)
    outcome = await carry_out(parts, identity, talk.call)
    answer = dialect.answer(talk.call, outcome, identity.profile)
    # What was simply done is counted, and stands in the events: an info line for each would cost more than the rest.
    if outcome.pending and getattr(talk.call, "wait", True):
        logger.info(
            "The outcome of a merchant's request is not known yet.",
            action="external_request_pending",
            dialect=identity.dialect,
            call=type(talk.call).__name__,
            status=answer.status,
        )
    return answer


@cache
def _of(dialect: str, call: str, status_class: int) -> Histogram:
    return _seconds.labels(dialect, call, f"{status_class}xx")


class _NotTheirs(Exception):
    """The request is phrased in another dialect than the one matched to its sender."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity.dialect)
        self.identity = identity


def _problem_of(error: Exception, talk: _Talk) -> Problem:
    if isinstance(error, _NotTheirs):
        return Problem(
            "dialect_not_yours",
            403,
            "Dialect not yours",
            f"The API matched to you is `{error.identity.dialect}`; this request is phrased in `{talk.dialect}`.",
            facts={"dialect": error.identity.dialect},
        )
    problem = problems.of_error(error)
    if problem is None:
        logger.error("A merchant's request failed.", action="external_request_failed", exc_info=error)
        return problems.INTERNAL
    if problem.status >= 500:
        logger.warning(
            "A merchant's request cannot be answered now.",
            action="external_request_not_now",
            problem=problem.code,
            reason=type(error).__name__,
        )
    elif not isinstance(error, CredentialUnknown):
        logger.info(
            "A merchant's request was refused.",
            action="external_request_refused",
            dialect=talk.dialect,
            problem=problem.code,
        )
    return problem


def _response(answer: RawAnswer) -> Response:
    response = Response(answer.body, answer.status, media_type=answer.content_type)
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response
