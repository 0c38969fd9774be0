"""The routes: the merchant interface, and `/_admin` for tests (answered to this machine only)."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo_merchant import faults
from demo_merchant.callers import Callers
from demo_merchant.checks import (
    IDEMPOTENCY_KEY,
    MAX_DELIVERIES,
    Fault,
    faults_of_deliveries,
    faults_of_recall,
    parsed,
)
from demo_merchant.faults import problem
from demo_merchant.people import fault_of_user, user_from
from demo_merchant.state import KeyConflict, State

MAX_BODY_BYTES = 2**20
CONTRACT = "1.0.0"
Struck = tuple[str, dict[str, Any]] | None
Work = Callable[[Request, bytes, Struck], Response]


def build(state: State, callers: Callers, base_path: str = "") -> Starlette:
    """The application; `base_path` is empty or begins with a slash."""

    def operation(name: str, work: Work) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await body_of(request)
            if body is None:
                return problem(413, "too_large", f"A body has at most {MAX_BODY_BYTES} bytes")
            target = request.scope["raw_path"].decode("latin-1")
            if request.scope["query_string"]:
                target += "?" + request.scope["query_string"].decode("latin-1")
            if fault := callers.fault(request.method, target, request.headers, body):
                return problem(401, "not_authenticated", fault, headers={"WWW-Authenticate": "Bearer"})
            state.note(**{f"requests_{name}": 1})
            struck = state.due_fault(name, deliveries_in(body) if name == "deliver" else 1)
            if struck and struck[0] in faults.INSTEAD:
                return await faults.instead(*struck)
            answer = work(request, body, struck)
            return await faults.spoiled(*struck, answer) if struck else answer

        return endpoint

    def list_users(request: Request, _: bytes, struck: Struck) -> Response:
        limit, cursor = request.query_params.get("limit", "100"), request.query_params.get("cursor")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:5]) <= 1000:
            return problem(400, "invalid_limit", "limit must be a whole number between 1 and 1000")
        last = "" if cursor is None else position(cursor)
        if last is None:
            return problem(400, "invalid_cursor", "This cursor was not given by this server")
        kind = struck[0] if struck else None
        if kind == "stuck_paging":
            last = ""
        found = state.users_after(last, int(limit) + 1)
        items, more = found[: int(limit)], len(found) > int(limit)
        if kind == "loop_paging":
            next_cursor: str | None = cursor_after(str(state.users_after("", int(limit))[-1]["id"]))
        elif kind == "stuck_paging":
            next_cursor = cursor_after(secrets.token_hex(8))
        else:
            next_cursor = cursor_after(str(items[-1]["id"])) if more else None
        state.note(users_served=len(items))
        return JSONResponse({"items": items, "next_cursor": next_cursor})

    def deliver(request: Request, body: bytes, struck: Struck) -> Response:
        if fault := fault_of_key(request):
            return fault
        try:
            value = parsed(body)
        except ValueError:
            return problem(400, "not_json", "The body is not JSON in UTF-8")
        if wrong := faults_of_deliveries(value):
            return invalid(wrong)
        deliveries = value["deliveries"]
        if len(deliveries) > MAX_DELIVERIES:
            return problem(413, "too_large", f"A request has at most {MAX_DELIVERIES} deliveries")
        try:
            receipts = state.deliver(deliveries, forget_keys=struck is not None and struck[0] == "forget_keys")
        except KeyConflict as conflict:
            state.note(conflicts=1)
            pointer = f"/deliveries/{conflict.args[0]}/delivery_id"
            return problem(
                409,
                "key_conflict",
                "A delivery_id was used before with other content",
                errors=[{"pointer": pointer, "detail": "known with other content"}],
            )
        return JSONResponse({"receipts": receipts})

    def find_delivery(request: Request, _: bytes, __: Struck) -> Response:
        found = state.delivery(request.path_params["delivery_id"])
        return JSONResponse(found) if found else problem(404, "not_found", "No such delivery was applied here")

    def recall(request: Request, body: bytes, _: Struck) -> Response:
        if fault := fault_of_key(request):
            return fault
        try:
            value = parsed(body)
        except ValueError:
            return problem(400, "not_json", "The body is not JSON in UTF-8")
        if wrong := faults_of_recall(value):
            return invalid(wrong)
        receipt = state.recall(request.path_params["delivery_id"])
        return JSONResponse(receipt) if receipt else problem(404, "not_found", "No such delivery was accepted here")

    def health(_: Request, __: bytes, ___: Struck) -> Response:
        return JSONResponse({"status": "ok", "contract": CONTRACT})

    def admin(work: Callable[[Request, Any], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.client is None or request.client.host not in ("127.0.0.1", "::1"):
                return problem(404, "not_found", "Nothing here")
            try:
                value = parsed(await body_of(request) or b"null")
            except ValueError:
                return problem(400, "not_json", "The body is not JSON in UTF-8")
            return work(request, value)

        return endpoint

    def plant(_: Request, value: Any) -> Response:
        wanted = value if isinstance(value, dict) else {}
        at, kind, nth = wanted.pop("at", None), str(wanted.pop("kind", None)), wanted.pop("nth", 1)
        # A listing that goes in circles does so until the fault is cleared; other faults strike once.
        times = wanted.pop("times", None if kind in faults.LISTING else 1)
        if at not in faults.OPERATIONS or kind not in faults.KINDS or not isinstance(nth, int) or nth < 1:
            return problem(
                400,
                "invalid",
                "A fault has at, kind and perhaps nth, times",
                at=faults.OPERATIONS,
                kind=faults.KINDS,
            )
        if times is not None and (not isinstance(times, int) or times < 1):
            return problem(400, "invalid", "times must be a whole number, or null for always")
        return JSONResponse({"number": state.plant_fault(at, kind, nth, times, wanted)}, 201)

    def clear(_: Request, __: Any) -> Response:
        state.clear_faults()
        return Response(status_code=204)

    def planted(_: Request, __: Any) -> Response:
        return JSONResponse({"faults": state.faults()})

    def counts(request: Request, _: Any) -> Response:
        return JSONResponse(state.counts(by_key="by_key" in request.query_params))

    def put_user(request: Request, value: Any) -> Response:
        user = {**value, "id": request.path_params["user_id"]} if isinstance(value, dict) else value
        if fault := fault_of_user(user):
            return problem(400, "invalid", fault)
        state.put_user(user_from(user))
        return Response(status_code=204)

    def remove_user(request: Request, _: Any) -> Response:
        tombstone = request.query_params.get("leave") == "tombstone"
        if state.remove_user(request.path_params["user_id"], leave_tombstone=tombstone):
            return Response(status_code=204)
        return problem(404, "not_found", "No such user")

    async def elsewhere(_: Request, failure: Exception) -> Response:
        assert isinstance(failure, HTTPException)
        headers = dict(failure.headers or {})
        return problem(failure.status_code, "not_found", failure.detail, headers=headers)

    return Starlette(
        routes=[
            Route(base_path + "/users", operation("users", list_users), methods=["GET"]),
            Route(base_path + "/coupons", operation("deliver", deliver), methods=["POST"]),
            Route(base_path + "/coupons/{delivery_id}", operation("find", find_delivery), methods=["GET"]),
            Route(base_path + "/coupons/{delivery_id}/recall", operation("recall", recall), methods=["POST"]),
            Route(base_path + "/health", operation("health", health), methods=["GET"]),
            Route("/_admin/faults", admin(plant), methods=["POST"]),
            Route("/_admin/faults", admin(planted), methods=["GET"]),
            Route("/_admin/faults", admin(clear), methods=["DELETE"]),
            Route("/_admin/counts", admin(counts), methods=["GET"]),
            Route("/_admin/users/{user_id}", admin(put_user), methods=["PUT"]),
            Route("/_admin/users/{user_id}", admin(remove_user), methods=["DELETE"]),
        ],
        exception_handlers={HTTPException: elsewhere},
    )


async def body_of(request: Request) -> bytes | None:
    """The raw body; None: it is too long."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return None
    except ClientDisconnect:
        return None
    return body


def deliveries_in(body: bytes) -> int:
    """How many deliveries a request holds; a request that is not one counts as one."""
    try:
        return max(1, len(json.loads(body)["deliveries"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return 1


def fault_of_key(request: Request) -> Response | None:
    if IDEMPOTENCY_KEY.fullmatch(request.headers.get("idempotency-key", "")):
        return None
    wanted = "Idempotency-Key is missing, or is not 1 to 255 of letters, digits, - and _"
    return problem(400, "invalid_idempotency_key", wanted)


def invalid(wrong: list[Fault]) -> Response:
    return problem(400, "invalid", "The body is not as the contract says", errors=wrong[:20])


def cursor_after(last: str) -> str:
    """A cursor says after which id to go on; base64 because it is nobody else's business."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def position(cursor: str) -> str | None:
    """The id after which a cursor goes on; None: not a cursor of ours."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode() or None
    except (binascii.Error, ValueError):
        return None
