"""Reads from coupon-core over HTTP: the coupons of a campaign, codes included. Codes are never stored here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from merchant_adapter.interfaces import Offer

PAGE = 500


class CoreUnavailable(Exception):
    """coupon-core did not answer as it should; try again later."""


@dataclass(frozen=True, slots=True)
class HeldCoupon:
    """A coupon as core tells it."""

    number: int
    user: str | None
    state: str
    code: str


class CoreReader:
    """One HTTP client to core, with the service token."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=15, trust_env=False
        )

    async def aclose(self) -> None:
        """Close the client."""
        await self._http.aclose()

    async def offer(self, campaign: UUID) -> Offer | None:
        """What the campaign's coupons are worth; None: there is no such campaign (yet)."""
        found = await self._get(f"/campaigns/{campaign}")
        if found is None:
            return None
        terms = found["terms"]
        return Offer(
            name=terms["name"],
            discount=terms["discount"],
            currency=terms["currency"],
            valid_from=datetime.fromisoformat(found["starts"]),
            valid_until=datetime.fromisoformat(found["ends"]),
            minimum_spend=terms.get("minimum_spend", 0),
        )

    async def coupons(self, campaign: UUID, after: int, limit: int = PAGE) -> list[HeldCoupon]:
        """Coupons by number; fewer than `limit`: there are no more at present."""
        page = await self._get(f"/campaigns/{campaign}/coupons", after=after, limit=limit, codes=1)
        return [] if page is None else [_coupon(item) for item in page["coupons"]]

    async def coupon(self, coupon: str) -> HeldCoupon | None:
        """One coupon by its id."""
        found = await self._get(f"/coupons/{coupon}", codes=1)
        return None if found is None else _coupon(found)

    async def _get(self, path: str, **query: int | str) -> dict[str, Any] | None:
        try:
            answer = await self._http.get(path, params=query)
        except httpx.HTTPError as error:
            raise CoreUnavailable(type(error).__name__) from error
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise CoreUnavailable(f"coupon-core answered {answer.status_code} to {path.split('?')[0]}")
        body: dict[str, Any] = answer.json()
        return body


def _coupon(item: dict[str, Any]) -> HeldCoupon:
    return HeldCoupon(item["number"], item["user"], item["state"], item.get("code") or "")
