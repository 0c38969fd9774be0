"""The read API of the scheduler, for our own services."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from messaging.dead_letters import find_dead_letter, list_dead_letters
from messaging.outbox import Connection
from process.database import Pool
from scheduler import tasks
from scheduler.tasks import Task

MOST = 1_000
Answer = Callable[[Request, Connection], Awaitable[dict[str, Any] | None]]


class BadRequest(Exception):
    """A parameter is not what it must be."""


def routes(pool: Pool, service_token: str) -> list[BaseRoute]:
    """All routes; each needs `Authorization: Bearer <service token>`."""
    expected = f"Bearer {service_token}".encode()

    def route(path: str, answer: Answer) -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
                return _problem(401, "unauthenticated", "Send the service token.")
            try:
                async with pool.acquire() as connection:
                    found = await answer(request, connection)
            except BadRequest as error:
                return _problem(400, "invalid_parameter", str(error))
            return JSONResponse(found) if found is not None else _problem(404, "not_found", "There is no such thing.")

        return Route(path, endpoint)

    return [
        route("/tasks", _tasks),
        route("/tasks/{task}", _task),
        route("/tasks/{task}/ticks", _ticks),
        route("/dead-letters", _dead_letters),
        route("/dead-letters/{letter}", _dead_letter),
    ]


async def _tasks(request: Request, connection: Connection) -> dict[str, Any]:
    limit = _limit(request)
    found = await tasks.list_tasks(connection, _uuid(request.query_params.get("after"), "after"), limit)
    return {"tasks": [_json(task) for task in found], "next": str(found[-1].id) if len(found) == limit else None}


async def _task(request: Request, connection: Connection) -> dict[str, Any] | None:
    name = _uuid(request.path_params["task"], "task")
    task = await tasks.find_task(connection, name) if name else None
    return _json(task) if task else None


async def _ticks(request: Request, connection: Connection) -> dict[str, Any] | None:
    name = _uuid(request.path_params["task"], "task")
    if name is None or await tasks.find_task(connection, name) is None:
        return None
    limit = _limit(request)
    found = await tasks.ticks_of(connection, name, _moment(request.query_params.get("before")), limit)
    return {
        "ticks": [
            {"id": str(tick["id"]), "due": tick["due"].isoformat(), "made_at": tick["made_at"].isoformat()}
            for tick in found
        ],
        "next": found[-1]["due"].isoformat() if len(found) == limit else None,
    }


async def _dead_letters(request: Request, connection: Connection) -> dict[str, Any]:
    limit = _limit(request)
    query = request.query_params
    found = await list_dead_letters(connection, query.get("after"), query.get("reason"), limit)
    return {"dead_letters": found, "next": found[-1]["id"] if len(found) == limit else None}


async def _dead_letter(request: Request, connection: Connection) -> dict[str, Any] | None:
    return await find_dead_letter(connection, request.path_params["letter"])


def _json(task: Task) -> dict[str, Any]:
    return {
        "id": str(task.id),
        "name": task.name,
        "schedule": task.schedule.model_dump(mode="json"),
        "action": task.action.model_dump(mode="json"),
        "catch_up": task.catch_up,
        "active": task.active,
        "filed_at": task.filed_at.isoformat(),
        "filed_by": task.filed_by,
        "next_due": task.next_due.isoformat() if task.next_due else None,
    }


def _uuid(text: str | None, name: str) -> UUID | None:
    try:
        return None if not text else UUID(text)
    except ValueError:
        raise BadRequest(f"{name} must be a UUID") from None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = None if not text else datetime.fromisoformat(text)
    except ValueError:
        moment = None
        raise BadRequest("before must be RFC 3339") from None
    if moment is not None and moment.tzinfo is None:
        raise BadRequest("before must have an offset")
    return moment


def _limit(request: Request) -> int:
    try:
        return max(1, min(MOST, int(request.query_params.get("limit", 100))))
    except ValueError:
        raise BadRequest("limit must be a whole number") from None


def _problem(status: int, code: str, detail: str) -> JSONResponse:
    body = {
        "type": f"https://scrip.dev/problems/{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "detail": detail,
    }
    return JSONResponse(body, status, media_type="application/problem+json")
