"""A gateway whose broker is away says so, carries nothing out, and goes on by itself when it is back."""

import asyncio
from typing import Any

import pytest

from scrip.backend import Backend
from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.gateway import GatewayPlatform, running_gateway

NOW = "2026-03-10T12:00:00Z"
CAMPAIGN: dict[str, Any] = {
    "terms": {
        "name": "Spring",
        "currency": "EUR",
        "discount": {"kind": "amount_off", "amount": 500},
        "validity": {"starts": "2026-03-01", "ends": "2026-03-31"},
    },
    "quantity": 100,
}


async def until_ready(gateway: GatewayPlatform, status: int) -> dict[str, Any]:
    for _ in range(300):
        answer = await gateway.http.get(f"{gateway.url()}/readyz")
        if answer.status_code == status:
            return dict(answer.json())
        await asyncio.sleep(0.1)
    raise AssertionError(f"/readyz never answered {status}: {answer.text}")


async def test_a_request_is_unknown_while_the_broker_is_away_and_has_its_effect_once_when_it_is_back(
    databases: Databases, fresh_broker: Backend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("without-broker")
    async with running_core(databases, fresh_broker.bootstrap, folder) as core, running_gateway(core) as gateway:
        await gateway.done("POST", "/clock", {"to": NOW})
        campaign = (await gateway.done("POST", "/campaigns", CAMPAIGN))["campaign"]
        claim = ("POST", f"/campaigns/{campaign}/claim", {"user": "patient"})
        await asyncio.to_thread(fresh_broker.halt, "kafka")
        unknown = await gateway.staff(*claim, key="patient")
        assert (unknown.status_code, unknown.json()["code"]) == (503, "outcome_unknown")
        assert unknown.headers["retry-after"]
        reasons = await until_ready(gateway, 503)
        assert "The Kafka broker does not answer." in reasons["reasons"]
        # What the database alone can answer goes on.
        assert (await gateway.staff("GET", "/merchants")).status_code == 200
        await asyncio.to_thread(fresh_broker.resume, "kafka")
        await until_ready(gateway, 200)
        for _ in range(20):
            done = await gateway.staff(*claim, key="patient")
            if done.status_code == 200:
                break
            await asyncio.sleep(1)
        assert done.json()["user"] == "patient"
        assert (await gateway.done("GET", f"/campaigns/{campaign}"))["issued"] == 1
