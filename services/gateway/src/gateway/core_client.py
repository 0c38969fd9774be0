"""Queries to coupon-core's read API."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any
from uuid import UUID

import httpx

from contracts.answers import Reply
from dialects.calls import ExportKind
from gateway.service_client import ServiceClient

RESOLVED_SECONDS = 30.0
RESOLVED_LIMIT = 100_000

Item = dict[str, Any]


class CoreClient:
    """Core's queries, each restricted to what `party` may see; `party` None sees everything (staff).

    All raise ServiceAway when core cannot be reached or does not answer in time, and give None where core
    says that there is nothing to see.
    """

    def __init__(self, service: ServiceClient) -> None:
        self.service = service
        self._resolved: OrderedDict[tuple[str, str, str | None], tuple[float, UUID]] = OrderedDict()

    async def outcome(self, command: UUID) -> Reply | None:
        """The outcome of a command; None: not decided yet, or unknown. Check before whose it is."""
        found = await self.service.get(f"/commands/{command}")
        return None if found is None else Reply.model_validate(found)

    async def why(self, command: UUID, row: int | None) -> Item | None:
        """A command's answer beside the decision taken again; None: not decided yet, or unknown."""
        return await self.service.get(f"/commands/{command}/why", row=row)

    async def campaign(self, campaign: UUID, party: str | None) -> Item | None:
        """A campaign with its counters."""
        return await self.service.get(f"/campaigns/{campaign}", party=party)

    async def campaign_as_of(self, campaign: UUID, **moment: str | int | None) -> Item | None:
        """A campaign as it was; `at` (RFC 3339) or `seq`, one of them. None: it was not there yet."""
        return await self.service.get(f"/campaigns/{campaign}/as-of", **moment)

    async def campaigns(self, party: str | None, **filters: str | int | None) -> Item:
        """`{"campaigns", "next"}`; filters `origin`, `state`, `after`, `limit`."""
        return await self.service.get("/campaigns", party=party, **filters) or {"campaigns": [], "next": None}

    async def catalogue(self, **filters: str | int | None) -> Item:
        """`{"campaigns", "next"}` of what stands in the catalogue; filters `after`, `limit`."""
        return await self.service.get("/catalogue", **filters) or {"campaigns": [], "next": None}

    async def campaign_coupons(self, campaign: UUID, party: str | None, **filters: str | int | None) -> Item | None:
        """`{"coupons", "next"}`; filters `after`, `limit`, `state`, `user`, `codes`."""
        return await self.service.get(f"/campaigns/{campaign}/coupons", party=party, **filters)

    async def campaign_codes(self, campaign: UUID, party: str | None, **filters: str | int | None) -> Item | None:
        """`{"codes", "next"}`: uploaded, exported and held codes; filters `after`, `limit`."""
        return await self.service.get(f"/campaigns/{campaign}/codes", party=party, **filters)

    async def campaign_events(self, campaign: UUID, **filters: str | int | None) -> Item | None:
        """`{"events"}` of a campaign in order; filters `after_seq`, `limit`."""
        return await self.service.get(f"/campaigns/{campaign}/events", **filters)

    async def export(
        self, campaign: UUID, what: ExportKind, party: str | None, **filters: str | int | None
    ) -> httpx.Response | None:
        """Codes, coupons or history of a campaign as they stream; to be closed."""
        return await self.service.stream(f"/campaigns/{campaign}/export/{what}", party=party, **filters)

    async def coupon(self, coupon: str, party: str | None, *, codes: bool = False) -> Item | None:
        """A coupon with its redemptions."""
        return await self.service.get(f"/coupons/{coupon}", party=party, codes=1 if codes else None)

    async def coupon_as_of(self, coupon: str, **moment: str | int | None) -> Item | None:
        """A coupon as it was; `at` (RFC 3339) or `seq`, one of them. None: nobody held it yet."""
        return await self.service.get(f"/coupons/{coupon}/as-of", **moment)

    async def coupon_history(self, coupon: str, party: str | None) -> Item | None:
        """`{"events"}` of a coupon in order."""
        return await self.service.get(f"/coupons/{coupon}/history", party=party)

    async def coupons(self, party: str | None, *, code: str | None, user: str | None, order: str | None) -> Item:
        """`{"coupons", "refusals"}` found by code, user or order; one at least."""
        found = await self.service.get("/coupons", party=party, code=code, user=user, order=order)
        return found or {"coupons": [], "refusals": []}

    async def validate(self, question: Item) -> Item:
        """The answer to `{"party", "campaign", "code", "user", "order", "amount", "discount", "items"}`."""
        return await self.service.post("/validate", question)

    async def resolve(self, party: str, code: str, user: str | None) -> list[UUID]:
        """Campaigns in which this party may redeem that code: none, one, or several (then it is ambiguous).

        A single find is remembered for half a minute; a miss never is.
        """
        key = (party, code, user)
        known = self._resolved.get(key)
        if known is not None and known[0] > time.monotonic():
            return [known[1]]
        answer = await self.service.get("/resolve", party=party, code=code, user=user) or {"candidates": []}
        found = list(dict.fromkeys(UUID(candidate["campaign"]) for candidate in answer["candidates"]))
        if len(found) == 1:
            self._resolved[key] = (time.monotonic() + RESOLVED_SECONDS, found[0])
            self._resolved.move_to_end(key)
            if len(self._resolved) > RESOLVED_LIMIT:
                self._resolved.popitem(last=False)
        return found

    def forget_resolved(self, party: str, code: str, user: str | None) -> None:
        """Ask anew next time: the campaign found did not know the code."""
        self._resolved.pop((party, code, user), None)
