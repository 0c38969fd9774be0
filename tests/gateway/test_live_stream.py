"""The live stream: what happens is seen as it happens, and gone on with where one left off."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.live_stream import PositionUnreadable, pack, unpack
from tests.support.gateway import GatewayPlatform


class Reader:
    """A reader of server-sent events that knows the protocol and nothing of ours."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self.lines = lines
        self.last_event_id = ""

    async def events(self, count: int, within: float = 20.0) -> list[dict[str, Any]]:
        """The next events; fails when they do not come in time."""
        found: list[dict[str, Any]] = []
        data: list[str] = []
        async with asyncio.timeout(within):
            while len(found) < count:
                line = await anext(self.lines)
                if line.startswith("data: "):
                    data.append(line[6:])
                elif line.startswith("id: "):
                    self.last_event_id = line[4:]
                elif not line and data:
                    found.append(json.loads("\n".join(data)))
                    data = []
        return found

    async def position(self, within: float = 20.0) -> str:
        """Read on until the first id has come."""
        async with asyncio.timeout(within):
            while not self.last_event_id:
                line = await anext(self.lines)
                if line.startswith("id: "):
                    self.last_event_id = line[4:]
        return self.last_event_id


@asynccontextmanager
async def watching(
    gateway: GatewayPlatform, *, instance: int = 0, last: str = "", **query: str
) -> AsyncIterator[Reader]:
    headers = {"authorization": f"Bearer {gateway.admin_token}"} | ({"last-event-id": last} if last else {})
    url = f"{gateway.url(instance)}/internal/v1/events"
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as http,
        http.stream("GET", url, headers=headers, params=query) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer.aiter_lines())


async def claim(gateway: GatewayPlatform, campaign: str, *users: str) -> None:
    for user in users:
        await gateway.done("POST", f"/campaigns/{campaign}/claim", {"user": user})


class TestAPosition:
    def test_is_packed_shortly_and_comes_back(self) -> None:
        position = {partition: partition * 1_000_003 for partition in range(64)}
        assert unpack(pack(position), 64) == position
        assert len(pack(position)) < 360

    @pytest.mark.parametrize("text", ["", "!", "gA", "AAA", "____________________"])
    def test_that_is_none_of_ours_is_refused(self, text: str) -> None:
        with pytest.raises(PositionUnreadable):
            unpack(text, 8)


class TestTheStream:
    async def test_shows_events_of_a_campaign_in_order_and_nothing_else(
        self, gateway: GatewayPlatform, campaign: str, spring: dict[str, Any]
    ) -> None:
        async with watching(gateway, campaign=campaign) as reader:
            await reader.position()
            other = (await gateway.done("POST", "/campaigns", spring, key=campaign))["campaign"]
            await claim(gateway, other, "x")
            await claim(gateway, campaign, "a", "b", "c")
            events = await reader.events(3)
        assert [event["data"]["user"] for event in events] == ["a", "b", "c"]
        assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + 3))

    async def test_filters_by_type_and_owner(self, gateway: GatewayPlatform, campaign: str) -> None:
        async with (
            watching(gateway, campaign=campaign, type="scrip.campaign.*") as campaigns,
            watching(gateway, campaign=campaign, party="platform", type="scrip.coupon.issued.v1") as issued,
        ):
            await campaigns.position()
            await issued.position()
            await claim(gateway, campaign, "a")
            await gateway.done("POST", f"/campaigns/{campaign}/pause", {"reason": "x"})
            assert [event["type"] for event in await campaigns.events(1)] == ["scrip.campaign.paused.v1"]
            assert [event["type"] for event in await issued.events(1)] == ["scrip.coupon.issued.v1"]

    async def test_goes_on_without_gap_or_repeat_at_another_gateway(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        async with watching(gateway, campaign=campaign) as reader:
            await reader.position()
            await claim(gateway, campaign, "a", "b", "c")
            first = await reader.events(2)
            last = reader.last_event_id
        await claim(gateway, campaign, "d")
        async with watching(gateway, campaign=campaign, instance=1, last=last) as reader:
            await claim(gateway, campaign, "e")
            rest = await reader.events(3)
        assert [event["data"]["user"] for event in first + rest] == ["a", "b", "c", "d", "e"]

    async def test_catches_up_with_thousands_that_were_missed(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        campaign = (await gateway.done("POST", "/campaigns", {**spring, "quantity": 3000}))["campaign"]
        async with watching(gateway, campaign=campaign) as reader:
            last = await reader.position()
        await gateway.done("POST", f"/campaigns/{campaign}/issue", {"users": [f"u{n}" for n in range(3000)]})
        async with watching(gateway, campaign=campaign, last=last) as reader:
            await claim_refused(gateway, campaign)
            events = await reader.events(3001, within=40)
        assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + 3001))
        assert events[-1]["type"] == "scrip.campaign.exhausted.v1"

    async def test_refuses_a_position_that_is_none(self, gateway: GatewayPlatform) -> None:
        answer = await gateway.staff("GET", "/events", headers={"last-event-id": "nonsense"})
        assert answer.status_code == 400


async def claim_refused(gateway: GatewayPlatform, campaign: str) -> None:
    answer = await gateway.staff("POST", f"/campaigns/{campaign}/claim", {"user": "late"})
    assert answer.json()["code"] == "campaign_exhausted"
