"""Fetching users: complete, resumable, reported; a bad merchant harms nobody but itself."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.merchants import SyncUsers, UsersSynced
from contracts.schedules import SyncUsersAction, TaskDue
from contracts.topics import SCHEDULE_EVENTS
from tests.merchant_adapter.operations.conftest import Demo
from tests.support.adapter import Adapter
from tests.support.demo_merchants import DemoMerchant
from tests.support.figures import show
from tests.support.services import sending_as, until


def put_user(demo: DemoMerchant, user: str, **attributes: object) -> None:
    answer = httpx.put(f"{demo.admin}/users/{user}", json={"attributes": attributes}, trust_env=False)
    assert answer.status_code == 204, answer.text


def remove_user(demo: DemoMerchant, user: str, *, tombstone: bool = False) -> None:
    query = "?leave=tombstone" if tombstone else ""
    assert httpx.delete(f"{demo.admin}/users/{user}{query}", trust_env=False).status_code == 204


async def ids_of(adapter: Adapter, merchant: UUID, **query: str) -> list[str]:
    found: list[str] = []
    following: str | None = ""
    while following is not None:
        page = await adapter.service.read(f"/merchants/{merchant}/users", after=following, limit=100, **query)
        found += [user["id"] for user in page["users"]]
        following = page["next"]
    return found


async def test_a_first_sync_brings_everybody_and_a_second_tells_what_changed(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "230")
    merchant = await adapter.add_merchant(shop)
    first = await adapter.sync(merchant)
    assert (first["status"], first["pages"]) == ("done", 5)
    assert [first[name] for name in ("seen", "new", "changed", "gone", "refused")] == [230, 230, 0, 0, 0]
    users = await ids_of(adapter, merchant)
    assert len(users) == len(set(users)) == 230

    put_user(shop, users[3], age="65+", changed=True)
    put_user(shop, "a-new-one", age="25-34")
    remove_user(shop, users[5])
    remove_user(shop, users[7], tombstone=True)
    second = await adapter.sync(merchant)
    assert [second[name] for name in ("new", "changed", "gone", "refused")] == [1, 1, 2, 0]
    third = await adapter.sync(merchant)
    assert [third[name] for name in ("new", "changed", "gone", "refused")] == [0, 0, 0, 0]

    now = set(await ids_of(adapter, merchant))
    assert now == (set(users) | {"a-new-one"}) - {users[5], users[7]}
    changed = await adapter.service.read(f"/users/{merchant}/{users[3]}")
    assert changed["attributes"]["changed"] is True
    put_user(shop, users[5], age="back")
    again = await adapter.sync(merchant)
    assert users[5] in await ids_of(adapter, merchant)
    assert again["gone"] == 0
    reports = [event for event in await adapter.events(merchant) if isinstance(event, UsersSynced)]
    assert [(event.seen, event.new, event.changed, event.gone) for event in reports[:2]] == [
        (230, 230, 0, 0),
        (second["seen"], 1, 1, 2),
    ]


async def test_only_the_attributes_that_are_asked_for_are_kept(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "1")
    put_user(shop, "someone", age="25-34", income="50K", shoe=44)
    merchant = await adapter.add_merchant(shop, fields=("age",))
    await adapter.sync(merchant)
    assert (await adapter.service.read(f"/users/{merchant}/someone"))["attributes"] == {"age": "25-34"}


async def test_a_tick_of_a_timed_task_is_one_run_however_often_it_comes(adapter: Adapter, demo: Demo) -> None:
    merchant = await adapter.add_merchant(demo("--users", "10"))
    tick, task = uuid4(), uuid4()
    event = TaskDue.model_validate(
        {"id": tick, "task": task, "due": "2026-01-01T00:00:00Z", "action": SyncUsersAction(merchant=merchant)}
    )
    async with sending_as("scheduler", adapter.service.bootstrap, adapter.service.secrets_folder) as scheduler:
        for _ in range(3):
            await scheduler.send(SCHEDULE_EVENTS.name, str(task).encode(), event.model_dump_json().encode())
    report = await adapter.ended(tick)
    assert report["task"] == str(task)
    assert len((await adapter.service.read("/sync-runs", merchant=str(merchant)))["runs"]) == 1


@pytest.mark.parametrize("fault", ["loop_paging", "stuck_paging"])
async def test_a_listing_that_goes_in_circles_is_ended_with_a_sentence(
    adapter: Adapter, demo: Demo, fault: str
) -> None:
    shop = demo("--users", "230")
    merchant = await adapter.add_merchant(shop)
    shop.plant("users", fault, nth=3)
    report = await adapter.sync(merchant)
    assert report["status"] == "failed"
    assert "circles" in report["detail"]
    assert report["pages"] <= 10
    shop.clear()
    assert (await adapter.sync(merchant))["status"] == "done"
    assert len(await ids_of(adapter, merchant)) == 230


@pytest.mark.parametrize("fault", ["html", "bad_json", "wrong_shape", "huge", "gzip_bomb", "redirect", "401"])
async def test_a_merchant_that_misbehaves_fails_its_run_and_loses_no_user(
    adapter: Adapter, demo: Demo, fault: str
) -> None:
    shop = demo("--users", "120")
    merchant = await adapter.add_merchant(shop)
    await adapter.sync(merchant)
    shop.plant("users", fault, nth=2)
    report = await adapter.sync(merchant)
    assert report["status"] == "failed"
    assert report["detail"]
    assert report["gone"] == 0
    assert len(await ids_of(adapter, merchant)) == 120


@pytest.mark.parametrize(("fault", "times"), [("500", 3), ("503", 2), ("drip", 1), ("429", 2)])
async def test_a_merchant_that_is_away_for_a_while_costs_a_pause_and_no_page_twice(
    adapter: Adapter, demo: Demo, fault: str, times: int
) -> None:
    shop = demo("--users", "230")
    merchant = await adapter.add_merchant(shop)
    shop.plant("users", fault, nth=3, times=times)
    report = await adapter.sync(merchant)
    assert (report["status"], report["pages"], report["seen"], report["new"]) == ("done", 5, 230, 230)


async def test_a_merchant_that_stumbles_on_every_other_page_is_fetched_all_the_same(
    adapter: Adapter, demo: Demo
) -> None:
    shop = demo("--users", "400")
    merchant = await adapter.add_merchant(shop, page_size=10)
    for nth in range(2, 40, 2):
        shop.plant("users", "503", nth=nth, retry_after=0)
    report = await adapter.sync(merchant, 120)
    assert (report["status"], report["pages"], report["seen"]) == ("done", 40, 400)


async def test_a_merchant_that_is_down_for_good_fails_the_run_in_the_end(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "10")
    merchant = await adapter.add_merchant(shop)
    shop.kill()
    report = await adapter.sync(merchant, 120)
    assert report["status"] == "failed"
    assert "gave up" in report["detail"]
    log = adapter.service.processes[0].log.read_text()
    assert any(str(merchant) in line and "sync_failed" in line for line in log.splitlines())


async def test_of_a_suspended_merchant_nothing_is_called(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "10")
    merchant = await adapter.add_merchant(shop)
    await adapter.set_profile(merchant, shop, state="suspended")
    await adapter.knows(merchant)
    report = await adapter.sync(merchant)
    assert (report["status"], report["detail"]) == ("failed", "the merchant is suspended")
    assert shop.counts()["requests"] == {}


async def test_suspended_in_the_middle_of_a_listing_it_is_called_no_more(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "2000")
    merchant = await adapter.add_merchant(shop, page_size=10, requests_per_second=20)
    run = await adapter.order_sync(merchant)

    async def begun() -> bool:
        return int(shop.counts()["users_served"]) >= 30

    await until(begun)
    await adapter.set_profile(merchant, shop, state="suspended")
    report = await adapter.ended(run)
    assert (report["status"], report["detail"]) == ("failed", "the merchant is suspended")
    asked = shop.counts()["requests"]
    await asyncio.sleep(0.5)
    assert shop.counts()["requests"] == asked


async def test_a_sync_ordered_before_the_profile_arrives_waits_for_it(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "10")
    merchant, run = uuid4(), uuid4()
    await adapter.command(SyncUsers, merchant, run=run)
    await asyncio.sleep(1.5)
    await adapter.set_profile(merchant, shop)
    assert (await adapter.ended(run))["status"] == "done"


async def test_a_cursor_the_merchant_does_not_take_any_more_begins_anew(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "120")
    merchant = await adapter.add_merchant(shop)
    shop.plant("users", "503", nth=2, retry_after=1)
    run = await adapter.order_sync(merchant)

    async def one_page() -> bool:
        return bool(await adapter.fetch("SELECT FROM sync_run WHERE id = $1 AND pages = 1", run))

    await until(one_page)
    await adapter.fetch("UPDATE sync_run SET cursor = 'not a cursor of theirs' WHERE id = $1", run)
    report = await adapter.ended(run)
    assert (report["status"], report["seen"], report["new"]) == ("done", 120, 120)
    assert len(await ids_of(adapter, merchant)) == 120


async def test_merchants_that_hang_do_not_slow_another(adapter: Adapter, demo: Demo) -> None:
    hanging = [demo("--users", "50") for _ in range(6)]
    for each in hanging:
        each.plant("users", "drip", times=100)
    slow = [await adapter.order_sync(await adapter.add_merchant(each)) for each in hanging]
    await asyncio.sleep(0.5)
    good = await adapter.add_merchant(demo("--users", "500"))
    started = asyncio.get_running_loop().time()
    assert (await adapter.sync(good))["status"] == "done"
    seconds = asyncio.get_running_loop().time() - started
    show(f"500 users beside 6 merchants that hang: {seconds:.1f} s")
    assert not await adapter.fetch("SELECT FROM sync_run WHERE id = ANY ($1) AND status = 'done'", slow)


async def test_ticks_do_not_pile_up_while_a_run_waits_to_begin(adapter: Adapter, demo: Demo) -> None:
    shop = demo("--users", "10")
    merchant = await adapter.add_merchant(shop)
    shop.plant("users", "drip", times=1)
    busy = await adapter.order_sync(merchant)
    await asyncio.sleep(0.5)
    ticks = [uuid4() for _ in range(4)]
    async with sending_as("scheduler", adapter.service.bootstrap, adapter.service.secrets_folder) as scheduler:
        task = uuid4()
        for tick in ticks:
            event = TaskDue.model_validate(
                {"id": tick, "task": task, "due": "2026-01-01T00:00:00Z", "action": SyncUsersAction(merchant=merchant)}
            )
            await scheduler.send(SCHEDULE_EVENTS.name, str(task).encode(), event.model_dump_json().encode())
    reports = [await adapter.ended(tick) for tick in ticks]
    assert all("has not begun yet" in report["detail"] for report in reports)
    assert (await adapter.ended(busy))["status"] == "done"
    events = [event for event in await adapter.events(merchant) if isinstance(event, UsersSynced)]
    assert {event.run for event in events} == {busy, *ticks}, "each has its report"


async def test_a_fault_of_ours_in_one_job_does_not_stop_the_others(adapter: Adapter, demo: Demo) -> None:
    await adapter.fetch("INSERT INTO job (kind, subject, merchant) VALUES ('push', $1, $1)", uuid4())

    async def counted() -> bool:
        async with httpx.AsyncClient(trust_env=False) as http:
            metrics = (await http.get(f"{adapter.service.processes[0].url}/metrics")).text
        return 'scrip_adapter_job_bugs_total{kind="push"} 1.0' in metrics

    await until(counted)
    merchant = await adapter.add_merchant(demo("--users", "10"))
    assert (await adapter.sync(merchant))["status"] == "done"
