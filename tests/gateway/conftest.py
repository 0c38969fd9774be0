"""One platform of core and gateway for the tests of this folder that do not stop anything."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.gateway import GatewayPlatform, running_gateway
from tests.support.servers import Servers

NOW = "2026-03-10T12:00:00Z"


@pytest_asyncio.fixture(scope="package")
async def gateway(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayPlatform]:
    """Two gateways and a core that keep told time; it is the 10th of March 2026, noon."""
    folder = tmp_path_factory.mktemp("gateway")
    limits = {"SCRIP_ACCESS_REQUESTS_PER_MINUTE": "20", "SCRIP_STREAM_CONNECTIONS": "4"}
    async with (
        running_core(databases, backend.bootstrap, folder) as core,
        running_gateway(core, processes=2, environment=limits) as running,
    ):
        told = await running.done("POST", "/clock", {"to": NOW})
        assert told["now"] == NOW
        yield running


@pytest.fixture
def spring() -> dict[str, Any]:
    """Terms and quantity of an internal campaign that is live, with a name of its own."""
    return {
        "terms": {
            "name": f"Spring {uuid4().hex[:6]}",
            "currency": "EUR",
            "discount": {"kind": "amount_off", "amount": 500},
            "validity": {"starts": "2026-03-01", "ends": "2026-03-31", "zone": "Europe/Berlin"},
        },
        "quantity": 1000,
    }


@pytest_asyncio.fixture
async def campaign(gateway: GatewayPlatform, spring: dict[str, Any]) -> str:
    """A live internal campaign of 1,000 generated codes; its id."""
    return str((await gateway.done("POST", "/campaigns", spring))["campaign"])
