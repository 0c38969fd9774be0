"""The read API of the scheduler, for our own services."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from messaging.dead_letters import find_dead_letter, list_dead_letters
from messaging.not_now import database_is_away
from process.database import Pool
from scheduler import storage
from scheduler.storage import Task

MOST = 1_000


def _problem(status: int, code: str, detail: str) -> JSONResponse:
    body = {"type": f"https://scrip.dev/problems/{code}", "title": code.replace("_", " "), "status": status}
    return JSONResponse(body | {"code": code, "detail": detail}, status, media_type="application/problem+json")


def _json(task: Task) -> dict[str, Any]:
    return {
        "id": str(task.id),
        "name": task.name,
        "schedule": task.schedule.model_dump(mode="json"),
        "action": task.action.model_dump(mode="json"),
        "catch_up": task.catch_up,
        "actor": task.actor,
        "filed_at": task.filed_at.isoformat(),
        "next_due": None if task.next_due is None else task.next_due.isoformat(),
        "cancelled": task.cancelled,
    }


def routes(pool: Pool, service_token: str) -> list[BaseRoute]:
    """All routes; each needs `Authorization: Bearer <service token>`."""

    def route(path: str, answer: Callable[[Request, Any], Awaitable[Any]]) -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {service_token}".encode()):
                return _problem(401, "unauthenticated", "Send the service token.")
            if any("\0" in value for value in request.query_params.values()):
                return _problem(400, "invalid_parameter", "A parameter holds a NUL.")
            try:
                async with pool.acquire() as connection:
                    found = await answer(request, connection)
            except ValueError:
                return _problem(400, "invalid_parameter", "Ids are UUIDs and limit is a number.")
            except Exception as error:
                if not database_is_away(error):
                    raise
                return _problem(503, "database_away", "The database does not answer; try again shortly.")
            return _problem(404, "not_found", "There is no such thing.") if found is None else JSONResponse(found)

        return Route(path, endpoint)

    def limit(request: Request) -> int:
        return max(1, min(MOST, int(request.query_params.get("limit", "100"))))

    async def tasks(request: Request, connection: Any) -> Any:
        after = UUID(request.query_params.get("after") or str(UUID(int=0)))
        page = await storage.tasks_after(connection, after, limit(request))
        following = str(page[-1].id) if len(page) == limit(request) else None
        return {"tasks": [_json(task) for task in page], "next": following}

    async def task(request: Request, connection: Any) -> Any:
        found = await storage.find_task(connection, UUID(request.path_params["task"]))
        return None if found is None else _json(found)

    async def ticks(request: Request, connection: Any) -> Any:
        rows = await storage.latest_ticks(connection, UUID(request.path_params["task"]), limit(request))
        return {
            "ticks": [
                {"id": str(row["id"]), "due": row["due"].isoformat(), "made_at": row["made_at"].isoformat()}
                for row in rows
            ]
        }

    async def letters(request: Request, connection: Any) -> Any:
        query = request.query_params
        page = await list_dead_letters(
            connection, after=query.get("after"), limit=limit(request), reason=query.get("reason")
        )
        return {"dead_letters": page, "next": page[-1]["id"] if len(page) == limit(request) else None}

    async def letter(request: Request, connection: Any) -> Any:
        return await find_dead_letter(connection, request.path_params["letter"])

    return [
        route("/tasks", tasks),
        route("/tasks/{task}", task),
        route("/tasks/{task}/ticks", ticks),
        route("/dead-letters", letters),
        route("/dead-letters/{letter}", letter),
    ]
