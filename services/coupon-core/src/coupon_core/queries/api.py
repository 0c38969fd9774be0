"""The routes: path → function, each behind the service token."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import Histogram
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coupon_core.codes.generated import GeneratedCodes
from coupon_core.lanes.looking_up import CommandLog
from coupon_core.lanes.loop import Core
from coupon_core.queries import (
    auditing,
    campaigns,
    commands,
    coupons,
    dead_letters,
    events,
    exporting,
    looking_back,
    resolving,
    status,
    validating,
    why,
)
from coupon_core.queries.asking import Problem, json_bytes
from coupon_core.queries.source import Source
from messaging.not_now import database_is_away
from process.database import Pool

Question = Callable[[Source, Request], Awaitable[dict[str, Any] | Response]]

ROUTES: tuple[tuple[str, str, Question], ...] = (
    ("GET", "/campaigns", campaigns.many),
    ("GET", "/catalogue", campaigns.catalogue),
    ("GET", "/campaigns/{campaign}", campaigns.one),
    ("GET", "/campaigns/{campaign}/as-of", looking_back.campaign_at),
    ("GET", "/campaigns/{campaign}/coupons", coupons.of_campaign),
    ("GET", "/campaigns/{campaign}/codes", coupons.codes_of_campaign),
    ("GET", "/campaigns/{campaign}/events", events.of_campaign),
    ("GET", "/campaigns/{campaign}/export/codes", exporting.codes),
    ("GET", "/campaigns/{campaign}/export/coupons", exporting.coupons),
    ("GET", "/campaigns/{campaign}/export/history", exporting.history),
    ("GET", "/coupons", coupons.search),
    ("GET", "/coupons/{coupon}", coupons.one),
    ("GET", "/coupons/{coupon}/as-of", looking_back.coupon_at),
    ("GET", "/coupons/{coupon}/history", events.of_coupon),
    ("GET", "/resolve", resolving.resolve),
    ("POST", "/validate", validating.validate),
    ("GET", "/commands/{command}", commands.one),
    ("GET", "/commands/{command}/why", why.one),
    ("GET", "/dead-letters", dead_letters.many),
    ("GET", "/dead-letters/{letter}", dead_letters.one),
    ("POST", "/dead-letters/{letter}/redriven", dead_letters.redriven),
    ("GET", "/status", status.status),
    ("GET", "/audit", auditing.check),
)

QUERY_SECONDS = Histogram(
    "scrip_core_query_seconds",
    "From a question to its answer, by route.",
    ["route"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)

logger = structlog.get_logger()


class QueryApi:
    """The read API. `routes()` go into the process's HTTP application."""

    def __init__(self, pool: Pool, codes: GeneratedCodes, core: Core, log: CommandLog, service_token: str) -> None:
        self._source = Source(pool, codes, core, log)
        self._expected = f"Bearer {service_token}".encode()

    def routes(self) -> list[BaseRoute]:
        """All routes of the read API."""
        return [Route(path, self._endpoint(path, question), methods=[method]) for method, path, question in ROUTES]

    def _endpoint(self, path: str, question: Question) -> Callable[[Request], Awaitable[Response]]:
        seconds = QUERY_SECONDS.labels(path)

        async def endpoint(request: Request) -> Response:
            started = time.monotonic()
            try:
                if not self._is_trusted(request):
                    raise Problem(401, "unauthenticated", "Send the service token: `Authorization: Bearer <token>`.")
                answer = await question(self._source, request)
                if isinstance(answer, Response):
                    return answer
                return Response(json_bytes(answer), media_type="application/json")
            except Problem as problem:
                return problem.answer()
            except Exception as error:
                return _failed(error, path)
            finally:
                seconds.observe(time.monotonic() - started)

        return endpoint

    def _is_trusted(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode("latin-1"), self._expected)


def _failed(error: Exception, path: str) -> Response:
    if database_is_away(error):
        logger.warning("A question waits for the database.", action="query_not_now", route=path, error=repr(error))
        return Problem(503, "not_now", "The database does not answer in time; try again.", retry=True).answer()
    logger.error("A question failed: our bug.", action="query_failed", route=path, exc_info=error)
    return Problem(500, "internal_error", "A fault of ours; it was logged.").answer()
