"""Around every handler of our own APIs: errors become problem documents, durations are measured, nothing leaks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import Histogram
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dialects.protocol import FieldProblem, Problem, invalid
from gateway import problems
from gateway.openapi import DRY_RUN
from gateway.requests import dry_run

Handler = Callable[[Request], Awaitable[Response]]

logger = structlog.get_logger()
_seconds = Histogram(
    "scrip_gateway_request_seconds",
    "Requests of our own APIs, by operation and class of status.",
    ["operation", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def guarded(operation: str, handler: Handler) -> Handler:
    """The handler, whose exceptions are answered as problems; `operation` names it in the metrics."""
    by_class = {number: _seconds.labels(operation, f"{number}xx") for number in range(1, 6)}

    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        try:
            response = await handler(request)
        except Exception as error:
            response = problems.answer(problem_of(error, operation))
        by_class[response.status_code // 100].observe(time.perf_counter() - started)
        return response

    return answer


def problem_of(error: Exception, operation: str) -> Problem:
    """What an exception is answered with; our own bugs are logged with their stack, once."""
    if isinstance(error, RequestValidationError):
        return of_validation(error)
    if isinstance(error, HTTPException):
        return of_http(error)
    problem = problems.of_error(error)
    if problem is None:
        logger.error("A request failed.", action="request_failed", operation=operation, exc_info=error)
        return problems.INTERNAL
    if problem.status >= 500:
        logger.warning(
            "A request cannot be answered now.",
            action="request_not_now",
            operation=operation,
            problem=problem.code,
            reason=type(error).__name__,
        )
    return problem


def of_http(error: HTTPException) -> Problem:
    """Nothing at this path, or not with this method."""
    if error.status_code == 404:
        return Problem("not_found", 404, "Not found", "There is nothing at this path.")
    if error.status_code == 405:
        return Problem("method_not_allowed", 405, "Method not allowed", "This path takes other methods.")
    return Problem("refused", error.status_code, "Refused", str(error.detail))


def of_validation(error: RequestValidationError) -> Problem:
    """A parameter of path or query is wrong."""
    found: list[dict[str, Any]] = [dict(each) for each in error.errors()]
    errors = tuple(FieldProblem(str(each["loc"][-1]), str(each["msg"])) for each in found[:100])
    first = errors[0]
    return Problem(
        "invalid_request",
        422,
        "Invalid request",
        f"The parameter `{first.pointer}`: {first.detail}.",
        errors,
    )


def never_tried(handler: Handler) -> Handler:
    """The handler of what cannot be tried: who asks for it is told so, and nothing is done."""

    async def checked(request: Request) -> Response:
        if dry_run(request):
            raise invalid(
                "This request cannot be tried; nothing was done. Send it without `dry_run` to have it done.",
                FieldProblem("dry_run", "is not taken here"),
                code="dry_run_not_taken",
            )
        return await handler(request)

    return checked


class GuardedRoute(APIRoute):
    """A FastAPI route whose handler is guarded; only where it is documented may a request be tried."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Called by FastAPI once per route."""
        handler = super().get_route_handler()
        tried = DRY_RUN in (self.openapi_extra or {}).get("parameters", ())
        safe = (self.methods or set()) <= {"GET", "HEAD"}
        return guarded(
            f"{'/'.join(sorted(self.methods or ()))} {self.path_format}",
            handler if tried or safe else never_tried(handler),
        )
