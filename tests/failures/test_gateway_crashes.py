"""A gateway that is killed: what was sent has its effect once, what all lanes must know reaches them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.figures import show
from tests.support.gateway import GatewayPlatform, running_gateway
from tests.support.live_streams import claim, watching
from tests.support.servers import Servers

NOW = "2026-03-10T12:00:00Z"

KILLED = -signal.SIGKILL


@pytest.fixture
def spring() -> dict[str, Any]:
    """An internal campaign that is live, with a name of its own."""
    return {
        "terms": {
            "name": f"Spring {uuid4().hex[:6]}",
            "currency": "EUR",
            "discount": {"kind": "amount_off", "amount": 500},
            "validity": {"starts": "2026-03-01", "ends": "2026-03-31"},
        },
        "quantity": 1000,
    }


@pytest_asyncio.fixture(scope="module")
async def crashing(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayPlatform]:
    """A platform whose gateway is killed and started again."""
    folder = tmp_path_factory.mktemp("crashing")
    async with running_core(databases, backend.bootstrap, folder) as core, running_gateway(core) as running:
        await running.done("POST", "/clock", {"to": NOW})
        yield running


async def restarted(gateway: GatewayPlatform, failpoints: str, hits: Path | None = None) -> None:
    gateway.stop_process() if gateway.processes[0].poll() is None else None
    gateway.start_process(0, SCRIP_FAILPOINTS=failpoints, SCRIP_FAILPOINT_LOG=str(hits or ""))
    await gateway.wait_ready()


async def killed(gateway: GatewayPlatform) -> int:
    return await asyncio.to_thread(gateway.processes[0].wait, 10)


class TestAGatewayKilled:
    @pytest.mark.parametrize("place", ["gateway.before_acknowledged", "gateway.after_acknowledged"])
    async def test_around_the_acknowledgement_lets_the_same_request_have_its_effect_once(
        self, crashing: GatewayPlatform, spring: dict[str, Any], tmp_path: Path, place: str
    ) -> None:
        campaign = (await crashing.done("POST", "/campaigns", spring))["campaign"]
        await restarted(crashing, f"{place}=kill", tmp_path / "hits")
        claim = ("POST", f"/campaigns/{campaign}/claim", {"user": "once"})
        with pytest.raises(httpx.TransportError):
            await crashing.staff(*claim, key="claim-once")
        assert await killed(crashing) == KILLED
        assert (tmp_path / "hits").read_text().startswith(f"{place} 1 kill")
        show(f"killed at {place}")
        await restarted(crashing, "")
        again = await crashing.done(*claim, key="claim-once")
        assert again["user"] == "once"
        assert (await crashing.done("GET", f"/campaigns/{campaign}"))["issued"] == 1

    async def test_while_lanes_are_told_of_a_merchant_goes_on_telling_them(
        self, crashing: GatewayPlatform, tmp_path: Path
    ) -> None:
        await restarted(crashing, "gateway.before_acknowledged=kill@3", tmp_path / "hits")
        document = {"name": "Interrupted", "dialect": "scrip"}
        with pytest.raises(httpx.TransportError):
            await crashing.staff("POST", "/merchants", document, key="interrupted")
        assert await killed(crashing) == KILLED
        await restarted(crashing, "")
        added = (await crashing.staff("POST", "/merchants", document, key="interrupted")).json()
        assert (added["state"], added["credentials"]) in (("verified", None), ("active", None))
        for _ in range(60):
            found = await crashing.done("GET", f"/merchants/{added['id']}")
            if found["state"] == "active":
                break
            await asyncio.sleep(0.5)
        assert found["state"] == "active"
        rotated = await crashing.done("POST", f"/merchants/{added['id']}/terminals/{added['terminal']}/rotate", {})
        shown = {"authorization": f"Bearer {rotated['credentials']['key']}"}
        matched = await crashing.request("GET", "/merchant/v1/campaigns", headers=shown)
        assert matched.status_code == 200, matched.text

    async def test_in_the_middle_of_a_bulk_request_lets_the_same_request_finish_it(
        self, crashing: GatewayPlatform, spring: dict[str, Any], tmp_path: Path
    ) -> None:
        campaign = (await crashing.done("POST", "/campaigns", {**spring, "quantity": 3000}))["campaign"]
        await restarted(crashing, "gateway.after_acknowledged=kill@3", tmp_path / "hits")
        bulk = ("POST", f"/campaigns/{campaign}/issue", {"users": [f"u{n}" for n in range(3000)]})
        with pytest.raises(httpx.TransportError):
            await crashing.staff(*bulk, key="bulk-once")
        assert await killed(crashing) == KILLED
        await restarted(crashing, "")
        done = await crashing.staff(*bulk, key="bulk-once")
        if done.status_code == 202:
            await asyncio.sleep(5)
            done = await crashing.staff(*bulk, key="bulk-once")
        assert (done.json()["accepted"], done.json()["refused"]) == (3000, 0)
        assert (await crashing.done("GET", f"/campaigns/{campaign}"))["issued"] == 3000

    async def test_lets_a_live_stream_go_on_without_gap_or_repeat(
        self, crashing: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        campaign = (await crashing.done("POST", "/campaigns", spring))["campaign"]
        async with watching(crashing, campaign=campaign) as reader:
            await reader.position()
            await claim(crashing, campaign, "a", "b")
            first = await reader.events(2)
            crashing.processes[0].kill()
        await killed(crashing)
        await restarted(crashing, "")
        await claim(crashing, campaign, "c")
        async with watching(crashing, campaign=campaign, last=reader.last_event_id) as reader:
            await claim(crashing, campaign, "d")
            rest = await reader.events(2)
        assert [event["data"]["user"] for event in first + rest] == ["a", "b", "c", "d"]


class TestAGatewayStopped:
    async def test_by_sigterm_ends_with_zero_although_streams_are_open(
        self, crashing: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        async with watching(crashing) as reader:
            await reader.position()
            assert await asyncio.to_thread(crashing.stop_process) == 0


class TestWithoutCore:
    async def test_a_request_is_accepted_and_decided_when_core_is_back(
        self, crashing: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        await restarted(crashing, "")
        campaign = (await crashing.done("POST", "/campaigns", spring))["campaign"]
        core = crashing.core
        await asyncio.to_thread(core.processes[0].stop)
        sent = await crashing.staff("POST", f"/campaigns/{campaign}/claim", {"user": "patient"}, key="patient")
        assert (sent.status_code, sent.json()["status"]) == (202, "pending")
        away = await crashing.staff("GET", f"/campaigns/{campaign}")
        assert (away.status_code, away.json()["code"]) == (503, "not_now")
        assert away.headers["retry-after"]
        core.start_process(0)
        await core.wait_ready(0)
        # Its address is another one now.
        await restarted(crashing, "")
        done = await crashing.staff("POST", f"/campaigns/{campaign}/claim", {"user": "patient"}, key="patient")
        for _ in range(20):
            if done.status_code == 200:
                break
            done = await crashing.staff("POST", f"/campaigns/{campaign}/claim", {"user": "patient"}, key="patient")
        assert (done.json()["user"], done.headers["idempotent-replayed"]) == ("patient", "true")
        assert (await crashing.done("GET", f"/campaigns/{campaign}"))["issued"] == 1
