"""Campaigns: one, many, and those that stand in the catalogue."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from starlette.requests import Request

from contracts.campaigns import CampaignState, Origin
from contracts.currencies import exponent_of
from contracts.fields import Party
from coupon_core.model.campaign import STATE_NAMES, Campaign
from coupon_core.model.periods import Period, period_end, period_limits, period_start
from coupon_core.model.recording import instant
from coupon_core.operations.generating import codes_missing
from coupon_core.queries.asking import Parameters, campaign_named, campaign_not_found, parameters
from coupon_core.queries.source import Source, instant_or_none
from coupon_core.storage import Connection, reading
from coupon_core.storage.periods import counts_of

LARGEST_PAGE = 200

Limit = Annotated[int, Field(ge=1, le=LARGEST_PAGE)]


class OfParty(Parameters):
    """Restricts to what the party may see; None (staff): everything."""

    party: Party | None = None


class ManyCampaigns(OfParty):
    origin: Origin | None = None
    state: CampaignState | None = None
    after: UUID | None = None
    limit: Limit = 50


class Catalogue(Parameters):
    after: UUID | None = None
    limit: Limit = 50


def campaign_item(campaign: Campaign, as_of: datetime | None) -> dict[str, Any]:
    """A campaign as it is shown. `version` changes with everything that happens to the campaign."""
    return {
        "id": campaign.text,
        "owner": campaign.owner,
        "origin": campaign.origin,
        "name": campaign.terms.name,
        "state": campaign.state,
        "supply": campaign.supply,
        "code": campaign.code,
        "pattern": None if campaign.pattern is None else campaign.pattern.model_dump(mode="json"),
        "generation": _generation(campaign, as_of),
        "terms": campaign.terms.model_dump(mode="json"),
        "quantity": campaign.quantity,
        "issued": campaign.issued,
        **{name: campaign.counts[state] for state, name in STATE_NAMES.items()},
        "exported": campaign.exported,
        "left": campaign.stock_left(),
        "currency": campaign.terms.currency,
        "exponent": exponent_of(campaign.terms.currency),
        "budget": _budget(campaign),
        "available_codes": campaign.available,
        "listed": campaign.listed,
        "starts": instant(campaign.starts),
        "ends": instant(campaign.ends),
        "zone": campaign.terms.validity.zone,
        "created_at": instant(campaign.created_at),
        "version": campaign.seq,
        "seq": campaign.seq,
        "chain": campaign.chain.hex(),
        "as_of": instant_or_none(as_of),
    }


def _budget(campaign: Campaign) -> dict[str, int] | None:
    """Minor units; None: the campaign has no budget."""
    if campaign.budget is None:
        return None
    reserved, spent = campaign.budget_reserved, campaign.budget_spent
    return {"total": campaign.budget, "reserved": reserved, "spent": spent, "left": campaign.budget_left()}


def _generation(campaign: Campaign, as_of: datetime | None) -> dict[str, Any] | None:
    """How far the codes are written down, while some are missing; `rate` a second of this job, `eta` its end."""
    if campaign.state not in ("generating", "failed") and not codes_missing(campaign):
        return None
    done, total = campaign.last_number, campaign.quantity or 0
    began = campaign.job_began
    passed = 0.0 if as_of is None or began is None else (as_of - began).total_seconds()
    rate = (done - campaign.job_from) / passed if passed > 0 and campaign.state != "failed" else None
    eta = None if not rate or as_of is None else instant(as_of + timedelta(seconds=(total - done) / rate))
    return {"done": done, "total": total, "rate": None if rate is None else round(rate, 1), "eta": eta}


async def visible_with_clock(
    connection: Connection, campaign: UUID, party: str | None
) -> tuple[Campaign, datetime | None] | None:
    """The campaign and its lane's clock; None: there is no such campaign, or the party may not know of it."""
    found = await reading.campaign_with_clock(connection, campaign)
    return found if found is not None and (party is None or found[0].visible_to(party)) else None


async def visible_campaign(connection: Connection, campaign: UUID, party: str | None) -> Campaign:
    """The campaign, for those who may know of it. Raises Problem 404 for all others."""
    found = await visible_with_clock(connection, campaign, party)
    if found is None:
        raise campaign_not_found()
    return found[0]


async def one(source: Source, request: Request) -> dict[str, Any]:
    """GET /campaigns/{id}."""
    asked = parameters(request, OfParty)
    async with source.pool.acquire() as connection:
        found = await visible_with_clock(connection, campaign_named(request), asked.party)
        if found is None:
            raise campaign_not_found()
        return (await _items(source, connection, [found]))[0]


async def many(source: Source, request: Request) -> dict[str, Any]:
    """GET /campaigns."""
    asked = parameters(request, ManyCampaigns)
    async with source.pool.acquire() as connection:
        found = await reading.campaigns_after(
            connection, asked.party, asked.origin, asked.state, asked.after, asked.limit + 1
        )
        return await _page(source, connection, found, asked.limit)


async def catalogue(source: Source, request: Request) -> dict[str, Any]:
    """GET /catalogue."""
    asked = parameters(request, Catalogue)
    async with source.pool.acquire() as connection:
        found = await reading.campaigns_on_offer(connection, source.process_clock(), asked.after, asked.limit + 1)
        return await _page(source, connection, found, asked.limit)


async def _page(
    source: Source, connection: Connection, found: list[tuple[Campaign, datetime | None]], limit: int
) -> dict[str, Any]:
    return {
        "campaigns": await _items(source, connection, found[:limit]),
        "next": found[limit - 1][0].text if len(found) > limit else None,
    }


async def _items(
    source: Source, connection: Connection, found: list[tuple[Campaign, datetime | None]]
) -> list[dict[str, Any]]:
    """Campaigns as they are now: with the counts of the periods in which they limit what is issued."""
    wanted: dict[tuple[int, Period, date], tuple[int, datetime]] = {}
    for campaign, clock in found:
        now, zone = source.now(clock), campaign.terms.validity.zone
        if now is None:
            continue
        for period, limit in period_limits(campaign.terms):
            first = period_start(period, now, zone)
            wanted[campaign.number, period, first] = limit, period_end(period, first, zone)
    counts = await counts_of(connection, list(wanted)) if wanted else []
    issued = {(count.campaign, count.period, count.first): count.issued for count in counts}
    periods: dict[int, list[dict[str, Any]]] = {}
    for key, (limit, ends) in wanted.items():
        said = {"period": key[1], "issued": issued.get(key, 0), "limit": limit, "ends": instant(ends)}
        periods.setdefault(key[0], []).append(said)
    return [
        campaign_item(campaign, source.now(clock)) | {"periods": periods.get(campaign.number, [])}
        for campaign, clock in found
    ]
