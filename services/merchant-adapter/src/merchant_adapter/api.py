"""The read API of merchant-adapter, for our own services."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from contracts.campaigns import AttributeName
from contracts.fields import Contract, UserId
from merchant_adapter.storage import deliveries, users
from messaging.dead_letters import find_dead_letter, list_dead_letters
from messaging.not_now import database_is_away
from process.database import Pool

MOST = 1_000


class BadRequest(Exception):
    """A parameter is not what it must be."""


def _problem(status: int, code: str, detail: str) -> JSONResponse:
    body = {
        "type": f"https://scrip.dev/problems/{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "detail": detail,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


class Wanted(Contract):
    """Attributes of users, by name."""

    users: Annotated[tuple[UserId, ...], Field(max_length=MOST)]
    attributes: Annotated[tuple[AttributeName, ...], Field(max_length=20)]


Question = TypeVar("Question", bound=Contract)


async def _body(request: Request, model: type[Question]) -> Question:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        named = ", ".join("/".join(map(str, one["loc"])) or "the body" for one in error.errors()[:5])
        raise BadRequest(f"{named} is not what it must be") from None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _json(row: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(row).items()}


def _uuid(text: str | None, name: str) -> UUID | None:
    try:
        return None if not text else UUID(text)
    except ValueError:
        raise BadRequest(f"{name} must be a UUID") from None


def _limit(request: Request, standard: int = 100) -> int:
    try:
        return max(1, min(MOST, int(request.query_params.get("limit", standard))))
    except ValueError:
        raise BadRequest("limit must be a number") from None


def routes(pool: Pool, service_token: str) -> list[BaseRoute]:
    """All routes; each needs `Authorization: Bearer <service token>`."""

    def route(path: str, answer: Callable[[Request, Any], Awaitable[Any]], method: str = "GET") -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {service_token}".encode()):
                return _problem(401, "unauthenticated", "Send the service token.")
            if any("\0" in str(value) for value in (*request.path_params.values(), *request.query_params.values())):
                return _problem(400, "invalid_parameter", "A parameter holds a NUL.")
            try:
                async with pool.acquire() as connection:
                    found = await answer(request, connection)
            except BadRequest as error:
                return _problem(400, "invalid_parameter", str(error))
            except Exception as error:
                if not database_is_away(error):
                    raise
                return _problem(503, "database_away", "The database does not answer; try again shortly.")
            return _problem(404, "not_found", "There is no such thing.") if found is None else JSONResponse(found)

        return Route(path, endpoint, methods=[method])

    async def merchant_users(request: Request, connection: Any) -> Any:
        merchant = _uuid(request.path_params["merchant"], "merchant")
        if merchant is None:
            return None
        limit = _limit(request)
        gone = request.query_params.get("gone") == "1"
        after = request.query_params.get("after", "")
        page = await users.users_after(connection, merchant, after, limit, with_gone=gone)
        if "attributes" in request.query_params:
            asked = set(request.query_params["attributes"].split(","))
            for each in page:
                each["attributes"] = {name: value for name, value in each["attributes"].items() if name in asked}
        present, left = await users.count_users(connection, merchant)
        following = page[-1]["id"] if len(page) == limit else None
        return {"users": page, "next": following, "present": present, "gone": left}

    async def user(request: Request, connection: Any) -> Any:
        merchant = _uuid(request.path_params["merchant"], "merchant")
        return None if merchant is None else await users.find_user(connection, merchant, request.path_params["user"])

    async def attributes(request: Request, connection: Any) -> Any:
        merchant = _uuid(request.path_params["merchant"], "merchant")
        wanted = await _body(request, Wanted)
        if merchant is None:
            return None
        return {"users": await users.attributes_of(connection, merchant, wanted.users, wanted.attributes)}

    async def runs(request: Request, connection: Any) -> Any:
        merchant = _uuid(request.query_params.get("merchant"), "merchant")
        return {"runs": [_json(run) for run in await users.latest_runs(connection, merchant, _limit(request))]}

    async def run(request: Request, connection: Any) -> Any:
        identifier = _uuid(request.path_params["run"], "run")
        found = None if identifier is None else await users.find_run(connection, identifier)
        return None if found is None else _json(found)

    async def search(request: Request, connection: Any) -> Any:
        query = request.query_params
        limit = _limit(request)
        rows = await deliveries.search(
            connection,
            _uuid(query.get("merchant"), "merchant"),
            _uuid(query.get("campaign"), "campaign"),
            query.get("state"),
            _uuid(query.get("after"), "after") or UUID(int=0),
            limit,
        )
        following = str(rows[-1].id) if len(rows) == limit else None
        return {"deliveries": [_json(row) | {"coupon": row.coupon} for row in rows], "next": following}

    async def one(request: Request, connection: Any) -> Any:
        identifier = _uuid(request.path_params["delivery"], "delivery")
        found = None if identifier is None else await deliveries.find_delivery(connection, identifier)
        return None if found is None else _json(found) | {"coupon": found.coupon}

    async def counts(request: Request, connection: Any) -> Any:
        campaign = _uuid(request.query_params.get("campaign"), "campaign")
        merchant = _uuid(request.query_params.get("merchant"), "merchant")
        return {"counts": await deliveries.counts(connection, campaign, merchant)}

    async def letters(request: Request, connection: Any) -> Any:
        limit = _limit(request)
        query = request.query_params
        page = await list_dead_letters(connection, after=query.get("after"), limit=limit, reason=query.get("reason"))
        return {"dead_letters": page, "next": page[-1]["id"] if len(page) == limit else None}

    async def letter(request: Request, connection: Any) -> Any:
        return await find_dead_letter(connection, request.path_params["letter"])

    return [
        route("/merchants/{merchant}/users", merchant_users),
        route("/merchants/{merchant}/attributes", attributes, "POST"),
        route("/users/{merchant}/{user:path}", user),
        route("/sync-runs", runs),
        route("/sync-runs/{run}", run),
        route("/deliveries/counts", counts),
        route("/deliveries", search),
        route("/deliveries/{delivery}", one),
        route("/dead-letters", letters),
        route("/dead-letters/{letter}", letter),
    ]
