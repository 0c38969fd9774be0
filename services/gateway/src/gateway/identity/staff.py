"""Staff and apps: bearer tokens that name an actor and roles."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

from starlette.requests import Request

from contracts.fields import PLATFORM
from dialects.protocol import Problem, RequestRefused
from gateway.commanding import Caller
from gateway.identity.watching import TOKEN_CHANNEL, Watch
from gateway.storage.tokens import valid_token
from process.database import Pool

Role = Literal["viewer", "operator", "approver", "admin", "app"]
INCLUDES: dict[Role, frozenset[Role]] = {
    "viewer": frozenset({"viewer"}),
    "operator": frozenset({"viewer", "operator"}),
    "approver": frozenset({"viewer", "operator", "approver"}),
    "admin": frozenset({"viewer", "operator", "approver", "admin"}),
    "app": frozenset({"app"}),
}
"""What a token with a role may do: all that the roles on the right may."""
REMEMBERED_SECONDS = 2.0
PREFIX = "st_"


@dataclass(frozen=True, slots=True)
class Staff:
    """Who calls the internal API or the catalogue."""

    name: str
    roles: frozenset[Role]
    party: str
    """`platform`; an app may be bound to one merchant."""
    caller: Caller
    token: UUID | None
    """None: the admin token of the secrets folder."""

    def may(self, role: Role) -> bool:
        """Whether one of the roles includes this one."""
        return any(role in INCLUDES[own] for own in self.roles)


class StaffDoor:
    """Knows staff by their tokens. Remembers a token for two seconds, and none while revocations may be missed."""

    def __init__(self, pool: Pool, admin_token: str, watch: Watch) -> None:
        self._pool = pool
        self._admin = hashlib.sha256(admin_token.encode()).digest()
        self._watch = watch
        self._remembered: dict[bytes, tuple[float, Staff]] = {}
        self._generation = 0
        watch.on_change(TOKEN_CHANNEL, self._forget)

    async def demand(self, request: Request, *roles: Role) -> Staff:
        """Who calls, when a token with one of these roles came; else RequestRefused (401, 403)."""
        staff = await self.identify(request)
        if not any(staff.may(role) for role in roles):
            needed = " or ".join(roles)
            raise RequestRefused(
                Problem("not_allowed", 403, "Not allowed", f"This needs the role {needed}; the token has it not.")
            )
        return staff

    async def identify(self, request: Request) -> Staff:
        """Who calls. Raises RequestRefused (401), and what PostgreSQL raises when it is away."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthenticated("Send `Authorization: Bearer <token>`.")
        hashed = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        if hmac.compare_digest(hashed, self._admin):
            return staff_of("admin", ["admin"], PLATFORM, None)
        found = self._remembered.get(hashed)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        generation = self._generation
        stored = await valid_token(self._pool, hashed)
        if stored is None:
            raise unauthenticated("The token is not valid.")
        staff = staff_of(stored.name, stored.roles, stored.party, stored.id)
        if self._watch.listening and generation == self._generation:
            if len(self._remembered) > 10_000:
                self._remembered.clear()
            self._remembered[hashed] = (time.monotonic() + REMEMBERED_SECONDS, staff)
        return staff

    def _forget(self, _token: str) -> None:
        self._generation += 1
        self._remembered.clear()


def staff_of(name: str, roles: list[str], party: str, token: UUID | None) -> Staff:
    """Staff act for the platform; an app bound to a merchant acts for that merchant."""
    known = frozenset(cast("list[Role]", roles))
    kind = "app" if known == {"app"} else "staff"
    return Staff(name, known, party, Caller(party, f"{kind}:{name}"), token)


def new_token() -> tuple[str, bytes]:
    """A new token (256 random bits) and its hash."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, hashlib.sha256(token.encode()).digest()


def unauthenticated(detail: str) -> RequestRefused:
    """Nobody is known by what came."""
    return RequestRefused(Problem("unauthenticated", 401, "Unauthenticated", detail))
