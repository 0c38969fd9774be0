"""Promise 5: users are fetched through the interface a merchant opened, by hand and by a timed task, with a report."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.merchants import SyncUsers
from contracts.schedules import FileTask, OnceSchedule, SyncUsersAction
from contracts.topics import MERCHANT_COMMANDS, SCHEDULE_COMMANDS
from tests.support.demo_merchants import TOKEN, DemoMerchant, running_demo_merchant
from tests.support.journeys import Journey, Shop, answered, code_of, offer, order, until

USERS = 120


@pytest.fixture(scope="module")
def merchant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMerchant]:
    """Somebody else's server with 120 users, in its own process."""
    with running_demo_merchant(tmp_path_factory.mktemp("merchant") / "state.sqlite3", "--users", str(USERS)) as running:
        yield running


@pytest.fixture(scope="module")
def shop(journey: Journey, merchant: DemoMerchant, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A merchant that opened its interface to us."""
    shop = journey.add_shop("Opens an interface")
    secret = tmp_path_factory.mktemp("secret") / "token"
    secret.write_text(TOKEN)
    opened = open_interface(journey, shop, merchant, secret)
    assert (opened["interface"]["base_url"], opened["interface"]["secret_set"]) == (merchant.address, True)
    assert TOKEN not in str(opened)
    return shop


def open_interface(journey: Journey, shop: Shop, merchant: DemoMerchant, secret: Path) -> Any:
    settings = ("--base-url", merchant.address, "--secret-file", str(secret), "--page-size", "50")
    return journey.scrip_json("merchant", "interface", "set", shop.id, *settings)


def ended(journey: Journey, run: str) -> dict[str, Any]:
    """The report of a run that is over."""
    report: dict[str, Any] = until(
        f"the end of run {run}",
        lambda: (
            (found := journey.staff("GET", f"/sync-runs/{run}")).status_code == 200
            and found.json()["status"] in ("done", "failed")
            and found.json()
        ),
    )
    return report


def counts(report: dict[str, Any]) -> dict[str, int]:
    return {name: report[name] for name in ("seen", "new", "changed", "gone", "refused")}


def test_users_are_fetched_by_hand_page_by_page_with_a_report(
    journey: Journey, shop: Shop, merchant: DemoMerchant
) -> None:
    report = ended(journey, journey.done("POST", f"/merchants/{shop.id}/sync")["run"])
    assert (report["status"], report["pages"]) == ("done", 3)
    assert counts(report) == {"seen": USERS, "new": USERS, "changed": 0, "gone": 0, "refused": 0}
    users = journey.done("GET", f"/merchants/{shop.id}/users?limit=1000")["users"]
    assert [user["id"] for user in users[:2]] == ["user-0000001", "user-0000002"]
    assert users[0]["attributes"]["city"] == "Dayton"

    merchant.put_user("user-0000001", {"tier": "gold"})
    merchant.put_user("user-new", {"tier": "bronze"})
    merchant.remove_user("user-0000002")
    again = ended(journey, journey.done("POST", f"/merchants/{shop.id}/sync")["run"])
    assert counts(again) == {"seen": USERS, "new": 1, "changed": 1, "gone": 1, "refused": 0}
    told = until(
        "both reports",
        lambda: len(found := journey.merchant_events(shop.id, "scrip.merchant.users_synced.v1")) >= 2 and found,
    )
    assert [(each["seen"], each["new"], each["gone"]) for each in told] == [(USERS, USERS, 0), (USERS, 1, 1)]


def test_a_timed_task_fetches_them_once_at_its_time(journey: Journey, shop: Shop) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    action = {"kind": "sync_users", "merchant": shop.id}
    once = {"name": "Once", "schedule": {"kind": "once", "at": at.isoformat()}, "action": action}
    task = journey.done("POST", "/tasks", once)["task"]
    ticks = until("the tick", lambda: ticks_of(journey, task))
    assert len(ticks) == 1
    assert datetime.fromisoformat(ticks[0]["due"]) == at
    runs = until(
        "the run of the tick",
        lambda: [run for run in runs_of(journey, shop) if run["task"] == task and run["status"] == "done"],
    )
    assert len(runs) == 1
    assert len(ticks_of(journey, task)) == 1


def test_a_task_may_stand_for_every_morning_in_the_merchants_own_zone(journey: Journey, shop: Shop) -> None:
    schedule = {"kind": "cron", "expression": "30 6 * * *", "zone": "Asia/Shanghai"}
    action = {"kind": "sync_users", "merchant": shop.id}
    filed = {"name": "Every morning", "schedule": schedule, "action": action}
    task = journey.done("POST", "/tasks", filed)["task"]
    view = until("the task", lambda: (found := journey.staff("GET", f"/tasks/{task}")).status_code == 200 and found)
    due = datetime.fromisoformat(view.json()["next_due"]).astimezone(UTC)
    assert (due.hour, due.minute) == (22, 30)
    journey.done("POST", f"/tasks/{task}/cancel")
    until("its end", lambda: not journey.staff("GET", f"/tasks/{task}").json().get("next_due"))


RULE = {
    "expression": "age >= 18 && tier == 'gold'",
    "attributes": {"age": "int", "tier": "string"},
    "applies_at": "both",
}


def test_a_rule_over_the_users_that_were_fetched_decides_who_gets_a_coupon_and_who_may_use_it(
    journey: Journey, shop: Shop, merchant: DemoMerchant
) -> None:
    """Nobody sends an attribute: the platform knows them from the merchant, and says what a rule looked at."""
    merchant.put_user("ann", {"age": 34, "tier": "gold", "city": "Dayton"})
    merchant.put_user("bob", {"age": 17, "tier": "gold"})
    merchant.put_user("cid", {"age": 51})
    ended(journey, journey.done("POST", f"/merchants/{shop.id}/sync")["run"])

    campaign = shop.publish("GOLD-ONLY", eligibility=RULE)
    issued = shop.done("POST", f"/campaigns/{campaign}/issue", {"users": ["ann", "bob", "cid", "dan"]})
    assert [row.get("refusal", {}).get("code") for row in issued["rows"]] == [
        *(None, "not_eligible", "attribute_missing", "attribute_missing"),
    ]
    looked_at = issued["rows"][1]["refusal"]["facts"]
    assert looked_at == {"expression": RULE["expression"], "values": {"age": 17, "tier": "gold"}}
    assert "Dayton" not in str(journey.events(campaign, least=3))

    # The app claims for its users, and is told the same. What it would say of them itself is not taken.
    app, offer_of = journey.token("app", merchant=shop.id), f"/catalogue/v1/offers/{campaign}/claim"
    headers = {"authorization": f"Bearer {app}"}
    refused = journey.ask("POST", offer_of, {"user": "bob"}, headers=headers)
    assert code_of(refused) == (409, "not_eligible")
    assert refused.json()["values"] == {"age": 17, "tier": "gold"}
    claims = {"user": "bob", "attributes": {"age": 34, "tier": "gold"}}
    assert code_of(journey.ask("POST", offer_of, claims, headers=headers))[0] == 422
    key = {"headers": headers, "key": "ann takes another"}
    first = answered(journey.ask("POST", offer_of, {"user": "ann"}, **key))

    # Ann's tier is another one now: her coupon may not be used, and the reason is the same before and at the till.
    merchant.put_user("ann", {"age": 34, "tier": "silver"})
    ended(journey, journey.done("POST", f"/merchants/{shop.id}/sync")["run"])
    assert answered(journey.ask("POST", offer_of, {"user": "ann"}, **key))["coupon"] == first["coupon"]
    asked = {"code": "GOLD-ONLY", "user": "ann", "amount": 2_000}
    (reason,) = shop.done("POST", "/coupons/validate", asked)["reasons"]
    assert (reason["code"], reason["facts"]["values"]) == ("not_eligible", {"age": 34, "tier": "silver"})
    redeem = shop.ask("POST", "/merchant/v1/coupons/redeem", asked | {"order": "o-1"})
    assert (code_of(redeem), redeem.json()["values"]) == ((409, "not_eligible"), reason["facts"]["values"])

    merchant.put_user("ann", {"age": 34, "tier": "gold"})
    ended(journey, journey.done("POST", f"/merchants/{shop.id}/sync")["run"])
    assert shop.done("POST", "/coupons/validate", asked)["valid"] is True
    assert shop.done("POST", "/coupons/redeem", asked | {"order": "o-2"})["discount"] == 500


def test_staff_may_make_a_rule_over_a_merchants_users_and_say_what_they_know_better(
    journey: Journey, shop: Shop, merchant: DemoMerchant
) -> None:
    merchant.put_user("eva", {"age": 20, "tier": "silver"})
    ended(journey, journey.done("POST", f"/merchants/{shop.id}/sync")["run"])
    internal = journey.done("POST", "/campaigns", order(eligibility={**RULE, "users_of": shop.id}))["campaign"]
    assert code_of(journey.staff("POST", f"/campaigns/{internal}/claim", {"user": "eva"})) == (409, "not_eligible")
    known = {"user": "eva", "attributes": {"tier": "gold"}}
    claimed = journey.done("POST", f"/campaigns/{internal}/claim", known)
    code = journey.done("GET", f"/coupons/{claimed['coupon']}")["code"] if "code" not in claimed else claimed["code"]
    refused = journey.staff("POST", f"/campaigns/{internal}/redeem", {"coupon": {"code": code}, "amount": 2_000})
    assert (code_of(refused), refused.json()["values"]["tier"]) == ((409, "not_eligible"), "silver")
    rival = journey.add_shop("Asks for others' users")
    stolen = rival.ask("POST", "/merchant/v1/campaigns", offer("STOLEN", eligibility={**RULE, "users_of": shop.id}))
    assert code_of(stolen) == (422, "eligibility_invalid")


def test_a_merchant_that_is_down_costs_a_report_and_nothing_else(journey: Journey, merchant: DemoMerchant) -> None:
    other = journey.add_shop("Down")
    document = {"base_url": "http://127.0.0.1:9", "auth": "bearer", "secret": TOKEN}
    journey.done("POST", f"/merchants/{other.id}/interface", document)
    run = journey.done("POST", f"/merchants/{other.id}/sync")["run"]
    waiting = until(
        "the run", lambda: (found := journey.staff("GET", f"/sync-runs/{run}")).status_code == 200 and found
    )
    assert waiting.json()["status"] in ("queued", "running", "failed")
    assert other.publish("STILL-OPEN")


def ticks_of(journey: Journey, task: str) -> list[dict[str, Any]]:
    found = journey.staff("GET", f"/tasks/{task}/ticks")
    return list(found.json()["ticks"]) if found.status_code == 200 else []


def runs_of(journey: Journey, shop: Shop) -> list[dict[str, Any]]:
    return list(journey.done("GET", f"/merchants/{shop.id}/sync-runs")["runs"])


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def redriven_twice(journey: Journey, command: UUID) -> None:
    """Find the dead letter of a command that came too late, and have it sent again, and again."""
    page = "/dead-letters?reason=too_late&limit=200"
    letter = until(
        f"the dead letter of {command}",
        lambda: [each for each in journey.done("GET", page)["dead_letters"] if each["command"] == str(command)],
    )[0]
    for _ in range(2):
        assert journey.scrip_json("dead-letters", "redrive", letter["id"])["command"] == str(command)


def test_a_fetch_ordered_too_late_is_a_dead_letter_and_redriven_it_runs_once(journey: Journey, shop: Shop) -> None:
    command, run = uuid4(), uuid4()
    late = SyncUsers(id=command, actor="staff:journey", notafter=LONG_AGO, merchant=UUID(shop.id), run=run)
    journey.send_work(MERCHANT_COMMANDS, late, shop.id)
    redriven_twice(journey, command)
    assert ended(journey, str(run))["status"] == "done"
    told = until(
        "the report",
        lambda: [
            event
            for event in journey.merchant_events(shop.id, "scrip.merchant.users_synced.v1")
            if event["run"] == str(run)
        ],
    )
    assert [event["pages"] for event in told] == [3]


def test_a_timed_task_filed_too_late_is_a_dead_letter_and_redriven_it_ticks_once(journey: Journey, shop: Shop) -> None:
    command, task = uuid4(), uuid4()
    late = FileTask(
        id=command,
        actor="staff:journey",
        notafter=LONG_AGO,
        task=task,
        name="Filed too late",
        schedule=OnceSchedule(at=datetime.now(UTC)),
        action=SyncUsersAction(merchant=UUID(shop.id)),
    )
    journey.send_work(SCHEDULE_COMMANDS, late, task)
    redriven_twice(journey, command)
    until(
        "the run of the tick",
        lambda: [each for each in runs_of(journey, shop) if each["task"] == str(task) and each["status"] == "done"],
    )
    assert len(ticks_of(journey, str(task))) == 1
