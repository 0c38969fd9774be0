"""The read API on campaigns, coupons, codes, events, commands and dead letters: who may see what, page by page."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.campaigns import SharedSupply
from contracts.commands import (
    CouponReference,
    ExportCodes,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ReserveCoupon,
    ReturnCoupon,
    UnpublishCampaign,
    UploadCodes,
    VoidCoupons,
)
from contracts.events import EVENT_RECORD
from contracts.fields import PLATFORM
from tests.support.campaigns import generated, issue, published, redeem
from tests.support.core import CorePlatform, core_at

OWNER, REDEEMER, STRANGER = (str(uuid4()) for _ in range(3))
NOTHING = UUID("6f0f6d5e-52a0-4c0e-9a38-3d0f8b1c2e47")
SHARED = {"kind": "shared", "code": "SPRING-5"}

START = "2026-03-01T00:00:00Z"

core = core_at(START, OWNER, REDEEMER, STRANGER, partners=[REDEEMER, STRANGER])


async def collect(core: CorePlatform, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
    """All items of a paged list."""
    items: list[dict[str, Any]] = []
    after: Any = None
    while True:
        page = await core.read(path, after=after, **query)
        assert len(page[name]) <= query["limit"]
        items += page[name]
        after = page["next"]
        if after is None:
            return items


class TestWhoMayAsk:
    @pytest.mark.parametrize("token", ["wrong", "é"])
    async def test_without_the_service_token_nothing_is_answered(self, core: CorePlatform, token: str) -> None:
        url = f"{core.processes[0].url}/status"
        for headers in ({}, {b"authorization": f"Bearer {token}".encode("latin-1")}):
            answer = await core.http.get(url, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["type"] == "https://scrip.dev/problems/unauthenticated"

    @pytest.mark.parametrize(
        ("path", "pointer"),
        [
            ("/campaigns?limit=0", "/limit"),
            ("/campaigns?limit=201", "/limit"),
            ("/campaigns?after=x", "/after"),
            ("/campaigns?party=somebody", "/party"),
            ("/campaigns?state=lovely", "/state"),
            ("/campaigns?misspelt=1", "/misspelt"),
            ("/campaigns?limit=1&limit=2", "/limit"),
            ("/dead-letters?after=coupon.commands-1", "/after"),
            ("/dead-letters?reason=bad_mood", "/reason"),
            ("/resolve?party=platform", "/code"),
            ("/resolve?code=a%00b", "/code"),
        ],
    )
    async def test_a_wrong_parameter_is_named(self, core: CorePlatform, path: str, pointer: str) -> None:
        answer = await core.get(path)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "invalid_request"
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("/campaigns/nonsense", "campaign_not_found"),
            (f"/campaigns/{NOTHING}", "campaign_not_found"),
            (f"/campaigns/{NOTHING}/coupons", "campaign_not_found"),
            (f"/campaigns/{NOTHING}/codes", "campaign_not_found"),
            (f"/campaigns/{NOTHING}/events", "campaign_not_found"),
            ("/coupons/nonsense", "coupon_not_found"),
            (f"/coupons/{NOTHING}.1", "coupon_not_found"),
            (f"/coupons/{NOTHING}.999999999999/history", "coupon_not_found"),
            (f"/commands/{NOTHING}", "command_not_found"),
            ("/commands/nonsense", "command_not_found"),
            ("/dead-letters/coupon.commands-0-99", "dead_letter_not_found"),
            ("/dead-letters/coupon.commands-99999999999-99", "dead_letter_not_found"),
            (f"/audit?campaign={NOTHING}", "campaign_not_found"),
        ],
    )
    async def test_what_is_not_there_is_a_named_problem(self, core: CorePlatform, path: str, code: str) -> None:
        answer = await core.get(path)
        assert answer.status_code == 404, answer.text
        assert answer.json()["code"] == code


class TestCampaigns:
    async def test_a_campaign_shows_its_terms_and_exact_counters(self, core: CorePlatform) -> None:
        campaign = await generated(core, "counted", 20, minimum_spend=1_000, metadata={"shop": "7"})
        rows = await issue(core, campaign, [f"user {number}" for number in range(5)])
        await redeem(core, rows[0]["coupon"])
        await redeem(core, rows[1]["coupon"])
        await core.done(ReturnCoupon(coupon=CouponReference(number=2), reason="changed mind"), campaign=campaign)
        await core.done(VoidCoupons(coupons=(CouponReference(number=3),), reason="lost"), campaign=campaign)
        await core.done(ReserveCoupon(coupon=CouponReference(number=4), order="o-4"), campaign=campaign)
        await core.done(ExportCodes(count=6), campaign=campaign)

        found = await core.read(f"/campaigns/{campaign}")
        events = await core.read(f"/campaigns/{campaign}/events", limit=1_000)
        expected: dict[str, Any] = {
            "id": str(campaign),
            "owner": "platform",
            "origin": "internal",
            "name": "counted",
            "state": "active",
            "supply": "generated",
            "code": None,
            "pattern": None,
            "generation": None,
            "quantity": 20,
            "issued": 5,
            "held": 2,
            "reserved": 1,
            "redeemed": 1,
            "burned": 0,
            "voided": 1,
            "expired": 0,
            "exported": 6,
            "left": 9,
            "periods": [],
            "currency": "EUR",
            "exponent": 2,
            "budget": None,
            "available_codes": 0,
            "listed": True,
            "starts": "2026-03-01T00:00:00Z",
            "ends": "2026-04-01T00:00:00Z",
            "zone": "UTC",
            "created_at": "2026-03-01T00:00:00Z",
            "seq": len(events["events"]),
            "version": len(events["events"]),
            "as_of": "2026-03-01T00:00:00Z",
        }
        assert {name: found[name] for name in expected} == expected
        assert set(found) == {*expected, "terms", "chain"}
        assert found["terms"]["minimum_spend"] == 1_000
        assert found["terms"]["discount"] == {"kind": "amount_off", "amount": 500}
        assert found["terms"]["metadata"] == {"shop": "7"}

    async def test_the_running_periods_say_how_far_their_limits_are_used(self, core: CorePlatform) -> None:
        campaign = await generated(core, "by period", per_day_limit=3, per_month_limit=50, quantity=100)
        await issue(core, campaign, ["a", "b"])
        day = {"period": "day", "issued": 2, "limit": 3, "ends": "2026-03-02T00:00:00Z"}
        month = {"period": "month", "issued": 2, "limit": 50, "ends": "2026-04-01T00:00:00Z"}
        assert (await core.read(f"/campaigns/{campaign}"))["periods"] == [day, month]
        listed = await collect(core, "/campaigns", "campaigns", limit=100)
        assert next(item for item in listed if item["id"] == str(campaign))["periods"] == [day, month]

    async def test_a_campaign_is_seen_by_owner_redeemer_and_sender_and_by_nobody_else(self, core: CorePlatform) -> None:
        campaign = await published(core, "seen", SHARED, party=OWNER, redeemable_by=[REDEEMER])
        sent = await published(core, "sent", SHARED, party=OWNER, senders=[REDEEMER])
        for party in (None, OWNER, REDEEMER):
            for each in (campaign, sent):
                assert (await core.read(f"/campaigns/{each}", party=party))["code"] == "SPRING-5"
        for party in (STRANGER, PLATFORM):
            for path in (f"/campaigns/{campaign}", f"/campaigns/{campaign}/coupons", f"/campaigns/{campaign}/codes"):
                hidden = await core.get(path, party=party)
                unknown = await core.get(path.replace(str(campaign), str(uuid4())), party=party)
                assert hidden.status_code == unknown.status_code == 404
                assert hidden.json() == unknown.json()

        async def seen_by(party: str | None) -> set[str]:
            return {item["id"] for item in await collect(core, "/campaigns", "campaigns", party=party, limit=1)}

        assert {str(campaign), str(sent)} <= await seen_by(OWNER)
        assert {str(campaign), str(sent)} <= await seen_by(REDEEMER)
        assert not {str(campaign), str(sent)} & await seen_by(STRANGER)
        assert {str(campaign), str(sent)} <= await seen_by(None)

    async def test_lists_are_paged_without_a_gap_and_filtered(self, core: CorePlatform) -> None:
        made = {str(await published(core, f"page {number}", SHARED, party=STRANGER)) for number in range(7)}
        paused = UUID(min(made))
        await core.done(PauseCampaign(reason="test"), campaign=paused, party=STRANGER)
        items = await collect(core, "/campaigns", "campaigns", party=STRANGER, limit=3)
        assert [item["id"] for item in items] == sorted(made)
        only = await collect(core, "/campaigns", "campaigns", party=STRANGER, state="paused", limit=3)
        assert [item["id"] for item in only] == [str(paused)]
        assert await collect(core, "/campaigns", "campaigns", party=STRANGER, origin="internal", limit=3) == []

    async def test_the_catalogue_shows_what_can_be_claimed_now(self, core: CorePlatform) -> None:
        offered = [
            await generated(core, "catalogue generated", 5),
            await published(core, "catalogue shared", SHARED, party=OWNER, price=100),
        ]
        hidden = [
            await generated(core, "catalogue not listed", 5, listed=False),
            await generated(core, "catalogue exhausted", 1),
            await published(core, "catalogue given", {"kind": "given"}, party=OWNER),
            await published(core, "catalogue without codes", {"kind": "uploaded"}, party=OWNER),
        ]
        paused = await generated(core, "catalogue paused", 5)
        unpublished = await published(core, "catalogue unpublished", SHARED, party=OWNER)
        await issue(core, hidden[1], ["the only one"])
        await core.done(PauseCampaign(reason="test"), campaign=paused)
        await core.done(UnpublishCampaign(), campaign=unpublished, party=OWNER)
        shown = {item["id"] for item in await collect(core, "/catalogue", "campaigns", limit=2)}
        assert {str(campaign) for campaign in offered} <= shown
        assert not {str(campaign) for campaign in (*hidden, paused, unpublished)} & shown


class TestCoupons:
    async def test_coupons_of_a_campaign_come_by_number_with_the_codes_of_their_issue(self, core: CorePlatform) -> None:
        campaign = await generated(core, "many", 100)
        first = await issue(core, campaign, [f"u{number}" for number in range(10)])
        await core.done(ExportCodes(count=40), campaign=campaign)
        second = await issue(core, campaign, [f"v{number}" for number in range(10)])
        await redeem(core, second[3]["coupon"])
        issued = {row["coupon"]: row for row in first + second}

        items = await collect(core, f"/campaigns/{campaign}/coupons", "coupons", codes=1, limit=7)
        assert [item["number"] for item in items] == [*range(1, 11), *range(51, 61)]
        for item in items:
            row = issued[item["id"]]
            assert (item["user"], item["code"]) == (row["user"], row["code"])
            assert item["code_last"] == row["code"][-4:]
            assert item["expires_at"] == "2026-04-01T00:00:00Z"
        bare = await collect(core, f"/campaigns/{campaign}/coupons", "coupons", limit=20)
        assert all("code" not in item and len(item["code_last"]) == 4 for item in bare)
        redeemed = await collect(core, f"/campaigns/{campaign}/coupons", "coupons", state="redeemed", limit=20)
        assert [(item["number"], item["redemptions"]) for item in redeemed] == [(54, 1)]
        of_user = await core.read(f"/campaigns/{campaign}/coupons", user="u7")
        assert [item["number"] for item in of_user["coupons"]] == [8]

    async def test_all_codes_are_listed_exported_and_held(self, core: CorePlatform) -> None:
        campaign = await generated(core, "listed codes", 100)
        (row,) = await issue(core, campaign, ["a"])
        exported = await core.done(ExportCodes(count=5), campaign=campaign)
        items = await collect(core, f"/campaigns/{campaign}/codes", "codes", limit=2)
        assert items[0] == {"coupon": row["coupon"], "code": row["code"], "state": "held"}
        assert [{**code, "state": "exported"} for code in exported["codes"]] == items[1:]

    async def test_uploaded_codes_are_listed_as_they_were_written(self, core: CorePlatform) -> None:
        campaign = await published(core, "uploaded codes", {"kind": "uploaded"}, party=OWNER)
        await core.done(UploadCodes(codes=("ab-1", "ab 2", "ab3")), campaign=campaign, party=OWNER)
        await issue(core, campaign, ["a"], party=OWNER)
        items = await collect(core, f"/campaigns/{campaign}/codes", "codes", party=OWNER, limit=2)
        assert [(item["code"], item["state"]) for item in items] == [
            ("ab-1", "held"),
            ("ab 2", "available"),
            ("ab3", "available"),
        ]
        held = await core.read(f"/campaigns/{campaign}/coupons", party=OWNER, codes=1)
        assert [item["code"] for item in held["coupons"]] == ["ab-1"]

    async def test_given_and_shared_codes_are_listed_with_their_holders(self, core: CorePlatform) -> None:
        given = await published(core, "given codes", {"kind": "given"}, party=OWNER)
        await issue(core, given, ["a", "b"], party=OWNER, codes=["X1", "X2"])
        shared = await published(
            core, "shared codes", SharedSupply(code="ALL-OF-YOU").model_dump(), party=OWNER, redeemable_by=[REDEEMER]
        )
        await issue(core, shared, ["a"], party=OWNER)
        assert [item["code"] for item in (await core.read(f"/campaigns/{given}/codes"))["codes"]] == ["X1", "X2"]
        assert [item["code"] for item in (await core.read(f"/campaigns/{shared}/codes"))["codes"]] == ["ALL-OF-YOU"]
        # Who only redeems is shown codes by customers.
        assert (await core.get(f"/campaigns/{shared}/codes", party=REDEEMER)).status_code == 404
        listed = await core.read(f"/campaigns/{shared}/coupons", party=REDEEMER, codes=1)
        assert [(item["user"], "code" in item) for item in listed["coupons"]] == [("a", False)]

    async def test_one_coupon_shows_its_redemptions_and_each_party_its_own(self, core: CorePlatform) -> None:
        campaign = await generated(core, "one", 5, redeemable_by=[REDEEMER, STRANGER])
        (row,) = await issue(core, campaign, ["a"])
        actor = f"merchant:{REDEEMER}/till 3"
        await redeem(core, row["coupon"], party=REDEEMER, order="o-1", actor=actor)
        await core.done(ReturnCoupon(coupon=CouponReference(number=1), reason="broken"), campaign=campaign)
        await redeem(core, row["coupon"], order="o-2")

        whole = await core.read(f"/coupons/{row['coupon']}", codes=1)
        now = "2026-03-01T00:00:00Z"
        assert whole == {
            "id": row["coupon"],
            "campaign": str(campaign),
            "number": 1,
            "user": "a",
            "state": "redeemed",
            "code": row["code"],
            "code_last": row["code"][-4:],
            "issued_at": now,
            "expires_at": "2026-04-01T00:00:00Z",
            "redemptions": [
                {
                    "redemption": 1,
                    "order": "o-1",
                    "amount": 2_000,
                    "discount": 500,
                    "at": now,
                    "returned": 500,
                    "returned_at": now,
                    "terminal": "till 3",
                },
                {
                    "redemption": 2,
                    "order": "o-2",
                    "amount": 2_000,
                    "discount": 500,
                    "at": now,
                    "returned": None,
                    "returned_at": None,
                    "terminal": None,
                },
            ],
        }
        at_redeemer = await core.read(f"/coupons/{row['coupon']}", party=REDEEMER)
        assert [redemption["order"] for redemption in at_redeemer["redemptions"]] == ["o-1"]
        assert (await core.get(f"/coupons/{row['coupon']}", party=OWNER)).status_code == 404
        assert (await core.get(f"/coupons/{campaign}.2")).status_code == 404


class TestEvents:
    async def test_events_come_in_order_whatever_the_page(self, core: CorePlatform) -> None:
        campaign = await generated(core, "told", 100)
        await issue(core, campaign, [f"u{number}" for number in range(30)])
        await issue(core, campaign, [f"v{number}" for number in range(30)])
        whole = (await core.read(f"/campaigns/{campaign}/events", limit=1_000))["events"]
        assert [event["seq"] for event in whole] == list(range(1, 64))
        paged: list[dict[str, Any]] = []
        while True:
            after = paged[-1]["seq"] if paged else None
            page = (await core.read(f"/campaigns/{campaign}/events", after_seq=after, limit=9))["events"]
            if not page:
                break
            paged += page
        assert paged == whole
        assert (await core.read(f"/campaigns/{campaign}/events", after_seq=63))["events"] == []

    async def test_events_are_those_that_were_sent(self, core: CorePlatform) -> None:
        campaign = await generated(core, "bytes", 5)
        answer = await core.get(f"/campaigns/{campaign}/events")
        lines = answer.text.removeprefix('{"events":[').removesuffix("]}").split("},{")
        assert len(lines) == 3
        for event in answer.json()["events"]:
            assert EVENT_RECORD.validate_python(event).seq == event["seq"]

    async def test_the_history_of_a_coupon_is_its_events_alone(self, core: CorePlatform) -> None:
        campaign = await generated(core, "history", 50, redeemable_by=[REDEEMER])
        rows = await issue(core, campaign, [f"u{number}" for number in range(20)])
        coupon = rows[0]["coupon"]  # .1, of which .10 to .19 are no part
        await redeem(core, coupon, order="o-1")
        await redeem(core, rows[10]["coupon"])
        await core.done(ReturnCoupon(coupon=CouponReference(number=1), reason="broken"), campaign=campaign)
        await redeem(core, coupon, party=REDEEMER, order="o-2")
        events = (await core.read(f"/coupons/{coupon}/history"))["events"]
        assert [event["type"].split(".")[2] for event in events] == ["issued", "redeemed", "returned", "redeemed"]
        assert [event["actor"] for event in events] == ["staff:test"] * 4
        assert {event["subject"] for event in events} == {coupon}
        orders = [event["data"].get("order") for event in events]
        assert orders == [None, "o-1", None, "o-2"]
        at_redeemer = (await core.read(f"/coupons/{coupon}/history", party=REDEEMER))["events"]
        assert [event["data"].get("order") for event in at_redeemer] == [None, None, None, "o-2"]
        assert (await core.get(f"/coupons/{coupon}/history", party=STRANGER)).status_code == 404

    async def test_who_acted_is_shown_to_the_owner_and_to_itself_alone(self, core: CorePlatform) -> None:
        campaign = await published(core, "tills", SHARED, party=OWNER, redeemable_by=[REDEEMER, STRANGER])
        await issue(core, campaign, ["u"], party=OWNER)
        actor, coupon = f"merchant:{REDEEMER}/till 3", f"{campaign}.1"
        await redeem(core, coupon, party=REDEEMER, order="o-1", actor=actor)
        for party, last in ((OWNER, actor), (None, actor), (REDEEMER, actor), (STRANGER, None)):
            history = (await core.read(f"/coupons/{coupon}/history", party=party))["events"]
            assert history[-1]["actor"] == last
            for path in (f"/coupons/{coupon}", f"/campaigns/{campaign}"):
                then = await core.read(f"{path}/as-of", party=party, seq=history[-1]["seq"])
                assert then["caused_by"]["actor"] == last


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
            assert read["as_of"] == START
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
        assert (found["time"], found["partitions"], found["as_of"]) == ("told", 8, START)
        assert [lane["partition"] for lane in found["lanes"]] == list(range(8))
        for lane in found["lanes"]:
            assert lane["lag"] == 0
            assert lane["clock"] == START
            assert lane["epoch"] >= 1
            assert lane["position"] > 0
            assert lane["emitted_lane_seq"] <= lane["lane_seq"]
