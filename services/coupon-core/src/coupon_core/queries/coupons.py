"""Coupons: of a campaign, one, and found by code, user or order; and the codes of a campaign.

Who is not the campaign's owner sees no order, amount or reservation of other parties, and no list of codes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, model_validator
from starlette.requests import Request

from contracts.campaigns import CouponState
from contracts.identifiers import split_coupon_id
from contracts.refusals import CouponNotFound, NotThisUsersCoupon
from coupon_core.codes.generated import block_of, last_four, normalise, number_at, version_of
from coupon_core.model.campaign import HELD, RESERVED, STATE_NAMES, STATE_NUMBERS, Campaign, Coupon, Redemption
from coupon_core.model.recording import instant
from coupon_core.model.worth import capacity
from coupon_core.operations.serials import own_codes
from coupon_core.queries.asking import (
    Number,
    Search,
    campaign_named,
    campaign_not_found,
    coupon_named,
    coupon_not_found,
    parameters,
)
from coupon_core.queries.campaigns import OfParty, visible_campaign, visible_with_clock
from coupon_core.queries.source import Source, instant_or_none
from coupon_core.storage import Connection, reading, searching
from coupon_core.storage.coupons import coupons_by_number, redemptions_of
from coupon_core.storage.reading import CouponView

LARGEST_PAGE = 1_000
MOST_FOUND = 200
"""A search gives at most so many coupons and so many refusals."""


class OfPartyWithCodes(OfParty):
    codes: Literal["0", "1"] = "0"


class ManyCoupons(OfPartyWithCodes):
    after: Number = 0
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 100
    state: CouponState | None = None
    user: Search | None = None


class Codes(OfParty):
    after: Number = 0
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 100


class SearchedCoupons(OfPartyWithCodes):
    code: Search | None = None
    user: Search | None = None
    order: Search | None = None

    @model_validator(mode="after")
    def _something_to_go_by(self) -> SearchedCoupons:
        if self.code is None and self.user is None and self.order is None:
            raise ValueError("give a code, a user or an order at least")
        return self


def may_list_codes(campaign: Campaign, party: str | None) -> bool:
    """Codes are for staff, the owner and those who issue; a party that only redeems is shown them by its customers."""
    return party is None or campaign.issuable_by(party)


def coupon_item(campaign: Campaign, coupon: CouponView, code: str | None, *, with_code: bool) -> dict[str, Any]:
    """A coupon as it stands in a list; `state` of a code nobody holds yet: `exported`, or `available` (uploaded)."""
    unheld = "exported" if campaign.supply == "generated" else "available"
    normal = None if code is None else normalise(code)
    item: dict[str, Any] = {
        "id": campaign.coupon_id(coupon.number),
        "number": coupon.number,
        "user": coupon.user,
        "state": unheld if coupon.state is None else STATE_NAMES[coupon.state],
        "code_last": None if normal is None else last_four(normal),
        "issued_at": instant_or_none(coupon.issued_at),
        "expires_at": instant(campaign.ends if coupon.issued_at is None else campaign.span_from(coupon.issued_at)[1]),
        "redemptions": coupon.redemptions,
    }
    if campaign.in_parts:
        usable = coupon.state in (None, HELD, RESERVED)
        left = capacity(campaign.terms) - (coupon.spent or 0) if usable else 0
        item["balance" if campaign.gift else "uses_left"] = left
    if with_code:
        item["code"] = code
    return item


async def of_campaign(source: Source, request: Request) -> dict[str, Any]:
    """GET /campaigns/{id}/coupons."""
    asked = parameters(request, ManyCoupons)
    async with source.snapshot() as connection:
        campaign = await visible_campaign(connection, campaign_named(request), asked.party)
        state = None if asked.state is None else STATE_NUMBERS[asked.state]
        found = await reading.coupons_after(
            connection, campaign.number, asked.after, state, asked.user, asked.limit + 1
        )
        page = found[: asked.limit]
        codes = await source.codes_of(connection, [(campaign, coupon) for coupon in page])
    with_code = asked.codes == "1" and may_list_codes(campaign, asked.party)
    items = [coupon_item(campaign, coupon, code, with_code=with_code) for coupon, code in zip(page, codes, strict=True)]
    return {"coupons": items, "next": page[-1].number if len(found) > asked.limit else None}


async def codes_of_campaign(source: Source, request: Request) -> dict[str, Any]:
    """GET /campaigns/{id}/codes: every code that exists, by number: uploaded, exported, held."""
    asked = parameters(request, Codes)
    async with source.snapshot() as connection:
        campaign = await visible_campaign(connection, campaign_named(request), asked.party)
        if not may_list_codes(campaign, asked.party):
            raise campaign_not_found()
        found, more = await _codes_after(connection, campaign, asked.after, asked.limit)
        codes = await source.codes_of(connection, [(campaign, coupon) for coupon in found])
    items = [coupon_item(campaign, coupon, code, with_code=True) for coupon, code in zip(found, codes, strict=True)]
    return {
        "codes": [{"coupon": item["id"], "code": item["code"], "state": item["state"]} for item in items],
        "next": found[-1].number if more else None,
    }


async def _codes_after(
    connection: Connection, campaign: Campaign, after: int, limit: int
) -> tuple[list[CouponView], bool]:
    """The next codes, and whether there are more."""
    if campaign.supply == "generated":
        # Each number up to last_number is a coupon somebody got, or left the platform as a bearer code.
        last = min(after + limit, campaign.last_number)
        states = await reading.states_between(connection, campaign.number, after, last)
        found = [
            CouponView(campaign.number, number, None, states.get(number), 0, None, None)
            for number in range(after + 1, last + 1)
        ]
        return found, last < campaign.last_number and bool(found)
    if campaign.supply == "uploaded":
        rows = await reading.uploaded_after(connection, campaign.number, after, limit + 1)
        found = [CouponView(campaign.number, number, None, state, 0, None, shown) for number, shown, state in rows]
    else:
        found = await reading.coupons_after(connection, campaign.number, after, None, None, limit + 1)
    return found[:limit], len(found) > limit


async def visible_coupon(
    connection: Connection, campaign: UUID, number: int, party: str | None
) -> tuple[Campaign, CouponView]:
    """The coupon with this number, for those who may know of its campaign. Raises Problem 404 for all others."""
    found = await visible_with_clock(connection, campaign, party)
    coupons = [] if found is None else await searching.coupons_at(connection, party, [(found[0].number, number)])
    if found is None or not coupons:
        raise coupon_not_found()
    return found[0], coupons[0]


async def one(source: Source, request: Request) -> dict[str, Any]:
    """GET /coupons/{coupon id}."""
    asked = parameters(request, OfPartyWithCodes)
    named = coupon_named(request)
    async with source.snapshot() as connection:
        _, coupon = await visible_coupon(connection, *named, asked.party)
        items = await _whole(source, connection, [coupon], asked.party, with_codes=asked.codes == "1")
    return items[0]


async def search(source: Source, request: Request) -> dict[str, Any]:
    """GET /coupons?code=&user=&order=: coupons for which all that is given holds, and what was refused about them."""
    asked = parameters(request, SearchedCoupons)
    async with source.snapshot() as connection:
        coupons = await _found(source, connection, asked)
        items = await _whole(source, connection, coupons, asked.party, with_codes=asked.codes == "1")
        meant = None if asked.code is None else [split_coupon_id(item["id"]) for item in items]
        refusals = await searching.refusals_about(connection, asked.party, asked.user, asked.order, meant, MOST_FOUND)
    return {"coupons": items, "refusals": [_refusal_item(refusal, asked.party) for refusal in refusals]}


async def _found(source: Source, connection: Connection, asked: SearchedCoupons) -> list[CouponView]:
    party, user = asked.party, asked.user
    by_code = None
    if asked.code is not None:
        by_code = await _by_code(source, connection, asked.code, party, user)
    if asked.order is not None:
        found = await searching.coupons_of_order(connection, party, asked.order, MOST_FOUND)
        if by_code is not None:
            named = {(coupon.campaign, coupon.number) for coupon in by_code}
            found = [coupon for coupon in found if (coupon.campaign, coupon.number) in named]
    elif by_code is not None:
        found = by_code
    else:
        return await searching.coupons_of_user(connection, party, user or "", MOST_FOUND)
    return [coupon for coupon in found if user is None or coupon.user == user][:MOST_FOUND]


async def _by_code(
    source: Source, connection: Connection, code: str, party: str | None, user: str | None
) -> list[CouponView]:
    normal = normalise(code)
    if normal is None:
        return []
    found = await searching.coupons_with_code(connection, party, normal, user, MOST_FOUND)
    for campaign, number in await places_of_code(source, connection, code, party, redeemable=False):
        held = await searching.coupons_at(connection, party, [(campaign.number, number)])
        if not held:
            code_alone = await searching.code_nobody_holds(connection, campaign.number, number)
            held = [] if code_alone is None else [code_alone]
        found += held
    return found


async def places_of_code(
    source: Source, connection: Connection, code: str, party: str | None, *, redeemable: bool
) -> list[tuple[Campaign, int]]:
    """Campaigns and coupon numbers of a generated code, where the party may redeem (else: know of) it."""
    places = []
    at = await _place_of_serial(source, connection, code, party, redeemable=redeemable)
    if at is not None:
        places.append(at)
    normal = normalise(code) or ""
    for campaign in await searching.campaigns_with_pattern(connection, party, normal, redeemable=redeemable):
        own = own_codes(source.codes, campaign)
        number = None if own is None else own.number_of(code)
        if number is not None and number <= campaign.last_number:
            places.append((campaign, number))
    return places


async def _place_of_serial(
    source: Source, connection: Connection, code: str, party: str | None, *, redeemable: bool
) -> tuple[Campaign, int] | None:
    serial = source.codes.serial_of(code)
    if serial is None:
        return None
    found = await searching.campaign_of_block(connection, party, block_of(serial), redeemable=redeemable)
    if found is None or found[2] != version_of(code):
        return None
    campaign, index, _ = found
    number = number_at(index, serial)
    return (campaign, number) if number <= campaign.last_number else None


async def _whole(
    source: Source, connection: Connection, coupons: Sequence[CouponView], party: str | None, *, with_codes: bool
) -> list[dict[str, Any]]:
    """Coupons with their campaign and redemptions."""
    campaigns = await reading.campaigns_by_number(connection, list({coupon.campaign for coupon in coupons}))
    pairs = [(campaigns[coupon.campaign], coupon) for coupon in coupons]
    codes = await source.codes_of(connection, pairs)
    keys = [(coupon.campaign, coupon.number) for coupon in coupons if coupon.redemptions]
    redemptions: dict[tuple[int, int], list[Redemption]] = {}
    for redemption in await redemptions_of(connection, keys):
        redemptions.setdefault((redemption.campaign, redemption.coupon), []).append(redemption)
    reserved_keys = [(coupon.campaign, coupon.number) for coupon in coupons if coupon.state == RESERVED]
    reserved = {(held.campaign, held.number): held for held in await coupons_by_number(connection, reserved_keys)}
    items = []
    for (campaign, coupon), code in zip(pairs, codes, strict=True):
        key = (coupon.campaign, coupon.number)
        rows, held = redemptions.get(key, []), reserved.get(key)
        items.append(whole_item(campaign, coupon, code, rows, held, party=party, with_code=with_codes))
    return items


def whole_item(
    campaign: Campaign,
    coupon: CouponView,
    code: str | None,
    redemptions: Sequence[Redemption],
    reserved: Coupon | None,
    *,
    party: str | None,
    with_code: bool,
) -> dict[str, Any]:
    """A coupon with its redemptions, as this party may see it. `reserved`: the coupon itself while it is."""
    owns = party is None or party == campaign.owner
    item = coupon_item(campaign, coupon, code, with_code=with_code)
    item["campaign"] = campaign.text
    item["redemptions"] = [_redemption_item(row) for row in redemptions if owns or row.party == party]
    if reserved is not None and owns:
        item["reserved_by"] = reserved.reserved_order
        item["reserved_until"] = instant_or_none(reserved.due_at)
        if reserved.reserved_units is not None and campaign.gift:
            item["reserved_amount"] = reserved.reserved_units
    return item


def _redemption_item(redemption: Redemption) -> dict[str, Any]:
    kind, _, who = redemption.actor.partition(":")
    terminal = who.partition("/")[2] if kind == "merchant" else ""
    return {
        "redemption": redemption.number,
        "order": redemption.order,
        "amount": redemption.amount,
        "discount": redemption.discount,
        "at": instant(redemption.at),
        "returned": redemption.returned,
        "returned_at": instant_or_none(redemption.returned_at),
        "terminal": terminal or None,
    }


def _refusal_item(refusal: searching.RefusalView, party: str | None) -> dict[str, Any]:
    """A refusal that was kept. Only staff and the owner see that a code was another user's: see `finding.find`."""
    campaign = None if refusal.campaign is None else str(refusal.campaign)
    coupon = None if refusal.coupon is None or campaign is None else f"{campaign}.{refusal.coupon}"
    body = json.loads(refusal.body)
    if body["code"] == NotThisUsersCoupon.code and party not in (None, refusal.owner):
        body, coupon = CouponNotFound().as_json(), None
    return {
        "command": str(refusal.command),
        "at": instant(refusal.at),
        **body,
        "campaign": campaign,
        "user": refusal.user,
        "order": refusal.order,
        "coupon": coupon,
    }
