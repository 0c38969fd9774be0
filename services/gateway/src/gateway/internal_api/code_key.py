"""The code key: which version new codes are made under. The keys themselves are files of coupon-core's processes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from contracts.fields import Contract
from dialects.protocol import Problem, RequestRefused
from gateway.commanding import WAIT_SECONDS
from gateway.guarding import GuardedRoute
from gateway.internal_api.answers import Answer
from gateway.internal_api.merchants import answer, once_of
from gateway.lanes import Told, file_order, new_order
from gateway.openapi import described
from gateway.parts import Parts, parts_of
from gateway.requests import read_document
from gateway.storage import lane_orders
from gateway.storage.connections import Connection

router = APIRouter(tags=["platform"], route_class=GuardedRoute)
SUBJECT = "platform"
FIRST = 1


class CodeKeyDocument(Contract):
    """The version under which codes are made from now on; higher than the one in use, and at hand in core."""

    version: Annotated[int, Field(ge=1, le=31, strict=True)]


class CodeKeyView(Answer):
    """`version` is in use for new codes; `at_hand`: versions the core process that answered has."""

    version: int
    at_hand: list[int]
    known_everywhere: bool


@router.get("/code-key", summary="The version of the code key in use", **described(answers={200: CodeKeyView}))
async def code_key(request: Request) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return answer(await _view(parts))


@router.put(
    "/code-key",
    summary="Make new codes under another key; answered when every lane does (202: some do not yet)",
    **described(CodeKeyDocument, answers={200: CodeKeyView, 202: CodeKeyView}, unsafe=True),
)
async def put_code_key(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "admin")
    document = await read_document(request, CodeKeyDocument)
    at_hand = await _at_hand(parts)
    if document.version not in at_hand:
        raise _refused(
            "code_key_unknown",
            f"coupon-core has the keys {at_hand}: put key {document.version} into code-keys.json of every core "
            "process and start them again, then use it.",
        )

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        await lane_orders.lock(connection, "code_key", SUBJECT)
        newest = await lane_orders.newest_version(connection, "code_key", SUBJECT) or FIRST
        if document.version <= newest:
            raise _refused("code_key_only_goes_up", f"Version {newest} is in use already; a lower one is never again.")
        order = new_order("code_key", SUBJECT, document.version, {"version": document.version})
        await file_order(connection, order)
        return {"version": document.version}, order

    done = await once_of(request, parts, staff, "code_key", document, work)
    told = await parts.lanes.tell(done.shown, WAIT_SECONDS) if done.shown else Told(True)
    return answer(await _view(parts), 200 if told.everywhere else 202, done)


async def _view(parts: Parts) -> CodeKeyView:
    newest = await lane_orders.newest_version(parts.pool, "code_key", SUBJECT) or FIRST
    waiting = await lane_orders.open_orders(parts.pool, "code_key", SUBJECT)
    return CodeKeyView(version=newest, at_hand=await _at_hand(parts), known_everywhere=waiting == 0)


async def _at_hand(parts: Parts) -> list[int]:
    status = await parts.core.service.get("/status")
    return [] if status is None else list(status["code_keys"])


def _refused(code: str, detail: str) -> RequestRefused:
    return RequestRefused(Problem(code, 409, code.replace("_", " ").capitalize(), detail))
