"""Why a command was answered as it was: the decision taken again is the same, and a difference is said."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contracts.commands import (
    ActivateCampaign,
    AmendCampaign,
    BuildingRules,
    ChangeQuantity,
    ClaimCoupon,
    CouponFilter,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ResumeCampaign,
    ReturnCoupon,
    SetBuildingRules,
    UnpublishCampaign,
    VoidCampaign,
    VoidMatching,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from tests.coupon_core.everything import OWNER, everything_once, until
from tests.support.campaigns import generated, issue, published, terms
from tests.support.core import CorePlatform, core_at
from tests.support.deciding import by_code, by_number

core = core_at("2026-03-01T00:00:00Z", OWNER)


async def query(core: CorePlatform, statement: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(core.database.url("core"))
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
    finally:
        await connection.close()
    return rows


async def why(core: CorePlatform, command: UUID | str, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = await core.read(f"/commands/{command}/why", **asked)
    return found


async def test_every_command_of_a_story_is_decided_again_as_it_was(core: CorePlatform) -> None:
    made = await everything_once(core)
    for commands in (
        [PauseCampaign(reason="x"), ResumeCampaign(), UnpublishCampaign(), UnpublishCampaign()],
        [AmendCampaign.model_validate({"terms": {"name": "renamed", "price": 7}}), AmendCampaign(clear=("price",))],
        [
            VoidMatching(matching=CouponFilter(first=3, last=30), reason="leaked"),
            RedeemCoupon(coupon=by_number(22), amount=900),
        ],
        [ClaimCoupon(user="zoe"), ChangeQuantity(quantity=60), VoidCampaign(reason="all")],
    ):
        for command in commands:
            await core.send(command, campaign=made["generated"])
    draft = campaign_id(PLATFORM, "draft")
    plan = GenerateCampaign(terms=terms(name="draft", validity=until("2026-06-30")), quantity=5, draft=True)
    for command in (plan, ClaimCoupon(user="early"), ActivateCampaign(), ActivateCampaign(), ClaimCoupon(user="ann")):
        await core.send(command, campaign=draft)
    card = await generated(
        core, "card", 9, validity=until("2026-06-30"), discount={"kind": "gift_card", "balance": 5_000}, budget=12_000
    )
    await issue(core, card, ["ann", "bob"])
    for amount in (1_200, 9_000, 10):
        await core.send(RedeemCoupon(coupon=by_number(1), amount=amount), campaign=card)
    await core.send(ReturnCoupon(coupon=by_number(1), redemption=1, amount=200, reason="part"), campaign=card)
    await core.send(ClaimCoupon(user="too many"), campaign=card)
    for name, stored in (("patterned", False), ("written down", True)):
        made[name] = campaign_id(PLATFORM, name)
        supply = {"kind": "generated", "pattern": {"prefix": "WHY-", "length": 8}, "stored": stored}
        of_pattern = {"terms": terms(name=name, validity=until("2026-06-30")), "supply": supply, "quantity": 20}
        await core.send(GenerateCampaign.model_validate(of_pattern), campaign=made[name])
        claimed = await core.done(ClaimCoupon(user="ann"), campaign=made[name])
        await core.send(RedeemCoupon(coupon=by_code(claimed["code"]), amount=900), campaign=made[name])
    limited = await generated(core, "limited", 100, validity=until("2026-06-30"), per_day_limit=3, per_user_limit=1)
    await issue(core, limited, ["ann", "bob"])
    for user in ("ann", "cid", "dan"):
        await core.send(ClaimCoupon(user=user), campaign=limited)
    await core.send(RedeemCoupon(coupon=by_code("WRONG-CODE")), campaign=limited)
    await core.send(ClaimCoupon(user="nobody"), campaign=uuid4())
    decided = await query(core, "SELECT command, status FROM outcome WHERE campaign IS NOT NULL AND status IN (1, 2)")
    assert len(decided) > 50
    assert {row["status"] for row in decided} == {1, 2}
    unlike = []
    for row in decided:
        told = await why(core, row["command"])
        if told["again"] is None or told["differences"]:
            unlike.append((told["sent"], told["answered"], told["again"], told["differences"], told["not_again"]))
        else:
            assert told["again"]["event_count"] == told["answered"]["event_count"]
    assert not unlike, unlike[:3]


async def test_a_refusal_is_explained_with_what_the_command_met(core: CorePlatform) -> None:
    campaign = await published(core, "why shared", {"kind": "shared", "code": "WHYCODE"}, party=OWNER)
    await issue(core, campaign, ["ann"], party=OWNER)
    use = RedeemCoupon(coupon=by_code("WHYCODE", "ann"), order="o-1", amount=900)
    done = await core.send(use, campaign=campaign, party=OWNER)
    refused = await core.send(use, campaign=campaign, party=OWNER)
    await core.done(ReturnCoupon(coupon=by_number(1), reason="x"), campaign=campaign, party=OWNER)

    first, second = await why(core, done.command), await why(core, refused.command)
    assert first["before"]["coupons"][0]["state"] == "held"
    assert [event["type"] for event in first["again"]["events"]] == ["scrip.coupon.redeemed.v1"]
    assert second["answered"]["status"] == "refused"
    assert second["answered"]["refusal"]["code"] == "coupon_already_redeemed"
    assert second["again"]["refusal"] == second["answered"]["refusal"]
    assert second["before"]["coupons"][0]["state"] == "redeemed", "as it was then, not as it is now"
    assert second["sent"]["data"]["coupon"]["code"] == "…ODE"
    assert second["rules"]["merchant"]["state"] == "active"
    assert (second["sent"]["party"], second["sent"]["actor"]) == (OWNER, "staff:test")


async def test_the_rules_are_those_of_then(core: CorePlatform) -> None:
    async def rules(version: int, greatest: int | None) -> None:
        await core.on_all_lanes(
            lambda lane: SetBuildingRules(
                partition=lane, party=PLATFORM, version=version, rules=BuildingRules(greatest_quantity=greatest)
            )
        )

    async def order(name: str) -> UUID:
        command = GenerateCampaign(terms=terms(name=name, validity=until("2026-06-30")), quantity=50)
        return (await core.send(command, campaign=campaign_id(PLATFORM, name))).command

    await rules(1, 10)
    forbidden = await order("too many")
    await rules(2, None)
    allowed = await order("not too many")
    told, later = await why(core, forbidden), await why(core, allowed)
    assert told["answered"]["refusal"]["facts"]["rule"] == "greatest_quantity"
    assert told["again"]["refusal"] == told["answered"]["refusal"]
    assert told["rules"]["building_rules"][PLATFORM]["version"] == 1
    assert (told["before"], told["differences"]) == ({"seq": 0, "campaign": None, "coupons": []}, [])
    assert later["rules"]["building_rules"][PLATFORM]["version"] == 2
    assert later["differences"] == []


async def test_an_answer_somebody_changed_differs_from_the_decision_taken_again(core: CorePlatform) -> None:
    campaign = await generated(core, "changed", 100, validity=until("2026-06-30"))
    claimed = await core.send(ClaimCoupon(user="ann"), campaign=campaign)
    refused = await core.send(ResumeCampaign(), campaign=campaign)
    change = "UPDATE outcome SET body = replace(body, $2, $3) WHERE command = $1"
    await query(core, change, claimed.command, '"user":"ann"', '"user":"eve"')
    assert (await why(core, claimed.command))["differences"] == ["the answer would be another one"]
    await query(core, "UPDATE outcome SET status = 1 WHERE command = $1", refused.command)
    assert (await why(core, refused.command))["differences"][0] == "it was done and would be refused"
    await query(core, "UPDATE outcome SET status = 2 WHERE command = $1", refused.command)
    await query(core, change, claimed.command, '"user":"eve"', '"user":"ann"')
    for command in (claimed.command, refused.command):
        assert (await why(core, command))["differences"] == []


async def test_what_later_commands_did_at_the_same_moment_was_not_there_before(core: CorePlatform) -> None:
    """Time is told, so that all of it has one time; the command changed nothing, so that no event has its place."""
    campaign = await generated(core, "one moment", 20, validity=until("2026-06-30"))
    await issue(core, campaign, ["ann", "bob"])
    nothing = await core.send(AmendCampaign(clear=("per_user_limit",)), campaign=campaign)
    await core.done(AmendCampaign.model_validate({"terms": {"per_user_limit": 1}}), campaign=campaign)
    await issue(core, campaign, ["cid"])
    unknown = await core.send(RedeemCoupon(coupon=by_code("WRONG-CODE")), campaign=campaign)
    await issue(core, campaign, ["dan"])
    told = [await why(core, reply.command) for reply in (nothing, unknown)]
    assert [(each["differences"], each["before"]["campaign"]["issued"]) for each in told] == [([], 2), ([], 3)]


async def test_a_row_of_a_bulk_command_is_shown_alone(core: CorePlatform) -> None:
    campaign = await generated(core, "rows", 2, validity=until("2026-06-30"))
    command = core.record(
        IssueCoupons(rows=tuple(IssueRow(user=user) for user in ("ann", "bob", "cid"))), campaign=campaign
    )
    await core.send(command)
    told = await why(core, command.id, row=2)
    (row,) = told["answered"]["result"]["rows"]
    assert row["refusal"]["code"] == "campaign_exhausted"
    assert told["again"]["result"]["rows"] == [row]
    assert told["differences"] == []


async def test_what_cannot_be_decided_again_says_why_not(core: CorePlatform) -> None:
    assert (await core.get(f"/commands/{uuid4()}/why")).status_code == 404
    assert (await core.get("/commands/nonsense/why")).status_code == 404
    assert (await core.get(f"/commands/{uuid4()}/why?row=-1")).status_code == 422
    (lane_wide,) = await query(core, "SELECT command FROM outcome WHERE campaign IS NULL LIMIT 1")
    assert "whole lane" in (await why(core, lane_wide["command"]))["not_again"]
    campaign = await generated(core, "gone", 100, validity=until("2026-06-30"))
    claimed = await core.send(ClaimCoupon(user="ann"), campaign=campaign)
    await query(core, "UPDATE outcome SET position = position + 1000000 WHERE command = $1", claimed.command)
    told = await why(core, claimed.command)
    assert "does not hold the command any more" in told["not_again"]
    assert (told["answered"]["status"], told["again"], told["answered"]["event_count"]) == ("done", None, 1)
