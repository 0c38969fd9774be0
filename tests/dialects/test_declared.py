"""A home-made API declared in a profile: mapped both ways, tried before it is used, hostile expressions harmless."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.campaigns import AmountOff, PercentOff
from contracts.commands import PublishCampaign, RedeemCoupon, ReturnCoupon
from dialects.calls import CampaignName, ChangeCoupon, CreateCampaign, IssueToUsers, Outcome
from dialects.declared import DECLARED
from dialects.declared.converters import NotConvertible, to_ours, to_theirs
from dialects.declared.declaration import (
    AsText,
    Conversion,
    Date,
    DeclarationInvalid,
    Enumeration,
    Moment,
    Money,
    Percent,
    Whole,
    read_declaration,
)
from dialects.declared.schema import json_schema
from dialects.declared.trial import try_profile
from dialects.protocol import Problem, Profile, RequestRefused
from tests.dialects.requests import PROFILE, raw

EXAMPLES = Path(__file__).parents[2] / "examples" / "declared-profile"
KEY = {"X-ERP-Key": "sk_x"}


def example(name: str) -> Any:
    return json.loads((EXAMPLES / name).read_text(encoding="utf-8"))


ERP: Profile = replace(PROFILE, declaration=read_declaration(example("profile.json")))


def post(path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    return DECLARED.parse(raw("POST", path, body, KEY if headers is None else headers), ERP)


def refused(ask: Callable[[], object]) -> Problem:
    with pytest.raises(RequestRefused) as caught:
        ask()
    return caught.value.problem


class TestRequests:
    def test_publishing(self) -> None:
        call = post("/erp/aktionen", example("publish.json"))
        assert isinstance(call, CreateCampaign)
        assert isinstance(call.command, PublishCampaign)
        terms = call.command.terms
        assert (call.natural_key, terms.name, terms.currency) == ("A-2026-07", "Sommer: 5 Euro", "EUR")
        assert (terms.discount, terms.minimum_spend) == (AmountOff(amount=500), 2_000)
        assert (str(terms.validity.starts), str(terms.validity.ends)) == ("2026-07-01", "2026-07-31")
        assert (terms.validity.zone, call.command.supply.kind, call.command.quantity) == ("Europe/Berlin", "given", 500)

    def test_a_percentage_is_another_way_to_say_a_discount(self) -> None:
        body = example("publish.json") | {"rabatt": {"art": "PROZENT", "prozent": "12.5"}}
        assert post("/erp/aktionen", body).command.terms.discount == PercentOff(basis_points=1_250)

    def test_issuing_names_the_campaign_by_its_own_number_and_the_codes_by_row(self) -> None:
        customers = [{"kundennummer": "K-1", "gutscheincode": "S-1"}, {"kundennummer": "K-2", "gutscheincode": "S-2"}]
        call = post("/erp/aktionen/A-2026-07/gutscheine", {"belegnummer": 4711, "kunden": customers})
        assert isinstance(call, IssueToUsers)
        assert (call.request, call.campaign) == ("4711", CampaignName(natural_key="A-2026-07"))
        assert [(row.user, row.code) for row in call.rows] == [("K-1", "S-1"), ("K-2", "S-2")]

    def test_one_path_may_mean_several_operations(self) -> None:
        redeem = post("/erp/kasse", example("redeem.json"))
        assert isinstance(redeem, ChangeCoupon)
        assert isinstance(redeem.command, RedeemCoupon)
        assert (redeem.request, redeem.command.amount) == ("B-4711", 4_250)
        coupon = "7f1f3e0a-6d41-5d0e-8f53-111111111111.3"
        storno = post("/erp/kasse", {"vorgang": "STORNO", "stornonummer": "S-1", "gutschein": coupon})
        assert isinstance(storno.command, ReturnCoupon)
        assert storno.command.reason == "Storno"

    def test_other_merchants_headers_are_other_places(self) -> None:
        problem = refused(lambda: post("/erp/kasse", {}, {"X-Other-Key": "sk_x"}))
        assert (problem.status, problem.code) == (401, "credential_misplaced")

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"titel": None}, "body.titel"),
            ({"rabatt": {"art": "BETRAG", "betrag": "5.00"}}, "body.rabatt.betrag"),
            ({"rabatt": {"art": "BETRAG", "betrag": "5,001"}}, "body.rabatt.betrag"),
            ({"rabatt": {"art": "GESCHENK"}}, "body.rabatt.art"),
            ({"gueltig": {"von": "2026-07-01", "bis": "31.07.2026"}}, "body.gueltig.von"),
            ({"stueck": 0}, "body.stueck"),
            ({"aktionsnummer": ""}, "/natural_key"),
        ],
    )
    def test_a_field_that_is_wrong_is_named_in_the_merchants_own_words(
        self, change: dict[str, Any], pointer: str
    ) -> None:
        problem = refused(lambda: post("/erp/aktionen", example("publish.json") | change))
        assert problem.status == 422
        assert pointer in [error.pointer for error in problem.errors]

    @pytest.mark.parametrize(
        ("dry_run", "header", "tried"),
        [
            (True, {}, True),
            (False, {}, False),
            ('header."x-test"', {}, False),
            ('header."x-test"', {"X-Test": "false"}, False),
            ('header."x-test"', {"X-Test": "true"}, True),
            ("body.summe == '42,50'", {}, True),
        ],
    )
    def test_a_profile_says_which_requests_only_ask_what_would_happen(
        self, dry_run: Any, header: dict[str, str], tried: bool
    ) -> None:
        document = example("profile.json")
        document["operations"]["redeem"]["dry_run"] = dry_run
        profile = replace(PROFILE, declaration=read_declaration(document))
        call = DECLARED.parse(raw("POST", "/erp/kasse", example("redeem.json"), KEY | header), profile)
        assert isinstance(call, ChangeCoupon)
        assert call.dry_run is tried

    def test_what_is_neither_a_trial_nor_none_is_not_done(self) -> None:
        document = example("profile.json")
        document["operations"]["redeem"]["dry_run"] = 'header."x-test"'
        profile = replace(PROFILE, declaration=read_declaration(document))
        for value in ("yes", "", "1", "True"):
            sent = raw("POST", "/erp/kasse", example("redeem.json"), KEY | {"X-Test": value})
            problem = refused(lambda sent=sent: DECLARED.parse(sent, profile))  # type: ignore[misc]
            assert (problem.status, problem.errors[0].pointer) == (422, 'header."x-test"')

    def test_a_missing_request_number_is_refused(self) -> None:
        body = {name: value for name, value in example("redeem.json").items() if name != "bonnummer"}
        assert refused(lambda: post("/erp/kasse", body)).errors[0].pointer == "body.bonnummer"

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("GET", "/erp/kasse", None, 405),
            ("POST", "/erp/nichts", {}, 404),
            ("POST", "/merchant/v1/campaigns", {}, 404),
            ("POST", "/erp/kasse", {"vorgang": "TANZEN"}, 422),
            ("POST", "/erp/kasse", b"<xml/>", 400),
            ("POST", "/erp/kasse?a=1&a=2", {}, 422),
            ("POST", "/erp/aktionen", [], 422),
            ("POST", "/erp/aktionen", {"kunden": 5, "rabatt": [1, 2]}, 422),
        ],
    )
    def test_what_fits_no_operation_is_refused(self, method: str, path: str, body: Any, status: int) -> None:
        assert refused(lambda: DECLARED.parse(raw(method, path, body, KEY), ERP)).status == status


class TestAnswers:
    def told(self, call: Any, outcome: Outcome) -> tuple[int, Any]:
        answer = DECLARED.answer(call, outcome, ERP)
        return answer.status, json.loads(answer.body)

    def test_a_publication_is_confirmed_in_the_merchants_words(self) -> None:
        call = post("/erp/aktionen", example("publish.json"))
        assert self.told(call, Outcome({"campaign": "c-1", "state": "active"})) == (
            201,
            {"aktionsnummer": "A-2026-07", "kennung": "c-1", "stand": "AKTIV"},
        )

    def test_money_goes_back_in_major_units(self) -> None:
        call = post("/erp/kasse", example("redeem.json"))
        result = {"coupon": "c-1.3", "discount": 500, "payable": 3_750, "currency": "EUR"}
        status, body = self.told(call, Outcome(result, datetime(2026, 7, 2, tzinfo=UTC)))
        assert status == 200
        assert body == {
            "bonnummer": "B-4711",
            "ergebnis": "OK",
            "nachlass": "5,00",
            "zu_zahlen": "37,50",
            "gutschein": "c-1.3",
        }

    def test_a_trial_says_what_would_happen_and_made_nothing(self) -> None:
        call = post("/erp/aktionen", example("publish.json"))
        status, body = self.told(call, Outcome({"campaign": "c-1", "state": "active"}, dry_run=True))
        assert (status, body["stand"]) == (200, "AKTIV")

    def test_rows_go_back_as_a_list(self) -> None:
        call = post("/erp/aktionen/A/gutscheine", {"belegnummer": "B", "kunden": [{"kundennummer": "K-1"}]})
        refusal = {"code": "user_limit_reached", "message": "m", "facts": {}}
        rows = [{"row": 0, "user": "K-1", "refusal": refusal}]
        _, body = self.told(call, Outcome({"campaign": "c-1", "accepted": 0, "refused": 1, "rows": rows}))
        assert body["gutscheine"] == [
            {"kundennummer": "K-1", "gutschein": None, "code": None, "grund": "user_limit_reached"}
        ]

    def test_a_problem_is_said_in_the_merchants_words(self) -> None:
        call = post("/erp/kasse", example("redeem.json"))
        problem = Problem("coupon_already_redeemed", 409, "t", "The coupon was redeemed before.")
        answer = DECLARED.error(problem, call, ERP)
        assert answer.status == 409
        assert json.loads(answer.body) == {
            "ergebnis": "FEHLER",
            "code": "BEREITS_EINGELOEST",
            "meldung": "The coupon was redeemed before.",
        }

    def test_callers_that_only_look_into_the_body_get_200(self) -> None:
        document = example("profile.json")
        document["errors"]["always_200"] = True
        profile = replace(PROFILE, declaration=read_declaration(document))
        assert DECLARED.error(Problem("coupon_not_found", 404, "t", "d"), None, profile).status == 200

    def test_an_outcome_not_known_yet_is_to_be_asked_for_again(self) -> None:
        call = post("/erp/kasse", example("redeem.json"))
        status, body = self.told(call, Outcome({}, pending=True, reference="x"))
        assert (status, body["code"]) == (503, "outcome_unknown")

    def test_a_question_without_a_phrase_is_answered_in_our_words(self) -> None:
        document = example("profile.json")
        document["operations"]["get_campaign"] = {
            "method": "GET",
            "path": "/erp/aktionen/{nummer}",
            "request": {"campaign_key": "path.nummer"},
        }
        profile = replace(PROFILE, declaration=read_declaration(document))
        call = DECLARED.parse(raw("GET", "/erp/aktionen/A", None, KEY), profile)
        answer = DECLARED.answer(call, Outcome({"id": "c-1", "issued": 7}), profile)
        assert json.loads(answer.body) == {"id": "c-1", "issued": 7}


COMPACT = Moment(to="datetime", format="%Y%m%d%H%M%S", zone="UTC")


class TestConverters:
    @pytest.mark.parametrize(
        ("conversion", "theirs", "ours", "currency"),
        [
            (Money(to="money"), "12.50", 1_250, "EUR"),
            (Money(to="money"), Decimal("12.5"), 1_250, "EUR"),
            (Money(to="money"), 12, 12, "JPY"),
            (Money(to="money"), "1.234", 1_234, "KWD"),
            (Money(to="money", decimal=","), "12,50", 1_250, "EUR"),
            (Money(to="money", unit="minor"), "1250", 1_250, "EUR"),
            (Percent(to="percent"), "12.5", 1_250, "EUR"),
            (Percent(to="percent", paid=True), 88, 1_200, "EUR"),
            (Date(to="date", format="%d.%m.%Y"), "31.01.2026", "2026-01-31", "EUR"),
            (Moment(to="datetime"), "2026-01-31T12:00:00", "2026-01-31T12:00:00+01:00", "EUR"),
            (COMPACT, "20260131120000", "2026-01-31T12:00:00+00:00", "EUR"),
            (Enumeration(to="enum", words={"J": "yes"}), "J", "yes", "EUR"),
            (Whole(to="integer"), "17", 17, "EUR"),
            (AsText(to="text"), 17, "17", "EUR"),
        ],
    )
    def test_their_values_become_ours(self, conversion: Conversion, theirs: Any, ours: Any, currency: str) -> None:
        assert to_ours(conversion, theirs, currency, "Europe/Berlin") == ours

    @pytest.mark.parametrize(
        ("conversion", "theirs"),
        [
            (Money(to="money"), "12.505"),
            (Money(to="money"), "12,50"),
            (Money(to="money"), "1e3"),
            (Money(to="money"), "1_000"),
            (Money(to="money"), "NaN"),
            (Money(to="money"), "Infinity"),
            (Money(to="money"), "١٢"),
            (Money(to="money"), True),
            (Money(to="money"), None),
            (Money(to="money"), {"a": 1}),
            (Money(to="money"), "9" * 30),
            (Money(to="money", decimal=","), "1.000,00"),
            (Percent(to="percent"), "12.345"),
            (Date(to="date"), "31.01.2026"),
            (Date(to="date"), "2026-02-30"),
            (Moment(to="datetime"), "tomorrow"),
            (Enumeration(to="enum", words={"J": "yes"}), "N"),
            (Whole(to="integer"), "1.5"),
            (AsText(to="text"), ["a", {"b": 1}]),
        ],
    )
    def test_what_cannot_be_converted_is_refused_without_repeating_it(
        self, conversion: Conversion, theirs: Any
    ) -> None:
        with pytest.raises(NotConvertible) as caught:
            to_ours(conversion, theirs, "EUR", "UTC")
        assert str(theirs) not in str(caught.value)

    @pytest.mark.parametrize(
        ("conversion", "ours", "theirs"),
        [
            (Money(to="money", decimal=","), 1_250, "12,50"),
            (Money(to="money"), 5, "0.05"),
            (Percent(to="percent"), 1_250, "12.5"),
            (Percent(to="percent", paid=True), 1_200, "88"),
            (Date(to="date", format="%d.%m.%Y"), "2026-01-31", "31.01.2026"),
            (Date(to="date", format="%d.%m.%Y"), "2026-01-31T23:30:00Z", "01.02.2026"),
            (Moment(to="datetime", format="%H:%M"), "2026-01-31T12:00:00Z", "13:00"),
            (Enumeration(to="enum", words={"J": "yes"}), "yes", "J"),
            (Enumeration(to="enum", words={"J": "yes"}), "no", "no"),
            (Whole(to="integer"), 17, 17),
        ],
    )
    def test_our_values_become_theirs(self, conversion: Conversion, ours: Any, theirs: Any) -> None:
        assert to_theirs(conversion, ours, "EUR", "Europe/Berlin") == theirs


class TestDocuments:
    def broken(self, change: Callable[[dict[str, Any]], object]) -> list[str]:
        document = deepcopy(example("profile.json"))
        change(document)
        with pytest.raises(DeclarationInvalid) as caught:
            read_declaration(document)
        return [f"{error.pointer} {error.detail}" for error in caught.value.errors]

    def test_the_example_fits_the_schema_that_is_published(self) -> None:
        jsonschema.validate(example("profile.json"), json_schema())

    def test_the_published_schema_is_current(self) -> None:
        assert example("profile.schema.json") == json_schema()

    def test_an_expression_that_is_none_is_refused_where_it_stands(self) -> None:
        def change(document: dict[str, Any]) -> None:
            document["operations"]["publish"]["request"]["name"] = "body.["

        assert any("/operations/publish" in line and "JMESPath" in line for line in self.broken(change))

    @pytest.mark.parametrize(("operation", "dry_run"), [("redeem", "true"), ("redeem", "a.["), ("redeem", 1)])
    def test_a_trial_that_would_never_be_one_is_refused(self, operation: str, dry_run: Any) -> None:
        def change(document: dict[str, Any]) -> None:
            document["operations"][operation]["dry_run"] = dry_run

        assert any(f"/operations/{operation}" in line for line in self.broken(change))

    @pytest.mark.parametrize(
        "expression",
        [
            "body | " + " | ".join(["[@,@]"] * 7),
            "body.a | " + " | ".join(["[@,@][]"] * 7),
            "map(&[@,@,@,@,@,@,@,@,@,@,@], map(&[@,@,@,@,@,@,@,@,@,@,@], body.a))",
            "body.a[*].['" + "x" * 100 + "']",
            "join(body.a, body.b)",
            "to_string([to_string([to_string(body)])])",
            "body.a[*]."
            + "[@,@,@,@,@,@,@,@,@,@,@]"
            + "[*]."
            + "{a: @, b: @, c: @, d: @, e: @, f: @, g: @, h: @, i: @, j: @}",
        ],
    )
    def test_an_expression_that_multiplies_what_it_is_given_is_refused(self, expression: str) -> None:
        def change(document: dict[str, Any]) -> None:
            document["operations"]["publish"]["request"]["name"] = expression

        assert any("100 times" in line for line in self.broken(change))

    @pytest.mark.parametrize(
        "expression",
        [
            "body.kunden[].{user: kundennummer, code: gutscheincode, wo: filiale.name}",
            "join(', ', body.a[*].b)",
            "body.a[?b == 'c'] | [0].d",
            "['" + "x" * 200 + "', body.a]",
            "sort_by(body.a, &b)[-1].c || body.d",
        ],
    )
    def test_an_ordinary_one_is_taken(self, expression: str) -> None:
        document = example("profile.json")
        document["operations"]["publish"]["request"]["name"] = expression
        assert read_declaration(document).operations["publish"].request["name"] == expression

    def test_a_result_with_too_many_pieces_is_refused_in_its_field(self) -> None:
        document = example("profile.json")
        document["operations"]["publish"]["request"]["name"] = "body.viele[*].[@,@,@,@,@,@,@,@,@,@,@,@]"
        profile = replace(PROFILE, declaration=read_declaration(document))
        sent = raw("POST", "/erp/aktionen", example("publish.json") | {"viele": [1] * 40_000}, KEY)
        assert "too much" in refused(lambda: DECLARED.parse(sent, profile)).detail

    def test_a_field_the_operation_has_not_is_refused(self) -> None:
        def change(document: dict[str, Any]) -> None:
            document["operations"]["redeem"]["request"]["colour"] = "body.farbe"

        assert any("colour" in line for line in self.broken(change))

    @pytest.mark.parametrize(
        "path", ["/merchant/v1/x", "/internal/v1/x", "/healthz", "/catalogue/v1", "no-slash", "/a b"]
    )
    def test_paths_of_our_own_and_unusable_ones_are_refused(self, path: str) -> None:
        def change(document: dict[str, Any]) -> None:
            document["operations"]["redeem"]["path"] = path

        assert self.broken(change)

    @pytest.mark.parametrize(
        "change",
        [
            lambda document: document.update(operations={}),
            lambda document: document.update(authentication={"kind": "cookie"}),
            lambda document: document.update(surprise=1),
            lambda document: document["operations"].update(dance=document["operations"]["redeem"]),
            lambda document: document["operations"]["redeem"]["request"].update(code={"from": "a", "value": "b"}),
            lambda document: document["operations"]["redeem"]["request"].update(code={}),
            lambda document: document["operations"]["redeem"]["request"].update(code="x" * 501),
        ],
    )
    def test_documents_that_mean_nothing_are_refused(self, change: Callable[[dict[str, Any]], object]) -> None:
        assert self.broken(change)

    @pytest.mark.parametrize("document", [None, [], "x", 5])
    def test_what_is_no_document_is_refused(self, document: Any) -> None:
        with pytest.raises(DeclarationInvalid):
            read_declaration(document)


class TestTrying:
    def test_a_body_finds_its_operation(self) -> None:
        trials = try_profile(example("profile.json"), example("publish.json"))
        assert trials[0].operation == "publish"
        assert trials[0].command is not None
        assert trials[0].command["command"] == "PublishCampaign"
        assert trials[0].command["data"]["terms"]["discount"] == {"kind": "amount_off", "amount": 500}
        assert all(trial.command is None for trial in trials[1:])

    def test_only_one_operation_may_be_asked_for(self) -> None:
        trials = try_profile(example("profile.json"), example("redeem.json"), "redeem")
        assert [trial.operation for trial in trials] == ["redeem"]

    def test_a_whole_request_goes_the_gateways_way(self) -> None:
        sample = {"method": "POST", "path": "/erp/kasse", "headers": {}, "body": example("redeem.json")}
        (trial,) = try_profile(example("profile.json"), sample)
        assert trial.command is not None
        assert trial.command["data"]["amount"] == 4_250

    def test_a_whole_profile_is_as_good_as_its_declaration(self) -> None:
        profile = {"dialect": "declared", "currency": "EUR", "declaration": example("profile.json")}
        (trial,) = try_profile(profile, example("redeem.json"), "redeem")
        assert trial.command is not None

    def test_why_there_is_no_command_is_explained(self) -> None:
        body = example("publish.json") | {"rabatt": {"art": "GESCHENK"}}
        (trial,) = try_profile(example("profile.json"), body, "publish")
        assert trial.command is None
        assert trial.as_json()["problems"][0] == {
            "pointer": "body.rabatt.art",
            "detail": "must be one of BETRAG, PROZENT (for `discount.kind`)",
        }

    def test_an_operation_that_is_not_declared_is_said(self) -> None:
        with pytest.raises(DeclarationInvalid):
            try_profile(example("profile.json"), {}, "reserve")
