"""The live stream: what happens is seen as it happens, and gone on with where one left off."""

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from gateway.live_stream import (
    QUEUE_RECORDS,
    TOO_SLOW,
    Filters,
    LiveStream,
    PositionUnreadable,
    frame,
    pack,
    unpack,
)
from tests.support.gateway import GatewayPlatform
from tests.support.live_streams import claim, watching


@pytest_asyncio.fixture
async def campaign(gateway: GatewayPlatform, spring: dict[str, Any]) -> str:
    """A live campaign whose first events are over: it is answered before its events are emitted."""
    async with watching(gateway, type="scrip.campaign.generated.v1") as reader:
        await reader.position()
        made = str((await gateway.done("POST", "/campaigns", spring))["campaign"])
        while (await reader.events(1))[0]["subject"] != made:
            pass
    return made


class TestAPosition:
    def test_is_packed_shortly_and_comes_back(self) -> None:
        position = {partition: partition * 1_000_003 for partition in range(64)}
        assert unpack(pack(position), 64) == position
        assert len(pack(position)) < 360

    @pytest.mark.parametrize("text", ["", "!", "gA", "AAA", "____________________"])
    def test_that_is_none_of_ours_is_refused(self, text: str) -> None:
        with pytest.raises(PositionUnreadable):
            unpack(text, 8)


class TestAReaderThatFallsBehind:
    async def test_is_sent_away_with_a_message_and_may_come_back(self) -> None:
        live = LiveStream("nowhere:1", partitions=1, connections=1)
        live._position = {0: 10}
        live._ready.set()
        stream = await live.watch(None, Filters())
        first = await anext(stream)
        assert first == frame({0: 10}, None)
        record = SimpleNamespace(partition=0, offset=10, value=b"{}")
        for offset in range(10, 12 + QUEUE_RECORDS):
            live._hand_over(SimpleNamespace(**{**vars(record), "offset": offset}))
        pieces = [piece async for piece in stream]
        assert len(pieces) == QUEUE_RECORDS + 1
        assert pieces[-2] == frame({0: 10 + QUEUE_RECORDS}, b"{}")
        assert pieces[-1] == TOO_SLOW


class TestTheStream:
    async def test_has_room_for_so_many_only(self, gateway: GatewayPlatform) -> None:
        async with contextlib.AsyncExitStack() as stack:
            # Held in a list: a reader nobody holds closes its stream.
            readers = [await stack.enter_async_context(watching(gateway)) for _ in range(4)]
            for reader in readers:
                await reader.position()
            refused = await gateway.staff("GET", "/events")
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")

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
