"""What a campaign or a coupon looked like at a moment, and which command and actor made it so.

Folded from the campaign's events (`model/folding.py`), read from the first one up to the moment: a campaign's journal
of 1,000,000 events takes a second or two. What is shown has the shape of the present view, with `caused_by`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import cramjam
from pydantic import Field, model_validator
from starlette.requests import Request

from contracts.fields import Instant
from coupon_core.model.campaign import RESERVED, Campaign
from coupon_core.model.folding import CausedBy, Folding
from coupon_core.model.recording import instant
from coupon_core.queries.asking import (
    GREATEST_NUMBER,
    Problem,
    campaign_named,
    campaign_not_found,
    coupon_named,
    coupon_not_found,
    parameters,
)
from coupon_core.queries.campaigns import OfParty, campaign_item, visible_with_clock
from coupon_core.queries.coupons import OfPartyWithCodes, whole_item
from coupon_core.queries.events import BEGINNING, actor_for
from coupon_core.queries.source import Source
from coupon_core.storage import Connection, reading, searching

EVENTS_AT_ONCE = 10_000
"""Folded in one thread's turn."""

Sequenced = Annotated[int, Field(ge=1, le=GREATEST_NUMBER)]


class Moment(OfParty):
    """`at`: everything up to and with this instant. `seq`: up to and with this event of the campaign."""

    at: Instant | None = None
    seq: Sequenced | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Moment:
        if (self.at is None) == (self.seq is None):
            raise ValueError("give `at` (an instant) or `seq` (an event's number), one of them")
        return self


class MomentWithCodes(Moment, OfPartyWithCodes):
    pass


async def campaign_at(source: Source, request: Request) -> dict[str, Any]:
    """GET /campaigns/{id}/as-of."""
    asked = parameters(request, Moment)
    async with source.snapshot() as connection:
        campaign = await _campaign(source, connection, request, asked)
        if campaign is None:
            raise campaign_not_found()
        folding = Folding(campaign.id, upto=asked.seq, until=asked.at)
        await fold(connection, campaign, folding)
    if folding.campaign is None or folding.caused is None:
        raise Problem(404, "campaign_not_found", "The campaign was not there yet.")
    moment = asked.at or folding.caused.at
    return campaign_item(folding.campaign, moment) | {"caused_by": _caused_by(folding.caused, campaign, asked.party)}


async def coupon_at(source: Source, request: Request) -> dict[str, Any]:
    """GET /coupons/{coupon id}/as-of."""
    asked = parameters(request, MomentWithCodes)
    number = coupon_named(request)[1]
    async with source.snapshot() as connection:
        campaign = await _campaign(source, connection, request, asked)
        present = []
        if campaign is not None:
            present = await searching.coupons_at(connection, asked.party, [(campaign.number, number)])
        if campaign is None or not present:
            raise coupon_not_found()
        codes = await source.codes_of(connection, [(campaign, present[0])])
        folding = Folding(
            campaign.id, {number}, only_wanted=True, upto=asked.seq, until=asked.at, number=campaign.number
        )
        await fold(connection, campaign, folding)
    coupon, caused = folding.coupons.get(number), folding.caused_of.get(number)
    if folding.campaign is None or folding.caused is None or coupon is None or caused is None:
        raise Problem(404, "coupon_not_found", "Nobody held the coupon yet.")
    view = replace(present[0], state=coupon.state, redemptions=coupon.redemptions, spent=coupon.spent)
    rows = folding.redemptions.get(number, [])
    reservation = coupon if coupon.state == RESERVED else None
    shown = whole_item(
        folding.campaign, view, codes[0], rows, reservation, party=asked.party, with_code=asked.codes == "1"
    )
    return shown | {
        "as_of": instant(asked.at or folding.caused.at),
        "caused_by": _caused_by(caused, campaign, asked.party),
    }


async def _campaign(source: Source, connection: Connection, request: Request, asked: Moment) -> Campaign | None:
    """The campaign as it is now, for those who may know of it. Raises Problem 422: the moment has not come yet."""
    of_coupon = "coupon" in request.path_params
    named = coupon_named(request)[0] if of_coupon else campaign_named(request)
    found = await visible_with_clock(connection, named, asked.party)
    if found is None:
        return None
    campaign, clock = found
    now = source.now(clock)
    if asked.at is not None and now is not None and asked.at > now:
        raise _not_yet("at", f"it is {instant(now)}")
    if asked.seq is not None and asked.seq > campaign.seq:
        raise _not_yet("seq", f"the campaign has {campaign.seq} events")
    return campaign


def _not_yet(name: str, why: str) -> Problem:
    errors = [{"pointer": f"/{name}", "detail": f"lies ahead: {why}"}]
    return Problem(422, "invalid_request", f"`{name}` lies ahead: {why}.", errors)


async def fold(connection: Connection, campaign: Campaign, folding: Folding) -> None:
    """Fold the campaign's events, page after page, until the folding's moment or their end."""
    following = 1
    while following <= campaign.seq and not folding.over:
        rows = await reading.event_bodies(connection, campaign.id, following, BEGINNING, EVENTS_AT_ONCE)
        if not rows:
            break
        # In a thread: a campaign's journal can be long, and the lanes share this event loop.
        await asyncio.to_thread(_take, folding, [body for _, _, body in rows])
        following = rows[-1][0] + rows[-1][1]


def _take(folding: Folding, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        folding.take(bytes(cramjam.zstd.decompress(body)))


def _caused_by(caused: CausedBy, campaign: Campaign, party: str | None) -> dict[str, Any]:
    return {
        "seq": caused.seq,
        "event": caused.event,
        "command": caused.command,
        "actor": actor_for(campaign, party, caused.actor),
        "at": instant(caused.at),
    }
