"""Voucherify's published Python client drives a running gateway; only its base address is changed."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import voucherify
from voucherify.api.async_actions_api import AsyncActionsApi
from voucherify.api.campaigns_api import CampaignsApi
from voucherify.api.publications_api import PublicationsApi
from voucherify.api.redemptions_api import RedemptionsApi
from voucherify.api.validation_rules_api import ValidationRulesApi
from voucherify.api.validations_api import ValidationsApi
from voucherify.api.vouchers_api import VouchersApi
from voucherify.api_client import ApiClient
from voucherify.configuration import Configuration
from voucherify.exceptions import ApiException

from tests.support.gateway import GatewayPlatform, Merchant


class Client:
    """The SDK with one merchant's credentials; each call runs in a thread, the SDK blocks."""

    def __init__(self, merchant: Merchant) -> None:
        shown = merchant.credentials
        configuration = Configuration(
            host=merchant.gateway.url(),
            api_key={"X-App-Id": shown["app_id"], "X-App-Token": shown["app_token"]},
        )
        self.api = ApiClient(configuration)
        self.campaigns = CampaignsApi(self.api)
        self.vouchers = VouchersApi(self.api)
        self.publications = PublicationsApi(self.api)
        self.rules = ValidationRulesApi(self.api)
        self.validations = ValidationsApi(self.api)
        self.redemptions = RedemptionsApi(self.api)
        self.async_actions = AsyncActionsApi(self.api)

    async def call(self, operation: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(operation, *arguments, **named)

    async def refused(self, operation: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str]:
        with pytest.raises(ApiException) as caught:
            await self.call(operation, *arguments, **named)
        body = json.loads(caught.value.body or "{}")
        assert set(body) == {"code", "key", "message", "details", "request_id"}
        return int(caught.value.status), str(body["key"])


@pytest_asyncio.fixture(scope="module")
async def shop(gateway: GatewayPlatform) -> Merchant:
    return await gateway.add_merchant(f"V {uuid4().hex[:6]}", dialect="voucherify", currency="EUR")


@pytest.fixture(scope="module")
def client(shop: Merchant) -> Iterator[Client]:
    made = Client(shop)
    yield made
    made.api.rest_client.pool_manager.clear()


def body_of(model: str, document: dict[str, Any]) -> Any:
    """A request body as the SDK's own model: what it would send."""
    return getattr(voucherify, model).from_dict(document)


def spring(**changes: Any) -> Any:
    document = {
        "name": f"Spring {uuid4().hex[:6]}",
        "campaign_type": "DISCOUNT_COUPONS",
        "type": "STATIC",
        "vouchers_count": 3,
        "start_date": "2026-03-01T00:00:00Z",
        "expiration_date": "2026-03-31T00:00:00Z",
        "voucher": {
            "type": "DISCOUNT_VOUCHER",
            "discount": {"type": "AMOUNT", "amount_off": 500, "effect": "APPLY_TO_ORDER"},
            "code_config": {"pattern": "EXT-#####"},
            "redemption": {"quantity": 1},
        },
        "metadata": {"season": "spring", "year": 2026},
    } | changes
    return body_of("CampaignsCreateRequestBody", document)


def of_voucher(code: str, amount: int = 20_000, user: str | None = None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "redeemables": [{"object": "voucher", "id": code}],
        "order": {"source_id": f"o-{uuid4().hex[:6]}", "amount": amount},
    }
    return document | ({"customer": {"source_id": user}} if user else {})


def redemption(code: str, **more: Any) -> Any:
    return body_of("RedemptionsRedeemRequestBody", of_voucher(code, **more))


def publication(campaign: str, user: str) -> Any:
    document = {"campaign": {"name": campaign, "count": 1}, "customer": {"source_id": user}}
    return body_of("PublicationsCreateRequestBody", document)


class TestThePublishedClient:
    async def test_create_publish_validate_redeem_roll_back_and_redeem_again(self, client: Client) -> None:
        asked = spring()
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=asked)
        assert (created.name, created.vouchers_count, created.active) == (asked.name, 3, True)
        assert created.voucher.code_config.pattern == "EXT-#####"
        assert created.metadata == {"season": "spring", "year": 2026}
        for name in (created.id, created.name):
            assert (await client.call(client.campaigns.get_campaign, name)).id == created.id

        listed = await client.call(client.vouchers.list_vouchers, campaign=created.name, limit=2, page=1)
        rest = await client.call(client.vouchers.list_vouchers, campaign=created.name, limit=2, page=2)
        codes = [voucher.code for voucher in (*listed.vouchers, *rest.vouchers)]
        assert (listed.total, len(set(codes))) == (3, 3)
        assert all(code.startswith("EXT-") for code in codes)

        sent = await client.call(
            client.publications.create_publication, publications_create_request_body=publication(created.name, "u-1")
        )
        assert (sent.result, sent.voucher.code) == ("SUCCESS", codes[0])
        held = await client.call(client.vouchers.get_voucher, codes[0])
        assert (held.code, held.holder_id, held.active) == (codes[0], sent.customer_id, True)

        question = body_of("ValidationsValidateRequestBody", of_voucher(codes[0], user="u-1"))
        valid = await client.call(
            client.validations.validate_stacked_discounts, validations_validate_request_body=question
        )
        assert (valid.valid, valid.order.total_amount) == (True, 19_500)

        redeem = client.redemptions.redeem_stacked_discounts
        redeemed = await client.call(redeem, redemptions_redeem_request_body=redemption(codes[0], user="u-1"))
        first = redeemed.redemptions[0]
        assert (first.result, first.voucher.code, first.customer_id) == ("SUCCESS", codes[0], sent.customer_id)
        assert (first.order.total_discount_amount, first.order.total_amount) == (500, 19_500)
        twice = await client.refused(redeem, redemptions_redeem_request_body=redemption(codes[0]))
        assert twice == (400, "quantity_exceeded")
        used = await client.call(client.vouchers.get_voucher, codes[0])
        assert used.redemption.redeemed_quantity == 1
        invalid = await client.call(
            client.validations.validate_stacked_discounts, validations_validate_request_body=question
        )
        assert (invalid.valid, invalid.redeemables[0].result.error.key) == (False, "quantity_exceeded")

        back = await client.call(client.redemptions.rollback_redemption, first.id, reason="wrong size")
        assert (back.result, back.reason, back.voucher.code) == ("SUCCESS", "wrong size", codes[0])
        assert await client.refused(client.redemptions.rollback_redemption, first.id) == (400, "already_rolled_back")
        again = await client.call(redeem, redemptions_redeem_request_body=redemption(codes[0], user="u-1"))
        assert again.redemptions[0].id != first.id

    async def test_a_gift_voucher_pays_in_parts_and_gets_back_what_is_rolled_back(self, client: Client) -> None:
        gift = {"type": "GIFT_VOUCHER", "gift": {"amount": 5_000}, "code_config": {"pattern": "GIFT-#####"}}
        asked = spring(campaign_type="GIFT_VOUCHERS", vouchers_count=1, voucher=gift)
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=asked)
        assert (created.campaign_type, created.voucher.gift.amount) == ("GIFT_VOUCHERS", 5_000)
        code = (await client.call(client.vouchers.list_vouchers, campaign=created.name)).vouchers[0].code
        redeem = client.redemptions.redeem_stacked_discounts

        part = of_voucher(code)
        part["redeemables"][0]["gift"] = {"credits": 1_500}
        question = body_of("ValidationsValidateRequestBody", part)
        valid = await client.call(
            client.validations.validate_stacked_discounts, validations_validate_request_body=question
        )
        assert (valid.redeemables[0].result.gift.balance, valid.redeemables[0].result.gift.credits) == (5_000, 1_500)
        asked_part = body_of("RedemptionsRedeemRequestBody", part)
        first = (await client.call(redeem, redemptions_redeem_request_body=asked_part)).redemptions[0]
        assert (first.amount, first.voucher.gift.balance) == (1_500, 3_500)
        rest = (await client.call(redeem, redemptions_redeem_request_body=redemption(code))).redemptions[0]
        assert (rest.amount, rest.order.total_amount, rest.voucher.gift.balance) == (3_500, 16_500, 0)
        assert await client.refused(redeem, redemptions_redeem_request_body=redemption(code)) == (
            *(400, "quantity_exceeded"),
        )
        back = await client.call(client.redemptions.rollback_redemption, first.id, reason="wrong size")
        assert (back.amount, back.voucher.gift.balance) == (1_500, 1_500)
        left = await client.call(client.vouchers.get_voucher, code)
        assert (left.gift.balance, left.active) == (1_500, True)

    async def test_a_code_works_several_times_from_an_amount_on(self, client: Client) -> None:
        least = {"1": {"name": "order.amount", "conditions": {"$more_than_or_equal": [2_000]}}, "logic": "1"}
        asked = body_of("ValidationRulesCreateRequestBody", {"name": "from 20.00 on", "rules": least})
        rule = await client.call(client.rules.create_validation_rules, validation_rules_create_request_body=asked)
        assert (await client.call(client.rules.get_validation_rule, rule.id)).rules == rule.rules
        voucher = {"type": "DISCOUNT_VOUCHER", "discount": {"type": "AMOUNT", "amount_off": 500},
                   "redemption": {"quantity": 2}}  # fmt: skip
        campaign = spring(vouchers_count=1, voucher=voucher, validation_rules=[rule.id])
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=campaign)
        assert created.validation_rules_assignments.data[0].rule_id == rule.id
        code = (await client.call(client.vouchers.list_vouchers, campaign=created.name)).vouchers[0].code
        redeem = client.redemptions.redeem_stacked_discounts
        small = await client.refused(redeem, redemptions_redeem_request_body=redemption(code, amount=1_999))
        assert small == (400, "order_rules_violated")
        for used in (1, 2):
            done = await client.call(redeem, redemptions_redeem_request_body=redemption(code, amount=2_000))
            assert done.redemptions[0].voucher.redemption.redeemed_quantity == used
        third = await client.refused(redeem, redemptions_redeem_request_body=redemption(code))
        assert third == (400, "quantity_exceeded")

    async def test_a_rule_is_assigned_as_long_as_nothing_was_given_out(self, client: Client) -> None:
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=spring())
        least = {"related_object_type": "campaign", "related_object_id": created.id}
        asked = body_of("ValidationRulesAssignmentsCreateRequestBody", least)
        assign = client.rules.create_validation_rule_assignment
        for _ in range(2):
            done = await client.call(assign, "val_min_700", validation_rules_assignments_create_request_body=asked)
            assert (done.rule_id, done.related_object_id) == ("val_min_700", created.id)
        await client.call(
            client.publications.create_publication, publications_create_request_body=publication(created.name, "u-1")
        )
        refused = await client.refused(assign, "val_min_900", validation_rules_assignments_create_request_body=asked)
        assert refused == (409, "amendment_forbidden")
        seen = await client.call(client.campaigns.get_campaign, created.id)
        assert [one.rule_id for one in seen.validation_rules_assignments.data] == ["val_min_700"]

    async def test_a_voucher_works_in_its_hours_and_says_so(self, client: Client) -> None:
        days = {"validity_day_of_week": [4, 5]}  # it is Tuesday
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=spring(**days))
        assert created.validity_day_of_week == days["validity_day_of_week"]
        code = (await client.call(client.vouchers.list_vouchers, campaign=created.name)).vouchers[0].code
        redeem = client.redemptions.redeem_stacked_discounts
        closed = await client.refused(redeem, redemptions_redeem_request_body=redemption(code))
        assert closed == (400, "voucher_not_active_now")
        daily = {"start_time": "08:00", "expiration_time": "20:00", "days_of_week": [1, 5]}
        hours = spring(validity_hours={"daily": [daily]})
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=hours)
        assert created.validity_hours.daily[0].to_dict() == daily
        times = spring(validity_timeframe={"interval": "P1D", "duration": "PT1H"})
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=times)
        assert created.validity_timeframe.to_dict() == {"interval": "P1D", "duration": "PT1H"}

    async def test_a_code_nobody_was_given_is_redeemed_by_whoever_brings_it(self, client: Client) -> None:
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=spring())
        listed = await client.call(client.vouchers.list_vouchers, campaign=created.name)
        code = listed.vouchers[2].code
        before = await client.call(client.vouchers.get_voucher, code)
        assert (before.holder_id, before.redemption.redeemed_quantity) == (None, 0)
        done = await client.call(
            client.redemptions.redeem_stacked_discounts, redemptions_redeem_request_body=redemption(code)
        )
        assert done.redemptions[0].voucher.code == code

    async def test_a_merchants_own_codes_are_imported_and_given_out(self, client: Client) -> None:
        mark = uuid4().hex[:6].upper()
        asked = spring(vouchers_count=None)
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=asked)
        assert created.vouchers_count == 0
        imported = [
            body_of(
                "CampaignsImportVoucherItem", {"code": f"{mark}-{n}", "redemption": {"quantity": 1}, "active": True}
            )
            for n in range(3)
        ]
        started = await client.call(
            client.campaigns.import_vouchers_to_campaign, created.id, campaigns_import_voucher_item=imported
        )
        action = await self.until_done(client, started.async_action_id)
        assert (action.status, action.operation_status, action.result["imported"]) == ("DONE", "SUCCESS", 3)
        added = await client.call(
            client.campaigns.add_voucher_with_specific_code_to_campaign, created.name, f"{mark} 1/中"
        )
        assert added.code == f"{mark} 1/中"
        sent = await client.call(
            client.publications.create_publication, publications_create_request_body=publication(created.name, "u-7")
        )
        assert sent.voucher.code == f"{mark}-0"
        listed = await client.call(client.vouchers.list_vouchers, campaign=created.name)
        assert [voucher.code for voucher in listed.vouchers] == [f"{mark}-0", f"{mark}-1", f"{mark}-2", f"{mark} 1/中"]

    async def test_codes_are_imported_from_a_file(self, client: Client, tmp_path: Any) -> None:
        mark = uuid4().hex[:6].upper()
        created = await client.call(
            client.campaigns.create_campaign, campaigns_create_request_body=spring(vouchers_count=0)
        )
        file = tmp_path / "codes.csv"
        file.write_text(f"Code,Redemption Limit\n{mark}-1,1\n{mark}-2,1\n", encoding="utf-8")
        started = await client.call(client.campaigns.import_vouchers_to_campaign_using_csv, created.id, file=str(file))
        action = await self.until_done(client, started.async_action_id)
        assert action.result["imported"] == 2

    async def test_creating_again_is_the_same_campaign_and_other_terms_are_refused(self, client: Client) -> None:
        asked = spring()
        create = client.campaigns.create_campaign
        first = await client.call(create, campaigns_create_request_body=asked)
        again = await client.call(create, campaigns_create_request_body=asked)
        assert (again.id, again.vouchers_count) == (first.id, 3)
        asked.vouchers_count = 5
        assert await client.refused(create, campaigns_create_request_body=asked) == (409, "duplicate_found")

    async def test_vouchers_and_campaigns_are_disabled(self, client: Client) -> None:
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=spring())
        sent = await client.call(
            client.publications.create_publication, publications_create_request_body=publication(created.name, "u-1")
        )
        gone = await client.call(client.vouchers.disable_voucher, sent.voucher.code)
        assert (gone.code, gone.active) == (sent.voucher.code, False)
        redeem = client.redemptions.redeem_stacked_discounts
        refused = await client.refused(redeem, redemptions_redeem_request_body=redemption(sent.voucher.code))
        assert refused == (400, "voucher_disabled")
        await client.call(client.campaigns.disable_campaign, created.id)
        assert (await client.call(client.campaigns.get_campaign, created.id)).active is False
        await client.call(client.campaigns.enable_campaign, created.id)
        assert (await client.call(client.campaigns.get_campaign, created.id)).active is True

    async def test_what_is_wrong_is_said_in_voucherifys_words(self, client: Client) -> None:
        redeem = client.redemptions.redeem_stacked_discounts
        assert await client.refused(redeem, redemptions_redeem_request_body=redemption("NO-SUCH")) == (
            404,
            "resource_not_found",
        )
        assert await client.refused(client.campaigns.get_campaign, "no such campaign") == (404, "not_found")
        gifts = spring()
        gifts.campaign_type = "LOYALTY_PROGRAM"
        refused = await client.refused(client.campaigns.create_campaign, campaigns_create_request_body=gifts)
        assert refused == (400, "invalid_payload")

    async def test_the_last_code_is_given_out_once(self, client: Client) -> None:
        created = await client.call(
            client.campaigns.create_campaign, campaigns_create_request_body=spring(vouchers_count=1)
        )
        publish = client.publications.create_publication
        await client.call(publish, publications_create_request_body=publication(created.name, "u-1"))
        refused = await client.refused(publish, publications_create_request_body=publication(created.name, "u-2"))
        assert refused == (400, "no_voucher_suitable_for_publication")

    async def until_done(self, client: Client, action: str) -> Any:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = await client.call(client.async_actions.get_async_action, action)
            if found.status != "IN_PROGRESS":
                return found
            await asyncio.sleep(0.1)
        raise AssertionError("the import did not end")


class TestWhoMaySeeWhat:
    async def test_another_merchant_finds_nothing(self, gateway: GatewayPlatform, client: Client) -> None:
        other = Client(await gateway.add_merchant(f"V {uuid4().hex[:6]}", dialect="voucherify"))
        created = await client.call(client.campaigns.create_campaign, campaigns_create_request_body=spring())
        sent = await client.call(
            client.publications.create_publication, publications_create_request_body=publication(created.name, "u-1")
        )
        code = sent.voucher.code
        assert await other.refused(other.campaigns.get_campaign, created.id) == (404, "not_found")
        assert await other.refused(other.campaigns.get_campaign, created.name) == (404, "not_found")
        assert (await other.refused(other.vouchers.get_voucher, code))[0] == 404
        assert (await other.refused(other.vouchers.disable_voucher, code))[0] == 404
        redeem = other.redemptions.redeem_stacked_discounts
        assert (await other.refused(redeem, redemptions_redeem_request_body=redemption(code)))[0] == 404
        assert (await other.call(other.vouchers.list_vouchers)).total == 0
        done = await client.call(
            client.redemptions.redeem_stacked_discounts, redemptions_redeem_request_body=redemption(code, user="u-1")
        )
        undo = other.redemptions.rollback_redemption
        assert (await other.refused(undo, done.redemptions[0].id))[0] == 404
        other.api.rest_client.pool_manager.clear()

    async def test_a_wrong_token_is_refused_in_voucherifys_words(
        self, gateway: GatewayPlatform, shop: Merchant
    ) -> None:
        headers = {**shop.headers, "x-app-token": "x" * 40}
        answer = await gateway.request("GET", "/v1/campaigns", headers=headers)
        assert (answer.status_code, answer.json()["key"]) == (401, "unauthorized")

    @pytest.mark.parametrize("dialect", ["scrip", "declared"])
    async def test_a_dialect_that_is_not_ones_own_is_refused_in_the_dialect_spoken(
        self, gateway: GatewayPlatform, shop: Merchant, dialect: str
    ) -> None:
        key = f"sk_{shop.credentials['app_id']}_{shop.credentials['app_token']}"
        headers = {"authorization": f"Bearer {key}"} if dialect == "scrip" else {"x-my-key": key}
        answer = await gateway.request("GET", "/merchant/v1/campaigns", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "dialect_not_yours")
        assert "key" not in answer.json()

    async def test_a_scrip_merchant_that_speaks_voucherify_is_told_so_in_voucherify(
        self, gateway: GatewayPlatform
    ) -> None:
        scrip = await gateway.add_merchant(f"S {uuid4().hex[:6]}")
        _, public_id, secret = scrip.credentials["key"].split("_")
        answer = await gateway.request("GET", "/v1/campaigns", headers={"x-app-id": public_id, "x-app-token": secret})
        assert (answer.status_code, answer.json()["key"]) == (403, "dialect_not_yours")
