"""How merchants come in, are matched to their APIs, and are shut out."""

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.commands import UnpublishCampaign
from contracts.identifiers import campaign_id
from contracts.merchants import MERCHANT_EVENT, MerchantProfile
from contracts.topics import MERCHANT_EVENTS, MERCHANT_PROFILES
from dialects.scrip.credentials import signature, signed_text
from tests.support.gateway import GatewayPlatform, Merchant

ACCESS = "/merchant/v1/access"
OFFER: dict[str, Any] = {
    "name": "Tea",
    "currency": "EUR",
    "discount": {"kind": "amount_off", "amount": 100},
    "validity": {"starts": "2026-03-01", "ends": "2026-03-31"},
    "supply": {"kind": "shared", "code": "TEA"},
}


async def records(gateway: GatewayPlatform, topic: str, merchant: str) -> list[bytes]:
    """Everything a topic holds of a merchant now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=gateway.core.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        names = consumer.partitions_for_topic(topic) or await _partitions(consumer, topic)
        parts = [TopicPartition(topic, number) for number in sorted(names)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        found: list[bytes] = []
        for part in parts:
            await consumer.seek_to_beginning(part)
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += [record.value for record in batch if record.key == merchant.encode()]
        return found
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.add_topic(topic)
    return set(consumer.partitions_for_topic(topic) or ())


async def until(gateway: GatewayPlatform, topic: str, merchant: str, count: int) -> list[bytes]:
    for _ in range(50):
        found = await records(gateway, topic, merchant)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{topic} holds {len(found)} records of the merchant, not {count}")


class TestAnApplicant:
    async def test_is_filed_verified_by_staff_and_gets_its_credentials_once(self, gateway: GatewayPlatform) -> None:
        filed = await gateway.request("POST", ACCESS, {"name": "Corner shop", "contact": "a@b.example"})
        assert filed.status_code == 202
        request, token = filed.json()["id"], {"authorization": f"Bearer {filed.json()['token']}"}
        state = await gateway.request("GET", f"{ACCESS}/{request}", headers=token)
        assert (state.json()["state"], state.json()["credentials"]) == ("requested", None)
        listed = (await gateway.done("GET", "/merchants/requests?state=requested"))["requests"]
        mine = next(each for each in listed if each["id"] == request)
        verified = await gateway.done("POST", f"/merchants/{mine['merchant']}/verify")
        assert verified["state"] == "active"
        first = (await gateway.request("GET", f"{ACCESS}/{request}", headers=token)).json()
        again = (await gateway.request("GET", f"{ACCESS}/{request}", headers=token, instance=1)).json()
        assert first["credentials"]["type"] == "bearer"
        assert again["credentials"] is None
        shop = Merchant(gateway, mine["merchant"], "", first["credentials"])
        matched = await shop.send("POST", ACCESS)
        assert matched.status_code == 200
        assert matched.json()["dialect"] == "scrip"
        assert matched.json()["base_path"] == "/merchant/v1"
        events = [MERCHANT_EVENT.validate_json(each) for each in await until(gateway, MERCHANT_EVENTS.name, shop.id, 4)]
        kinds = [event.type.split(".")[2] for event in events]
        assert kinds == ["access_requested", "state_changed", "state_changed", "access_matched"]
        profiles = [
            MerchantProfile.model_validate_json(each)
            for each in await records(gateway, MERCHANT_PROFILES.name, shop.id)
        ]
        assert [profile.version for profile in profiles] == sorted(profile.version for profile in profiles)
        assert profiles[-1].state == "active"

    async def test_with_a_wrong_token_or_request_is_told_nothing(self, gateway: GatewayPlatform) -> None:
        filed = (await gateway.request("POST", ACCESS, {"name": "Shop", "contact": "x"})).json()
        wrong = await gateway.request("GET", f"{ACCESS}/{filed['id']}", headers={"authorization": "Bearer acc_no"})
        unknown = await gateway.request("GET", f"{ACCESS}/{uuid4()}", headers={"authorization": "Bearer acc_no"})
        assert (wrong.status_code, unknown.status_code) == (401, 401)
        assert wrong.json() == unknown.json()

    async def test_that_was_rejected_never_comes_in(self, gateway: GatewayPlatform) -> None:
        filed = (await gateway.request("POST", ACCESS, {"name": "Rejected", "contact": "x"})).json()
        listed = (await gateway.done("GET", "/merchants/requests?state=requested&limit=500"))["requests"]
        merchant = next(each["merchant"] for each in listed if each["id"] == filed["id"])
        await gateway.done("POST", f"/merchants/{merchant}/reject", {"reason": "unknown firm"})
        late = await gateway.staff("POST", f"/merchants/{merchant}/verify")
        assert (late.status_code, late.json()["code"]) == (409, "merchant_state_forbids")

    async def test_is_verified_at_once_where_the_platform_is_set_so(self, gateway: GatewayPlatform) -> None:
        gateway.start_process(2, SCRIP_AUTO_VERIFY="1")
        await gateway.wait_ready(2)
        filed = (await gateway.request("POST", ACCESS, {"name": "Eager", "contact": "x"}, instance=2)).json()
        assert filed["state"] == "active"
        token = {"authorization": f"Bearer {filed['token']}"}
        state = (await gateway.request("GET", f"{ACCESS}/{filed['id']}", headers=token)).json()
        shop = Merchant(gateway, state["merchant"], "", state["credentials"])
        assert (await shop.send("GET", "/merchant/v1/campaigns")).status_code == 200
        assert await asyncio.to_thread(gateway.stop_process, 2) == 0

    async def test_cannot_ask_without_end(self, gateway: GatewayPlatform) -> None:
        answers = [await gateway.request("POST", ACCESS, {"name": "A", "contact": "x"}, instance=1) for _ in range(25)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].headers["retry-after"] == "60"


class TestAMerchant:
    async def test_added_by_staff_publishes_issues_and_redeems(self, gateway: GatewayPlatform) -> None:
        shop = await gateway.add_merchant("Tea house")
        made = await shop.send("POST", "/merchant/v1/campaigns", OFFER, key="tea")
        assert made.status_code == 201, made.text
        campaign = made.json()["campaign"]
        assert campaign == str(campaign_id(shop.id, "tea"))
        issued = await shop.send("POST", f"/merchant/v1/campaigns/{campaign}/issue", {"users": ["a", "b"]})
        assert issued.json()["accepted"] == 2
        redeemed = await shop.send("POST", "/merchant/v1/coupons/redeem", {"code": "tea", "user": "a", "amount": 1000})
        assert redeemed.json()["payable"] == 900, redeemed.text

    async def test_suspended_is_shut_out_of_both_gateways_and_of_every_lane_at_once(
        self, gateway: GatewayPlatform
    ) -> None:
        shop = await gateway.add_merchant("Suspended")
        for instance in (0, 1):
            assert (await shop.send("GET", "/merchant/v1/campaigns", instance=instance)).status_code == 200
        await gateway.done("POST", f"/merchants/{shop.id}/suspend", {"reason": "fraud"})
        for instance in (0, 1):
            answer = await shop.send("GET", "/merchant/v1/campaigns", instance=instance)
            assert (answer.status_code, answer.json()["code"]) == (403, "merchant_not_active")
        nowhere = campaign_id(shop.id, "nowhere")
        in_kafka = await gateway.core.refused(UnpublishCampaign(), campaign=nowhere, party=shop.id)
        assert in_kafka == "merchant_not_active"
        resumed = await gateway.done("POST", f"/merchants/{shop.id}/resume")
        assert resumed["state"] == "active"
        assert (await shop.send("GET", "/merchant/v1/campaigns", instance=1)).status_code == 200
        closed = await gateway.done("POST", f"/merchants/{shop.id}/close")
        assert closed["state"] == "closed"
        assert (await gateway.staff("POST", f"/merchants/{shop.id}/resume")).status_code == 409

    async def test_has_two_valid_keys_after_a_rotation_and_never_three(self, gateway: GatewayPlatform) -> None:
        shop = await gateway.add_merchant("Rotating")
        keys = [shop]
        for _ in range(2):
            shown = await gateway.done("POST", f"/merchants/{shop.id}/terminals/{shop.terminal}/rotate", {})
            keys.append(Merchant(gateway, shop.id, shop.terminal, shown["credentials"]))
        statuses = [(await key.send("POST", ACCESS, instance=1)).status_code for key in keys]
        assert statuses == [401, 200, 200]
        await gateway.done("POST", f"/merchants/{shop.id}/terminals/{shop.terminal}/rotate", {"overlap_seconds": 0})
        assert [(await key.send("POST", ACCESS)).status_code for key in keys] == [401, 401, 401]

    async def test_loses_a_terminal_and_keeps_the_other(self, gateway: GatewayPlatform) -> None:
        shop = await gateway.add_merchant("Two tills")
        till = await gateway.done("POST", f"/merchants/{shop.id}/terminals", {"label": "till-2"})
        second = Merchant(gateway, shop.id, till["terminal"], till["credentials"])
        same = await gateway.staff("POST", f"/merchants/{shop.id}/terminals", {"label": "till-2"})
        assert (same.status_code, same.json()["code"]) == (409, "terminal_exists")
        assert (await second.send("POST", ACCESS, instance=1)).json()["terminal"] == "till-2"
        await gateway.done("POST", f"/merchants/{shop.id}/terminals/{second.terminal}/revoke", {})
        assert (await second.send("POST", ACCESS, instance=1)).status_code == 401
        assert (await shop.send("POST", ACCESS, instance=1)).status_code == 200

    async def test_is_shown_its_credentials_once_though_the_request_is_repeated(self, gateway: GatewayPlatform) -> None:
        document = {"name": "Once", "dialect": "voucherify"}
        first = await gateway.staff("POST", "/merchants", document, key="once")
        again = await gateway.staff("POST", "/merchants", document, key="once")
        assert first.status_code == 201
        assert set(first.json()["credentials"]) == {"terminal", "type", "app_id", "app_token"}
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        assert again.json()["credentials"] is None
        other = await gateway.staff("POST", "/merchants", {**document, "name": "Other"}, key="once")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")

    async def test_gets_another_api_with_the_next_version_of_its_profile(self, gateway: GatewayPlatform) -> None:
        shop = await gateway.add_merchant("Changing")
        put = await gateway.done("PUT", f"/merchants/{shop.id}/profile", {"dialect": "voucherify", "currency": "CNY"})
        assert (put["profile_version"], put["base_path"]) == (2, "/v1")
        spoken = await shop.send("GET", "/merchant/v1/campaigns", instance=1)
        assert (spoken.status_code, spoken.json()["code"]) == (403, "dialect_not_yours")

    async def test_has_an_interface_whose_secret_is_sealed_and_published(self, gateway: GatewayPlatform) -> None:
        shop = await gateway.add_merchant("Interface")
        secret = "s3cret-never-seen"
        document = {"base_url": "https://shop.example/scrip", "auth": "bearer", "secret": secret}
        view = await gateway.done("POST", f"/merchants/{shop.id}/interface", document)
        assert view["interface"]["secret_set"]
        assert secret not in json.dumps(view)
        profiles = await until(gateway, MERCHANT_PROFILES.name, shop.id, 3)
        published = MerchantProfile.model_validate_json(profiles[-1])
        assert published.interface is not None
        assert published.interface.sealed_secret is not None
        assert all(secret.encode() not in each for each in profiles)


class TestASignedRequest:
    async def signed(
        self, gateway: GatewayPlatform, shop: dict[str, Any], *, shift: int = 0, target: str = ACCESS, **changed: Any
    ) -> int:
        body = changed.get("body", b"{}")
        number, moment = changed.get("number", uuid4().hex), str(int(time.time()) + shift)
        text = signed_text(
            number, moment, "POST", changed.get("signed_target", target), changed.get("signed_body", body)
        )
        headers = {
            "scrip-key": shop["scrip_key"],
            "webhook-id": number,
            "webhook-timestamp": moment,
            "webhook-signature": changed.get("prefix", "") + signature(shop["secret"], text),
        }
        answer = await gateway.http.post(f"{gateway.url()}{target}", content=body, headers=headers)
        return answer.status_code

    async def test_is_taken_within_300_seconds_and_over_its_very_bytes(self, gateway: GatewayPlatform) -> None:
        shop = (await gateway.add_merchant("Signing", authentication="signed")).credentials
        assert shop["secret"].startswith("whsec_")
        assert await self.signed(gateway, shop) == 200
        assert await self.signed(gateway, shop, prefix="v1,AAAA ") == 200
        assert await self.signed(gateway, shop, shift=-298) == 200
        assert await self.signed(gateway, shop, shift=-302) == 401
        assert await self.signed(gateway, shop, shift=302) == 401
        assert await self.signed(gateway, shop, signed_body=b"{ }") == 401
        assert await self.signed(gateway, shop, signed_target=f"{ACCESS}?a=1") == 401
        other = (await gateway.add_merchant("Other signing", authentication="signed")).credentials
        assert await self.signed(gateway, {**shop, "secret": other["secret"]}) == 401
        assert await self.signed(gateway, {**shop, "scrip_key": "unknown"}) == 401
