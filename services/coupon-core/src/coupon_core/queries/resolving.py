"""Which campaigns a code may mean at a party: arithmetic first, then what is stored."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from coupon_core.codes.generated import normalise
from coupon_core.model.campaign import Campaign
from coupon_core.queries.asking import Search, parameters
from coupon_core.queries.campaigns import OfParty
from coupon_core.queries.coupons import places_of_code
from coupon_core.queries.source import Source
from coupon_core.storage import Connection
from coupon_core.storage.searching import OVER, campaigns_with_code

MOST_CANDIDATES = 20

Candidate = tuple[Campaign, int | None]
"""A campaign, and the number of the coupon where the code (and the user) name one."""


class Resolved(OfParty):
    code: Search
    user: Search | None = None


async def resolve(source: Source, request: Request) -> dict[str, Any]:
    """GET /resolve."""
    asked = parameters(request, Resolved)
    async with source.snapshot() as connection:
        found = await candidates(source, connection, asked.party, asked.code, asked.user)
    return {
        "candidates": [
            {"campaign": campaign.text, "coupon": None if number is None else campaign.coupon_id(number)}
            for campaign, number in found
        ]
    }


async def candidates(
    source: Source, connection: Connection, party: str | None, code: str, user: str | None
) -> list[Candidate]:
    """Campaigns in which the party may redeem the code, at most `MOST_CANDIDATES`.

    Campaigns that are over count only where no other has the code, so that a code may be used again next year; those of
    others only where no own one has it, so that a partner with the same code makes nothing ambiguous.
    """
    normal = normalise(code)
    if normal is None:
        return []
    now = source.process_clock()
    found = await campaigns_with_code(connection, party, normal, user, now, MOST_CANDIDATES)
    found += await places_of_code(source, connection, code, party, redeemable=True)
    going_on = [pair for pair in found if pair[0].state not in OVER and (now is None or pair[0].ends > now)]
    known = going_on or found
    return ([pair for pair in known if pair[0].owner == party] or known)[:MOST_CANDIDATES]
