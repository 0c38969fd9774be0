"""A campaign from its draft to its export: amended, tried, guessed at, written down by a job, taken out as files."""

import csv
import hashlib
import io
import json
from typing import Any

from tests.support.journeys import Journey, code_of, kinds, offer, order, until

STORED = {"kind": "generated", "stored": True}


def made(journey: Journey, quantity: int = 100, **more: Any) -> str:
    return str(journey.done("POST", "/campaigns", order(quantity) | more)["campaign"])


def test_a_draft_is_amended_freely_and_what_is_out_keeps_its_promise(journey: Journey) -> None:
    shop = journey.add_shop("Drafts")
    terms = {name: value for name, value in offer("unused").items() if name != "supply"}
    drafted = shop.done("POST", "/campaigns/generate", terms | {"quantity": 10, "draft": True})
    assert drafted["state"] == "draft"
    campaign = f"/campaigns/{drafted['campaign']}"
    early = shop.ask("POST", f"/merchant/v1{campaign}/claim", {"user": "ann"})
    assert code_of(early) == (409, "campaign_not_active")
    shop.done("POST", f"{campaign}/amend", {"discount": {"kind": "amount_off", "amount": 700}, "per_user_limit": 1})
    assert shop.done("POST", f"{campaign}/activate", {})["state"] == "active"
    shop.done("POST", f"{campaign}/claim", {"user": "ann"})
    worse = shop.ask("POST", f"/merchant/v1{campaign}/amend", {"discount": {"kind": "amount_off", "amount": 100}})
    assert code_of(worse) == (409, "amendment_forbidden")
    second = shop.ask("POST", f"/merchant/v1{campaign}/claim", {"user": "ann"})
    assert code_of(second) == (409, "user_limit_reached")
    assert shop.done("POST", f"{campaign}/amend", {"per_user_limit": 2})["amended"] == ["per_user_limit"]
    code = shop.done("POST", f"{campaign}/claim", {"user": "ann"})["code"]
    assert shop.done("POST", "/coupons/redeem", {"code": code, "user": "ann", "amount": 2_000})["discount"] == 700
    history = journey.done("GET", f"{campaign}/events")["events"]
    assert kinds(history) == [
        *("campaign.created", "campaign.amended", "campaign.generation_started", "campaign.generated"),
        *("coupon.issued", "campaign.amended", "coupon.issued", "coupon.redeemed"),
    ]
    assert history[1]["data"]["before"]["discount"]["amount"] == 500


def test_what_is_only_tried_is_answered_and_leaves_nothing_behind(journey: Journey) -> None:
    campaign = f"/campaigns/{made(journey, 2)}"
    claimed = journey.done("POST", f"{campaign}/claim", {"user": "ann"})
    before = journey.done("GET", campaign)
    redeem = {"coupon": {"code": claimed["code"]}, "amount": 2_000}
    tried = {
        "claim": journey.done("POST", f"{campaign}/claim?dry_run=true", {"user": "bob"}),
        "redeem": journey.done("POST", f"{campaign}/redeem?dry_run=true", redeem),
        "void-all": journey.done("POST", f"{campaign}/void-all?dry_run=true", {"reason": "tried"}),
        "stop": journey.done("POST", f"{campaign}/stop?dry_run=true", {"reason": "tried"}),
    }
    assert (tried["claim"]["user"], "code" in tried["claim"], tried["redeem"]["discount"]) == ("bob", False, 500)
    assert (tried["void-all"]["accepted"], tried["stop"]["state"]) == (1, "stopped")
    refused = journey.staff("PUT", f"{campaign}/quantity?dry_run=true", {"quantity": 1_000_000_001})
    assert refused.status_code == 422
    after = journey.done("GET", campaign)
    assert {**after, "as_of": None} == {**before, "as_of": None}
    assert journey.done("POST", f"{campaign}/claim", {"user": "bob"})["coupon"] == tried["claim"]["coupon"]
    exhausted = journey.staff("POST", f"{campaign}/claim?dry_run=true", {"user": "cyd"})
    assert code_of(exhausted) == (409, "campaign_exhausted")


def test_who_guesses_codes_is_slowed_down_and_others_are_not(journey: Journey) -> None:
    campaign = f"/campaigns/{made(journey)}"
    code = journey.done("POST", f"{campaign}/claim", {"user": "ann"})["code"]
    guesser, honest = journey.token("approver"), journey.token("operator")
    guesses = {"coupons": [{"code": f"GUESS{number:03}"} for number in range(300)], "reason": "guessing"}
    assert journey.done("POST", f"{campaign}/void", guesses, token=guesser)["refused"] == 300
    right = {"coupon": {"code": code}, "amount": 2_000}
    slowed = journey.staff("POST", f"{campaign}/redeem", right, token=guesser)
    assert code_of(slowed) == (429, "too_many_wrong_codes")
    assert journey.done("POST", f"{campaign}/redeem", right, token=honest)["discount"] == 500


def test_codes_are_written_down_by_a_job_whose_progress_is_told_and_which_can_be_given_up(journey: Journey) -> None:
    campaign = f"/campaigns/{made(journey, 25_000, supply=STORED)}"
    view = until("the job is done", lambda: (v := journey.done("GET", campaign))["state"] == "active" and v)
    assert (view["available_codes"], view["generation"]) == (25_000, None)
    told = [event["data"] for event in journey.done("GET", f"{campaign}/events")["events"]]
    assert [each["done"] for each in told if "done" in each] == [5_000, 10_000, 15_000, 20_000]

    journey.done("PUT", f"{campaign}/quantity", {"quantity": 5_000_000})
    raised = journey.done("GET", campaign)
    assert (raised["state"], raised["quantity"], raised["generation"]["total"]) == ("active", 5_000_000, 5_000_000)
    assert 30_000 <= raised["generation"]["done"] < 5_000_000
    kept = journey.done("POST", f"{campaign}/cancel-generation", {"reason": "too many"})
    view = journey.done("GET", campaign)
    assert (view["state"], view["quantity"], view["generation"]) == ("active", kept["done"], None)
    assert journey.done("POST", f"{campaign}/claim", {"user": "ann"})["code"]

    large = f"/campaigns/{made(journey, 5_000_000, supply=STORED)}"
    under_way = until("the job goes on", lambda: (v := journey.done("GET", large))["generation"]["done"] and v)
    progress = under_way["generation"]
    assert (under_way["state"], progress["total"], progress["eta"] is None) == ("generating", 5_000_000, False)
    assert progress["rate"] > 500
    assert journey.done("POST", f"{large}/cancel-generation", {"reason": "too many"})["state"] == "failed"
    failed = journey.done("GET", large)
    assert 0 < failed["generation"]["done"] == failed["available_codes"] < 5_000_000
    assert code_of(journey.staff("POST", f"{large}/claim", {"user": "ann"})) == (409, "campaign_not_active")
    assert journey.done("POST", f"{large}/stop", {"reason": "given up"})["state"] == "stopped"


def test_coupons_and_history_are_taken_out_as_files_with_a_checksum(journey: Journey) -> None:
    campaign = f"/campaigns/{made(journey)}"
    journey.done("POST", f"{campaign}/issue", {"users": ["ann", "=1+1", "bob"]})
    text = journey.staff("GET", f"{campaign}/export/coupons").text
    body, _, trailer = text.rpartition("#end,")
    assert trailer.strip().rstrip(",") == f"3,{hashlib.sha256(body.encode()).hexdigest()}"
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [row["state"] for row in rows] == ["held"] * 3
    assert "=1+1" not in {row["user"] for row in rows}, "a spreadsheet would run it"
    rest = journey.staff("GET", f"{campaign}/export/coupons?after={rows[1]['number']}").text
    assert rest.splitlines()[0] == body.splitlines()[3]

    lines = journey.staff("GET", f"{campaign}/export/history?format=jsonl").text.splitlines(keepends=True)
    *events, end = [json.loads(line) for line in lines]
    assert [event["seq"] for event in events] == list(range(1, 7))
    assert end == {"end": {"rows": 6, "sha256": hashlib.sha256("".join(lines[:-1]).encode()).hexdigest()}}
