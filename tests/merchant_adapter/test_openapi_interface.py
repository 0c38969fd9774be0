"""The public contract, spoken to the demo merchant's process."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, PlainTextResponse, Response

from merchant_adapter.interfaces import (
    CredentialsRefused,
    InterfaceFailure,
    InterfaceGone,
    MerchantInterface,
    MerchantMisbehaves,
    MerchantRefused,
    MerchantUnavailable,
    OpenApiProfile,
    Outbound,
    OutcomeUnknown,
    PagingCheck,
    Receipt,
    User,
    open_interface,
)
from merchant_adapter.interfaces.openapi import delivery_json
from merchant_adapter.interfaces.profile import BearerAuthentication, SignedAuthentication
from tests.support.deliveries import OFFER, a_delivery
from tests.support.demo_merchants import (
    WEBHOOK_SECRET,
    DemoMerchant,
    running_demo_merchant,
    schema_faults,
    start_demo_merchant,
)

Connect = Callable[[str], MerchantInterface]
Saying = Callable[[Response], str]


async def all_users(interface: MerchantInterface, limit: int) -> list[User]:
    """A run over the listing as a job does it: the check before the next page."""
    cursor, check, users = None, PagingCheck(), dict[str, User]()
    while True:
        page = await interface.list_users(cursor, limit)
        new = {user.id: user for user in page.users if user.id not in users}
        check.page(cursor, page, len(new))
        users |= new
        if page.next_cursor is None:
            return list(users.values())
        cursor = page.next_cursor


class TestUsers:
    @pytest.mark.parametrize("limit", [7, 125, 250, 5000])
    async def test_every_user_is_listed_once(self, interface: MerchantInterface, limit: int) -> None:
        users = await all_users(interface, limit)
        assert len(users) == 250
        assert users[0].id == "user-0000001"
        assert users[0].attributes == {"tier": "silver", "city": "Dayton", "age": 25, "newsletter": False}

    @pytest.mark.parametrize("kind", ["loop_paging", "stuck_paging"])
    @pytest.mark.parametrize("nth", [1, 2, 3])
    async def test_paging_in_circles_is_found(
        self, interface: MerchantInterface, merchant: DemoMerchant, kind: str, nth: int
    ) -> None:
        merchant.plant("users", kind, nth=nth)
        with pytest.raises(MerchantMisbehaves, match="circles"):
            async with asyncio.timeout(20):
                await all_users(interface, 50)

    async def test_a_foreign_cursor_is_refused_by_name(self, interface: MerchantInterface) -> None:
        with pytest.raises(MerchantRefused) as refusal:
            await interface.list_users("%%%", 10)
        assert refusal.value.code == "invalid_cursor"

    async def test_the_real_households_come_with_their_demographics(self, connect: Connect, tmp_path: Path) -> None:
        with running_demo_merchant(tmp_path / "state", "--real-households") as merchant:
            users = await all_users(connect(merchant.address), 500)
        assert len(users) == 2469
        assert sum(1 for user in users if user.attributes) == 801

    async def test_a_row_that_is_not_a_user_is_refused_alone(self, connect: Connect, saying: Saying) -> None:
        bad: list[object] = [
            *({}, [], None, 5, {"id": ""}, {"id": 7}, {"id": "x" * 65}, {"id": "ü" * 33}, {"id": "nul\0"}),
            {"id": "a", "attributes": []},
            {"id": "a", "attributes": {"x": [1]}},
            {"id": "a", "attributes": {"x": "y" * 1025}},
            {"id": "a", "attributes": {"x": "nul\0"}},
            {"id": "a", "attributes": {"": 1}},
            {"id": "a", "attributes": {"n" * 65: 1}},
            {"id": "a", "attributes": {"x": 10**30}},
            {"id": "a", "attributes": {str(n): n for n in range(65)}},
            {"id": "a", "updated_at": "yesterday"},
            {"id": "a", "updated_at": "2026-01-01T00:00:00"},
            {"id": "a", "updated_at": "0001-01-01T00:00:00+14:00"},
            {"id": "a", "deleted": "yes"},
        ]
        good = [{"id": "a", "attributes": {"x": None, "y": True}, "colour": "unknown fields are fine"}]
        address = saying(JSONResponse({"items": bad + good}))
        page = await connect(address).list_users(None, 100)
        assert [user.id for user in page.users] == ["a"]
        assert page.users[0].attributes == {"y": True}
        assert [row.position for row in page.refused] == list(range(len(bad)))

    @pytest.mark.parametrize(
        "body",
        [
            *(
                b"",
                b"null",
                b"[]",
                b"{}",
                b'{"items": {}}',
                b'{"items": null}',
                b'{"items": [], "next_cursor": 5}',
            ),
            *(b'{"items": [], "next_cursor": ""}', b'{"items": [{"id": "\\ud800"}]}', b"\xff", b"[" * 5000),
            *(b'{"items": [], "next_cursor": "' + b"x" * 1025 + b'"}', b'{"items": [NaN]}'),
            b'{"items": [' + b"1," * 1000 + b"1]}",
        ],
    )
    async def test_a_page_of_another_shape_is_the_merchants_fault(
        self, connect: Connect, saying: Saying, body: bytes
    ) -> None:
        address = saying(Response(body, media_type="application/json"))
        with pytest.raises(MerchantMisbehaves) as failure:
            await connect(address).list_users(None, 100)
        assert not failure.value.outcome_unknown


class TestDeliveries:
    def test_what_is_sent_is_as_the_contract_says(self) -> None:
        sent = {"deliveries": [delivery_json(a_delivery())]}
        assert schema_faults("DeliveryRequest", sent) == []
        for discount in (
            {"kind": "percent_off", "basis_points": 1250, "cap": None},
            {"kind": "fixed_price", "price": 0},
            {"kind": "free_item", "item": "coffee"},
            {"kind": "merchant_decided"},
        ):
            offer = replace(OFFER, discount=discount, valid_from=OFFER.valid_until)
            assert schema_faults("Delivery", delivery_json(a_delivery(offer=offer))) == []

    async def test_each_delivery_of_a_batch_has_its_receipt(self, interface: MerchantInterface) -> None:
        batch = [a_delivery("nobody"), *(a_delivery() for _ in range(99))]
        receipts = await interface.deliver(batch)
        assert [receipt.delivery_id for receipt in receipts] == [delivery.delivery_id for delivery in batch]
        assert receipts[0].status == "refused"
        assert receipts[0].reason == "unknown_user"
        assert {receipt.status for receipt in receipts[1:]} == {"accepted"}

    async def test_a_resent_delivery_gives_nothing_and_gets_the_first_receipt(
        self, interface: MerchantInterface, merchant: DemoMerchant
    ) -> None:
        delivery, other = a_delivery(), a_delivery()
        first = await interface.deliver([delivery])
        assert await interface.deliver([delivery]) == first
        assert (await interface.deliver([other, delivery]))[1] == first[0]
        counts = merchant.counts(by_key=True)
        assert counts["applied_by_key"][delivery.delivery_id] == 1
        assert counts["deliveries"]["doubled_coupons"] == 0

    async def test_one_conflict_in_a_batch_harms_no_other_delivery(self, interface: MerchantInterface) -> None:
        known = a_delivery()
        await interface.deliver([known])
        receipts = await interface.deliver([a_delivery(), replace(known, code="OTHER"), a_delivery()])
        assert [receipt.status for receipt in receipts] == ["accepted", "refused", "accepted"]
        assert receipts[1].reason is not None
        assert receipts[1].reason.startswith("key_conflict: ")

    @pytest.mark.parametrize("status", ["400", "422"])
    async def test_a_refusal_for_good_is_a_receipt(
        self, interface: MerchantInterface, merchant: DemoMerchant, status: str
    ) -> None:
        merchant.plant("deliver", status)
        [receipt] = await interface.deliver([a_delivery()])
        assert receipt.status == "refused"

    async def test_a_time_out_after_the_work_is_unknown_then_found(
        self, interface: MerchantInterface, merchant: DemoMerchant
    ) -> None:
        merchant.plant("deliver", "timeout_after_apply")
        delivery = a_delivery()
        with pytest.raises(OutcomeUnknown):
            await interface.deliver([delivery])
        found = await interface.find_delivery(delivery)
        assert found is not None
        assert found.status == "accepted"
        assert await interface.deliver([delivery]) == [found]
        assert merchant.counts(by_key=True)["applied_by_key"][delivery.delivery_id] == 1

    async def test_a_time_out_before_the_work_is_unknown_then_not_found(
        self, interface: MerchantInterface, merchant: DemoMerchant
    ) -> None:
        merchant.plant("deliver", "timeout_before_apply")
        delivery = a_delivery()
        with pytest.raises(OutcomeUnknown):
            await interface.deliver([delivery])
        assert await interface.find_delivery(delivery) is None

    @pytest.mark.parametrize(
        "kind",
        [
            "500_after_apply",
            "html",
            "bad_json",
            "wrong_shape",
            "redirect",
            "missing_receipt",
            "huge",
            "gzip_bomb",
        ],
    )
    async def test_an_unusable_answer_to_a_delivery_leaves_the_outcome_unknown(
        self, interface: MerchantInterface, merchant: DemoMerchant, kind: str
    ) -> None:
        merchant.plant("deliver", kind)
        delivery = a_delivery()
        with pytest.raises((OutcomeUnknown, MerchantMisbehaves)) as failure:
            await interface.deliver([delivery])
        assert failure.value.outcome_unknown
        assert (await interface.deliver([delivery]))[0].status == "accepted"
        assert merchant.counts(by_key=True)["applied_by_key"][delivery.delivery_id] == 1

    async def test_a_merchant_killed_in_the_middle_leaves_the_outcome_unknown_and_a_dead_one_does_not(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        merchant = start_demo_merchant(tmp_path / "state")
        interface, delivery = connect(merchant.address), a_delivery()
        merchant.plant("deliver", "timeout_after_apply")
        call = asyncio.ensure_future(interface.deliver([delivery]))
        while merchant.counts()["deliveries"]["applied"] == 0:
            await asyncio.sleep(0.02)
        merchant.kill()
        with pytest.raises(OutcomeUnknown):
            await call
        with pytest.raises(MerchantUnavailable):
            await interface.deliver([delivery])

    async def test_a_recall_is_answered_once_and_only_for_what_was_accepted(self, interface: MerchantInterface) -> None:
        delivery, never = a_delivery(), a_delivery()
        await interface.deliver([delivery])
        first = await interface.recall(delivery, "voided")
        assert first.status == "recalled"
        assert await interface.recall(delivery, "voided") == first
        found = await interface.find_delivery(delivery)
        assert found is not None
        assert found.status == "recalled"
        assert (await interface.recall(never, "voided")).status == "refused"

    @pytest.mark.parametrize(
        "receipts",
        [
            *(None, {}, [], [1], [{}], [{"delivery_id": "d"}], [{"delivery_id": "d", "status": "maybe"}]),
            [{"delivery_id": "d", "status": "accepted", "receipt_id": 7}],
            [{"delivery_id": "other", "status": "accepted", "receipt_id": "r"}],
            [{"delivery_id": "d", "status": "accepted", "receipt_id": "r"}] * 2,
            [{"delivery_id": "d", "status": "recalled", "receipt_id": "r"}],
            [{"delivery_id": "d", "status": "refused", "reason": {}}],
        ],
    )
    async def test_receipts_of_another_shape_leave_the_outcome_unknown(
        self, connect: Connect, saying: Saying, receipts: object
    ) -> None:
        address = saying(JSONResponse({"receipts": receipts}))
        with pytest.raises(MerchantMisbehaves) as failure:
            await connect(address).deliver([a_delivery(delivery_id="d")])
        assert failure.value.outcome_unknown

    async def test_a_404_that_is_not_the_interfaces_own_is_no_lookup(self, connect: Connect, saying: Saying) -> None:
        address = saying(PlainTextResponse("nothing here", 404))
        interface = connect(address)
        with pytest.raises(MerchantMisbehaves):
            await interface.find_delivery(a_delivery())
        with pytest.raises(MerchantMisbehaves):
            await interface.recall(a_delivery(), "voided")


class TestThePushOfTheYear:
    async def test_one_500_and_one_time_out_after_the_work_leave_2469_receipts_and_none_doubled(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        with running_demo_merchant(tmp_path / "state", "--real-households") as merchant:
            merchant.plant("deliver", "500", nth=100)
            merchant.plant("deliver", "timeout_after_apply", nth=1700)
            interface = connect(merchant.address)
            coupons = [a_delivery(user.id) for user in await all_users(interface, 1000)]
            receipts: list[Receipt] = []
            unknown = 0
            while len(receipts) < len(coupons):
                batch = coupons[len(receipts) : len(receipts) + 100]
                try:
                    receipts += await interface.deliver(batch)
                except OutcomeUnknown:
                    unknown += 1  # the very same batch again
            counts = merchant.counts()["deliveries"]
        assert unknown == 2
        assert len({receipt.receipt_id for receipt in receipts}) == 2469
        assert {receipt.status for receipt in receipts} == {"accepted"}
        assert counts["applied"] == counts["keys"] == 2469
        assert counts["doubled"] == counts["doubled_coupons"] == 0


class TestWhatAnAnswerMeans:
    @pytest.mark.parametrize(
        ("status", "reading", "delivering"),
        [
            ("401", CredentialsRefused, CredentialsRefused),
            ("403", CredentialsRefused, CredentialsRefused),
            ("404", MerchantMisbehaves, MerchantMisbehaves),
            ("410", InterfaceGone, InterfaceGone),
            ("422", MerchantRefused, None),
            ("429", MerchantUnavailable, MerchantUnavailable),
            ("500", MerchantUnavailable, OutcomeUnknown),
            ("502", MerchantUnavailable, OutcomeUnknown),
            ("503", MerchantUnavailable, MerchantUnavailable),
        ],
    )
    async def test_a_status_has_its_class(
        self,
        interface: MerchantInterface,
        merchant: DemoMerchant,
        status: str,
        reading: type[InterfaceFailure],
        delivering: type[InterfaceFailure] | None,
    ) -> None:
        merchant.plant("users", status)
        with pytest.raises(reading):
            await interface.list_users(None, 10)
        if delivering is not None:
            merchant.plant("deliver", status)
            with pytest.raises(delivering) as failure:
                await interface.deliver([a_delivery()])
            assert failure.value.outcome_unknown == (delivering is OutcomeUnknown)

    @pytest.mark.parametrize("status", ["429", "503"])
    async def test_retry_after_is_handed_on(
        self, interface: MerchantInterface, merchant: DemoMerchant, status: str
    ) -> None:
        merchant.plant("deliver", status, retry_after=120)
        with pytest.raises(MerchantUnavailable) as failure:
            await interface.deliver([a_delivery()])
        assert failure.value.retry_after_seconds == 120
        assert failure.value.throttled == (status == "429")

    async def test_health_is_asked_with_the_credentials(
        self, interface: MerchantInterface, merchant: DemoMerchant, outbound: Outbound
    ) -> None:
        await interface.health()
        wrong = OpenApiProfile(base_url=merchant.address, authentication=BearerAuthentication(token=SecretStr("wrong")))
        with pytest.raises(CredentialsRefused):
            await open_interface(outbound, "wrong", wrong).health()
        merchant.plant("health", "wrong_shape")
        with pytest.raises(MerchantMisbehaves):
            await interface.health()

    @pytest.mark.parametrize(
        "secrets", [(WEBHOOK_SECRET,), ("whsec_" + "bmV3" * 8, WEBHOOK_SECRET)], ids=["one", "while rotating"]
    )
    async def test_a_signed_interface_works_without_a_token(
        self, outbound: Outbound, merchant: DemoMerchant, secrets: tuple[str, ...]
    ) -> None:
        authentication = SignedAuthentication(secrets=tuple(map(SecretStr, secrets)))
        profile = OpenApiProfile(base_url=merchant.address, authentication=authentication)
        interface = open_interface(outbound, "signed", profile)
        await interface.health()
        assert len((await interface.list_users("dXNlci0wMDAwMDEw", 3)).users) == 3
        delivery = a_delivery()
        assert (await interface.deliver([delivery, a_delivery()]))[0].status == "accepted"
        assert (await interface.recall(delivery, "reason — with umlauts äöü")).status == "recalled"
