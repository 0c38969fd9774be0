"""Promise 2: exact counters, a live stream one can go on with, a coupon's history, complaints, dead letters."""

import json
import statistics
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from typer.testing import CliRunner

from contracts.commands import ClaimCoupon
from scrip.__main__ import app
from tests.support.figures import show
from tests.support.journeys import Journey, Stream, answered, code_of, kinds, numbers, order, until

ENDS = {
    "coupon.issued": "held",
    "coupon.redeemed": "redeemed",
    "coupon.returned": "held",
    "coupon.reserved": "reserved",
    "coupon.released": "held",
    "coupon.voided": "voided",
    "coupon.expired": "expired",
}
LETTERS = "/dead-letters?reason=too_late&limit=200"
STATES = ("held", "reserved", "redeemed", "voided", "expired", "burned")


def made(journey: Journey, quantity: int = 100, **changes: Any) -> str:
    return str(journey.done("POST", "/campaigns", order(quantity, **changes))["campaign"])


def test_counters_are_exactly_what_the_events_say(journey: Journey) -> None:
    campaign = made(journey, 30)
    at = f"/campaigns/{campaign}"
    users = [f"u{number}" for number in range(20)]
    issued = journey.done("POST", f"{at}/issue", {"users": [*users, "u3"]})
    assert (issued["accepted"], issued["refused"]) == (20, 1)
    codes = [row["code"] for row in issued["rows"] if "code" in row]
    for number, code in enumerate(codes[:6]):
        journey.done("POST", f"{at}/redeem", {"coupon": {"code": code}, "amount": 900, "order": f"o-{number}"})
    for code in codes[:2]:
        journey.done("POST", f"{at}/return", {"coupon": {"code": code}, "reason": "came back"})
    journey.done("POST", f"{at}/reserve", {"coupon": {"code": codes[7]}, "order": "o-7"})
    journey.done("POST", f"{at}/void", {"coupons": [{"code": code} for code in codes[8:11]], "reason": "misprint"})
    journey.done("POST", f"{at}/export-codes", {"count": 4})

    view = journey.campaign(campaign)
    counted = {name: view[name] for name in (*STATES, "issued", "exported")}
    assert counted == {
        "issued": 20, "exported": 4, "held": 12, "reserved": 1, "redeemed": 4, "voided": 3, "expired": 0, "burned": 0,
    }  # fmt: skip
    events = journey.events(campaign, least=view["seq"])
    assert numbers(events) == list(range(1, view["seq"] + 1))
    coupons: dict[str, str] = {}
    for event, kind in zip(events, kinds(events), strict=True):
        if kind in ENDS:
            coupons[event["subject"]] = ENDS[kind]
    folded = Counter(coupons.values())
    assert {state: folded[state] for state in STATES} == {state: view[state] for state in STATES}


def test_what_was_is_shown_and_an_answer_is_decided_again(journey: Journey) -> None:
    campaign = made(journey)
    claimed = journey.done("POST", f"/campaigns/{campaign}/claim", {"user": "ann"})
    use = {"coupon": {"code": claimed["code"]}, "amount": 2_000}
    journey.done("POST", f"/campaigns/{campaign}/redeem", use | {"order": "first"})
    seq = journey.campaign(campaign)["seq"]
    was = journey.done("GET", f"/coupons/{claimed['coupon']}?seq={seq - 1}")
    assert (was["state"], was["caused_by"]["command"]) == ("held", claimed["command"])
    assert was["caused_by"]["actor"].startswith("staff:")
    held = journey.done("GET", f"/campaigns/{campaign}?seq={seq - 1}")
    assert (held["held"], held["redeemed"]) == (1, 0)

    refused = journey.staff("POST", f"/campaigns/{campaign}/redeem", use | {"order": "second"})
    assert refused.json()["code"] == "coupon_already_redeemed"
    (kept,) = journey.done("GET", "/coupons?order=second")["refusals"]
    journey.done("POST", f"/campaigns/{campaign}/return", {"coupon": use["coupon"], "reason": "x"})
    why = journey.scrip_json("why", kept["command"])
    assert why["again"]["refusal"]["code"] == why["answered"]["refusal"]["code"] == "coupon_already_redeemed"
    assert (why["differences"], why["before"]["coupons"][0]["state"]) == ([], "redeemed")
    assert "differences        none" in journey.scrip("why", claimed["command"])
    assert claimed["code"] not in str(why)


def test_the_audit_ends_with_1_while_a_row_is_not_what_was_decided(journey: Journey) -> None:
    campaign = made(journey)
    journey.done("POST", f"/campaigns/{campaign}/claim", {"user": "counted"})

    def audited() -> tuple[int, list[Any]]:
        ran = CliRunner().invoke(app, ["audit", "--json"], env=journey.environment())
        assert ran.stdout, repr(ran.exception)
        return ran.exit_code, json.loads(ran.stdout)["differences"]

    assert audited() == (0, [])
    row = "UPDATE core.coupon SET state = $2 WHERE campaign = (SELECT number FROM core.campaign WHERE id = $1)"
    held = journey.in_database(f"{row} RETURNING old.state", campaign, 5)
    code, differences = audited()
    journey.in_database(row, campaign, held)
    assert code == 1
    assert campaign in str(differences)
    assert audited() == (0, [])


def test_the_history_of_one_coupon_is_told_in_order(journey: Journey) -> None:
    campaign = made(journey)
    claimed = journey.done("POST", f"/campaigns/{campaign}/claim", {"user": "ann"})
    use = {"coupon": {"code": claimed["code"]}, "amount": 2_000}
    journey.done("POST", f"/campaigns/{campaign}/redeem", use | {"order": "first"})
    returned = {"coupon": {"code": claimed["code"]}, "reason": "came back"}
    journey.done("POST", f"/campaigns/{campaign}/return", returned)
    journey.done("POST", f"/campaigns/{campaign}/redeem", use | {"order": "second"})
    coupon = claimed["coupon"]
    history = journey.done("GET", f"/coupons/{coupon}/history")["events"]
    assert kinds(history) == ["coupon.issued", "coupon.redeemed", "coupon.returned", "coupon.redeemed"]
    assert [event["data"].get("order") for event in history] == [None, "first", None, "second"]
    assert claimed["code"] not in str(history)
    view = journey.done("GET", f"/coupons/{coupon}")
    assert [each["order"] for each in view["redemptions"]] == ["first", "second"]
    assert view["state"] == "redeemed"


def test_a_complaint_is_looked_up_by_code_user_or_order_with_what_was_refused(journey: Journey) -> None:
    campaign, user, shop_order = made(journey), f"complainer-{uuid4().hex[:6]}", f"order-{uuid4().hex[:6]}"
    claimed = journey.done("POST", f"/campaigns/{campaign}/claim", {"user": user})
    use = {"coupon": {"code": claimed["code"], "user": user}, "amount": 2_000}
    journey.done("POST", f"/campaigns/{campaign}/redeem", use | {"order": "before"})
    refused = journey.staff("POST", f"/campaigns/{campaign}/redeem", use | {"order": shop_order})
    assert code_of(refused) == (409, "coupon_already_redeemed")
    by_code = journey.done("GET", f"/coupons?code={claimed['code']}")
    by_user = journey.done("GET", f"/coupons?user={user}")
    by_order = journey.done("GET", f"/coupons?order={shop_order}")
    for found in (by_code, by_user):
        assert [each["id"] for each in found["coupons"]] == [claimed["coupon"]]
    for found in (by_code, by_user, by_order):
        told = [each for each in found["refusals"] if each["order"] == shop_order]
        assert [(each["code"], each["user"], each["campaign"]) for each in told] == [
            ("coupon_already_redeemed", user, campaign)
        ]
    assert [each["id"] for each in journey.done("GET", "/coupons?order=before")["coupons"]].count(
        claimed["coupon"]
    ) == 1


def test_the_live_stream_goes_on_where_one_left_off_though_the_gateway_restarts(journey: Journey) -> None:
    campaign = made(journey)
    with journey.live(campaign=campaign) as stream:
        stream.position()
        journey.done("POST", f"/campaigns/{campaign}/claim", {"user": "seen"})
        seen = stream.take(1)
        last = stream.last_event_id
        journey.done("POST", f"/campaigns/{campaign}/claim", {"user": "not read any more"})
    journey.platform.halt("gateway")
    journey.send(ClaimCoupon(user="while it was away"), campaign)
    journey.platform.resume("gateway")
    with journey.live(last, campaign=campaign) as stream:
        missed = stream.take(2)
        journey.done("POST", f"/campaigns/{campaign}/claim", {"user": "afterwards"})
        events = seen + missed + stream.take(1)
    assert [event["data"]["user"] for event in events] == [
        "seen", "not read any more", "while it was away", "afterwards",
    ]  # fmt: skip
    assert numbers(events) == [4, 5, 6, 7]


def test_events_are_seen_soon_after_they_happened(journey: Journey) -> None:
    """Shows how long it takes from a command's place in the log to the live stream and to a plain Kafka consumer under
    light load; nothing is asserted of it.
    """
    campaign, count = made(journey), 40
    streamed, consumed = list[float](), list[float]()

    def waited(event: dict[str, Any]) -> float:
        return (datetime.now(UTC) - datetime.fromisoformat(event["time"])).total_seconds() * 1_000

    def read(stream: Stream) -> None:
        streamed.extend(waited(stream.next()) for _ in range(count))

    with journey.live(campaign=campaign) as stream, journey.consuming(campaign) as events:
        stream.position()
        readers = [
            threading.Thread(target=read, args=(stream,)),
            threading.Thread(target=lambda: consumed.extend(waited(next(events)) for _ in range(count))),
        ]
        for reader in readers:
            reader.start()
        for number in range(count):
            journey.done("POST", f"/campaigns/{campaign}/claim", {"user": f"u{number}"})
            time.sleep(0.01)
        for reader in readers:
            reader.join()
    assert len(streamed) == len(consumed) == count
    for where, waits in (("the live stream", streamed), ("a Kafka consumer", consumed)):
        cuts = statistics.quantiles(waits, n=100)
        show(f"from the log of commands to {where}: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms")


def test_dead_letters_are_listed_shown_and_redriven_by_the_command_line(journey: Journey) -> None:
    campaign = made(journey)
    late = journey.send(ClaimCoupon(user="late"), campaign, notafter=datetime.now(UTC) - timedelta(minutes=1))
    until("the dead letter", lambda: of_command(journey.done("GET", LETTERS)["dead_letters"], late))
    listed = journey.scrip_json("dead-letters", "list", "--reason", "too_late", "--limit", "200")
    name = of_command(listed, late)[0]["id"]
    shown = journey.scrip("dead-letters", "show", name)
    assert (name in shown, str(late) in shown) == (True, True)
    assert journey.campaign(campaign)["issued"] == 0
    assert journey.scrip_json("dead-letters", "redrive", name)["command"] == str(late)
    assert answered(journey.outcome(late))["user"] == "late"
    assert journey.campaign(campaign)["issued"] == 1


def of_command(letters: list[dict[str, Any]], command: UUID) -> list[dict[str, Any]]:
    return [letter for letter in letters if letter["command"] == str(command)]
