"""The adapter's read API, its dead letters, readiness and metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx

from contracts.merchants import SyncUsers
from contracts.topics import MERCHANT_COMMANDS
from tests.merchant_adapter.operations.conftest import Demo
from tests.support.adapter import Adapter
from tests.support.bad_commands import all_dead, send_bad_commands
from tests.support.services import until


async def test_every_route_wants_the_service_token_and_says_what_is_wrong(adapter: Adapter) -> None:
    paths = ("/merchants/x/users", "/users/x/y", "/sync-runs", "/sync-runs/x", "/deliveries", "/dead-letters")
    for path in paths:
        assert (await adapter.service.get(path, token="wrong")).status_code == 401
    for path in ("/merchants/x/users", "/sync-runs/x", "/deliveries/x"):
        answer = await adapter.service.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter"), path
    for path in (f"/sync-runs/{uuid4()}", f"/deliveries/{uuid4()}", f"/users/{uuid4()}/nobody", "/dead-letters/none"):
        assert (await adapter.service.get(path)).status_code == 404, path
    assert (await adapter.service.get("/sync-runs", limit="many")).status_code == 400
    assert (await adapter.service.get(f"/users/{uuid4()}/%00")).status_code == 400
    assert (await adapter.service.get("/deliveries", state="\0")).status_code == 400


async def test_users_come_in_pages_with_the_attributes_asked_for(adapter: Adapter, demo: Demo) -> None:
    merchant = await adapter.add_merchant(demo("--users", "25"))
    await adapter.sync(merchant)
    first = await adapter.service.read(f"/merchants/{merchant}/users", limit=20)
    assert (len(first["users"]), first["present"], first["gone"]) == (20, 25, 0)
    second = await adapter.service.read(f"/merchants/{merchant}/users", limit=20, after=first["next"])
    assert (len(second["users"]), second["next"]) == (5, None)
    names = list(first["users"][0]["attributes"])
    assert len(names) > 1
    few = await adapter.service.read(f"/merchants/{merchant}/users", attributes=names[0])
    assert all(set(user["attributes"]) <= {names[0]} for user in few["users"])


async def test_attributes_of_users_come_by_name_and_of_those_alone_that_are_known(adapter: Adapter, demo: Demo) -> None:
    merchant = await adapter.add_merchant(demo("--users", "5"))
    await adapter.sync(merchant)
    path, service = f"/merchants/{merchant}/attributes", adapter.service
    headers = {"authorization": "Bearer " + (service.secrets_folder / "service-token").read_text()}
    async with httpx.AsyncClient(base_url=service.processes[0].url, headers=headers, trust_env=False) as http:
        asked = {"users": ["user-0000001", "user-0000002", "nobody", "%"], "attributes": ["tier", "shoe_size"]}
        answer = await http.post(path, json=asked)
        assert answer.json() == {"users": {"user-0000001": {"tier": "silver"}, "user-0000002": {"tier": "gold"}}}
        users: list[Any] = [{"users": ["a"]}, {"users": "a", "attributes": []}, {"users": ["\0"], "attributes": ["b"]}]
        for wrong in (*users, []):
            refused = await http.post(path, json=wrong)
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter"), wrong
        assert (await http.post(path, headers={"authorization": "Bearer wrong"}, json=asked)).status_code == 401


async def test_a_bad_command_is_a_dead_letter_that_can_be_read(adapter: Adapter) -> None:
    key = str(uuid4()).encode()
    await adapter.gateway.send(MERCHANT_COMMANDS.name, key, b'{"type": "scrip.command.Unheard.v1"}')

    async def listed() -> list[dict[str, object]]:
        found = await adapter.service.read("/dead-letters", reason="unreadable")
        return [letter for letter in found["dead_letters"] if letter["topic"] == MERCHANT_COMMANDS.name]

    letters = await until(listed, why=adapter.logs)
    one = await adapter.service.read(f"/dead-letters/{letters[-1]['id']}")
    assert one["writer"] == "gateway"


async def test_commands_nobody_may_send_are_dead_letters_with_the_reason_and_start_no_run(adapter: Adapter) -> None:
    runs: list[UUID] = []

    def make(merchant: UUID, notafter: datetime) -> bytes:
        runs.append(uuid4())
        sync = SyncUsers(id=uuid4(), actor="staff:test", notafter=notafter, merchant=merchant, run=runs[-1])
        return sync.model_dump_json().encode()

    await all_dead(adapter.service, await send_bad_commands(adapter.service, MERCHANT_COMMANDS, make))
    for run in runs:
        assert (await adapter.service.get(f"/sync-runs/{run}")).status_code == 404


async def test_metrics_name_the_outbox_the_jobs_and_the_lag(adapter: Adapter) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{adapter.service.processes[0].url}/metrics")).text
    for name in ("scrip_outbox_oldest_unsent_seconds", "scrip_adapter_oldest_due_job_seconds", "scrip_consumer_lag"):
        assert name in metrics
