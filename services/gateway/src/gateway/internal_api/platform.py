"""What concerns the whole platform: building rules, tools, tokens, told time, status."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.commands import BuildingRules, ToolRight
from contracts.fields import PLATFORM, Contract, Flag, Instant
from contracts.writers import tool_key
from dialects.protocol import FieldProblem, Problem, RequestRefused, invalid
from gateway.access import merchants as life
from gateway.commanding import WAIT_SECONDS
from gateway.guarding import GuardedRoute
from gateway.identity.staff import Role, new_token
from gateway.internal_api.answers import (
    Answer,
    CommandPending,
    RulesView,
    TokenAdded,
    TokenView,
    ToolAdded,
    ToolView,
)
from gateway.internal_api.merchants import answer, once_of
from gateway.lanes import Told, file_order, new_order
from gateway.openapi import described
from gateway.parts import Parts, parts_of
from gateway.requests import read_document, request_number, seconds_to_wait
from gateway.service_client import QueryRefused, ServiceAway, ServiceClient
from gateway.storage import lane_orders, rules_and_tools, tokens
from gateway.storage.connections import Connection, tell_of_token
from gateway.storage.rules_and_tools import StoredTool

router = APIRouter(tags=["platform"], route_class=GuardedRoute)

AUDIT_SECONDS = 120.0
MerchantId = Annotated[UUID | None, Query(description="The merchant whose override it is.")]


class ToolDocument(Contract):
    """A Kafka tool: its rights and the one topic it is answered on. Put again it gets a new key."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    rights: Annotated[tuple[ToolRight, ...], Field(min_length=1, max_length=10)]
    reply_topic: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")] | None = None
    active: Flag = True
    keep_previous_key: Flag = True
    """Let the key before the new one stay good; put again without it, a key that leaked is worth nothing."""


class TokenDocument(Contract):
    """A token of staff or of an app; an app may be bound to one merchant."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
    roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=5)]
    merchant: UUID | None = None


class ClockDocument(Contract):
    """Where to move told time."""

    to: Instant


class ClockDone(Answer):
    """Every lane has passed."""

    command: UUID
    status: str
    now: str


class StatusView(Answer):
    """The platform: how time runs, the lanes, and which services answer."""

    time: Literal["record", "told"]


class Audit(Answer):
    """What was checked, and each difference found."""

    checked: Any
    differences: list[Any]


class ToolList(BaseModel):
    """All tools."""

    tools: list[ToolView]


class TokenList(BaseModel):
    """All tokens."""

    tokens: list[TokenView]


def _party(merchant: UUID | None) -> str:
    return PLATFORM if merchant is None else str(merchant)


@router.get(
    "/building-rules",
    summary="What campaigns may be, on the platform or for one merchant",
    **described(answers={200: RulesView}),
)
async def building_rules(request: Request, merchant: MerchantId = None) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return answer(await _rules_view(parts, _party(merchant)))


@router.put(
    "/building-rules",
    summary="Set the building rules; answered when every lane applies them (202: some do not yet)",
    **described(BuildingRules, answers={200: RulesView, 202: RulesView}, unsafe=True),
)
async def put_building_rules(request: Request, merchant: MerchantId = None) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "approver")
    document = await read_document(request, BuildingRules)
    party = _party(merchant)
    rules = document.model_dump(mode="json", exclude_none=True)

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        if merchant is not None:
            await life.locked(connection, merchant)
        version = await rules_and_tools.put_building_rules(connection, party, rules, staff.caller.actor)
        command = {"party": party, "version": version, "rules": rules}
        order = new_order("rules", party, version, command)
        await file_order(connection, order)
        return {"version": version}, order

    done = await once_of(request, parts, staff, f"building_rules {party}", document, work)
    told = await parts.lanes.tell(done.shown, WAIT_SECONDS) if done.shown else Told(True)
    return answer(await _rules_view(parts, party), 200 if told.everywhere else 202, done)


async def _rules_view(parts: Parts, party: str) -> RulesView:
    version, rules = await rules_and_tools.building_rules(parts.pool, party)
    waiting = await lane_orders.open_orders(parts.pool, "rules", party)
    return RulesView(party=party, version=version, rules=rules, known_everywhere=waiting == 0)


@router.post(
    "/tools",
    summary="Register a Kafka tool, or change it; writer id and key are in the answer, once",
    **described(ToolDocument, answers={201: ToolAdded, 202: ToolAdded}, unsafe=True),
)
async def put_tool(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "admin")
    document = await read_document(request, ToolDocument)

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        tool = await rules_and_tools.put_tool(
            connection,
            document.name,
            list(dict.fromkeys(document.rights)),
            document.reply_topic,
            document.active,
            staff.caller.actor,
        )
        command = {
            "tool": tool.name,
            "version": tool.version,
            "key_versions": key_versions(tool.key_version, keep_previous=document.keep_previous_key),
            "rights": tool.rights,
            "reply_topic": tool.reply_topic,
            "active": tool.active,
        }
        order = new_order("tool", tool.name, tool.version, command)
        await file_order(connection, order)
        view = _tool_view(tool).model_dump()
        key = tool_key(parts.tool_master, tool.name, tool.key_version)
        return view, (base64.b64encode(key).decode(), order)

    done = await once_of(request, parts, staff, "tool", document, work)
    key, order = done.shown or (None, None)
    told = await parts.lanes.tell(order, WAIT_SECONDS) if order else Told(True)
    waiting = await lane_orders.open_orders(parts.pool, "tool", document.name)
    added = ToolAdded(**done.facts, key=key, known_everywhere=waiting == 0)
    return answer(added, 201 if told.everywhere else 202, done)


@router.get("/tools", summary="List Kafka tools", **described(answers={200: ToolList}))
async def tools(request: Request) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await rules_and_tools.tools(parts.pool)
    return answer(ToolList(tools=[_tool_view(tool) for tool in found]))


def key_versions(newest: int, *, keep_previous: bool) -> list[int]:
    """Which versions of a tool's key are good."""
    return [newest - 1, newest] if keep_previous and newest > 1 else [newest]


def _tool_view(tool: StoredTool) -> ToolView:
    return ToolView(
        name=tool.name,
        writer=f"tool:{tool.name}",
        version=tool.version,
        key_version=tool.key_version,
        rights=tool.rights,
        reply_topic=tool.reply_topic,
        active=tool.active,
    )


@router.post(
    "/tokens",
    summary="Make a token for staff or an app; its text is in the answer, once",
    **described(TokenDocument, answers={201: TokenAdded}, unsafe=True),
)
async def add_token(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "admin")
    document = await read_document(request, TokenDocument)
    roles: list[str] = list(dict.fromkeys(document.roles))
    if "app" in roles and len(roles) > 1:
        raise invalid(
            "The role `app` stands alone: an app may list offers and claim, nothing else.",
            FieldProblem("/roles", "app stands alone"),
        )
    if document.merchant is not None and roles != ["app"]:
        raise invalid("Only an app may be bound to a merchant.", FieldProblem("/merchant", "only for the role app"))
    token, name = new_token(), uuid4()

    async def work(connection: Connection) -> tuple[dict[str, Any], Any]:
        if document.merchant is not None:
            await life.locked(connection, document.merchant)
        party = _party(document.merchant)
        text, hashed = token
        await tokens.add_token(connection, name, hashed, document.name, roles, party, staff.caller.actor)
        return {"id": str(name)}, text

    done = await once_of(request, parts, staff, "token", document, work)
    found = next(each for each in await tokens.tokens(parts.pool) if str(each.id) == done.facts["id"])
    view = TokenView.model_validate(found, from_attributes=True)
    return answer(TokenAdded(**view.model_dump(), token=done.shown), 201, done)


@router.get("/tokens", summary="List tokens", **described(answers={200: TokenList}))
async def token_list(request: Request) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "admin")
    found = await tokens.tokens(parts.pool)
    return answer(TokenList(tokens=[TokenView.model_validate(each, from_attributes=True) for each in found]))


@router.delete("/tokens/{token}", summary="End a token now", **described(answers={204: None}))
async def revoke_token(request: Request, token: UUID) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "admin")
    async with parts.pool.acquire() as connection, connection.transaction():
        if not await tokens.revoke_token(connection, token):
            raise RequestRefused(Problem("token_not_found", 404, "Token not found", "There is no such valid token."))
        await tell_of_token(connection, token)
    return Response(status_code=204)


@router.post(
    "/clock",
    summary="Told time only: move time; answered when all that became due in every lane has happened",
    **described(ClockDocument, answers={200: ClockDone, 202: CommandPending}, unsafe=True, command=True, tried=False),
)
async def advance_clock(request: Request) -> Response:
    parts = parts_of(request)
    staff = await parts.staff_door.demand(request, "admin")
    number = request_number(request)
    document = await read_document(request, ClockDocument)
    wait = parts.settings.advance_clock_seconds if seconds_to_wait(request) else 0.0
    return await parts.clock.advance(document.to, staff.caller, number, wait)


@router.get("/status", summary="How the platform does", **described(answers={200: StatusView}))
async def status(request: Request) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    return JSONResponse(
        {
            "time": parts.settings.clock,
            "partitions": parts.settings.partitions,
            "instance": parts.settings.instance,
            "core": await _status_of(parts.core.service, "/status"),
            "adapter": await _status_of(parts.adapter, "/readyz"),
            "scheduler": await _status_of(parts.scheduler, "/readyz"),
            "watching_changes": parts.front_door.hears_changes,
        }
    )


@router.get("/audit", summary="Check ledgers and sequence numbers of all campaigns", **described(answers={200: Audit}))
async def audit(request: Request) -> Response:
    parts = parts_of(request)
    await parts.staff_door.demand(request, "viewer")
    found = await parts.core.service.get_slowly("/audit", AUDIT_SECONDS)
    if found is None:
        raise ServiceAway("core", "it has no audit")
    return JSONResponse(found)


async def _status_of(service: ServiceClient, path: str) -> dict[str, Any]:
    try:
        found = await service.get(path)
    except (ServiceAway, QueryRefused) as error:
        return {"answers": False, "reason": str(error)}
    return {"answers": True, **(found or {})}
