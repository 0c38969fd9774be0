"""Voucherify's dialect: what clients send becomes calls; what they are told parses strictly in the published SDK."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from voucherify import models

from contracts.campaigns import AmountOff, GiftCard, PercentOff, WeeklyHours
from contracts.commands import (
    AmendCampaign,
    GenerateCampaign,
    PauseCampaign,
    PublishCampaign,
    RedeemCoupon,
    ResumeCampaign,
    ReturnCoupon,
    VoidCoupons,
)
from contracts.identifiers import campaign_id
from dialects.calls import (
    AskNothing,
    Call,
    CampaignName,
    ChangeCampaign,
    ChangeCoupon,
    CreateCampaign,
    GetCampaign,
    GetCode,
    GetOutcome,
    IssueToUsers,
    ListAllCodes,
    Outcome,
    UploadCodeList,
    ValidateCoupon,
)
from dialects.protocol import Problem, RequestRefused
from dialects.voucherify import VOUCHERIFY
from dialects.voucherify.codes import CodeConfig, make_codes
from dialects.voucherify.names import customer_text, read_customer, read_redemption, redemption_text
from tests.dialects.requests import MERCHANT, PROFILE, raw

CAMPAIGN = UUID("7f1f3e0a-6d41-5d0e-8f53-111111111111")
COUPON = f"{CAMPAIGN}.3"
AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPRING: dict[str, Any] = {
    "name": "Spring",
    "campaign_type": "DISCOUNT_COUPONS",
    "type": "STATIC",
    "vouchers_count": 3,
    "start_date": "2026-01-01T00:00:00Z",
    "expiration_date": "2026-12-31T00:00:00Z",
    "voucher": {
        "type": "DISCOUNT_VOUCHER",
        "discount": {"type": "AMOUNT", "amount_off": 500, "effect": "APPLY_TO_ORDER"},
        "code_config": {"pattern": "EXT-#####"},
        "redemption": {"quantity": 1},
    },
    "metadata": {"season": "spring", "year": 2026},
}


CARDS: dict[str, Any] = {
    "name": "Cards",
    "campaign_type": "GIFT_VOUCHERS",
    "voucher": {"type": "GIFT_VOUCHER", "gift": {"amount": 5_000}, "redemption": {"quantity": None}},
}


def hours(opens: str, closes: str) -> dict[str, Any]:
    return {"daily": [{"start_time": opens, "expiration_time": closes, "days_of_week": [5, 6]}]}


def frame(interval: str, duration: str) -> dict[str, str]:
    return {"interval": interval, "duration": duration}


def rule(**conditions: list[int]) -> dict[str, Any]:
    least = {f"${name}": value for name, value in conditions.items()}
    return {"name": "from 20.00 on", "rules": {"1": {"name": "order.amount", "conditions": least}, "logic": "1"}}


HOURS = hours("10:00", "12:30")


def call_of(method: str, path: str, body: Any = None) -> Any:
    return VOUCHERIFY.parse(raw(method, "/v1" + path, body), PROFILE)


def refused(ask: Callable[[], object]) -> Problem:
    with pytest.raises(RequestRefused) as caught:
        ask()
    return caught.value.problem


def with_discount(**discount: Any) -> dict[str, Any]:
    return SPRING | {"voucher": SPRING["voucher"] | {"discount": discount}}


class TestWhatTheyMean:
    def test_creating_with_a_count_generates_that_many_codes_from_the_pattern(self) -> None:
        call = call_of("POST", "/campaigns", SPRING)
        assert isinstance(call, CreateCampaign)
        assert isinstance(call.command, GenerateCampaign)
        assert call.natural_key == "Spring"
        assert len(set(call.codes)) == 3
        assert all(code.startswith("EXT-") and len(code) == 9 for code in call.codes)
        terms = call.command.terms
        assert (terms.currency, terms.discount) == ("EUR", AmountOff(amount=500))
        assert terms.validity.starts == datetime(2026, 1, 1, tzinfo=UTC)

    def test_creating_again_means_the_very_same(self) -> None:
        assert call_of("POST", "/campaigns", SPRING) == call_of("POST", "/campaigns", SPRING)

    def test_another_merchant_gets_other_codes(self) -> None:
        other = replace(PROFILE, secret=bytes(32))
        theirs = VOUCHERIFY.parse(raw("POST", "/v1/campaigns", SPRING), other)
        assert isinstance(theirs, CreateCampaign)
        assert set(theirs.codes).isdisjoint(call_of("POST", "/campaigns", SPRING).codes)

    def test_creating_without_a_count_publishes_for_codes_to_come(self) -> None:
        body = {name: value for name, value in SPRING.items() if name != "vouchers_count"}
        call = call_of("POST", "/campaigns", body)
        assert isinstance(call.command, PublishCampaign)
        assert call.command.supply.kind == "uploaded"
        assert call.codes == ()

    def test_a_code_may_work_several_times_and_a_gift_voucher_is_a_gift_card(self) -> None:
        body = SPRING | {"voucher": SPRING["voucher"] | {"redemption": {"quantity": 3}}}
        assert call_of("POST", "/campaigns", body).command.terms.uses == 3
        assert call_of("POST", "/campaigns", CARDS).command.terms.discount == GiftCard(balance=5_000)

    def test_credits_are_how_much_of_a_gift_card_to_use(self) -> None:
        one = {"redeemables": [{"object": "voucher", "id": "G-1", "gift": {"credits": 300}}], "order": {"amount": 900}}
        assert call_of("POST", "/redemptions", one).command.discount == 300
        assert call_of("POST", "/validations", one).discount == 300
        assert call_of("POST", "/vouchers/G-1/redemption", {"gift": {"credits": 300}}).command.discount == 300
        assert call_of("POST", "/vouchers/G-1/redemption", {"order": {"amount": 9}}).command.discount is None

    def test_a_percentage_may_have_a_fraction(self) -> None:
        body = json.dumps(with_discount(type="PERCENT", percent_off=12.5, amount_limit=1_000)).encode()
        call = call_of("POST", "/campaigns", body)
        assert call.command.terms.discount == PercentOff(basis_points=1_250, cap=1_000)

    def test_a_campaign_need_not_say_when_it_runs(self) -> None:
        body = {name: value for name, value in SPRING.items() if not name.endswith("_date")}
        validity = call_of("POST", "/campaigns", body).command.terms.validity
        assert (validity.starts, validity.ends) == (date(2000, 1, 1), date(2099, 12, 31))

    def test_weekdays_and_hours_are_those_of_the_merchants_zone(self) -> None:
        validity = call_of("POST", "/campaigns", SPRING | {"validity_day_of_week": [6, 0, 6]}).command.terms.validity
        assert (validity.zone, validity.weekly) == ("Europe/Berlin", (WeeklyHours(days=("sun", "sat")),))
        validity = call_of("POST", "/campaigns", SPRING | {"validity_hours": HOURS}).command.terms.validity
        assert validity.weekly == (WeeklyHours(days=("fri", "sat"), opens="10:00", closes="12:30"),)

    def test_a_time_frame_opens_in_every_interval_from_the_start_until_the_end(self) -> None:
        body = SPRING | {"expiration_date": "2026-01-05T00:30:00Z", "validity_timeframe": frame("P2D", "PT1H")}
        stretches = call_of("POST", "/campaigns", body).command.terms.validity.irregular
        days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 3, 5)]
        assert [one.starts for one in stretches] == days
        assert [one.ends for one in stretches] == [days[0].replace(hour=1), days[1].replace(hour=1), AS_OF.replace(
            month=1, day=5, hour=0, minute=30)]  # fmt: skip

    def test_a_minimum_spend_is_a_rule_that_a_campaign_names(self) -> None:
        made = call_of("POST", "/validation-rules", rule(more_than_or_equal=[2_000]))
        assert isinstance(made, AskNothing)
        told_rule = told(made, {})
        assert strictly("ValidationRulesCreateResponseBody", told_rule).name == "from 20.00 on"
        assert told(call_of("GET", f"/validation-rules/{told_rule['id']}"), {})["rules"] == told_rule["rules"]
        body = SPRING | {"validation_rules": [told_rule["id"]]}
        assert call_of("POST", "/campaigns", body).command.terms.minimum_spend == 2_000

    def test_a_rule_is_assigned_to_a_campaign_by_amending_it(self) -> None:
        body = {"related_object_type": "campaign", "related_object_id": f"camp_{CAMPAIGN.hex}"}
        call = call_of("POST", "/validation-rules/val_min_2000/assignments", body)
        assert (call.campaign, call.command) == (
            CampaignName(CAMPAIGN),
            AmendCampaign.model_validate({"terms": {"minimum_spend": 2_000}}),
        )
        told_of_it = told(call, {"campaign": str(CAMPAIGN), "state": "active", "amended": ["minimum_spend"]})
        parsed = strictly("ValidationRulesAssignmentsCreateResponseBody", told_of_it)
        assert (parsed.rule_id, parsed.related_object_id) == ("val_min_2000", f"camp_{CAMPAIGN.hex}")

    def test_nulls_are_as_good_as_absent(self) -> None:
        call = call_of("POST", "/campaigns", SPRING | {"category": None, "validity_hours": None, "auto_join": None})
        assert isinstance(call, CreateCampaign)

    def test_codes_are_imported_in_order(self) -> None:
        listed = [{"code": "A-1", "redemption": {"quantity": 1}, "active": True}, {"code": "A-2"}]
        call = call_of("POST", "/campaigns/Spring/import", listed)
        assert isinstance(call, UploadCodeList)
        assert (call.campaign, call.codes, call.wait) == (CampaignName(natural_key="Spring"), ("A-1", "A-2"), False)

    def test_codes_are_imported_from_a_csv_file(self) -> None:
        body = (
            b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="codes.csv"\r\n'
            b"Content-Type: text/csv\r\n\r\nCode,Redemption Limit\r\nA-1,1\r\nA-2,1\r\n\r\n--xyz--\r\n"
        )
        headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
        call = VOUCHERIFY.parse(raw("POST", "/v1/campaigns/Spring/importCSV", body, headers), PROFILE)
        assert isinstance(call, UploadCodeList)
        assert call.codes == ("A-1", "A-2")

    def test_paths_are_unescaped(self) -> None:
        call = call_of("POST", "/campaigns/Fr%C3%BChling%2F1/vouchers/ABC%201%2F%E4%B8%AD", {})
        assert call.campaign == CampaignName(natural_key="Frühling/1")
        assert call.codes == ("ABC 1/中",)

    def test_a_campaign_is_named_by_its_id_or_its_name(self) -> None:
        assert call_of("GET", f"/campaigns/camp_{CAMPAIGN.hex}") == GetCampaign(campaign=CampaignName(CAMPAIGN))
        assert call_of("GET", "/campaigns/Spring") == GetCampaign(campaign=CampaignName(natural_key="Spring"))

    def test_publishing_issues_one_coupon_to_the_customer(self) -> None:
        body = {"campaign": {"name": "Spring", "count": 1}, "customer": {"source_id": "u-1", "email": "x@example.com"}}
        call = call_of("POST", "/publications", body)
        assert isinstance(call, IssueToUsers)
        assert [row.user for row in call.rows] == ["u-1"]
        assert "x@example.com" not in repr(call)

    def test_redeeming_carries_order_and_customer(self) -> None:
        body = {
            "redeemables": [{"object": "voucher", "id": "EXT-1"}],
            "order": {"source_id": "o-1", "amount": 20_000},
            "customer": {"id": customer_text("u-1")},
        }
        call = call_of("POST", "/redemptions", body)
        assert isinstance(call, ChangeCoupon)
        assert isinstance(call.command, RedeemCoupon)
        assert (call.command.coupon.code, call.command.coupon.user) == ("EXT-1", "u-1")
        assert (call.command.order, call.command.amount) == ("o-1", 20_000)

    def test_an_order_may_say_its_lines_only(self) -> None:
        body = {"order": {"items": [{"price": 500, "quantity": 2}, {"amount": 250}]}}
        call = call_of("POST", "/vouchers/EXT-1/redemption", body)
        assert call.command.amount == 1_250

    def test_validating_asks_the_same(self) -> None:
        body = {"redeemables": [{"object": "voucher", "id": "EXT-1"}], "order": {"amount": 700}}
        call = call_of("POST", "/validations", body)
        assert isinstance(call, ValidateCoupon)
        assert (call.code, call.amount, call.user) == ("EXT-1", 700, None)

    @pytest.mark.parametrize("how", ["rollback", "rollbacks"])
    def test_rolling_back_names_the_redemption_itself(self, how: str) -> None:
        path = f"/redemptions/{redemption_text(COUPON, 2)}/{how}"
        for call in (
            call_of("POST", path + "?reason=wrong%20size", {}),
            call_of("POST", path, {"reason": "wrong size"}),
        ):
            assert isinstance(call.command, ReturnCoupon)
            assert (call.campaign, call.command.coupon.number) == (CampaignName(CAMPAIGN), 3)
            assert (call.command.redemption, call.command.reason) == (2, "wrong size")

    def test_disabling_voids_a_voucher_and_pauses_a_campaign(self) -> None:
        assert isinstance(call_of("POST", "/vouchers/EXT-1/disable").command, VoidCoupons)
        assert isinstance(call_of("POST", "/campaigns/Spring/disable", {}).command, PauseCampaign)
        assert isinstance(call_of("POST", "/campaigns/Spring/enable", {}).command, ResumeCampaign)

    def test_vouchers_are_listed_by_page(self) -> None:
        call = call_of("GET", "/vouchers?limit=20&page=3&campaign=Spring&order=-created_at")
        assert isinstance(call, ListAllCodes)
        assert (call.campaign, call.page, call.limit) == (CampaignName(natural_key="Spring"), 3, 20)

    def test_every_call_without_a_natural_key_is_a_new_one(self) -> None:
        assert call_of("POST", "/vouchers/EXT-1/redemption", {}).request is None


class TestWhatIsRefusedByName:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            (SPRING | {"campaign_type": "GIFT_VOUCHERS"}, "/campaign_type"),
            (CARDS | {"voucher": CARDS["voucher"] | {"redemption": {"quantity": 5}}}, "/voucher/redemption/quantity"),
            (CARDS | {"voucher": CARDS["voucher"] | {"gift": {"amount": 0}}}, "/voucher/gift/amount"),
            (CARDS | {"voucher": {"type": "GIFT_VOUCHER"}}, "/voucher/gift"),
            (SPRING | {"voucher": {"type": "DISCOUNT_VOUCHER", "gift": {"amount": 5}}}, "/voucher/gift"),
            (SPRING | {"type": "STANDALONE"}, "/type"),
            (SPRING | {"validity_day_of_week": [7]}, "/validity_day_of_week/0"),
            (SPRING | {"validity_day_of_week": []}, "/validity_day_of_week"),
            (SPRING | {"validity_day_of_week": [1], "validity_hours": HOURS}, "/validity_hours"),
            (SPRING | {"validity_hours": hours("22:00", "02:00")}, "/validity_hours/daily/0/expiration_time"),
            (SPRING | {"validity_hours": {"daily": [{"start_time": "10:00"}]}}, "/validity_hours/daily/0/days_of_week"),
            (SPRING | {"validity_timeframe": frame("P1M", "P1D")}, "/validity_timeframe/interval"),
            (SPRING | {"validity_timeframe": frame("P1D", "P1D")}, "/validity_timeframe/duration"),
            (SPRING | {"validity_timeframe": frame("P1D", "PT1H")}, "/validity_timeframe"),
            (SPRING | {"validity_timeframe": frame("P9D", "P1D"), "start_date": "2026-01-01"}, "/validity_timeframe"),
            (SPRING | {"activity_duration_after_publishing": "P1D"}, "/activity_duration_after_publishing"),
            (SPRING | {"validation_rules": ["val_1"]}, "/validation_rules"),
            (SPRING | {"validation_rules": ["val_min_0"]}, "/validation_rules"),
            (SPRING | {"validation_rules": ["val_min_9999999999999999"]}, "/validation_rules"),
            (SPRING | {"validation_rules": ["val_min_1", "val_min_2"]}, "/validation_rules"),
            (SPRING | {"vouchers_count": 20_001}, "/vouchers_count"),
            (SPRING | {"vouchers_count": -1}, "/vouchers_count"),
            (SPRING | {"start_date": "tomorrow"}, "/start_date"),
            (SPRING | {"metadata": {"voucherify:type": "x"}}, "/metadata"),
            (SPRING | {"surprise": 1}, "/surprise"),
            (with_discount(type="UNIT", unit_off=1), "/voucher/discount/type"),
            (with_discount(type="AMOUNT"), "/voucher/discount/amount_off"),
            (with_discount(type="AMOUNT", amount_off=1.5), "/voucher/discount/amount_off"),
            (with_discount(type="PERCENT", percent_off=12.345), "/voucher/discount/percent_off"),
            (with_discount(type="AMOUNT", amount_off=5, effect="APPLY_TO_ITEMS"), "/voucher/discount/effect"),
            (SPRING | {"voucher": SPRING["voucher"] | {"redemption": {"quantity": 0}}}, "/voucher/redemption/quantity"),
            (
                SPRING | {"voucher": SPRING["voucher"] | {"redemption": {"quantity": None}}},
                "/voucher/redemption/quantity",
            ),
            (
                SPRING | {"voucher": SPRING["voucher"] | {"code_config": {"pattern": "EXT-"}}},
                "/voucher/code_config",
            ),
        ],
    )
    def test_what_cannot_be_translated_is_said(self, body: dict[str, Any], pointer: str) -> None:
        problem = refused(lambda: call_of("POST", "/campaigns", json.dumps(body).encode()))
        assert pointer in [error.pointer for error in problem.errors]
        answer = VOUCHERIFY.error(problem, None, PROFILE)
        assert answer.status == 400
        assert set(json.loads(answer.body)) == {"code", "key", "message", "details", "request_id"}

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "/vouchers/EXT-1/enable", {}, 400),
            ("POST", "/vouchers/import", [], 400),
            ("POST", "/vouchers/EXT-1", {}, 400),
            ("DELETE", "/campaigns/Spring", None, 400),
            ("PATCH", "/campaigns/Spring", None, 405),
            ("GET", "/loyalties", None, 404),
            ("GET", "/vouchers?category=x", None, 400),
            ("GET", "/async-actions/aa_nonsense", None, 404),
            ("POST", "/redemptions/r_nonsense/rollback", {}, 404),
            ("POST", "/publications", {"voucher": "EXT-1", "customer": {"source_id": "u"}}, 400),
            ("POST", "/publications", {"campaign": {"name": "Spring"}, "customer": {"id": "cust_!"}}, 400),
            ("POST", "/publications", {"campaign": {"name": "Spring"}, "customer": {}}, 400),
            (
                "POST",
                "/publications",
                {"campaign": {"name": "Spring", "count": 2}, "customer": {"source_id": "u"}},
                422,
            ),
            ("POST", "/redemptions", {"redeemables": []}, 422),
            ("POST", "/redemptions", {"redeemables": [{"object": "promotion_tier", "id": "x"}]}, 422),
            ("POST", "/vouchers/EXT-1/redemption", {"order": {"amount": -1}}, 422),
            ("POST", "/campaigns/Spring/import", [{"code": "A", "redemption": {"quantity": None}}], 400),
            ("POST", "/campaigns/Spring/import", [{"code": "A", "active": False}], 422),
            ("POST", "/campaigns/Spring/import", {}, 422),
            ("POST", "/campaigns/Spring/importCSV", {}, 400),
            ("POST", "/campaigns", [], 422),
            ("POST", "/validation-rules", [], 422),
            ("POST", "/validation-rules", rule(), 422),
            ("POST", "/validation-rules", rule(less_than=[5]), 422),
            ("POST", "/validation-rules", rule(more_than_or_equal=[5], less_than=[9]), 422),
            ("POST", "/validation-rules", rule(more_than_or_equal=[0]), 422),
            ("POST", "/validation-rules", rule(more_than_or_equal=[5, 6]), 422),
            ("POST", "/validation-rules", rule(more_than_or_equal=[5]) | {"error": {"message": "No."}}, 422),
            ("POST", "/validation-rules", rule(more_than_or_equal=[5]) | {"rules": {"logic": "1"}}, 422),
            ("GET", "/validation-rules/val_x", None, 404),
            ("PUT", "/validation-rules/val_min_5", {}, 400),
            ("POST", "/validation-rules/val_min_5/assignments", {}, 422),
            (
                "POST",
                "/validation-rules/val_min_5/assignments",
                {"related_object_type": "voucher", "related_object_id": "v_1"},
                422,
            ),
            (
                "POST",
                "/validation-rules/val_x/assignments",
                {"related_object_type": "campaign", "related_object_id": "camp_1"},
                404,
            ),
        ],
    )
    def test_what_is_not_offered_is_no_internal_error(self, method: str, path: str, body: Any, status: int) -> None:
        assert refused(lambda: call_of(method, path, body)).status == status


class TestCodes:
    def test_they_are_different_and_stay_the_same(self) -> None:
        config = CodeConfig(pattern="##-X-##", charset="0123456789")
        codes = make_codes(config, 5_000, CAMPAIGN, b"k" * 32)
        assert len(set(codes)) == 5_000
        assert codes == make_codes(config, 5_000, CAMPAIGN, b"k" * 32)

    def test_a_whole_space_can_be_used_up_and_no_more(self) -> None:
        config = CodeConfig(prefix="A", length=1, charset="abcABC")
        assert sorted(make_codes(config, 3, CAMPAIGN, b"k" * 32)) == ["AA", "AB", "AC"]
        assert refused(lambda: make_codes(config, 4, CAMPAIGN, b"k" * 32)).code == "invalid_code_config"

    def test_without_a_pattern_eight_symbols_are_drawn(self) -> None:
        assert {len(code) for code in make_codes(CodeConfig(), 100, CAMPAIGN, b"k" * 32)} == {8}

    def test_names_can_be_read_back(self) -> None:
        for user in ("u-1", "ü/漢", "x" * 64):
            assert read_customer(customer_text(user)) == user
        assert read_customer("cust_*") is None
        assert read_redemption(redemption_text(COUPON, 12)) == (CAMPAIGN, 3, 12)


VIEW: dict[str, Any] = {
    "id": str(CAMPAIGN),
    "owner": MERCHANT,
    "origin": "external",
    "name": "Spring",
    "state": "active",
    "supply": "uploaded",
    "code": None,
    "terms": json.loads(call_of("POST", "/campaigns", SPRING).command.terms.model_dump_json()),
    "quantity": None,
    "issued": 1,
    "held": 1,
    "available_codes": 2,
    "exported": 0,
    "starts": "2026-01-01T00:00:00Z",
    "ends": "2026-12-31T00:00:00Z",
    "created_at": "2026-01-01T00:00:00Z",
}
REDEEMED = {
    "coupon": COUPON,
    "redemption": 1,
    "user": "u-1",
    "order": "o-1",
    "amount": 20_000,
    "discount": 500,
    "payable": 19_500,
    "currency": "EUR",
    "exponent": 2,
    "state": "redeemed",
    "redeemed_at": "2026-03-01T12:00:00Z",
}
ISSUED = {"campaign": str(CAMPAIGN), "rows": [{"row": 0, "user": "u-1", "coupon": COUPON, "code": "EXT-1"}]}
REDEEM = {
    "redeemables": [{"object": "voucher", "id": "EXT-1"}],
    "order": {"amount": 20_000},
    "customer": {"source_id": "u-1"},
}


def strictly(model: str, body: dict[str, Any]) -> Any:
    """The answer as the SDK's model, which refuses wrong types and words it does not know."""
    return getattr(models, model).from_dict(body)


def told(call: Call, body: dict[str, Any], status: int = 200, **more: Any) -> Any:
    answer = VOUCHERIFY.answer(call, Outcome(body, AS_OF, campaign=VIEW, **more), PROFILE)
    assert answer.status == status
    assert answer.content_type == "application/json"
    return json.loads(answer.body)


class TestWhatTheyAreTold:
    """Each answer goes through the SDK's own model, which refuses wrong types and words it does not know."""

    def test_a_campaign(self) -> None:
        created = told(call_of("POST", "/campaigns", SPRING), {"campaign": str(CAMPAIGN), "state": "active"})
        parsed = strictly("CampaignsCreateResponseBody", created)
        assert (parsed.name, parsed.vouchers_count, parsed.active) == ("Spring", 3, True)
        assert parsed.voucher.code_config.pattern == "EXT-#####"
        assert parsed.metadata == {"season": "spring", "year": 2026}
        assert strictly("CampaignsGetResponseBody", told(call_of("GET", "/campaigns/Spring"), VIEW)) is not None

    @pytest.mark.parametrize(
        "times",
        [
            {"validity_day_of_week": [0, 6]},
            {"validity_hours": HOURS},
            {"validity_timeframe": frame("P14D", "PT1H30M")},
            {"validity_timeframe": frame("PT48H", "PT1H"), "expiration_date": "2026-01-20T00:00:00Z"},
            {"validation_rules": ["val_min_2000"]},
        ],
    )
    def test_a_campaign_says_again_when_and_from_what_amount_on_it_counts(self, times: dict[str, Any]) -> None:
        command = call_of("POST", "/campaigns", SPRING | times).command
        view = VIEW | {"terms": json.loads(command.terms.model_dump_json())}
        answer = VOUCHERIFY.answer(call_of("GET", "/campaigns/Spring"), Outcome(view, AS_OF), PROFILE)
        shown = json.loads(answer.body)
        assert strictly("CampaignsGetResponseBody", shown) is not None
        assigned = [one["rule_id"] for one in shown["validation_rules_assignments"]["data"]]
        assert assigned == times.get("validation_rules", [])
        said = {name: shown[name] for name in ("validity_day_of_week", "validity_hours", "validity_timeframe")}
        told_again = {name: value for name, value in said.items() if value is not None}
        meant = {name: value for name, value in times.items() if name.startswith("validity_")}
        if "PT48H" in str(meant):
            meant["validity_timeframe"]["interval"] = "P2D"  # the same
        assert told_again == meant

    def test_a_gift_voucher_with_what_is_left_of_it(self) -> None:
        cards = VIEW | {"terms": json.loads(call_of("POST", "/campaigns", CARDS).command.terms.model_dump_json())}
        call = call_of("POST", "/redemptions", REDEEM)
        body = REDEEMED | {"discount": 2_000, "state": "held", "balance": 3_000}
        answer = json.loads(VOUCHERIFY.answer(call, Outcome(body, AS_OF, campaign=cards), PROFILE).body)
        redeemed = strictly("RedemptionsRedeemResponseBody", answer).redemptions[0]
        assert (redeemed.amount, redeemed.gift.amount, redeemed.voucher.gift.balance) == (2_000, 2_000, 3_000)
        assert (redeemed.voucher.redemption.quantity, redeemed.voucher.discount) == (None, None)
        assert answer["redemptions"][0]["voucher"]["type"] == "GIFT_VOUCHER"

    def test_a_code_with_several_uses_says_how_many_were_taken(self) -> None:
        several = VIEW | {"terms": VIEW["terms"] | {"uses": 3}}
        body = REDEEMED | {"state": "held", "uses_left": 1}
        answer = VOUCHERIFY.answer(
            call_of("POST", "/redemptions", REDEEM), Outcome(body, AS_OF, campaign=several), PROFILE
        )
        used = strictly("RedemptionsRedeemResponseBody", json.loads(answer.body)).redemptions[0].voucher.redemption
        assert (used.quantity, used.redeemed_quantity) == (3, 2)

    @pytest.mark.parametrize(("points", "percent"), [(1_250, 12.5), (1_200, 12)])
    def test_a_percentage_comes_back_as_it_was_said(self, points: int, percent: float) -> None:
        terms = VIEW["terms"] | {"discount": {"kind": "percent_off", "basis_points": points, "cap": None}}
        answer = VOUCHERIFY.answer(
            call_of("GET", "/campaigns/Spring"), Outcome(VIEW | {"terms": terms}, AS_OF), PROFILE
        )
        parsed = strictly("CampaignsGetResponseBody", json.loads(answer.body))
        assert parsed.voucher.discount.percent_off == percent

    def test_a_list_of_campaigns(self) -> None:
        listed = told(call_of("GET", "/campaigns?page=1"), {"campaigns": [VIEW], "total": 1})
        parsed = strictly("CampaignsListResponseBody", listed)
        assert parsed.total == 1

    def test_a_publication(self) -> None:
        call = call_of("POST", "/publications", {"campaign": {"name": "Spring"}, "customer": {"source_id": "u-1"}})
        parsed = strictly("PublicationsCreateResponseBody", told(call, ISSUED))
        assert (parsed.result, parsed.voucher.code, parsed.customer_id) == ("SUCCESS", "EXT-1", customer_text("u-1"))

    def test_a_publication_that_was_refused(self) -> None:
        call = call_of("POST", "/publications", {"campaign": {"name": "Spring"}, "customer": {"source_id": "u-1"}})
        refusal = {"code": "no_code_left", "message": "No uploaded code is left; upload more.", "facts": {}}
        body = {"campaign": str(CAMPAIGN), "rows": [{"row": 0, "user": "u-1", "refusal": refusal}]}
        assert told(call, body, 400)["key"] == "no_voucher_suitable_for_publication"

    def test_a_redemption(self) -> None:
        stacked = strictly("RedemptionsRedeemResponseBody", told(call_of("POST", "/redemptions", REDEEM), REDEEMED))
        redemption = stacked.redemptions[0]
        assert redemption.result == "SUCCESS"
        assert (redemption.order.total_discount_amount, redemption.order.total_amount) == (500, 19_500)
        single = told(call_of("POST", "/vouchers/EXT-1/redemption", {"order": {"amount": 20_000}}), REDEEMED)
        assert strictly("Redemption", single) is not None

    def test_a_validation(self) -> None:
        call = call_of("POST", "/validations", REDEEM)
        good = {"valid": True, "reasons": [], "campaign": str(CAMPAIGN), "discount": 500, "payable": 19_500}
        parsed = strictly("ValidationsValidateResponseBody", told(call, good))
        assert parsed.valid is True
        assert parsed.order.total_amount == 19_500

    def test_a_validation_that_fails(self) -> None:
        call = call_of("POST", "/validations", REDEEM)
        reason = {"code": "coupon_already_redeemed", "message": "It was redeemed.", "facts": {}}
        bad = {"valid": False, "reasons": [reason], "campaign": str(CAMPAIGN), "discount": None, "payable": None}
        parsed = strictly("ValidationsValidateResponseBody", told(call, bad))
        assert parsed.valid is False
        result = parsed.redeemables[0].result
        assert result.error.key == "quantity_exceeded"
        single = told(call_of("POST", "/vouchers/EXT-1/validate", {}), bad)
        assert (single["valid"], single["key"]) == (False, "quantity_exceeded")

    def test_a_rollback(self) -> None:
        coupon = {"coupon": COUPON, "code": "EXT-1", "user": "u-1", "state": "held"}
        body = {"coupon": COUPON, "redemption": 1, "state": "held"}
        name = redemption_text(COUPON, 1)
        single = told(call_of("POST", f"/redemptions/{name}/rollback", {}), body, coupon=coupon)
        parsed = strictly("RedemptionsRollbackCreateResponseBody", single)
        assert (parsed.redemption, parsed.result, parsed.voucher.code) == (name, "SUCCESS", "EXT-1")
        stacked = told(call_of("POST", f"/redemptions/{name}/rollbacks", {}), body, coupon=coupon)
        assert strictly("RedemptionsRollbacksCreateResponseBody", stacked) is not None

    @pytest.mark.parametrize("state", ["available", "held", "redeemed", "voided", "expired", "burned"])
    def test_a_voucher_in_any_state(self, state: str) -> None:
        body = {"coupon": COUPON, "code": "EXT-1", "user": None, "state": state, "campaign": str(CAMPAIGN)}
        parsed = strictly("VouchersGetResponseBody", told(call_of("GET", "/vouchers/EXT-1"), body))
        assert parsed.active is (state in ("available", "held", "redeemed"))
        assert parsed.redemption.redeemed_quantity == (1 if state in ("redeemed", "burned") else 0)

    def test_a_list_of_vouchers(self) -> None:
        code = {"coupon": COUPON, "code": "EXT-1", "state": "available", "in_campaign": VIEW}
        listed = told(call_of("GET", "/vouchers"), {"codes": [code], "total": 7})
        parsed = strictly("VouchersListResponseBody", listed)
        assert (parsed.total, parsed.vouchers[0].code) == (7, "EXT-1")

    def test_a_voucher_that_was_disabled(self) -> None:
        coupon = {"coupon": COUPON, "code": "EXT-1", "user": None, "state": "voided"}
        body = {"campaign": str(CAMPAIGN), "coupon": COUPON, "state": "voided"}
        answer = told(call_of("POST", "/vouchers/EXT-1/disable"), body, coupon=coupon)
        parsed = strictly("VouchersDisableResponseBody", answer)
        assert parsed.active is False

    def test_a_campaign_that_was_disabled(self) -> None:
        answer = told(call_of("POST", "/campaigns/Spring/disable", {}), {"campaign": str(CAMPAIGN), "state": "paused"})
        assert answer["active"] is False

    def test_an_import_and_its_async_action(self) -> None:
        call = call_of("POST", "/campaigns/Spring/import", [{"code": "A"}])
        started = told(call, {}, 202, pending=True, reference=str(CAMPAIGN))
        parsed = strictly("CampaignsImportCreateResponseBody", started)
        assert parsed.async_action_id == f"aa_{CAMPAIGN}"
        asked = call_of("GET", f"/async-actions/{parsed.async_action_id}")
        assert isinstance(asked, GetOutcome)
        assert asked.bulk == CAMPAIGN
        for body, pending, status, operation in (
            ({}, True, "IN_PROGRESS", "UNKNOWN"),
            ({"status": "done", "accepted": 1, "refused": 0, "rows": []}, False, "DONE", "SUCCESS"),
            ({"status": "refused", "accepted": 0}, False, "FAILED", "FAILED"),
        ):
            action = strictly("AsyncActionGetResponseBody", told(asked, body, pending=pending))
            assert (action.status, action.operation_status) == (status, operation)

    def test_a_code_added_to_a_campaign(self) -> None:
        coupon = {"coupon": None, "code": "ABC", "user": None, "state": "available", "campaign": str(CAMPAIGN)}
        call = call_of("POST", "/campaigns/Spring/vouchers/ABC", {})
        answer = told(call, {"campaign": str(CAMPAIGN), "rows": []}, coupon=coupon)
        assert strictly("CampaignsVouchersCreateResponseBody", answer) is not None

    def test_an_outcome_that_is_not_known_yet_is_to_be_asked_for_again(self) -> None:
        call = call_of("POST", "/redemptions", REDEEM)
        answer = VOUCHERIFY.answer(call, Outcome({}, pending=True, reference="x"), PROFILE)
        assert answer.status == 503
        assert ("Retry-After", "1") in answer.headers

    @pytest.mark.parametrize(
        ("code", "status", "key"),
        [
            ("coupon_already_redeemed", 400, "quantity_exceeded"),
            ("coupon_expired", 400, "voucher_expired"),
            ("coupon_voided", 400, "voucher_disabled"),
            ("campaign_not_started", 400, "voucher_not_active"),
            ("coupon_not_found", 404, "resource_not_found"),
            ("campaign_exists", 409, "duplicate_found"),
            ("unauthenticated", 401, "unauthorized"),
            ("something_new", 400, "something_new"),
        ],
    )
    def test_an_error_has_voucherifys_key(self, code: str, status: int, key: str) -> None:
        answer = VOUCHERIFY.error(Problem(code, 422, "Title", "What to do."), None, None)
        body = json.loads(answer.body)
        assert (answer.status, body["code"], body["key"], body["details"]) == (status, status, key, "What to do.")

    def test_the_id_of_a_new_campaign_follows_from_its_name(self) -> None:
        assert campaign_id(MERCHANT, "Spring") == campaign_id(
            MERCHANT, call_of("POST", "/campaigns", SPRING).natural_key
        )
        assert isinstance(call_of("GET", "/vouchers/EXT-1"), GetCode)
        assert isinstance(call_of("POST", "/campaigns/Spring/disable", {}), ChangeCampaign)
