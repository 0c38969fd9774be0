"""The audit over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from starlette.requests import Request

from coupon_core.audit import audit
from coupon_core.queries.asking import Parameters, Problem, campaign_not_found, parameters
from coupon_core.queries.source import Source

_running = asyncio.Lock()
"""One audit at a time in a process: each reads whole tables."""


class Audited(Parameters):
    campaign: UUID | None = None


async def check(source: Source, request: Request) -> dict[str, Any]:
    """GET /audit: takes as long as the tables are large; holds up no lane."""
    asked = parameters(request, Audited)
    if _running.locked():
        raise Problem(503, "audit_running", "An audit runs already in this process; ask again later.", retry=True)
    async with _running, source.pool.acquire() as connection:
        report = await audit(connection, asked.campaign)
    if report is None:
        raise campaign_not_found()
    return report
