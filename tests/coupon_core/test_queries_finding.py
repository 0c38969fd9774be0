"""Questions that begin with a code, a user, an order or a command: what is found, for whom, would it be accepted?"""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.commands import (
    CouponReference,
    ExportCodes,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ReserveCoupon,
    ReturnCoupon,
    StopCampaign,
    UploadCodes,
    VoidCoupons,
)
from tests.support.campaigns import generated, issue, published, redeem
from tests.support.core import CorePlatform, core_at

OWNER, REDEEMER, STRANGER, SUSPENDED = (str(uuid4()) for _ in range(4))
NOW = "2026-03-10T12:00:00Z"

core = core_at(NOW, OWNER, REDEEMER, STRANGER, SUSPENDED, partners=[REDEEMER, STRANGER])


def ids(found: dict[str, Any]) -> list[str]:
    return [coupon["id"] for coupon in found["coupons"]]


class TestSearch:
    async def test_a_coupon_is_found_by_its_code_however_it_is_written(self, core: CorePlatform) -> None:
        made = await generated(core, "find generated", 10)
        (by_arithmetic,) = await issue(core, made, ["a"])
        given = await published(core, "find given", {"kind": "given"}, party=OWNER)
        (by_name,) = await issue(core, given, ["a"], party=OWNER, codes=["Gut-Und-Gern"])
        uploaded = await published(core, "find uploaded", {"kind": "uploaded"}, party=OWNER)
        await core.done(UploadCodes(codes=("hoch-1", "hoch-2")), campaign=uploaded, party=OWNER)
        (by_upload,) = await issue(core, uploaded, ["a"], party=OWNER)

        code = by_arithmetic["code"]
        written = f" {code[:4].lower()}-{code[4:]}".replace("0", "o").replace("1", "l")
        for text, coupon in (
            (code, by_arithmetic["coupon"]),
            (written, by_arithmetic["coupon"]),
            ("gut und gern", by_name["coupon"]),
            ("HOCH1", by_upload["coupon"]),
        ):
            found = await core.read("/coupons", code=text)
            assert ids(found) == [coupon]
        free = await core.read("/coupons", code="hoch2", codes=1, party=OWNER)
        assert [(coupon["state"], coupon["code"], coupon["user"]) for coupon in free["coupons"]] == [
            ("available", "hoch-2", None)
        ]
        assert (await core.read("/coupons", code="hoch2", party=STRANGER)) == {"coupons": [], "refusals": []}
        assert ids(await core.read("/coupons", code=code, party=OWNER)) == []

    async def test_an_exported_code_is_found_before_and_after_it_is_used(self, core: CorePlatform) -> None:
        campaign = await generated(core, "find exported", 10)
        exported = (await core.done(ExportCodes(count=2), campaign=campaign))["codes"]
        for code, state in ((exported[0]["code"], "exported"), (exported[1]["code"], "exported")):
            (coupon,) = (await core.read("/coupons", code=code))["coupons"]
            assert (coupon["state"], coupon["issued_at"], coupon["redemptions"]) == (state, None, [])
        await core.done(RedeemCoupon(coupon=CouponReference(code=exported[0]["code"])), campaign=campaign)
        (used,) = (await core.read("/coupons", code=exported[0]["code"]))["coupons"]
        assert (used["state"], used["id"]) == ("redeemed", exported[0]["coupon"])

    async def test_a_code_nobody_was_given_is_unknown(self, core: CorePlatform) -> None:
        await generated(core, "find nothing", 10)
        for code in ("0000-0000-0000", "NO-SUCH-CODE", "ÄÖÜ", "1" * 200):
            assert await core.read("/coupons", code=code) == {"coupons": [], "refusals": []}

    async def test_users_and_orders_are_found_across_campaigns_and_kept_apart_by_party(
        self, core: CorePlatform
    ) -> None:
        own = await generated(core, "of user", 10, party=OWNER, redeemable_by=[REDEEMER])
        other = await generated(core, "of user", 10, party=STRANGER)
        (mine,) = await issue(core, own, ["household-7"], party=OWNER)
        (theirs,) = await issue(core, other, ["household-7"], party=STRANGER)
        (second,) = await issue(core, own, ["household-8"], party=OWNER)
        await redeem(core, mine["coupon"], party=REDEEMER, order="order-7")
        await redeem(core, theirs["coupon"], party=STRANGER, order="order-7")
        await core.done(ReserveCoupon(coupon=CouponReference(number=2), order="order-8"), campaign=own, party=OWNER)
        everywhere = await core.read("/coupons", user="household-7")
        assert set(ids(everywhere)) == {mine["coupon"], theirs["coupon"]}
        assert ids(await core.read("/coupons", user="household-7", party=OWNER)) == [mine["coupon"]]
        assert ids(await core.read("/coupons", order="order-7", party=STRANGER)) == [theirs["coupon"]]
        assert ids(await core.read("/coupons", order="order-7", party=REDEEMER)) == [mine["coupon"]]
        assert ids(await core.read("/coupons", order="order-8", party=REDEEMER)) == []
        (reserved,) = (await core.read("/coupons", order="order-8", party=OWNER))["coupons"]
        assert (reserved["id"], reserved["state"]) == (second["coupon"], "reserved")
        assert reserved["reserved_by"] == "order-8"
        assert ids(await core.read("/coupons", user="household-8", order="order-7")) == []
        both = await core.read("/coupons", user="household-7", order="order-7", code=mine["code"])
        assert ids(both) == [mine["coupon"]]

    async def test_refusals_are_found_with_their_facts(self, core: CorePlatform) -> None:
        campaign = await generated(core, "complaint", 10, party=OWNER, redeemable_by=[REDEEMER])
        (row,) = await issue(core, campaign, ["complainer"], party=OWNER)
        await redeem(core, row["coupon"], party=OWNER, order="first")
        again = RedeemCoupon(coupon=CouponReference(code=row["code"]), order="second", amount=100)
        record = core.record(again, campaign=campaign, party=REDEEMER)
        assert await core.refused(record) == "coupon_already_redeemed"
        stranger = core.record(again, campaign=campaign, party=STRANGER)
        assert await core.refused(stranger) == "campaign_not_found"

        for query in (
            {"order": "second"},
            {"code": row["code"], "party": OWNER},
            {"order": "second", "party": REDEEMER},
        ):
            found = await core.read("/coupons", **query)
            refusal = next(one for one in found["refusals"] if one["command"] == str(record.id))
            assert refusal == {
                "command": str(record.id),
                "at": NOW,
                "code": "coupon_already_redeemed",
                "message": f"The coupon was redeemed at {NOW}.",
                "facts": {"coupon": row["coupon"], "redeemed_at": NOW},
                "campaign": str(campaign),
                "user": None,
                "order": "second",
                "coupon": row["coupon"],
            }
        for party, command in ((OWNER, record), (STRANGER, stranger)):
            found = await core.read("/coupons", order="second", party=party)
            assert [one["command"] for one in found["refusals"]] == [str(command.id)]

    async def test_something_to_go_by_is_needed(self, core: CorePlatform) -> None:
        answer = await core.get("/coupons", party=OWNER)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


class TestResolve:
    async def candidates(self, core: CorePlatform, code: str, **query: Any) -> list[tuple[str, str | None]]:
        found = await core.read("/resolve", code=code, **query)
        return [(each["campaign"], each["coupon"]) for each in found["candidates"]]

    async def test_a_code_is_resolved_only_for_those_who_may_redeem_it(self, core: CorePlatform) -> None:
        made = await generated(core, "resolve generated", 10, party=OWNER, redeemable_by=[REDEEMER], senders=[STRANGER])
        (row,) = await issue(core, made, ["a"], party=OWNER)
        given = await published(core, "resolve given", {"kind": "given"}, party=OWNER)
        (named,) = await issue(core, given, ["a"], party=OWNER, codes=["RESOLVE-ME"])
        uploaded = await published(core, "resolve uploaded", {"kind": "uploaded"}, party=OWNER)
        await core.done(UploadCodes(codes=("RESOLVE-UP",)), campaign=uploaded, party=OWNER)
        for code, found in (
            (row["code"], (str(made), row["coupon"])),
            ("resolve me", (str(given), named["coupon"])),
            ("resolveup", (str(uploaded), f"{uploaded}.1")),
        ):
            assert await self.candidates(core, code, party=OWNER) == [found]
            assert await self.candidates(core, code) == [found]
            assert await self.candidates(core, code, party=STRANGER) == []
        assert await self.candidates(core, row["code"], party=REDEEMER) == [(str(made), row["coupon"])]

    async def test_a_shared_code_of_several_campaigns_is_narrowed_by_its_holder(self, core: CorePlatform) -> None:
        supply = {"kind": "shared", "code": "TWICE"}
        first = await published(core, "twice 1", supply, party=OWNER)
        second = await published(core, "twice 2", supply, party=OWNER)
        (held,) = await issue(core, second, ["holder"], party=OWNER)
        both = await self.candidates(core, "twice", party=OWNER)
        assert sorted(both) == sorted([(str(first), None), (str(second), None)])
        assert await self.candidates(core, "twice", party=OWNER, user="holder") == [(str(second), held["coupon"])]
        assert await self.candidates(core, "twice", party=OWNER, user="nobody") == []

    async def test_a_campaign_that_is_over_counts_only_where_no_other_has_the_code(self, core: CorePlatform) -> None:
        supply = {"kind": "shared", "code": "EVERY-YEAR"}
        last = await published(core, "year 1", supply, party=OWNER)
        await core.done(StopCampaign(reason="over"), campaign=last, party=OWNER)
        assert await self.candidates(core, "every year", party=OWNER) == [(str(last), None)]
        this = await published(core, "year 2", supply, party=OWNER)
        assert await self.candidates(core, "every year", party=OWNER) == [(str(this), None)]

    async def test_a_partners_campaign_with_ones_own_code_makes_nothing_ambiguous(self, core: CorePlatform) -> None:
        supply = {"kind": "shared", "code": "SAME-CODE"}
        theirs = await published(core, "partner", supply, party=OWNER, redeemable_by=[REDEEMER])
        assert await self.candidates(core, "same code", party=REDEEMER) == [(str(theirs), None)]
        own = await published(core, "own", supply, party=REDEEMER)
        assert await self.candidates(core, "same code", party=REDEEMER) == [(str(own), None)]
        assert await self.candidates(core, "same code", party=OWNER) == [(str(theirs), None)]

    async def test_at_most_twenty_campaigns_are_named(self, core: CorePlatform) -> None:
        supply = {"kind": "shared", "code": "ALL-OVER"}
        for number in range(22):
            await published(core, f"all over {number}", supply, party=STRANGER)
        assert len(await self.candidates(core, "all over", party=STRANGER)) == 20


class TestValidate:
    async def ask(self, core: CorePlatform, code: str, party: str = OWNER, **more: Any) -> dict[str, Any]:
        answer = await core.post("/validate", {"party": party, "campaign": None, "code": code, **more})
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    async def reasons(self, core: CorePlatform, code: str, party: str = OWNER, **more: Any) -> list[str]:
        said = await self.ask(core, code, party, **more)
        assert said["valid"] == (not said["reasons"])
        assert said["valid"] or (said["discount"], said["payable"]) == (None, None)
        return [reason["code"] for reason in said["reasons"]]

    async def test_a_good_code_is_told_its_discount(self, core: CorePlatform) -> None:
        campaign = await generated(core, "valid", 10, party=OWNER, redeemable_by=[REDEEMER])
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        for party in (OWNER, REDEEMER):
            assert await self.ask(core, row["code"].lower(), party, user="a", amount=1_800) == {
                "valid": True,
                "reasons": [],
                "coupon": row["coupon"],
                "campaign": str(campaign),
                "discount": 500,
                "payable": 1_300,
                "currency": "EUR",
                "exponent": 2,
                "as_of": NOW,
            }
        assert (await self.ask(core, row["code"]))["payable"] is None
        # Asking changes nothing.
        assert (await core.read(f"/coupons/{row['coupon']}"))["state"] == "held"
        assert (await core.read(f"/campaigns/{campaign}"))["seq"] == 4

    async def test_a_bearer_code_can_be_asked_about(self, core: CorePlatform) -> None:
        campaign = await generated(core, "valid bearer", 10, party=OWNER)
        (code,) = (await core.done(ExportCodes(count=1), campaign=campaign, party=OWNER))["codes"]
        said = await self.ask(core, code["code"], amount=1_000)
        assert (said["valid"], said["coupon"], said["discount"]) == (True, code["coupon"], 500)
        assert (await core.read(f"/campaigns/{campaign}"))["exported"] == 1

    async def test_every_reason_that_holds_is_named(self, core: CorePlatform) -> None:
        later = {"starts": "2026-03-20", "ends": "2026-03-31"}
        campaign = await generated(core, "reasons", 10, party=OWNER, validity=later, minimum_spend=5_000)
        rows = await issue(core, campaign, ["a", "b"], party=OWNER)
        assert await self.reasons(core, rows[0]["code"], amount=10) == ["campaign_not_started", "minimum_spend_not_met"]
        await core.done(VoidCoupons(coupons=(CouponReference(number=1),), reason="x"), campaign=campaign, party=OWNER)
        await core.done(PauseCampaign(reason="x"), campaign=campaign, party=OWNER)
        assert await self.reasons(core, rows[0]["code"], user="b", actor="staff:anna") == [
            "not_this_users_coupon",
            "coupon_voided",
            "campaign_not_active",
            "campaign_not_started",
            "order_amount_required",
        ]
        said = await self.ask(core, rows[1]["code"], amount=10)
        assert said["reasons"][0] == {
            "code": "campaign_not_active",
            "message": "The campaign is paused; this needs an active one.",
            "facts": {"state": "paused"},
        }
        assert (said["coupon"], said["campaign"]) == (rows[1]["coupon"], str(campaign))

    @pytest.mark.parametrize("supply", ["generated", "shared", "given"])
    async def test_a_code_of_another_user_is_answered_as_one_that_is_none(
        self, core: CorePlatform, supply: str
    ) -> None:
        wrong = {"generated": "0" * 12, "shared": "NOBODYS-WORD", "given": "NOBODYS-CODE"}[supply]
        if supply == "generated":
            campaign = await generated(core, "theirs", 10, party=OWNER, redeemable_by=[REDEEMER])
        else:
            kind = {"kind": supply} | ({"code": "THEIRS"} if supply == "shared" else {})
            campaign = await published(core, f"theirs {supply}", kind, party=OWNER, redeemable_by=[REDEEMER])
        if supply == "given":
            given = IssueCoupons(rows=(IssueRow(user="a", code="THEIR-CODE"),))
            await core.done(given, campaign=campaign, party=OWNER)
            code = "THEIR-CODE"
        else:
            code = (await issue(core, campaign, ["a"], party=OWNER))[0]["code"]
        for named in (None, str(campaign)):
            for party in (OWNER, REDEEMER):
                asked = {"campaign": named, "user": "b", "amount": 900, "actor": f"merchant:{party}/till"}
                theirs, none = [await self.ask(core, each, party, **asked) for each in (code, wrong)]
                assert theirs == none
                assert [reason["code"] for reason in theirs["reasons"]] == ["coupon_not_found"]

    async def test_what_is_left_of_a_coupon_is_told_and_every_reason_against_what_is_named(
        self, core: CorePlatform
    ) -> None:
        card = {"kind": "gift_card", "balance": 5_000}
        campaign = await generated(core, "cards", 10, party=OWNER, discount=card, minimum_spend=1_000)
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        await redeem(core, row["coupon"], party=OWNER)
        said = await self.ask(core, row["code"], amount=4_000)
        assert (said["valid"], said["discount"], said["payable"], said["balance"]) == (True, 3_000, 1_000, 3_000)
        hold = ReserveCoupon(coupon=CouponReference(number=1), order="mine", amount=2_500)
        await core.done(hold, campaign=campaign, party=OWNER)
        assert (await self.ask(core, row["code"], amount=4_000))["discount"] == 500
        assert (await self.ask(core, row["code"], amount=4_000, order="mine"))["discount"] == 3_000
        shown = await core.read(f"/coupons/{row['coupon']}")
        assert (shown["balance"], shown["state"], shown["reserved_amount"]) == (3_000, "reserved", 2_500)
        await core.done(PauseCampaign(reason="x"), campaign=campaign, party=OWNER)
        assert await self.reasons(core, row["code"], amount=999, discount=4_000) == [
            *("campaign_not_active", "minimum_spend_not_met", "balance_too_low"),
        ]

        decided = await generated(core, "decided", 10, party=OWNER, discount={"kind": "merchant_decided", "cap": 300})
        (row,) = await issue(core, decided, ["a"], party=OWNER)
        assert await self.reasons(core, row["code"]) == ["discount_required", "order_amount_required"]
        assert await self.reasons(core, row["code"], amount=400, discount=500) == [
            *("discount_above_amount", "discount_above_cap"),
        ]
        item = await generated(core, "item", 10, party=OWNER, discount={"kind": "free_item", "item": "tea"}, uses=3)
        (row,) = await issue(core, item, ["a"], party=OWNER)
        assert await self.reasons(core, row["code"], discount=5) == ["discount_not_expected", "item_required"]
        tea = {"item": "tea", "price": 250, "quantity": 2}
        said = await self.ask(core, row["code"], amount=500, items=[tea])
        assert (said["discount"], said["uses_left"]) == (250, 3)

    async def test_a_budget_given_away_is_a_reason_for_a_code_that_nobody_holds(self, core: CorePlatform) -> None:
        campaign = await published(core, "budgeted", {"kind": "uploaded"}, party=OWNER, budget=500)
        await core.done(UploadCodes(codes=("BU-1", "BU-2")), campaign=campaign, party=OWNER)
        await issue(core, campaign, ["a"], party=OWNER)
        assert await self.reasons(core, "bu2") == ["budget_exhausted"]
        shown = await core.read(f"/campaigns/{campaign}")
        assert shown["budget"] == {"total": 500, "reserved": 500, "spent": 0, "left": 0}

    async def test_the_state_of_the_coupon_is_told_by_name(self, core: CorePlatform) -> None:
        campaign = await generated(core, "states", 10, party=OWNER, return_policy="burned")
        rows = await issue(core, campaign, ["a", "b", "c"], party=OWNER)
        await redeem(core, rows[0]["coupon"], party=OWNER)
        await redeem(core, rows[1]["coupon"], party=OWNER)
        burn = ReturnCoupon(coupon=CouponReference(number=2), reason="x")
        await core.done(burn, campaign=campaign, party=OWNER)
        hold = ReserveCoupon(coupon=CouponReference(number=3), order="mine")
        await core.done(hold, campaign=campaign, party=OWNER)
        assert await self.reasons(core, rows[0]["code"]) == ["coupon_already_redeemed"]
        assert await self.reasons(core, rows[1]["code"]) == ["coupon_burned"]
        assert await self.reasons(core, rows[2]["code"]) == ["coupon_reserved"]
        assert await self.reasons(core, rows[2]["code"], order="another") == ["coupon_reserved"]
        assert await self.reasons(core, rows[2]["code"], order="mine") == []

    async def test_a_wrong_code_and_one_of_another_party_look_the_same(self, core: CorePlatform) -> None:
        campaign = await generated(core, "not yours", 10, party=OWNER)
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        wrong = row["code"][:-1] + ("0" if row["code"][-1] != "0" else "2")
        for code in (row["code"], wrong, "anything", "\u2028"):
            assert await self.ask(core, code, STRANGER) == await self.ask(core, "nothing", STRANGER)
        assert await self.reasons(core, row["code"], STRANGER) == ["coupon_not_found"]
        hidden = await self.ask(core, row["code"], STRANGER, campaign=str(campaign))
        unknown = await self.ask(core, row["code"], STRANGER, campaign=str(uuid4()))
        assert hidden == unknown
        assert [reason["code"] for reason in hidden["reasons"]] == ["campaign_not_found"]
        assert await self.reasons(core, wrong, campaign=str(campaign)) == ["coupon_not_found"]

    async def test_a_shared_code_needs_its_holder_and_an_ambiguous_one_the_campaign(self, core: CorePlatform) -> None:
        supply = {"kind": "shared", "code": "WHICH"}
        first = await published(core, "which 1", supply, party=OWNER)
        second = await published(core, "which 2", supply, party=OWNER)
        for campaign in (first, second):
            await issue(core, campaign, ["holder"], party=OWNER)
        said = await self.ask(core, "which", user="holder")
        assert [reason["code"] for reason in said["reasons"]] == ["ambiguous_code"]
        assert sorted(said["reasons"][0]["facts"]["campaigns"]) == sorted([str(first), str(second)])
        assert await self.reasons(core, "which", campaign=str(first), user="holder") == []
        assert await self.reasons(core, "which", campaign=str(first), user="nobody") == ["coupon_not_found"]

    async def test_a_suspended_merchant_is_told_so(self, core: CorePlatform) -> None:
        campaign = await generated(core, "suspended", 10, party=SUSPENDED)
        (row,) = await issue(core, campaign, ["a"], party=SUSPENDED)
        await core.set_merchant(SUSPENDED, "suspended")
        assert await self.reasons(core, row["code"], SUSPENDED) == ["merchant_not_active"]

    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [
            (b"{", 400, "malformed_json"),
            (b'{"party": "platform", "code": "\\ud800"}', 400, "malformed_json"),
            (b"[]", 422, "invalid_request"),
            (b'{"party": "platform"}', 422, "invalid_request"),
            (b'{"party": "platform", "code": "a\\u0000"}', 422, "invalid_request"),
            (b'{"party": "platform", "code": "a", "amount": -1}', 422, "invalid_request"),
            (b'{"party": "platform", "code": "a", "more": 1}', 422, "invalid_request"),
            (b'{"party": "platform", "code": "' + b"a" * 70_000 + b'"}', 413, "too_large"),
        ],
    )
    async def test_a_bad_question_is_a_problem_and_no_fault(
        self, core: CorePlatform, content: bytes, status: int, code: str
    ) -> None:
        answer = await core.http.post(
            f"{core.processes[0].url}/validate",
            content=content,
            headers={"Authorization": f"Bearer {core.service_token}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code)


class TestManyCodes:
    async def test_codes_of_the_second_block_are_told_like_those_of_the_first(self, core: CorePlatform) -> None:
        campaign = await generated(core, "two blocks", 70_000)
        answers = await asyncio.gather(
            *(core.done(ExportCodes(count=2_000), campaign=campaign, within=60) for _ in range(33))
        )
        codes = {row["coupon"]: row["code"] for answer in answers for row in answer["codes"]}
        page = (await core.read(f"/campaigns/{campaign}/codes", after=65_000, limit=1_000))["codes"]
        assert {row["coupon"]: row["code"] for row in page}.items() <= codes.items()
        assert len(page) == 1_000
        for number in (65_536, 65_537):
            coupon = f"{campaign}.{number}"
            found = await core.read("/resolve", party="platform", code=codes[coupon])
            assert found == {"candidates": [{"campaign": str(campaign), "coupon": coupon}]}


class TestCommands:
    async def test_an_outcome_is_read_as_it_was_answered(self, core: CorePlatform) -> None:
        campaign = await generated(core, "outcomes", 200)
        commands = [
            core.record(IssueCoupons(rows=(IssueRow(user="a"), IssueRow(user="b"))), campaign=campaign),
            core.record(ExportCodes(count=70), campaign=campaign),
            core.record(RedeemCoupon(coupon=CouponReference(number=1), amount=1_000), campaign=campaign),
            core.record(RedeemCoupon(coupon=CouponReference(number=1), amount=1_000), campaign=campaign),
        ]
        for record in commands:
            reply = await core.send(record)
            read = await core.read(f"/commands/{record.id}")
            assert read["status"] == reply.status
            assert read["result"] == reply.result
            assert read["refusal"] == (None if reply.refusal is None else reply.refusal.model_dump())
            assert read["as_of"] == NOW
        assert (await core.read(f"/commands/{commands[-1].id}"))["refusal"]["code"] == "coupon_already_redeemed"

    async def test_shared_and_uploaded_codes_stand_in_the_outcome_too(self, core: CorePlatform) -> None:
        shared = await published(core, "outcome shared", {"kind": "shared", "code": "SO-ALL"}, party=OWNER)
        uploaded = await published(core, "outcome uploaded", {"kind": "uploaded"}, party=OWNER)
        await core.done(UploadCodes(codes=("U1",)), campaign=uploaded, party=OWNER)
        for campaign, code in ((shared, "SO-ALL"), (uploaded, "U1")):
            record = core.record(IssueCoupons(rows=(IssueRow(user="a"),)), campaign=campaign, party=OWNER)
            reply = await core.send(record)
            read = await core.read(f"/commands/{record.id}")
            assert read["result"] == reply.result
            assert [row["code"] for row in read["result"]["rows"]] == [code]


class TestDeadLetters:
    async def test_dead_letters_are_listed_shown_and_marked(self, core: CorePlatform) -> None:
        subject = str(uuid4()).encode()
        places = []
        for value in (b"{}", b"nonsense", b"\x00\xff"):
            offset = await core.append(subject, value)
            places.append(offset)
        key, writer = subject, core.writer("gateway")
        await core.append(key, b"unreadable", writer=writer)
        # A command of the same lane is answered after all of these are decided.
        await core.send(PauseCampaign(reason="x"), campaign=UUID(subject.decode()))

        letters: list[dict[str, Any]] = []
        after = None
        while True:
            page = await core.read("/dead-letters", after=after, limit=2)
            letters += page["dead_letters"]
            after = page["next"]
            if after is None:
                break
        assert [letter["reason"] for letter in letters] == ["unsigned_writer"] * 3 + ["unreadable"]
        assert [letter["offset"] for letter in letters[:3]] == places
        assert len({letter["id"] for letter in letters}) == 4
        only = await core.read("/dead-letters", reason="unreadable")
        assert [letter["id"] for letter in only["dead_letters"]] == [letters[3]["id"]]

        one = await core.read(f"/dead-letters/{letters[1]['id']}")
        assert one == letters[1]
        assert (one["topic"], one["redriven_at"]) == ("coupon.commands", None)
        assert one["id"] == f"coupon.commands-{one['partition']}-{one['offset']}"
        marked = await core.post(f"/dead-letters/{one['id']}/redriven")
        assert marked.status_code == 200
        assert marked.json()["redriven_at"] is not None
        assert (await core.read(f"/dead-letters/{one['id']}")) == marked.json()
        assert (await core.post("/dead-letters/coupon.commands-0-123456/redriven")).status_code == 404

    async def test_a_database_that_does_not_answer_is_no_fault_of_the_question(self, core: CorePlatform) -> None:
        connection = await asyncpg.connect(core.database.url("core"))
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE dead_letter IN ACCESS EXCLUSIVE MODE")
                answer = await core.get("/dead-letters")
        finally:
            await connection.close()
        assert (answer.status_code, answer.json()["code"]) == (503, "not_now")
        assert answer.headers["retry-after"] == "2"


class TestStatus:
    async def test_all_lanes_are_shown_with_their_lag(self, core: CorePlatform) -> None:
        found = await core.read("/status")
        assert (found["time"], found["partitions"], found["as_of"]) == ("told", 8, NOW)
        assert [lane["partition"] for lane in found["lanes"]] == list(range(8))
        for lane in found["lanes"]:
            assert lane["lag"] == 0
            assert lane["clock"] == NOW
            assert lane["epoch"] >= 1
            assert lane["position"] > 0
            assert lane["emitted_lane_seq"] <= lane["lane_seq"]
