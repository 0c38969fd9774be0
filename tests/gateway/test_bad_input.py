"""What is wrong is answered by name, with the field, and never by a 500."""

import json
from typing import Any

import pytest

from tests.support.gateway import GatewayPlatform

NOWHERE = "00000000-0000-4000-8000-000000000000"


def deep(levels: int) -> bytes:
    return b'{"terms":' + b"[" * levels + b"]" * levels + b"}"


class TestABody:
    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (b"", 400, "unreadable_body"),
            (b"not json", 400, "unreadable_body"),
            (b"[]", 422, "invalid_request"),
            (b'{"a":1,"a":2}', 400, "unreadable_body"),
            (b'{"terms":NaN}', 400, "unreadable_body"),
            (b"\xff\xfe{}", 400, "unreadable_body"),
            (deep(31), 422, "invalid_request"),
            (deep(32), 400, "unreadable_body"),
            (deep(100_000), 400, "unreadable_body"),
            (b'{"terms":{"name":"a\\u0000b"}}', 422, "invalid_request"),
            (b'{"terms":{"name":"\\ud800"}}', 422, "invalid_request"),
        ],
        ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else None,
    )
    async def test_that_cannot_be_used_is_refused(
        self, gateway: GatewayPlatform, body: bytes, status: int, code: str
    ) -> None:
        answer = await gateway.staff("POST", "/campaigns", body, headers={"content-type": "application/json"})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["type"] == f"https://scrip.dev/problems/{code}"
        assert problem["status"] == status

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"quantity": 0}, "/quantity"),
            ({"quantity": -1}, "/quantity"),
            ({"quantity": 1.5}, "/quantity"),
            ({"quantity": "7"}, "/quantity"),
            ({"quantity": 10**10}, "/quantity"),
            ({"unknown": 1}, "/unknown"),
            ({"supply": {"kind": "given"}}, "/supply/kind"),
            ({"terms": {"name": ""}}, "/terms/name"),
            ({"terms": {"currency": "euro"}}, "/terms/currency"),
            ({"terms": {"discount": {"kind": "amount_off", "amount": 0}}}, "/terms/discount/amount"),
            ({"terms": {"validity": {"starts": "yesterday", "ends": "2026-03-31"}}}, "/terms/validity/starts"),
            (
                {"terms": {"validity": {"starts": "2026-03-01", "ends": "2026-03-31", "zone": "Mars/X"}}},
                "/terms/validity/zone",
            ),
        ],
        ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else None,
    )
    async def test_with_a_wrong_field_is_refused_with_its_pointer(
        self, gateway: GatewayPlatform, spring: dict[str, Any], change: dict[str, Any], pointer: str
    ) -> None:
        terms = {**spring["terms"], **change.pop("terms", {})}
        answer = await gateway.staff("POST", "/campaigns", {**spring, "terms": terms, **change})
        assert answer.status_code == 422
        assert pointer in [error["pointer"] for error in answer.json()["errors"]], answer.text

    async def test_over_one_mebibyte_is_refused_before_it_is_read(self, gateway: GatewayPlatform) -> None:
        answer = await gateway.staff("POST", "/campaigns", b" " * (1024 * 1024 + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

        async def unending() -> Any:
            for _ in range(20):
                yield b" " * 100_000

        headers = {"authorization": f"Bearer {gateway.admin_token}", "idempotency-key": "x"}
        streamed = await gateway.http.post(
            f"{gateway.url()}/internal/v1/campaigns", content=unending(), headers=headers
        )
        assert streamed.status_code == 413

    async def test_of_rows_may_have_sixteen(self, gateway: GatewayPlatform) -> None:
        body = b"\n".join(b'"%060d"' % number for number in range(18_000))
        assert len(body) > 1024 * 1024
        answer = await gateway.staff(
            "POST", f"/campaigns/{NOWHERE}/issue", body, headers={"content-type": "application/x-ndjson"}
        )
        assert answer.status_code in (202, 404), answer.text
        many = b"\n".join(b'"%d"' % number for number in range(100_001))
        refused = await gateway.staff(
            "POST", f"/campaigns/{NOWHERE}/issue", many, headers={"content-type": "application/x-ndjson"}
        )
        assert (refused.status_code, refused.json()["code"]) == (413, "too_many_rows")
        large = await gateway.staff("POST", f"/campaigns/{NOWHERE}/issue", b" " * (16 * 1024 * 1024 + 1))
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


class TestARequest:
    async def test_that_changes_something_needs_an_idempotency_key(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        headers = {"authorization": f"Bearer {gateway.admin_token}"}
        for path in ("/campaigns", f"/campaigns/{NOWHERE}/claim", "/merchants", "/tools", "/clock", "/tasks"):
            answer = await gateway.http.post(f"{gateway.url()}/internal/v1{path}", json=spring, headers=headers)
            problem = answer.json()
            # What is wrong with the body may be said first; never is the request carried out.
            assert (answer.status_code, problem["code"]) in (
                (400, "idempotency_key_required"),
                (422, "invalid_request"),
            ), path
        made = await gateway.http.post(f"{gateway.url()}/internal/v1/campaigns", json=spring, headers=headers)
        assert made.status_code == 400
        long = await gateway.staff("POST", "/campaigns", spring, key="k" * 256)
        assert long.status_code == 400

    async def test_of_an_end_before_the_start_is_refused(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        validity = {"starts": "2026-03-31", "ends": "2026-03-01"}
        answer = await gateway.staff(
            "POST", "/campaigns", {**spring, "terms": {**spring["terms"], "validity": validity}}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "end_before_start")

    async def test_with_a_budget_and_a_discount_that_nothing_bounds_is_refused_by_name(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        terms = {**spring["terms"], "discount": {"kind": "free_item", "item": "tea"}, "budget": 10_000}
        answer = await gateway.staff("POST", "/campaigns", {**spring, "terms": terms})
        assert (answer.status_code, answer.json()["code"], answer.json()["kind"]) == (
            *(422, "budget_needs_cap", "free_item"),
        )

    @pytest.mark.parametrize("user", ["u" * 65, "é" * 33, "", "a\u0000b", "a\nb", 7, None])
    async def test_for_a_user_id_that_is_none_is_refused(
        self, gateway: GatewayPlatform, campaign: str, user: Any
    ) -> None:
        answer = await gateway.staff("POST", f"/campaigns/{campaign}/claim", {"user": user})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/user"

    async def test_of_what_is_not_there_is_not_found(self, gateway: GatewayPlatform) -> None:
        for path in (
            f"/campaigns/{NOWHERE}",
            f"/coupons/{NOWHERE}.1",
            "/coupons/nonsense",
            f"/coupons/{NOWHERE}.1/history",
            f"/merchants/{NOWHERE}",
            "/nothing",
            "/dead-letters/coupon.commands-0-999999",
        ):
            answer = await gateway.staff("GET", path)
            assert answer.status_code == 404, path
            assert answer.headers["content-type"] == "application/problem+json", path

    async def test_with_wrong_parameters_is_refused_by_name(self, gateway: GatewayPlatform, campaign: str) -> None:
        for path, pointer in (
            ("/campaigns?limit=0", "limit"),
            ("/campaigns?limit=x", "limit"),
            ("/campaigns?nonsense=1", "nonsense"),
            ("/campaigns?party=somebody", "party"),
            (f"/campaigns/{campaign}/coupons?user={'u' * 65}", "user"),
            ("/coupons", "code"),
            ("/campaigns/nonsense", "campaign"),
        ):
            answer = await gateway.staff("GET", path)
            assert answer.status_code == 422, path
            assert answer.json()["errors"][0]["pointer"] == pointer, path

    async def test_with_nul_in_its_path_or_query_is_refused(self, gateway: GatewayPlatform) -> None:
        for path in ("/coupons?code=a%00b", "/coupons/a%00b", "/campaigns/%00"):
            assert (await gateway.staff("GET", path)).status_code == 400, path

    async def test_by_a_method_a_path_does_not_take_is_refused(self, gateway: GatewayPlatform, campaign: str) -> None:
        for method, path in (("PATCH", "/campaigns"), ("GET", f"/campaigns/{campaign}/claim")):
            answer = await gateway.staff(method, path)
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")

    async def test_with_a_profile_or_interface_that_cannot_be_is_refused(self, gateway: GatewayPlatform) -> None:
        for document, pointer in (
            ({"name": "x", "dialect": "declared"}, "/declaration"),
            ({"name": "x", "dialect": "scrip", "declaration": {}}, "/declaration"),
            ({"name": "x", "dialect": "voucherify", "authentication": "signed"}, "/authentication"),
            ({"name": "x", "dialect": "morse"}, "/dialect"),
            ({"name": "x", "dialect": "scrip", "terminal": "a/b"}, "/terminal"),
        ):
            answer = await gateway.staff("POST", "/merchants", document)
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["pointer"] == pointer
        shop = await gateway.add_merchant("Bad interface")
        for url in ("ftp://shop.example/", "https://user:secret@shop.example/", "shop"):
            answer = await gateway.staff("POST", f"/merchants/{shop.id}/interface", {"base_url": url})
            assert answer.status_code == 422, url


class TestTheAnswerToAnUnknownCaller:
    async def test_is_the_same_whatever_was_asked(self, gateway: GatewayPlatform) -> None:
        answers = [
            await gateway.request(method, path, headers={"authorization": "Bearer sk_" + "a" * 20 + "_" + "b" * 40})
            for method, path in (
                ("GET", "/merchant/v1/campaigns"),
                ("GET", f"/merchant/v1/campaigns/{NOWHERE}"),
                ("POST", "/merchant/v1/access"),
            )
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.json()["detail"] for answer in answers}) == 1
