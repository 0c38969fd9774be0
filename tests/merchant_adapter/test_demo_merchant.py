"""The demo merchant does what the public contract says, by plain HTTP and nothing of ours."""

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from standardwebhooks import Webhook

from tests.support.demo_merchants import (
    CONTRACT,
    CONTRACT_FILE,
    ROOT,
    TOKEN,
    WEBHOOK_SECRET,
    DemoMerchant,
    assert_documented,
    running_demo_merchant,
    schema_faults,
    start_demo_merchant,
)


@pytest.fixture
def scrip(merchant: DemoMerchant) -> Iterator[httpx.Client]:
    """A client with the credentials the merchant gave to Scrip."""
    with client_of(merchant) as client:
        yield client


def client_of(merchant: DemoMerchant) -> httpx.Client:
    return httpx.Client(
        base_url=merchant.address, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=20
    )


def delivery(user_id: str = "user-0000001", **changes: object) -> dict[str, Any]:
    campaign = str(uuid4())
    return {
        "delivery_id": str(uuid4()),
        "campaign_id": campaign,
        "coupon_id": f"{campaign}.1",
        "user_id": user_id,
        "code": "0G7KQ2M5XW9T",
        "offer": {
            "name": "Five off",
            "discount": {"kind": "amount_off", "amount": 500},
            "currency": "USD",
            "valid_until": "2017-03-01T00:00:00-05:00",
        },
        **changes,
    }


def deliver(client: httpx.Client, *deliveries: dict[str, Any]) -> httpx.Response:
    answer = client.post(
        "/coupons",
        json={"deliveries": list(deliveries)},
        headers={"Idempotency-Key": deliveries[0]["delivery_id"]},
    )
    assert_documented("post", "/coupons", answer)
    return answer


def listing(client: httpx.Client, limit: int) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        answer = client.get("/users", params=query)
        assert_documented("get", "/users", answer)
        page = answer.json()
        yield page["items"]
        cursor = page.get("next_cursor")
        if cursor is None:
            return


class TestTheContract:
    def test_every_reference_leads_somewhere(self) -> None:
        for reference in re.findall(r'\$ref: "#/([^"]+)"', CONTRACT_FILE.read_text(encoding="utf-8")):
            place: Any = CONTRACT
            for step in reference.split("/"):
                place = place[step]

    def test_every_example_fits_its_schema(self) -> None:
        examples = 0
        for operations in CONTRACT["paths"].values():
            for operation in operations.values():
                bodies = [operation["requestBody"]] if "requestBody" in operation else []
                for body in bodies + list(operation["responses"].values()):
                    for media in body.get("content", {}).values():
                        schema = media["schema"]["$ref"].rpartition("/")[2]
                        for example in media["examples"].values():
                            assert schema_faults(schema, example["value"]) == []
                            examples += 1
        assert examples >= 9

    def test_its_version_is_the_one_the_demo_merchant_names(self, scrip: httpx.Client) -> None:
        assert scrip.get("/health").json() == {"status": "ok", "contract": CONTRACT["info"]["version"]}

    def test_the_demo_merchant_imports_nothing_of_scrip(self) -> None:
        ours = {path.name for path in ROOT.glob("*/*/src/*") if path.is_dir()}
        assert {"contracts", "merchant_adapter", "gateway"} <= ours
        for source in (ROOT / "examples" / "demo-merchant").rglob("*.py"):
            imported = re.findall(r"^\s*(?:from|import) (\w+)", source.read_text(encoding="utf-8"), re.MULTILINE)
            assert not ours & set(imported), source


class TestCredentials:
    @pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer"])
    def test_a_caller_without_the_token_is_refused(self, merchant: DemoMerchant, header: str | None) -> None:
        headers = {"Authorization": header} if header else {}
        for method, path in (("get", "/users"), ("post", "/coupons"), ("get", "/health")):
            answer = httpx.request(method, merchant.address + path, headers=headers, trust_env=False)
            assert answer.status_code == 401
            assert_documented(method, path, answer)

    def test_the_vector_of_the_contract_is_right(self) -> None:
        text = CONTRACT["info"]["description"]
        signature = Webhook(WEBHOOK_SECRET).sign(
            "list-1", datetime.fromtimestamp(1_700_000_000, UTC), "GET /scrip/users?limit=2."
        )
        assert WEBHOOK_SECRET in text
        assert f"`{signature}`" in text

    @pytest.mark.parametrize(
        ("age", "target", "status"),
        [
            (0, "/scrip/users?limit=2", 200),
            (0, "/scrip/users?limit=3", 401),  # signed for another target
            (301, "/scrip/users?limit=2", 401),
        ],
    )
    def test_a_signed_request_is_taken_when_target_and_time_fit(
        self, merchant: DemoMerchant, age: int, target: str, status: int
    ) -> None:
        now = datetime.now(UTC).timestamp() - age
        headers = {
            "webhook-id": "list-1",
            "webhook-timestamp": str(int(now)),
            "webhook-signature": Webhook(WEBHOOK_SECRET).sign(
                "list-1", datetime.fromtimestamp(int(now), UTC), f"GET {target}."
            ),
        }
        answer = httpx.get(merchant.address + "/users?limit=2", headers=headers, trust_env=False)
        assert answer.status_code == status
        assert_documented("get", "/users", answer)


class TestUsers:
    @pytest.mark.parametrize("limit", [1, 7, 249, 250, 251, 1000])
    def test_a_listing_holds_every_user_once_whatever_the_page(self, scrip: httpx.Client, limit: int) -> None:
        users = [user["id"] for page in listing(scrip, limit) for user in page]
        assert len(users) == len(set(users)) == 250

    def test_users_may_change_and_go_between_two_pages(self, tmp_path: Path) -> None:
        with (
            running_demo_merchant(tmp_path / "state", "--users", "30") as merchant,
            client_of(merchant) as client,
        ):
            pages = listing(client, 10)
            first = next(pages)
            admin = f"{merchant.admin}/users"
            assert httpx.delete(f"{admin}/{first[0]['id']}").status_code == 204
            assert httpx.delete(f"{admin}/user-0000015?leave=tombstone").status_code == 204
            assert httpx.put(f"{admin}/user-0000020", json={"attributes": {"tier": "lead"}}).status_code == 204
            assert httpx.put(f"{admin}/zoe", json={"attributes": {}}).status_code == 204
            rest = {user["id"]: user for page in pages for user in page}
        assert len(first) + len(rest) == 31
        assert rest["user-0000015"]["deleted"] is True
        assert rest["user-0000020"]["attributes"] == {"tier": "lead"}
        assert "zoe" in rest

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=%00", "cursor=", "limit=٣"])
    def test_a_bad_limit_or_cursor_is_refused(self, scrip: httpx.Client, query: str) -> None:
        answer = scrip.get(f"/users?{query}")
        assert answer.status_code == 400
        assert_documented("get", "/users", answer)

    def test_the_real_households_are_2469_with_801_demographics(self, tmp_path: Path) -> None:
        with (
            running_demo_merchant(tmp_path / "state", "--real-households") as merchant,
            client_of(merchant) as client,
        ):
            users = [user for page in listing(client, 1000) for user in page]
        assert len({user["id"] for user in users}) == len(users) == 2469
        described = [user["attributes"] for user in users if user["attributes"]]
        assert len(described) == 801
        assert {name for attributes in described for name in attributes} == {
            *("age", "income", "home_ownership", "marital_status"),
            *("household_size", "household_comp", "kids_count"),
        }

    def test_users_come_from_a_file_and_a_bad_line_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "users.jsonl"
        file.write_text('{"id": "a", "attributes": {"age": 4}}\n\n{"id": "b", "deleted": true}\n')
        options = ("--users-file", str(file))
        with running_demo_merchant(tmp_path / "state", *options) as merchant, client_of(merchant) as client:
            assert [*listing(client, 5)] == [[{"id": "a", "attributes": {"age": 4}}, {"id": "b", "deleted": True}]]
        file.write_text('{"id": "a"}\n{"id": 7}\n')
        with pytest.raises(AssertionError, match="did not start"):
            start_demo_merchant(tmp_path / "other", *options)


class TestDeliveries:
    def test_a_batch_gets_a_receipt_for_each_delivery(self, scrip: httpx.Client) -> None:
        batch = [delivery(f"user-{n:07}") for n in range(1, 100)] + [delivery("nobody")]
        receipts = deliver(scrip, *batch).json()["receipts"]
        assert [receipt["delivery_id"] for receipt in receipts] == [row["delivery_id"] for row in batch]
        assert [receipt["status"] for receipt in receipts] == ["accepted"] * 99 + ["refused"]
        assert receipts[-1]["reason"] == "unknown_user"
        assert len({receipt["receipt_id"] for receipt in receipts}) == 100

    def test_the_same_delivery_again_gets_the_first_receipt_and_gives_nothing(
        self, merchant: DemoMerchant, scrip: httpx.Client
    ) -> None:
        accepted, refused = delivery(), delivery("nobody")
        before = merchant.counts()["deliveries"]["applied"]
        first = deliver(scrip, accepted, refused).json()
        reordered = json.loads(json.dumps(accepted, sort_keys=True))
        assert deliver(scrip, reordered, refused).json() == first
        counts = merchant.counts(by_key=True)
        assert counts["deliveries"]["applied"] == before + 1
        assert counts["deliveries"]["doubled"] == 0
        assert counts["applied_by_key"][accepted["delivery_id"]] == 1

    def test_a_refusal_stays_a_refusal_when_the_user_turns_up_later(
        self, merchant: DemoMerchant, scrip: httpx.Client
    ) -> None:
        late = delivery(f"late-{uuid4()}")
        first = deliver(scrip, late).json()
        httpx.put(f"{merchant.admin}/users/{late['user_id']}", json={})
        assert deliver(scrip, late).json() == first
        httpx.delete(f"{merchant.admin}/users/{late['user_id']}")

    def test_a_known_key_with_other_content_is_a_conflict_and_nothing_of_the_batch_is_kept(
        self, scrip: httpx.Client
    ) -> None:
        known, fresh = delivery(), delivery()
        deliver(scrip, known)
        answer = deliver(scrip, fresh, {**known, "code": "OTHER"})
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["pointer"] == "/deliveries/1/delivery_id"
        lookup = scrip.get(f"/coupons/{fresh['delivery_id']}")
        assert lookup.status_code == 404
        assert_documented("get", "/coupons/{delivery_id}", lookup)

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"delivery_id": "has space"}, "delivery_id"),
            ({"user_id": "x" * 65}, "user_id"),
            ({"user_id": "ü" * 33}, "user_id"),
            ({"user_id": "nul\0"}, "user_id"),
            ({"code": ""}, "code"),
            ({"code": 5}, "code"),
            ({"offer": None}, "offer"),
            ({"offer": {}}, "offer/name"),
        ],
    )
    def test_a_bad_field_is_named(self, scrip: httpx.Client, change: dict[str, Any], pointer: str) -> None:
        answer = scrip.post(
            "/coupons",
            json={"deliveries": [delivery(), delivery(**change)]},
            headers={"Idempotency-Key": "k"},
        )
        assert answer.status_code == 400
        assert_documented("post", "/coupons", answer)
        assert answer.json()["errors"][0]["pointer"] == f"/deliveries/1/{pointer}"

    @pytest.mark.parametrize("discount", [None, {}, {"kind": "amount_off", "amount": 0}, {"kind": "gift"}])
    def test_a_discount_the_merchant_cannot_show_is_refused(self, scrip: httpx.Client, discount: object) -> None:
        bad = delivery()
        bad["offer"]["discount"] = discount
        assert deliver(scrip, bad).status_code == 400

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[",
            b"[]",
            b'{"deliveries": []}',
            b'{"deliveries": {}}',
            b"\xff",
            b"[" * 100_000,
            b'{"deliveries": [1]}',
        ],
    )
    def test_a_body_that_is_not_a_batch_is_refused(self, scrip: httpx.Client, body: bytes) -> None:
        answer = scrip.post("/coupons", content=body, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 400
        assert_documented("post", "/coupons", answer)

    def test_a_key_is_required_and_too_much_at_once_is_refused(self, scrip: httpx.Client) -> None:
        one = {"deliveries": [delivery()]}
        assert scrip.post("/coupons", json=one).status_code == 400
        assert scrip.post("/coupons", json=one, headers={"Idempotency-Key": "a b"}).status_code == 400
        assert deliver(scrip, *[delivery() for _ in range(101)]).status_code == 413
        twice = delivery()
        assert deliver(scrip, twice, twice).status_code == 400
        large = scrip.post("/coupons", content=b" " * 2**20 + b"x", headers={"Idempotency-Key": "k"})
        assert large.status_code == 413

    def test_a_recall_has_its_own_receipt_once(self, merchant: DemoMerchant, scrip: httpx.Client) -> None:
        given = delivery()
        deliver(scrip, given)
        recalls = merchant.counts()["recalls"]
        key = given["delivery_id"]
        answers = [
            scrip.post(
                f"/coupons/{key}/recall",
                json={"reason": "voided"},
                headers={"Idempotency-Key": f"recall-{key}"},
            )
            for _ in range(2)
        ]
        for answer in answers:
            assert_documented("post", "/coupons/{delivery_id}/recall", answer)
        assert answers[0].json() == answers[1].json()
        assert answers[0].json()["status"] == "recalled"
        assert merchant.counts()["recalls"] == recalls + 1
        assert scrip.get(f"/coupons/{key}").json()["status"] == "recalled"

    def test_what_was_never_accepted_cannot_be_recalled(self, scrip: httpx.Client) -> None:
        refused = delivery("nobody")
        deliver(scrip, refused)
        for key in (refused["delivery_id"], "never-heard-of"):
            answer = scrip.post(f"/coupons/{key}/recall", json={"reason": "x"}, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 404
            assert_documented("post", "/coupons/{delivery_id}/recall", answer)
        bad = scrip.post("/coupons/x/recall", json={"reason": ""}, headers={"Idempotency-Key": "k"})
        assert bad.status_code == 400


class TestWhatSurvives:
    def test_kill_9_loses_no_receipt_no_count_and_no_planted_fault(self, tmp_path: Path) -> None:
        state, given = tmp_path / "state", delivery()
        merchant = start_demo_merchant(state, "--users", "3")
        with client_of(merchant) as client:
            receipt = deliver(client, given).json()
            merchant.plant("deliver", "429", nth=2)
        merchant.kill()
        with running_demo_merchant(state, "--users", "3") as again, client_of(again) as client:
            assert deliver(client, given).json() == receipt
            assert deliver(client, delivery()).status_code == 429
            counts = again.counts()
            assert counts["deliveries"]["applied"] == 1
            assert counts["faults_fired"] == 1

    def test_another_source_of_users_does_not_slip_into_an_old_state(self, tmp_path: Path) -> None:
        with running_demo_merchant(tmp_path / "state", "--users", "3"):
            pass
        with pytest.raises(AssertionError, match="did not start"):
            start_demo_merchant(tmp_path / "state", "--users", "4")


class TestPlantedFaults:
    def test_the_nth_delivery_is_struck_wherever_it_stands_in_a_batch(
        self, merchant: DemoMerchant, scrip: httpx.Client
    ) -> None:
        merchant.plant("deliver", "500", nth=25)
        batches = [[delivery() for _ in range(10)] for _ in range(4)]
        assert [deliver(scrip, *batch).status_code for batch in batches] == [200, 200, 500, 200]

    @pytest.mark.parametrize("status", ["400", "401", "403", "410", "429", "500", "503"])
    def test_a_planted_status_is_answered_as_the_contract_documents_it(
        self, merchant: DemoMerchant, scrip: httpx.Client, status: str
    ) -> None:
        merchant.plant("users", status, retry_after=7)
        answer = scrip.get("/users")
        assert answer.status_code == int(status)
        assert answer.headers["retry-after"] == "7"
        assert_documented("get", "/users", answer)

    def test_a_time_out_after_the_work_gives_the_coupon_and_one_before_does_not(
        self, merchant: DemoMerchant, scrip: httpx.Client
    ) -> None:
        for kind, found in (("timeout_after_apply", 200), ("timeout_before_apply", 404)):
            merchant.plant("deliver", kind)
            given = delivery()
            with pytest.raises(httpx.ReadTimeout):
                scrip.post(
                    "/coupons",
                    json={"deliveries": [given]},
                    headers={"Idempotency-Key": given["delivery_id"]},
                    timeout=0.3,
                )
            assert scrip.get(f"/coupons/{given['delivery_id']}").status_code == found

    def test_paging_loops_in_both_ways(self, merchant: DemoMerchant, scrip: httpx.Client) -> None:
        for kind in ("loop_paging", "stuck_paging"):
            merchant.clear()
            merchant.plant("users", kind, nth=2)
            pages = [page for page, _ in zip(listing(scrip, 100), range(8), strict=False)]
            assert len(pages) == 8
            assert len({user["id"] for page in pages for user in page}) < 250

    def test_a_doubled_effect_shows_in_the_counts(self, tmp_path: Path) -> None:
        with running_demo_merchant(tmp_path / "state") as merchant, client_of(merchant) as client:
            given = delivery()
            deliver(client, given)
            merchant.plant("deliver", "forget_keys")
            deliver(client, given)
            deliver(client, {**delivery(), "coupon_id": given["coupon_id"]})
            counts = merchant.counts()["deliveries"]
        assert counts["doubled"] == 1
        assert counts["doubled_coupons"] == 1
        assert counts["applied"] == 3

    @pytest.mark.parametrize("kind", ["html", "bad_json", "wrong_shape", "redirect", "missing_receipt"])
    def test_a_spoiled_answer_is_outside_the_contract(
        self, merchant: DemoMerchant, scrip: httpx.Client, kind: str
    ) -> None:
        merchant.plant("deliver", kind)
        with pytest.raises((AssertionError, ValueError, KeyError)):
            deliver(scrip, delivery())

    @pytest.mark.parametrize("wanted", [{}, {"at": "moon", "kind": "500"}, {"at": "users", "kind": "x"}, None, []])
    def test_a_fault_that_does_not_exist_is_refused(self, merchant: DemoMerchant, wanted: object) -> None:
        answer = httpx.post(f"{merchant.admin}/faults", json=wanted, trust_env=False)
        assert answer.status_code == 400

    def test_every_operation_can_be_struck(self, merchant: DemoMerchant, scrip: httpx.Client) -> None:
        for at in ("users", "deliver", "find", "recall", "health"):
            merchant.plant(at, "503")
        statuses = [
            scrip.get("/users").status_code,
            deliver(scrip, delivery()).status_code,
            scrip.get("/coupons/x").status_code,
            scrip.post("/coupons/x/recall", json={}).status_code,
            scrip.get("/health").status_code,
        ]
        assert statuses == list(itertools.repeat(503, 5))
