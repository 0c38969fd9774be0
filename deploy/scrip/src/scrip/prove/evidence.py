"""What a platform says afterwards: ledger and coupons by its API, events and refusals by Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer

from contracts.topics import COUPON_EVENTS, COUPON_REFUSALS
from messaging.header_names import read_any_header_name
from scrip.errors import PlatformError

PAGE = 1_000
CATCH_UP_SECONDS = 60.0


@dataclass
class Evidence:
    """Of the campaigns made for the proof."""

    ledger: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Campaign → its view with the counters."""
    coupons: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Campaign → its coupons by number."""
    events: dict[str, list[bytes]] = field(default_factory=dict)
    """Campaign → records of `coupon.events` in order, repeats included."""
    refusals: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Command → its record of `coupon.refusals`."""


class Log:
    """Events and refusals from the moment it was opened on."""

    def __init__(self, bootstrap: str) -> None:
        read_any_header_name()
        self._consumer = AIOKafkaConsumer(
            COUPON_EVENTS.name,
            COUPON_REFUSALS.name,
            bootstrap_servers=bootstrap.split(","),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )

    async def __aenter__(self) -> Log:
        await self._consumer.start()
        places = list(self._consumer.assignment())  # without a group: every partition
        for place, end in (await self._consumer.end_offsets(places)).items():
            self._consumer.seek(place, end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def read(self, found: Evidence, campaigns: Iterable[str]) -> None:
        """Take what has come so far."""
        places = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(places)
        wanted = set(campaigns)
        while any([await self._consumer.position(place) < ends[place] for place in places]):
            for place, records in (await self._consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    campaign = (record.key or b"").decode()
                    if campaign not in wanted:
                        continue
                    if place.topic == COUPON_EVENTS.name:
                        found.events.setdefault(campaign, []).append(record.value)
                    else:
                        refusal = json.loads(record.value)
                        found.refusals[refusal["id"]] = refusal


async def collect(http: httpx.AsyncClient, gateway: str, token: str, log: Log, campaigns: list[str]) -> Evidence:
    """Read everything; waits until the event log has what the ledger counts.

    Raises PlatformError when the platform does not answer.
    """
    found = Evidence()
    for campaign in campaigns:
        found.ledger[campaign] = await _get(http, f"{gateway}/internal/v1/campaigns/{campaign}", token)
        found.coupons[campaign] = []
        after: int | None = 0
        while after is not None:
            address = f"{gateway}/internal/v1/campaigns/{campaign}/coupons?limit={PAGE}&after={after}"
            page = await _get(http, address, token)
            found.coupons[campaign] += page["coupons"]
            after = page["next"]
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        await log.read(found, campaigns)
        behind = [c for c in campaigns if len(set(found.events.get(c, ()))) < found.ledger[c]["seq"]]
        if not behind or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.2)


async def _get(http: httpx.AsyncClient, address: str, token: str) -> dict[str, Any]:
    for _ in range(20):
        try:
            answer = await http.get(address, headers={"Authorization": f"Bearer {token}"})
        except httpx.TransportError:
            await asyncio.sleep(0.5)
            continue
        if answer.status_code == 200:
            body: dict[str, Any] = answer.json()
            return body
        await asyncio.sleep(0.5)
    raise PlatformError(f"{address} does not answer.")
