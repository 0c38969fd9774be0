"""Questions that begin with a code, a user or an order: what is found, for whom, would it be accepted?"""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

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
from coupon_core.queries.validating import TAKE_AWAY
from tests.coupon_core.reasons import ELSEWHERE, ENDS, HELD, MARCH, UPLOADED, of_a_redemption
from tests.support.campaigns import generated, issue, published, redeem
from tests.support.core import CorePlatform, core_at

OWNER, REDEEMER, STRANGER, SUSPENDED = (str(uuid4()) for _ in range(4))
NOW = "2026-03-10T12:00:00Z"

BEFORE = "2026-03-08T12:00:00Z"

core = core_at(BEFORE, OWNER, REDEEMER, STRANGER, SUSPENDED, partners=[REDEEMER, STRANGER])


@pytest_asyncio.fixture(scope="module", autouse=True)
async def expired(core: CorePlatform) -> dict[str, dict[str, Any]]:
    """It is NOW, and these coupons were issued before: their campaign is over, or their own time is."""
    issued = {}
    for how, validity in (("campaign", {"ends": "2026-03-09"}), ("coupon", {"days_after_issue": 1})):
        asked = {"validity": MARCH | validity, "minimum_spend": 1_000}
        campaign = await generated(core, f"expired {how}", 10, party=OWNER, **asked)
        (issued[how],) = await issue(core, campaign, ["a"], party=OWNER)
    await core.tell_time(NOW)
    return issued


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


async def ask(core: CorePlatform, code: str, party: str = OWNER, **more: Any) -> dict[str, Any]:
    """Would the code be accepted?"""
    answer = await core.post("/validate", {"party": party, "campaign": None, "code": code, **more})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def reasons(core: CorePlatform, code: str, party: str = OWNER, **more: Any) -> list[str]:
    said = await ask(core, code, party, **more)
    assert said["valid"] == (not said["reasons"])
    assert said["valid"] or (said["discount"], said["payable"]) == (None, None)
    return [reason["code"] for reason in said["reasons"]]


class TestValidate:
    async def test_a_good_code_is_told_its_discount(self, core: CorePlatform) -> None:
        campaign = await generated(core, "valid", 10, party=OWNER, redeemable_by=[REDEEMER])
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        for party in (OWNER, REDEEMER):
            assert await ask(core, row["code"].lower(), party, user="a", amount=1_800) == {
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
        assert (await ask(core, row["code"]))["payable"] is None
        # Asking changes nothing.
        assert (await core.read(f"/coupons/{row['coupon']}"))["state"] == "held"
        assert (await core.read(f"/campaigns/{campaign}"))["seq"] == 4

    async def test_a_bearer_code_can_be_asked_about(self, core: CorePlatform) -> None:
        campaign = await generated(core, "valid bearer", 10, party=OWNER)
        (code,) = (await core.done(ExportCodes(count=1), campaign=campaign, party=OWNER))["codes"]
        said = await ask(core, code["code"], amount=1_000)
        assert (said["valid"], said["coupon"], said["discount"]) == (True, code["coupon"], 500)
        assert (await core.read(f"/campaigns/{campaign}"))["exported"] == 1

    async def test_every_reason_that_holds_is_named(self, core: CorePlatform) -> None:
        later = {"starts": "2026-03-20", "ends": "2026-03-31"}
        campaign = await generated(core, "reasons", 10, party=OWNER, validity=later, minimum_spend=5_000)
        rows = await issue(core, campaign, ["a", "b"], party=OWNER)
        assert await reasons(core, rows[0]["code"], amount=10) == ["campaign_not_started", "minimum_spend_not_met"]
        await core.done(VoidCoupons(coupons=(CouponReference(number=1),), reason="x"), campaign=campaign, party=OWNER)
        await core.done(PauseCampaign(reason="x"), campaign=campaign, party=OWNER)
        assert await reasons(core, rows[0]["code"], user="b", actor="staff:anna") == [
            "not_this_users_coupon",
            "coupon_voided",
            "campaign_not_active",
            "campaign_not_started",
            "order_amount_required",
        ]
        said = await ask(core, rows[1]["code"], amount=10)
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
                theirs, none = [await ask(core, each, party, **asked) for each in (code, wrong)]
                assert theirs == none
                assert [reason["code"] for reason in theirs["reasons"]] == ["coupon_not_found"]

    async def test_what_is_left_of_a_coupon_is_told_and_every_reason_against_what_is_named(
        self, core: CorePlatform
    ) -> None:
        card = {"kind": "gift_card", "balance": 5_000}
        campaign = await generated(core, "cards", 10, party=OWNER, discount=card, minimum_spend=1_000)
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        await redeem(core, row["coupon"], party=OWNER)
        said = await ask(core, row["code"], amount=4_000)
        assert (said["valid"], said["discount"], said["payable"], said["balance"]) == (True, 3_000, 1_000, 3_000)
        hold = ReserveCoupon(coupon=CouponReference(number=1), order="mine", amount=2_500)
        await core.done(hold, campaign=campaign, party=OWNER)
        assert (await ask(core, row["code"], amount=4_000))["discount"] == 500
        assert (await ask(core, row["code"], amount=4_000, order="mine"))["discount"] == 3_000
        shown = await core.read(f"/coupons/{row['coupon']}")
        assert (shown["balance"], shown["state"], shown["reserved_amount"]) == (3_000, "reserved", 2_500)
        await core.done(PauseCampaign(reason="x"), campaign=campaign, party=OWNER)
        assert await reasons(core, row["code"], amount=999, discount=4_000) == [
            *("campaign_not_active", "minimum_spend_not_met", "balance_too_low"),
        ]

        decided = await generated(core, "decided", 10, party=OWNER, discount={"kind": "merchant_decided", "cap": 300})
        (row,) = await issue(core, decided, ["a"], party=OWNER)
        assert await reasons(core, row["code"]) == ["discount_required", "order_amount_required"]
        assert await reasons(core, row["code"], amount=400, discount=500) == [
            *("discount_above_amount", "discount_above_cap"),
        ]
        item = await generated(core, "item", 10, party=OWNER, discount={"kind": "free_item", "item": "tea"}, uses=3)
        (row,) = await issue(core, item, ["a"], party=OWNER)
        assert await reasons(core, row["code"], discount=5) == ["discount_not_expected", "item_required"]
        tea = {"item": "tea", "price": 250, "quantity": 2}
        said = await ask(core, row["code"], amount=500, items=[tea])
        assert (said["discount"], said["uses_left"]) == (250, 3)

    async def test_a_budget_given_away_is_a_reason_for_a_code_that_nobody_holds(self, core: CorePlatform) -> None:
        campaign = await published(core, "budgeted", {"kind": "uploaded"}, party=OWNER, budget=500)
        await core.done(UploadCodes(codes=("BU-1", "BU-2")), campaign=campaign, party=OWNER)
        await issue(core, campaign, ["a"], party=OWNER)
        assert await reasons(core, "bu2") == ["budget_exhausted"]
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
        assert await reasons(core, rows[0]["code"]) == ["coupon_already_redeemed"]
        assert await reasons(core, rows[1]["code"]) == ["coupon_burned"]
        assert await reasons(core, rows[2]["code"]) == ["coupon_reserved"]
        assert await reasons(core, rows[2]["code"], order="another") == ["coupon_reserved"]
        assert await reasons(core, rows[2]["code"], order="mine") == []

    async def test_a_wrong_code_and_one_of_another_party_look_the_same(self, core: CorePlatform) -> None:
        campaign = await generated(core, "not yours", 10, party=OWNER)
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        wrong = row["code"][:-1] + ("0" if row["code"][-1] != "0" else "2")
        for code in (row["code"], wrong, "anything", "\u2028"):
            assert await ask(core, code, STRANGER) == await ask(core, "nothing", STRANGER)
        assert await reasons(core, row["code"], STRANGER) == ["coupon_not_found"]
        hidden = await ask(core, row["code"], STRANGER, campaign=str(campaign))
        unknown = await ask(core, row["code"], STRANGER, campaign=str(uuid4()))
        assert hidden == unknown
        assert [reason["code"] for reason in hidden["reasons"]] == ["campaign_not_found"]
        assert await reasons(core, wrong, campaign=str(campaign)) == ["coupon_not_found"]

    async def test_a_shared_code_needs_its_holder_and_an_ambiguous_one_the_campaign(self, core: CorePlatform) -> None:
        supply = {"kind": "shared", "code": "WHICH"}
        first = await published(core, "which 1", supply, party=OWNER)
        second = await published(core, "which 2", supply, party=OWNER)
        for campaign in (first, second):
            await issue(core, campaign, ["holder"], party=OWNER)
        said = await ask(core, "which", user="holder")
        assert [reason["code"] for reason in said["reasons"]] == ["ambiguous_code"]
        assert sorted(said["reasons"][0]["facts"]["campaigns"]) == sorted([str(first), str(second)])
        assert await reasons(core, "which", campaign=str(first), user="holder") == []
        assert await reasons(core, "which", campaign=str(first), user="nobody") == ["coupon_not_found"]

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


class TestOneReasonHidesNoOther:
    """Each reason there is, and an order below the minimum spend: both are told."""

    async def told(
        self, core: CorePlatform, code: str, coupon: str | None, reason: str, party: str = OWNER, **asked: Any
    ) -> None:
        said = await ask(core, code, party, **{"amount": 10, **asked})
        too_little = {"minimum_spend_not_met"} if asked.get("amount", 10) == 10 else set()
        assert {each["code"] for each in said["reasons"]} == {reason, *too_little}
        assert said["coupon"] == coupon, "it is accepted without them"

    @pytest.mark.parametrize("reason", HELD)
    async def test_against_a_coupon_that_was_issued(self, core: CorePlatform, reason: str) -> None:
        terms, commands, asked = HELD[reason]
        campaign = await generated(core, f"hides {reason}", 10, party=OWNER, minimum_spend=1_000, **terms)
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        for command in commands:
            await core.done(command, campaign=campaign, party=OWNER)
        hidden = reason == "not_this_users_coupon"
        await self.told(core, row["code"], None if hidden else row["coupon"], reason, **asked)

    @pytest.mark.parametrize("reason", UPLOADED)
    async def test_against_a_code_that_nobody_holds(self, core: CorePlatform, reason: str) -> None:
        supply, codes = {"kind": "uploaded"}, (f"{reason} 1", f"{reason} 2")
        campaign = await published(core, reason, supply, party=OWNER, minimum_spend=1_000, **UPLOADED[reason])
        await core.done(UploadCodes(codes=codes), campaign=campaign, party=OWNER)
        await issue(core, campaign, ["a"], party=OWNER)
        await self.told(core, codes[1], f"{campaign}.2", reason)

    @pytest.mark.parametrize("over", ["campaign", "coupon"])
    async def test_against_a_coupon_whose_time_is_over(
        self, core: CorePlatform, expired: dict[str, dict[str, Any]], over: str
    ) -> None:
        row = expired[over]
        await self.told(core, row["code"], row["coupon"], "coupon_expired")

    async def test_against_a_coupon_that_was_redeemed_too_often(self, core: CorePlatform) -> None:
        campaign = await generated(core, "hides redeemed too often", 10, party=OWNER, minimum_spend=1_000)
        (row,) = await issue(core, campaign, ["a"], party=OWNER)
        connection = await asyncpg.connect(core.database.url("core"))
        try:
            often = "UPDATE coupon SET redemptions = 32767 WHERE campaign = (SELECT number FROM campaign WHERE id = $1)"
            await connection.execute(often, campaign)
        finally:
            await connection.close()
        await self.told(core, row["code"], row["coupon"], "too_many_redemptions")

    async def test_against_a_merchant_that_was_suspended(self, core: CorePlatform) -> None:
        campaign = await generated(core, "suspended", 10, party=SUSPENDED, minimum_spend=1_000)
        (row,) = await issue(core, campaign, ["a"], party=SUSPENDED)
        await core.set_merchant(SUSPENDED, "suspended")
        await self.told(core, row["code"], row["coupon"], "merchant_not_active", SUSPENDED)

    def test_every_refusal_of_a_redemption_is_tried_here_or_ends_the_answer(self) -> None:
        assert {*HELD, *UPLOADED, *ELSEWHERE} == set(TAKE_AWAY)
        assert of_a_redemption() == {*TAKE_AWAY, *ENDS}
