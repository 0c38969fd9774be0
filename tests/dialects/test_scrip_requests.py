"""Requests of the dialect `scrip` become calls, or are refused with the field that is wrong."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from contracts.commands import (
    ChangeQuantity,
    ClaimCoupon,
    ExportCodes,
    GenerateCampaign,
    PauseCampaign,
    PublishCampaign,
    RedeemCoupon,
    ReturnCoupon,
    VoidCoupons,
)
from dialects.calls import (
    CampaignName,
    ChangeCampaign,
    ChangeCoupon,
    CreateCampaign,
    FindCoupons,
    GetOutcome,
    GetResults,
    IssueToUsers,
    ListCampaigns,
    ListCodes,
    Ordered,
    UploadCodeList,
    ValidateCoupon,
)
from dialects.protocol import Problem, RequestRefused
from dialects.references import make_reference
from dialects.scrip import SCRIP
from tests.dialects.requests import PROFILE, raw

CAMPAIGN = UUID("7f1f3e0a-6d41-5d0e-8f53-111111111111")
KEY = {"Idempotency-Key": "spring-1"}
OFFER = {
    "name": "Spring",
    "currency": "EUR",
    "discount": {"kind": "amount_off", "amount": 500},
    "validity": {"starts": "2026-01-01", "ends": "2026-12-31", "zone": "Europe/Berlin"},
    "supply": {"kind": "shared", "code": "SPRING"},
    "quantity": 1000,
}


def refused(call: Callable[[], object]) -> Problem:
    with pytest.raises(RequestRefused) as caught:
        call()
    return caught.value.problem


def post(path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    return SCRIP.parse(raw("POST", "/merchant/v1" + path, body, KEY | (headers or {})), PROFILE)


def get(path: str) -> Any:
    return SCRIP.parse(raw("GET", "/merchant/v1" + path), PROFILE)


class TestWhatTheyMean:
    def test_publishing_keeps_the_terms_and_takes_the_request_number_as_natural_key(self) -> None:
        call = post("/campaigns", OFFER)
        assert isinstance(call, CreateCampaign)
        assert isinstance(call.command, PublishCampaign)
        assert (call.natural_key, call.request, call.codes) == ("spring-1", "spring-1", ())
        assert call.command.terms.name == "Spring"
        assert call.command.supply.kind == "shared"
        assert call.command.quantity == 1000

    def test_codes_may_come_with_an_uploaded_campaign(self) -> None:
        call = post("/campaigns", OFFER | {"supply": {"kind": "uploaded"}, "codes": ["A-1", "A-2"]})
        assert call.codes == ("A-1", "A-2")

    def test_generating_is_another_command_and_makes_codes_unless_told_otherwise(self) -> None:
        terms = {name: value for name, value in OFFER.items() if name != "supply"}
        call = post("/campaigns/generate", terms)
        assert isinstance(call.command, GenerateCampaign)
        assert call.command.supply.kind == "generated"

    @pytest.mark.parametrize(
        ("path", "body", "command"),
        [
            ("pause", {"reason": "recall"}, PauseCampaign(reason="recall")),
            ("export-codes", {"count": 5}, ExportCodes(count=5)),
            ("claim", {"user": "u-1"}, ClaimCoupon(user="u-1")),
        ],
    )
    def test_a_campaign_is_changed_by_its_id(self, path: str, body: object, command: object) -> None:
        call = post(f"/campaigns/{CAMPAIGN}/{path}", body)
        assert isinstance(call, ChangeCampaign)
        assert (call.campaign, call.command) == (CampaignName(CAMPAIGN), command)

    def test_a_campaign_may_be_named_by_the_number_it_was_made_with(self) -> None:
        call = post("/campaigns/spring-1/resume", None)
        assert call.campaign == CampaignName(natural_key="spring-1")

    def test_the_quantity_is_put(self) -> None:
        call = SCRIP.parse(raw("PUT", f"/merchant/v1/campaigns/{CAMPAIGN}/quantity", {"quantity": 7}, KEY), PROFILE)
        assert isinstance(call, ChangeCampaign)
        assert call.command == ChangeQuantity(quantity=7)

    def test_users_are_issued_to_in_order(self) -> None:
        call = post(f"/campaigns/{CAMPAIGN}/issue", {"users": ["u-2", "u-1"]})
        assert isinstance(call, IssueToUsers)
        assert [row.user for row in call.rows] == ["u-2", "u-1"]

    def test_redeeming_needs_the_code_alone(self) -> None:
        call = post("/coupons/redeem", {"code": "SPRING", "user": "u-1", "order": "o-1", "amount": 2_000})
        assert isinstance(call, ChangeCoupon)
        assert call.campaign is None
        assert isinstance(call.command, RedeemCoupon)
        assert (call.command.coupon.code, call.command.coupon.user, call.command.amount) == ("SPRING", "u-1", 2_000)

    def test_a_coupon_id_names_campaign_and_number(self) -> None:
        call = post("/coupons/return", {"coupon": f"{CAMPAIGN}.12", "reason": "wrong size"})
        assert call.campaign == CampaignName(CAMPAIGN)
        assert isinstance(call.command, ReturnCoupon)
        assert call.command.coupon.number == 12

    def test_voiding_takes_one_coupon(self) -> None:
        call = post("/coupons/void", {"code": "X", "reason": "lost"})
        assert isinstance(call.command, VoidCoupons)

    def test_validating_needs_no_request_number(self) -> None:
        call = SCRIP.parse(raw("POST", "/merchant/v1/coupons/validate", {"code": "SPRING"}), PROFILE)
        assert call == ValidateCoupon(campaign=None, code="SPRING")

    def test_questions_carry_their_filters(self) -> None:
        assert get("/campaigns?state=active&limit=5") == ListCampaigns(limit=5, state="active")
        assert get(f"/campaigns/{CAMPAIGN}/codes?after=10") == ListCodes(campaign=CampaignName(CAMPAIGN), after=10)
        assert get("/coupons?user=u%2F1") == FindCoupons(user="u/1")

    def test_who_does_not_want_to_wait_says_so(self) -> None:
        assert post("/coupons/redeem", {"code": "X"}, {"Prefer": "respond-async"}).wait is False
        assert post("/coupons/redeem", {"code": "X"}).wait is True

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/campaigns", OFFER),
            ("POST", "/campaigns/spring-1/pause", {"reason": "recall"}),
            ("PUT", "/campaigns/spring-1/quantity", {"quantity": 7}),
            ("POST", "/campaigns/spring-1/codes", {"codes": ["A"]}),
            ("POST", "/campaigns/spring-1/issue", {"users": ["u"]}),
            ("POST", "/campaigns/spring-1/claim", {"user": "u"}),
            ("POST", "/coupons/redeem", {"code": "X"}),
            ("POST", "/coupons/void", {"code": "X", "reason": "lost"}),
        ],
    )
    def test_whatever_changes_something_may_be_tried(self, method: str, path: str, body: Any) -> None:
        for query, tried in (("", False), ("?dry_run=false", False), ("?dry_run=true", True)):
            call = SCRIP.parse(raw(method, f"/merchant/v1{path}{query}", body, KEY), PROFILE)
            assert isinstance(call, Ordered)
            assert call.dry_run is tried

    def test_a_dry_run_is_yes_or_no_and_is_asked_of_commands_only(self) -> None:
        odd = refused(lambda: post("/coupons/redeem?dry_run=maybe", {"code": "X"}))
        assert (odd.status, odd.errors[0].pointer) == (422, "dry_run")
        assert refused(lambda: post("/coupons/validate?dry_run=true", {"code": "X"})).status == 422

    def test_a_reference_is_read_back_by_its_merchant_only(self) -> None:
        reference = make_reference(PROFILE.secret, CAMPAIGN)
        assert get(f"/commands/{reference}") == GetOutcome(command=CAMPAIGN)
        foreign = make_reference(bytes(32), CAMPAIGN)
        assert refused(lambda: get(f"/commands/{foreign}")).status == 404

    def test_a_bulk_request_goes_by_its_own_id(self) -> None:
        assert get(f"/commands/{CAMPAIGN}") == GetOutcome(bulk=CAMPAIGN)
        assert get(f"/commands/{CAMPAIGN}/results?after=7") == GetResults(bulk=CAMPAIGN, after=7)


class TestUploads:
    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/json", b'["A-1", "A-2"]'),
            ("application/json", b'{"codes": ["A-1", "A-2"]}'),
            ("application/x-www-form-urlencoded", b'["A-1", "A-2"]'),
            ("application/x-ndjson", b'"A-1"\n\n{"code": "A-2"}\n'),
            ("text/csv", b"A-1\r\nA-2\r\n"),
            ("text/csv; charset=utf-8", b'\xef\xbb\xbfshop,Code\n1,"A-1"\n2,A-2\n'),
        ],
    )
    def test_codes_come_as_json_lines_or_csv(self, kind: str, body: bytes) -> None:
        call = post(f"/campaigns/{CAMPAIGN}/codes", body, {"Content-Type": kind})
        assert isinstance(call, UploadCodeList)
        assert call.codes == ("A-1", "A-2")

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"x"),
            ("application/octet-stream", b"PK\x03\x04rest"),
        ],
    )
    def test_xlsx_is_refused_by_name(self, kind: str, body: bytes) -> None:
        problem = refused(lambda: post(f"/campaigns/{CAMPAIGN}/codes", body, {"Content-Type": kind}))
        assert (problem.status, problem.code) == (415, "xlsx_not_supported")
        assert "XLSX" in problem.detail

    def test_rows_that_are_no_codes_are_named_by_number(self) -> None:
        body = b"code\nA-1\n" + b"B" * 65 + b"\n\n,\n"
        problem = refused(lambda: post(f"/campaigns/{CAMPAIGN}/codes", body, {"Content-Type": "text/csv"}))
        assert [error.pointer for error in problem.errors] == ["row 3"]

    @pytest.mark.parametrize(
        ("kind", "body", "status"),
        [
            ("text/csv", b"", 422),
            ("text/csv", b"a,b\n1,2\n", 422),
            ("text/csv", b"\xff\xfe", 400),
            ("text/csv", b'"open', 400),
            ("text/plain", b"A-1", 415),
            ("application/x-ndjson", b"{", 400),
            ("application/json", b"[1]", 422),
            ("application/json", b"[]", 422),
        ],
    )
    def test_lists_that_cannot_be_read_are_refused(self, kind: str, body: bytes, status: int) -> None:
        problem = refused(lambda: post(f"/campaigns/{CAMPAIGN}/codes", body, {"Content-Type": kind}))
        assert problem.status == status


class TestRequestNumbers:
    def test_every_unsafe_request_needs_one(self) -> None:
        problem = refused(lambda: SCRIP.parse(raw("POST", "/merchant/v1/campaigns", OFFER), PROFILE))
        assert (problem.status, problem.code) == (400, "idempotency_key_missing")

    @pytest.mark.parametrize("number", ["", "x" * 256, "a\x07b"])
    def test_one_that_is_unusable_is_refused(self, number: str) -> None:
        problem = refused(lambda: post("/campaigns", OFFER, {"Idempotency-Key": number}))
        assert (problem.status, problem.code) == (400, "idempotency_key_invalid")

    def test_two_of_them_are_refused(self) -> None:
        headers = (("Idempotency-Key", "a"), ("Idempotency-Key", "b"))
        problem = refused(lambda: SCRIP.parse(raw("POST", "/merchant/v1/campaigns", OFFER, headers), PROFILE))
        assert (problem.status, problem.code) == (400, "idempotency_key_invalid")

    def test_of_a_signed_request_it_is_webhook_id(self) -> None:
        headers = {"Scrip-Key": "k", "webhook-id": "sig-7"}
        call = SCRIP.parse(raw("POST", "/merchant/v1/campaigns", OFFER, headers), PROFILE)
        assert isinstance(call, CreateCampaign)
        assert call.request == "sig-7"

    def test_a_signed_request_with_another_key_is_refused(self) -> None:
        problem = refused(lambda: post("/campaigns", OFFER, {"Scrip-Key": "k", "webhook-id": "sig-7"}))
        assert (problem.status, problem.code) == (400, "idempotency_key_differs")


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"quantity": 0}, "/quantity"),
            ({"quantity": -1}, "/quantity"),
            ({"quantity": 5.0}, "/quantity"),
            ({"quantity": "5"}, "/quantity"),
            ({"discount": {"kind": "amount_off", "amount": 1.5}}, "/discount/amount"),
            ({"discount": {"kind": "amount_off"}}, "/discount/amount"),
            ({"discount": {"kind": "bogof"}}, "/discount/kind"),
            ({"discount": {"kind": "amount_off", "amount": 5, "extra": 1}}, "/discount/extra"),
            ({"supply": {"kind": "generated"}}, "/supply/kind"),
            ({"validity": {"starts": "2026-13-01", "ends": "2026-12-31"}}, "/validity/starts"),
            ({"validity": {"starts": "2026-01-01", "ends": "2026-12-31", "zone": "Mars/Olympus"}}, "/validity/zone"),
            ({"unknown": 1}, "/unknown"),
            ({"name": ""}, "/name"),
            ({"currency": "euro"}, "/currency"),
            ({"codes": ["A"]}, ""),
        ],
    )
    def test_a_field_that_is_wrong_is_pointed_at(self, change: dict[str, Any], pointer: str) -> None:
        problem = refused(lambda: post("/campaigns", OFFER | change))
        assert problem.status == 422
        assert pointer in [error.pointer for error in problem.errors]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"\xff",
            b'{"name": NaN}',
            b'{"name": "a", "name": "b"}',
            b"[" * 33 + b"]" * 33,
            b"[" * 100_000,
            b'{"name": 1e999999999}',
            b'{"name": ' + b"9" * 5000 + b"}",
        ],
    )
    def test_a_body_that_is_no_usable_json_is_refused(self, body: bytes) -> None:
        problem = refused(lambda: post("/campaigns", body))
        assert problem.status == 400
        assert problem.code == "unreadable_body"

    @pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b"])
    def test_nul_and_half_characters_are_refused_where_they_stand(self, text: str) -> None:
        problem = refused(lambda: post("/campaigns", f'{{"metadata": {{"x": "{text}"}}}}'.encode()))
        assert problem.errors[0].pointer == "/metadata/x"

    def test_user_ids_are_at_most_64_bytes(self) -> None:
        users = ["ok", "ü" * 32, "ü" * 33]
        problem = refused(lambda: post(f"/campaigns/{CAMPAIGN}/issue", {"users": users}))
        assert [error.pointer for error in problem.errors] == ["/users/2"]

    def test_another_users_content_is_never_repeated_in_the_answer(self) -> None:
        problem = refused(lambda: post("/campaigns", OFFER | {"currency": "secret-text"}))
        assert "secret-text" not in str(problem)

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/nothing", 404),
            ("DELETE", f"/campaigns/{CAMPAIGN}", 405),
            ("GET", "/coupons", 422),
            ("GET", "/coupons?code=a&code=b", 422),
            ("GET", "/campaigns?limit=0", 422),
            ("GET", "/campaigns?limit=9999", 422),
            ("GET", "/campaigns?sort=name", 422),
            ("GET", "/campaigns?state=happy", 422),
            ("GET", "/campaigns/%FF", 400),
            ("GET", "/campaigns/a%00b", 400),
            ("GET", "/campaigns?state=%FF", 400),
            ("GET", "/coupons/not-an-id", 404),
            ("GET", "/commands/not-a-reference", 404),
        ],
    )
    def test_paths_and_queries_are_read_strictly(self, method: str, path: str, status: int) -> None:
        problem = refused(lambda: SCRIP.parse(raw(method, "/merchant/v1" + path, None, KEY), PROFILE))
        assert problem.status == status
