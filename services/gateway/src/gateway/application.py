"""The ASGI application: hot routes, our own APIs, and behind them the merchants' APIs on any path."""

from __future__ import annotations

from functools import cache

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dialects.protocol import Problem
from gateway import openapi, problems
from gateway.access import routes as access_routes
from gateway.catalogue import routes as catalogue_routes
from gateway.external_apis import merchants_app
from gateway.guarding import of_http
from gateway.internal_api import (
    bulk_answers,
    campaigns,
    code_key,
    coupons,
    dead_letters,
    events,
    merchant_work,
    merchants,
    platform,
)
from gateway.parts import Parts, parts_of

INTERNAL = "/internal/v1"
OWN = ("/internal/", "/catalogue/", "/openapi.json", "/healthz", "/readyz", "/metrics")
"""Paths that never reach a merchant's API."""
ACCESS = "/merchant/v1/access"


def own_apis() -> FastAPI:
    """The internal API, the catalogue and the access request; documented, and without parts not usable."""
    made = FastAPI(
        title="Scrip gateway",
        version="1",
        description="Internal API, catalogue and access of Scrip. Merchants' APIs are described by their dialects.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in (
        campaigns.router,
        bulk_answers.router,
        coupons.router,
        merchant_work.router,
        merchants.router,
        platform.router,
        code_key.router,
        events.router,
        dead_letters.router,
    ):
        made.include_router(router, prefix=INTERNAL, dependencies=[Depends(_known_staff)])
    made.include_router(catalogue_routes.router)
    made.include_router(access_routes.router)
    made.add_exception_handler(HTTPException, _http_problem)
    return made


async def _known_staff(request: Request) -> None:
    """Raises RequestRefused (401): who is not known is not told what is wrong with the parameters."""
    await parts_of(request).staff_door.identify(request)


async def _http_problem(_: Request, error: Exception) -> Response:
    return problems.answer(of_http(error if isinstance(error, HTTPException) else HTTPException(500)))


def gateway_app(parts: Parts, health: list[BaseRoute]) -> ASGIApp:
    """The whole application."""
    documented = own_apis()
    documented.state.parts = parts

    @cache
    def described() -> str:
        return openapi.text(documented)

    async def document(_: Request) -> Response:
        return Response(described(), media_type="application/json")

    own = Starlette(
        routes=[
            *campaigns.hot_routes(),
            *catalogue_routes.hot_routes(),
            *health,
            Route("/openapi.json", document),
        ],
        exception_handlers={HTTPException: _http_problem},
    )
    own.state.parts = parts
    # What is not hot goes on to FastAPI, which costs as much again as all our own work for a claim.
    own.router.default = documented
    return told_apart(own, merchants_app(parts), told=parts.settings.clock == "told")


def told_apart(own: ASGIApp, external: ASGIApp, *, told: bool) -> ASGIApp:
    """Our own paths to our own APIs, all others to the merchants'. Who asks there is told by credentials only."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        out = _saying_told(send) if told else send
        if not (path.startswith(OWN) or path == ACCESS or path.startswith(f"{ACCESS}/")):
            await external(scope, receive, out)
        elif b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            await problems.answer(_NUL)(scope, receive, out)
        else:
            await own(scope, receive, out)

    return application


_NUL = Problem("invalid_request", 400, "Invalid request", "Path or query holds the character NUL.")


def _saying_told(send: Send) -> Send:
    """Every answer of a platform that keeps told time says so."""

    async def saying(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"scrip-time", b"told")]
        await send(message)

    return saying
