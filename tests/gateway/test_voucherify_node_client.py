"""Voucherify's published Node client drives a running gateway; only its base address is changed."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.gateway import GatewayPlatform

CLIENT = Path(__file__).parents[1] / "clients" / "voucherify-node"
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "network")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client with its packages, installed by the lock in a folder of the test's own."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node on this machine")
    folder = tmp_path_factory.mktemp("voucherify-node")
    shutil.copytree(CLIENT, folder, dirs_exist_ok=True)
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode != 0 and any(word in done.stderr for word in OFFLINE):
        pytest.skip("npm cannot fetch the packages of the client: there is no network")
    assert done.returncode == 0, done.stderr
    return folder


async def test_the_node_client_walks_from_a_campaign_to_a_rollback(gateway: GatewayPlatform, client: Path) -> None:
    shop = await gateway.add_merchant(f"N {uuid4().hex[:6]}", dialect="voucherify", currency="EUR")
    shown = shop.credentials
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", "walk.mjs", gateway.url(), shown["app_id"], shown["app_token"]],
        cwd=client,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    name = told["created"].pop("name")
    assert name.endswith("ü/1")
    assert told == {
        "created": {"count": 3, "percent": 12.5},
        "seen": True,
        "listed": 4,
        "published": {"result": "SUCCESS", "prefix": "NODE-"},
        "valid": {"valid": True, "total": 17_500},
        "stacked": {"valid": True, "total": 17_500},
        "redeemed": {"result": "SUCCESS", "discount": 2_500},
        "twice": {"code": 400, "key": "quantity_exceeded"},
        "rolledBack": {"result": "SUCCESS", "reason": "wrong size"},
        "again": "SUCCESS",
        "disabled": False,
        "unknown": {"code": 404, "key": "resource_not_found"},
        "action": {"object": "async_action", "status": "DONE", "outcome": "SUCCESS"},
    }
