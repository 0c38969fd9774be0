"""POST /merchant/v1/access: a known identity is told the API matched to it, an unknown applicant is filed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.fields import Contract, Text
from contracts.merchants import DialectName, MerchantState
from dialects.json_body import read_model
from dialects.protocol import Problem, RequestRefused
from dialects.registry import locate
from gateway.access import merchants as life
from gateway.access.profiles import BASE_PATHS, ProfileSettings, check_settings, new_sealed_secret
from gateway.access.terminals import TerminalLabel, add_terminal
from gateway.commanding import WAIT_SECONDS
from gateway.guarding import GuardedRoute
from gateway.identity.model import Identity
from gateway.openapi import described
from gateway.parts import Parts, parts_of
from gateway.requests import raw_request, read_body
from gateway.storage import merchants
from gateway.storage.connections import Connection
from gateway.storage.lane_orders import LaneOrder

router = APIRouter(prefix="/merchant/v1/access", tags=["access"], route_class=GuardedRoute)
AUTO_VERIFIER = "service:auto-verify"
TOKEN_PREFIX = "acc_"  # noqa: S105 - not a token, the beginning of one

logger = structlog.get_logger()


class AccessDocument(Contract):
    """Who asks for access, and which API is wanted."""

    name: Text
    contact: Text
    dialect: DialectName = "scrip"
    terminal: TerminalLabel = "terminal-1"
    profile: ProfileSettings = ProfileSettings()
    """What is wanted; staff may put another one."""


class AccessMatched(BaseModel):
    """The API matched to the identity found."""

    merchant: UUID
    name: str
    state: MerchantState
    terminal: str
    dialect: DialectName
    profile_version: int
    base_path: str
    limits: dict[str, int]


class AccessFiled(BaseModel):
    """A request that was filed. The token reads its state and, once, the credentials."""

    id: UUID
    state: MerchantState
    token: str


class AccessState(BaseModel):
    """Where a request stands. `credentials` come once, when the merchant is active."""

    id: UUID
    merchant: UUID
    state: MerchantState
    dialect: DialectName
    base_path: str
    created_at: datetime
    credentials: dict[str, Any] | None = None
    collected_at: datetime | None = None


@router.post(
    "",
    summary="Ask for access: a known identity is matched to its API, an applicant's request is filed",
    **described(AccessDocument, answers={200: AccessMatched, 202: AccessFiled}, anyone=True),
)
async def access(request: Request) -> Response:
    parts = parts_of(request)
    body = await read_body(request)
    raw = raw_request(request, body)
    if locate(raw) is not None:
        return await _matched(parts, await parts.front_door.identify(raw))
    parts.applicants.check(request.client.host if request.client else "unknown")
    document = read_model(body or b"{}", AccessDocument)
    check_settings(document.dialect, document.profile)
    name, merchant, token = uuid4(), uuid4(), TOKEN_PREFIX + secrets.token_urlsafe(32)
    sealed = new_sealed_secret(parts.keys, merchant)
    order = None
    async with parts.pool.acquire() as connection, connection.transaction():
        actor = f"applicant:{name}"
        await life.add(
            connection,
            merchant,
            document.name,
            document.contact,
            "requested",
            document.dialect,
            document.profile,
            sealed,
            actor,
        )
        hashed = hashlib.sha256(token.encode()).digest()
        await merchants.add_request(connection, name, merchant, hashed, document.terminal)
        if parts.settings.auto_verify:
            order = await verify(connection, merchant, AUTO_VERIFIER, None)
    logger.info("An access request was filed.", action="access_requested", merchant=str(merchant))
    if order is not None:
        await parts.lanes.tell(order, WAIT_SECONDS)
    filed = await merchants.request(parts.pool, name)
    state: MerchantState = "requested" if filed is None else filed.state
    answer = AccessFiled(id=name, state=state, token=token)
    return JSONResponse(answer.model_dump(mode="json"), 202, {"location": f"/merchant/v1/access/{name}"})


async def verify(connection: Connection, merchant: UUID, actor: str, reason: str | None) -> LaneOrder | None:
    """requested → verified, and active as soon as all lanes know it."""
    await life.change_state(connection, merchant, "verified", actor, reason)
    return await life.change_state(connection, merchant, "active", actor, reason)


@router.get(
    "/{name}",
    summary="Where an access request stands; once, the credentials",
    **described(answers={200: AccessState}),
)
async def access_state(request: Request, name: UUID) -> Response:
    parts = parts_of(request)
    filed = await merchants.request(parts.pool, name)
    token = request.headers.get("authorization", "").partition(" ")[2].strip()
    hashed = hashlib.sha256(token.encode("latin-1", "replace")).digest()
    # An unknown request costs the same comparison and gets the same answer as a wrong token.
    if not hmac.compare_digest(hashed, filed.token_sha256 if filed else bytes(32)) or filed is None:
        raise RequestRefused(
            Problem("unauthenticated", 401, "Unauthenticated", "Send the token of this access request as Bearer.")
        )
    credentials = None
    if filed.state == "active" and filed.collected_at is None:
        async with parts.pool.acquire() as connection, connection.transaction():
            merchant = await life.locked(connection, filed.merchant)
            if await merchants.collect(connection, name):
                label, actor = filed.terminal_label, f"applicant:{name}"
                _, credentials = await add_terminal(connection, merchant, label, parts.keys, actor)
    answer = AccessState(
        id=name,
        merchant=filed.merchant,
        state=filed.state,
        dialect=filed.dialect,
        base_path=BASE_PATHS[filed.dialect],
        created_at=filed.created_at,
        credentials=credentials,
        collected_at=filed.collected_at,
    )
    return JSONResponse(answer.model_dump(mode="json"), headers={"cache-control": "no-store"})


async def _matched(parts: Parts, identity: Identity) -> Response:
    async with parts.pool.acquire() as connection, connection.transaction():
        await life.note_match(connection, identity)
    logger.info(
        "A merchant was matched to its API.",
        action="access_matched",
        merchant=str(identity.merchant),
        terminal=identity.terminal_label,
        dialect=identity.dialect,
        profile_version=identity.profile_version,
    )
    answer = AccessMatched(
        merchant=identity.merchant,
        name=identity.name,
        state=identity.state,
        terminal=identity.terminal_label,
        dialect=identity.dialect,
        profile_version=identity.profile_version,
        base_path=BASE_PATHS[identity.dialect],
        limits={"requests_per_second": identity.requests_per_second},
    )
    return JSONResponse(answer.model_dump(mode="json"))
