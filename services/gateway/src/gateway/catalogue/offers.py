"""Whether a campaign stands in the catalogue, and whose it is."""

from __future__ import annotations

import time
from collections import OrderedDict
from uuid import UUID

from contracts.fields import PLATFORM
from dialects.protocol import Problem, RequestRefused
from gateway.core_client import CoreClient

REMEMBERED_SECONDS = 1.0
REMEMBERED_LIMIT = 10_000
CLAIMABLE = frozenset({"active", "exhausted"})
"""An exhausted campaign is refused by core, by that name."""


class Offers:
    """Looks an offer up before a claim; what core said holds for a second."""

    def __init__(self, core: CoreClient) -> None:
        self._core = core
        self._remembered: OrderedDict[UUID, tuple[float, str]] = OrderedDict()

    async def owner(self, campaign: UUID, party: str) -> str:
        """Whose offer it is. Raises RequestRefused (404) unless it stands in the catalogue for this party."""
        known = self._remembered.get(campaign)
        if known is None or known[0] < time.monotonic():
            found = await self._core.campaign(campaign, None)
            if found is None or not found["listed"] or found["state"] not in CLAIMABLE:
                raise offer_not_found()
            known = time.monotonic() + REMEMBERED_SECONDS, str(found["owner"])
            self._remembered[campaign] = known
            self._remembered.move_to_end(campaign)
            if len(self._remembered) > REMEMBERED_LIMIT:
                self._remembered.popitem(last=False)
        if party not in (PLATFORM, known[1]):
            raise offer_not_found()
        return known[1]


def offer_not_found() -> RequestRefused:
    """It does not stand in the catalogue."""
    return RequestRefused(
        Problem("offer_not_found", 404, "Offer not found", "There is no such offer in the catalogue for you.")
    )
