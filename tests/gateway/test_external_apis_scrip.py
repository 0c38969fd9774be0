"""The dialect `scrip` against a running gateway and core: the walk, repeats, signatures, and who may see what."""

import json
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from dialects.scrip.credentials import signature, signed_text
from tests.support.gateway import GatewayPlatform, Merchant

API = "/merchant/v1"


@pytest_asyncio.fixture(scope="module")
async def shop(gateway: GatewayPlatform) -> Merchant:
    return await gateway.add_merchant(f"Shop {uuid4().hex[:6]}")


@pytest_asyncio.fixture(scope="module")
async def rival(gateway: GatewayPlatform) -> Merchant:
    return await gateway.add_merchant(f"Rival {uuid4().hex[:6]}")


@pytest_asyncio.fixture(scope="module")
async def signer(gateway: GatewayPlatform) -> Merchant:
    return await gateway.add_merchant(f"Signer {uuid4().hex[:6]}", authentication="signed")


def offer(**changes: Any) -> dict[str, Any]:
    name = f"Offer {uuid4().hex[:8]}"
    return {
        "name": name,
        "currency": "EUR",
        "discount": {"kind": "amount_off", "amount": 500},
        "validity": {"starts": "2026-03-01", "ends": "2026-03-31", "zone": "Europe/Berlin"},
        "supply": {"kind": "shared", "code": name.upper()},
    } | changes


async def made(merchant: Merchant, method: str, path: str, body: Any = None, **options: Any) -> Any:
    answer = await merchant.send(method, API + path, body, **options)
    assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["type"] == f"https://scrip.dev/problems/{body['code']}"
    assert body["status"] == answer.status_code
    return answer.status_code, str(body["code"])


class TestTheWalk:
    async def test_publish_issue_validate_redeem_return_redeem_again(self, shop: Merchant) -> None:
        terms = offer()
        published = await shop.send("POST", f"{API}/campaigns", terms)
        assert published.status_code == 201
        campaign = published.json()["campaign"]
        assert published.headers["location"] == f"{API}/campaigns/{campaign}"
        assert published.json()["state"] == "active"
        assert int(published.headers["ratelimit-remaining"]) < int(published.headers["ratelimit-limit"])
        issued = await made(shop, "POST", f"/campaigns/{campaign}/issue", {"users": [f"u{n}" for n in range(100)]})
        assert (issued["total"], issued["accepted"], issued["refused"]) == (100, 100, 0)
        assert [row["row"] for row in issued["rows"]] == list(range(100))
        code = terms["supply"]["code"]
        asked = {"code": code, "user": "u1", "amount": 2_000}
        valid = await made(shop, "POST", "/coupons/validate", asked)
        assert (valid["valid"], valid["discount"], valid["payable"]) == (True, 500, 1_500)
        redeemed = await made(shop, "POST", "/coupons/redeem", asked | {"order": "o-1"})
        assert (redeemed["discount"], redeemed["payable"], redeemed["user"]) == (500, 1_500, "u1")
        again = await shop.send("POST", f"{API}/coupons/redeem", asked)
        assert problem(again) == (409, "coupon_already_redeemed")
        assert again.json()["coupon"] == redeemed["coupon"]
        await made(shop, "POST", "/coupons/return", {"coupon": redeemed["coupon"], "reason": "cancelled"})
        await made(shop, "POST", "/coupons/redeem", asked | {"order": "o-2"})
        view = await made(shop, "GET", f"/campaigns/{campaign}")
        assert (view["issued"], view["redeemed"], view["held"]) == (100, 1, 99)
        found = await made(shop, "GET", "/coupons?user=u1")
        assert redeemed["coupon"] in [coupon["id"] for coupon in found["coupons"]]
        assert (await made(shop, "GET", f"/coupons/{redeemed['coupon']}"))["state"] == "redeemed"

    async def test_the_log_of_a_refusal_names_merchant_terminal_campaign_and_command_and_no_code(
        self, gateway: GatewayPlatform, shop: Merchant
    ) -> None:
        terms = offer()
        campaign = (await made(shop, "POST", "/campaigns", terms))["campaign"]
        await made(shop, "POST", f"/campaigns/{campaign}/issue", {"users": ["logged"]})
        use = {"code": terms["supply"]["code"], "user": "logged", "amount": 2_000}
        await made(shop, "POST", "/coupons/redeem", use)
        assert problem(await shop.send("POST", f"{API}/coupons/redeem", use)) == (409, "coupon_already_redeemed")
        log = (gateway.folder / "gateway-0.log").read_text()
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        (told,) = [line for line in lines if line.get("problem") == "coupon_already_redeemed"
                   and line.get("campaign") == campaign]  # fmt: skip
        assert (told["merchant"], told["terminal"], told["service"]) == (shop.id, "terminal-1", "gateway")
        assert (await gateway.done("GET", f"/commands/{told['command']}/why"))["answered"]["refusal"][
            "code"
        ] == "coupon_already_redeemed"
        assert terms["supply"]["code"] not in log

    async def test_generate_export_and_redeem_a_bearer_code(self, shop: Merchant) -> None:
        terms = {name: value for name, value in offer(quantity=1_000_000_000).items() if name != "supply"}
        campaign = (await made(shop, "POST", "/campaigns/generate", terms))["campaign"]
        exported = await made(shop, "POST", f"/campaigns/{campaign}/export-codes", {"count": 3})
        assert len({row["code"] for row in exported["codes"]}) == 3
        redeemed = await made(shop, "POST", "/coupons/redeem", {"code": exported["codes"][0]["code"], "amount": 700})
        assert redeemed["payable"] == 200
        listed = await made(shop, "GET", f"/campaigns/{campaign}/codes")
        assert len(listed["codes"]) == 3

    async def test_an_export_streams_to_who_owns_the_campaign_and_to_no_other(self, shop: Merchant) -> None:
        terms = {name: value for name, value in offer(quantity=1_000).items() if name != "supply"}
        campaign = (await made(shop, "POST", "/campaigns/generate", terms))["campaign"]
        taken = await made(shop, "POST", f"/campaigns/{campaign}/export-codes", {"count": 3})
        at = f"{API}/campaigns/{campaign}/export"
        text = (await shop.send("GET", f"{at}/codes?state=exported")).text
        assert [line.split(",")[1] for line in text.splitlines()[1:-1]] == [row["code"] for row in taken["codes"]]
        for what in ("coupons", "history"):
            answer = await shop.send("GET", f"{at}/{what}?format=jsonl&after=0")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
        for path, status in ((f"{at}/others", 404), (f"{at}/codes?format=xlsx", 422), (f"{at}/codes?odd=1", 422)):
            assert problem(await shop.send("GET", path))[0] == status
        unknown = await shop.send("GET", f"{API}/campaigns/nobody-made-this/export/codes")
        assert problem(unknown) == (404, "campaign_not_found")

    async def test_upload_codes_that_are_given_out_in_order(self, shop: Merchant) -> None:
        mark = uuid4().hex[:6].upper()
        first = offer(supply={"kind": "uploaded"}, codes=[f"{mark}-1", f"{mark}-2"])
        created = await made(shop, "POST", "/campaigns", first)
        assert created["codes"] == {"total": 2, "accepted": 2, "refused": 0}
        campaign = created["campaign"]
        more = await made(
            shop,
            "POST",
            f"/campaigns/{campaign}/codes",
            f"code\n{mark}-3\n{mark}-1\n".encode(),
            headers={"content-type": "text/csv"},
        )
        assert (more["accepted"], more["refused"]) == (1, 1)
        refused_row = next(row for row in more["rows"] if "refusal" in row)
        assert (refused_row["row"], refused_row["refusal"]["code"]) == (1, "code_taken")
        issued = await made(shop, "POST", f"/campaigns/{campaign}/issue", {"users": ["a", "b", "c", "d"]})
        codes = [row.get("code") for row in issued["rows"]]
        assert codes == [f"{mark}-1", f"{mark}-2", f"{mark}-3", None]
        assert issued["rows"][3]["refusal"]["code"] == "no_code_left"

    async def test_a_dry_run_says_what_would_happen_and_nothing_does(self, shop: Merchant) -> None:
        mark, key = uuid4().hex[:6].upper(), uuid4().hex
        terms = offer(supply={"kind": "uploaded"}, codes=[f"{mark}-1", f"{mark}-2"])
        tried = await shop.send("POST", f"{API}/campaigns?dry_run=true", terms, key=key)
        assert (tried.status_code, tried.json()["dry_run"], "location" in tried.headers) == (200, True, False)
        assert tried.json()["codes"] == {"total": 2, "tried": False}
        campaign = tried.json()["campaign"]
        assert problem(await shop.send("GET", f"{API}/campaigns/{campaign}")) == (404, "campaign_not_found")
        published = await shop.send("POST", f"{API}/campaigns", terms, key=key)
        assert (published.status_code, published.json()["campaign"]) == (201, campaign)

        at = f"/campaigns/{campaign}"
        before = await made(shop, "GET", at)
        more = await made(shop, "POST", f"{at}/codes?dry_run=true", {"codes": [f"{mark}-2", f"{mark}-3"]})
        assert (more["accepted"], more["refused"], more["dry_run"], "reference" in more) == (1, 1, True, False)
        issued = await made(shop, "POST", f"{at}/issue?dry_run=true", {"users": ["a", "b", "c"]})
        assert (issued["accepted"], issued["refused"], mark in str(issued)) == (2, 1, False)
        once = {"code": f"{mark}-1", "user": "a", "amount": 2_000}
        redeemed = await made(shop, "POST", "/coupons/redeem?dry_run=true", once)
        assert (redeemed["payable"], redeemed["dry_run"]) == (1_500, True)
        paused = await made(shop, "POST", f"{at}/pause?dry_run=true", {"reason": "r"})
        assert paused["state"] == "paused"
        wrong = await shop.send("POST", f"{API}/coupons/void?dry_run=true", {"coupon": f"{campaign}.9", "reason": "r"})
        assert problem(wrong) == (404, "coupon_not_found")
        many = await shop.send("POST", f"{API}{at}/issue?dry_run=true", {"users": [f"u{n}" for n in range(501)]})
        assert problem(many) == (413, "too_large_to_try")
        after = await made(shop, "GET", at)
        assert {**after, "as_of": None} == {**before, "as_of": None}

    async def test_the_merchant_may_name_each_code(self, shop: Merchant) -> None:
        mark = uuid4().hex[:6].upper()
        campaign = (await made(shop, "POST", "/campaigns", offer(supply={"kind": "given"})))["campaign"]
        rows = [
            {"user": "a", "code": f"{mark}-1"},
            {"user": "b", "code": f"{mark}-2"},
            {"user": "c", "code": f"{mark}-2"},
        ]
        issued = await made(shop, "POST", f"/campaigns/{campaign}/issue", {"rows": rows})
        assert (issued["accepted"], issued["refused"]) == (2, 1)
        assert (await made(shop, "POST", "/coupons/redeem", {"code": f"{mark}-2", "amount": 600}))["user"] == "b"

    async def test_void_by_filter_and_all_of_a_campaign(self, shop: Merchant, rival: Merchant) -> None:
        terms = {name: value for name, value in offer().items() if name != "supply"}
        campaign = (await made(shop, "POST", "/campaigns/generate", terms | {"quantity": 20}))["campaign"]
        await made(shop, "POST", f"/campaigns/{campaign}/export-codes", {"count": 4})
        await made(shop, "POST", f"/campaigns/{campaign}/issue", {"users": ["ann", "bob"]})
        mean = {"matching": {"last": 5}, "reason": "misprint"}
        theirs = await rival.send("POST", f"{API}/campaigns/{campaign}/void-matching", mean)
        assert problem(theirs)[1] == "campaign_not_found"
        done = await made(shop, "POST", f"/campaigns/{campaign}/void-matching", mean)
        assert (done["accepted"], done["held"], done["exported"]) == (5, 1, 4)
        cursor = await shop.send("POST", f"{API}/campaigns/{campaign}/void-all", {"reason": "r", "after": 9})
        assert problem(cursor)[0] == 422
        assert (await made(shop, "POST", f"/campaigns/{campaign}/void-all", {"reason": "r"}))["accepted"] == 1
        view = await made(shop, "GET", f"/campaigns/{campaign}")
        assert (view["voided"], view["held"], view["exported"]) == (6, 0, 0)

    async def test_reserve_release_void_pause_resume_and_stop(self, shop: Merchant) -> None:
        terms = offer()
        campaign = (await made(shop, "POST", "/campaigns", terms))["campaign"]
        await made(shop, "POST", f"/campaigns/{campaign}/issue", {"users": ["a", "b"]})
        mine = {"code": terms["supply"]["code"], "user": "a"}
        await made(shop, "POST", "/coupons/reserve", mine | {"order": "o-1", "seconds": 60})
        other = await shop.send("POST", f"{API}/coupons/redeem", mine | {"order": "o-2"})
        assert problem(other) == (409, "coupon_reserved")
        await made(shop, "POST", "/coupons/release", mine | {"order": "o-1"})
        voided = await made(shop, "POST", "/coupons/void", mine | {"reason": "lost"})
        assert voided["state"] == "voided"
        twice = await shop.send("POST", f"{API}/coupons/void", mine | {"reason": "lost"})
        assert problem(twice)[1] == "coupon_voided"
        at = f"/campaigns/{campaign}"
        assert (await made(shop, "POST", f"{at}/pause", {"reason": "audit"}))["state"] == "paused"
        assert (await made(shop, "POST", f"{at}/resume"))["state"] == "active"
        await made(shop, "PUT", f"{at}/quantity", {"quantity": 50})
        await made(shop, "POST", f"{at}/unpublish")
        assert (await made(shop, "POST", f"{at}/stop", {"reason": "over"}))["state"] == "stopped"


class TestRepeats:
    async def test_the_same_request_is_answered_again_and_has_no_second_effect(self, shop: Merchant) -> None:
        terms, key = offer(), uuid4().hex
        first = await shop.send("POST", f"{API}/campaigns", terms, key=key)
        again = await shop.send("POST", f"{API}/campaigns", terms, key=key, instance=1)
        assert (first.status_code, again.status_code) == (201, 201)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()

    async def test_the_same_number_with_other_content_is_refused(self, shop: Merchant) -> None:
        key = uuid4().hex
        await made(shop, "POST", "/campaigns", offer(), key=key)
        other = await shop.send("POST", f"{API}/campaigns", offer(), key=key)
        assert problem(other) == (422, "idempotency_conflict")
        at = f"{API}/campaigns/{key}/issue"
        await shop.send("POST", at, {"users": ["a"]}, key="issue-1")
        conflict = await shop.send("POST", at, {"users": ["b"]}, key="issue-1")
        assert problem(conflict) == (422, "idempotency_conflict")

    async def test_the_number_of_a_creation_names_its_campaign(self, shop: Merchant) -> None:
        key = f"spring/{uuid4().hex[:6]}"
        campaign = (await made(shop, "POST", "/campaigns", offer(), key=key))["campaign"]
        assert (await made(shop, "GET", f"/campaigns/{key.replace('/', '%2F')}"))["id"] == campaign

    async def test_who_does_not_wait_asks_later(self, shop: Merchant, rival: Merchant) -> None:
        campaign = (await made(shop, "POST", "/campaigns", offer()))["campaign"]
        later = {"prefer": "respond-async"}
        for path, body in (("claim", {"user": "x"}), ("issue", {"users": ["y", "y", "z"]})):
            sent = await shop.send("POST", f"{API}/campaigns/{campaign}/{path}", body, headers=later)
            assert sent.status_code == 202
            place = sent.headers["location"]
            for _ in range(100):
                found = await shop.send("GET", place)
                if found.status_code == 200:
                    break
            assert found.json()["status"] == "done", found.text
            assert problem(await rival.send("GET", place))[0] == 404
        rows = await made(shop, "GET", f"{place.removeprefix(API)}/results?limit=2")
        assert [row["row"] for row in rows["rows"]] == [0, 1]
        assert rows["rows"][1]["refusal"]["code"] == "repeated_in_request"
        rest = await made(shop, "GET", f"{place.removeprefix(API)}/results?after={rows['next']}")
        assert [row["user"] for row in rest["rows"]] == ["z"]


class TestSigned:
    async def signed(
        self,
        signer: Merchant,
        target: str,
        body: bytes,
        *,
        number: str,
        at: int = 0,
        more: dict[str, str] | None = None,
    ) -> httpx.Response:
        timestamp = str(int(time.time()) + at)
        text = signed_text(number, timestamp, "POST", target, body)
        headers = {
            "scrip-key": signer.credentials["scrip_key"],
            "webhook-id": number,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(signer.credentials["secret"], text),
            **(more or {}),
        }
        return await signer.gateway.request("POST", target, body, headers=headers, key="")

    async def test_a_signed_request_is_carried_out_once_however_often_it_is_signed(self, signer: Merchant) -> None:
        number, body = uuid4().hex, offer()
        content = httpx.Request("POST", "http://x", json=body).content
        first = await self.signed(signer, f"{API}/campaigns", content, number=number)
        again = await self.signed(signer, f"{API}/campaigns", content, number=number, at=5)
        assert (first.status_code, again.status_code) == (201, 201), first.text
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"

    @pytest.mark.parametrize(
        ("at", "more"),
        [
            (-305, {}),
            (305, {}),
            (0, {"webhook-signature": "v1,AAAA"}),
            (0, {"scrip-key": "nobody"}),
            (0, {"webhook-id": "another"}),
        ],
    )
    async def test_what_is_not_well_signed_is_refused_alike(
        self, signer: Merchant, at: int, more: dict[str, str]
    ) -> None:
        answer = await self.signed(signer, f"{API}/campaigns", b"{}", number="n-1", at=at, more=more)
        assert problem(answer) == (401, "unauthenticated")

    async def test_another_idempotency_key_is_refused(self, signer: Merchant) -> None:
        answer = await self.signed(signer, f"{API}/campaigns", b"{}", number="n-1", more={"idempotency-key": "n-2"})
        assert problem(answer) == (400, "idempotency_key_differs")


class TestWhoMaySeeWhat:
    async def test_another_merchant_finds_nothing_and_changes_nothing(self, shop: Merchant, rival: Merchant) -> None:
        terms = offer()
        campaign = (await made(shop, "POST", "/campaigns", terms))["campaign"]
        issued = await made(shop, "POST", f"/campaigns/{campaign}/issue", {"users": ["victim"]})
        coupon = issued["rows"][0]["coupon"]
        code = terms["supply"]["code"]
        at = f"{API}/campaigns/{campaign}"
        attempts: list[tuple[str, str, Any]] = [
            ("GET", at, None),
            ("GET", f"{at}/codes", None),
            ("GET", f"{at}/coupons", None),
            ("POST", f"{at}/issue", {"users": ["me"]}),
            ("POST", f"{at}/claim", {"user": "me"}),
            ("POST", f"{at}/pause", {"reason": "r"}),
            ("POST", f"{at}/stop", {"reason": "r"}),
            ("POST", f"{at}/unpublish", None),
            ("POST", f"{at}/export-codes", {"count": 1}),
            ("POST", f"{at}/codes", ["X"]),
            ("PUT", f"{at}/quantity", {"quantity": 5}),
            ("GET", f"{API}/coupons/{coupon}", None),
            ("POST", f"{API}/coupons/redeem", {"code": code, "user": "victim"}),
            ("POST", f"{API}/coupons/redeem", {"code": code, "user": "victim", "campaign": campaign}),
            ("POST", f"{API}/coupons/redeem", {"coupon": coupon}),
            ("POST", f"{API}/coupons/return", {"coupon": coupon, "reason": "r"}),
            ("POST", f"{API}/coupons/void", {"coupon": coupon, "reason": "r"}),
            ("POST", f"{API}/coupons/reserve", {"coupon": coupon, "order": "o"}),
            ("POST", f"{API}/coupons/release", {"coupon": coupon, "order": "o"}),
        ]
        for method, path, body in attempts:
            answer = await rival.send(method, path, body)
            status, name = problem(answer)
            assert status == 404, f"{method} {path}: {answer.text}"
            assert name in ("campaign_not_found", "coupon_not_found")
        asked = {"code": code, "user": "victim", "campaign": campaign}
        validated = await rival.send("POST", f"{API}/coupons/validate", asked)
        assert validated.status_code == 404 or validated.json()["valid"] is False
        for query in (f"code={code}", "user=victim"):
            assert (await made(rival, "GET", f"/coupons?{query}"))["coupons"] == []
        assert campaign not in [one["id"] for one in (await made(rival, "GET", "/campaigns"))["campaigns"]]
        view = await made(shop, "GET", f"/campaigns/{campaign}")
        assert (view["state"], view["held"], view["issued"]) == ("active", 1, 1)

    async def test_both_may_use_the_same_numbers_and_codes(self, shop: Merchant, rival: Merchant) -> None:
        terms, key = offer(), uuid4().hex
        mine = await made(shop, "POST", "/campaigns", terms, key=key)
        theirs = await made(rival, "POST", "/campaigns", terms, key=key)
        assert mine["campaign"] != theirs["campaign"]
        await made(shop, "POST", f"/campaigns/{key}/issue", {"users": ["u"]})
        asked = {"code": terms["supply"]["code"], "user": "u"}
        assert problem(await rival.send("POST", f"{API}/coupons/redeem", asked))[0] == 404
        assert (await made(shop, "POST", "/coupons/redeem", asked))["coupon"].startswith(mine["campaign"])

    async def test_a_code_in_two_campaigns_is_ambiguous_until_the_campaign_is_named(self, shop: Merchant) -> None:
        terms = offer()
        first = (await made(shop, "POST", "/campaigns", terms))["campaign"]
        second = (await made(shop, "POST", "/campaigns", terms))["campaign"]
        for campaign in (first, second):
            await made(shop, "POST", f"/campaigns/{campaign}/issue", {"users": ["u"]})
        asked = {"code": terms["supply"]["code"], "user": "u"}
        answer = await shop.send("POST", f"{API}/coupons/redeem", asked)
        assert problem(answer) == (409, "ambiguous_code")
        assert sorted(answer.json()["campaigns"]) == sorted([first, second])
        await made(shop, "POST", "/coupons/redeem", asked | {"campaign": second})

    async def test_without_a_good_credential_nobody_is_let_in(self, gateway: GatewayPlatform, shop: Merchant) -> None:
        wrong = shop.headers["authorization"][:-1] + ("a" if shop.headers["authorization"][-1] != "a" else "b")
        headers: list[dict[str, str]] = [{}, {"authorization": wrong}, {"authorization": "Bearer sk_x"}]
        for each in headers:
            answer = await gateway.request("GET", f"{API}/campaigns", headers=each)
            assert problem(answer) == (401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


FREE_TEA = {"kind": "free_item", "item": "tea"}
BACKWARDS = {"starts": "2026-03-31", "ends": "2026-03-01"}


class TestBadInput:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "code"),
        [
            ("POST", "/campaigns", b"{", 400, "unreadable_body"),
            ("POST", "/campaigns", b"x" * (1024 * 1024 + 1), 413, "body_too_large"),
            ("POST", "/campaigns", {}, 422, "invalid_request"),
            ("POST", "/campaigns", offer(discount=FREE_TEA, budget=5_000), 422, "budget_needs_cap"),
            ("POST", "/campaigns", offer(currency="XXQ"), 422, "currency_unknown"),
            ("POST", "/campaigns", offer(validity=BACKWARDS), 422, "end_before_start"),
            ("POST", "/campaigns/generate", {**offer(), "supply": {"kind": "generated"}}, 422, "quantity_required"),
            ("GET", "/campaigns/7f1f3e0a-6d41-5d0e-8f53-111111111111", None, 404, "campaign_not_found"),
            ("GET", "/nothing", None, 404, "not_found"),
            ("DELETE", "/campaigns", None, 405, "method_not_allowed"),
            ("POST", "/coupons/redeem", {"code": "NO-SUCH-CODE"}, 404, "coupon_not_found"),
            ("POST", "/coupons/redeem", {"code": "---"}, 404, "coupon_not_found"),
        ],
    )
    async def test_each_mistake_has_its_own_problem(
        self, shop: Merchant, method: str, path: str, body: Any, status: int, code: str
    ) -> None:
        answer = await shop.send(method, API + path, body)
        assert problem(answer) == (status, code)
        assert answer.json()["detail"]
