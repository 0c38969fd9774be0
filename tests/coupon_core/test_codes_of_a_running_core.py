"""Codes through a real core: invented ones, patterns, a billion of them, and a job that is killed again and again."""

import asyncio
import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import numpy

from contracts.campaigns import CodePattern
from contracts.commands import (
    ActivateCampaign,
    CancelGeneration,
    ClaimCoupon,
    CouponReference,
    ExportCodes,
    GenerateCampaign,
    RedeemCoupon,
    SetCodeKey,
    VoidCoupons,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from coupon_core.audit import audit
from coupon_core.codes.generated import ALPHABET, GeneratedCodes
from coupon_core.codes.patterned import patterned
from tests.support.campaigns import generated, issue, terms
from tests.support.core import CorePlatform, core_at
from tests.support.figures import show

PATTERN = CodePattern(prefix="JOB-", charset="digits", length=9)
INVENTED = 1_000_000

core = core_at("2026-03-02T00:00:00Z")


def codes_of(core: CorePlatform) -> GeneratedCodes:
    """What whoever has the platform's code key can compute."""
    document = json.loads((core.secrets_folder / "code-keys.json").read_text())
    return GeneratedCodes({int(version): base64.b64decode(key) for version, key in document.items()})


async def patterned_campaign(
    core: CorePlatform, name: str, quantity: int, pattern: CodePattern, *, stored: bool = False
) -> tuple[UUID, dict[str, Any]]:
    supply = {"kind": "generated", "pattern": pattern.model_dump(), "stored": stored}
    command = GenerateCampaign.model_validate({"terms": terms(name=name), "quantity": quantity, "supply": supply})
    campaign = campaign_id(PLATFORM, name)
    return campaign, await core.done(command, campaign=campaign)


async def test_none_of_a_million_invented_codes_passes(core: CorePlatform) -> None:
    campaign = await generated(core, "invented", 1_000_000_000)
    await core.done(ExportCodes(count=1_000_000), campaign=campaign)
    codes, chance = codes_of(core), numpy.random.default_rng(2017)
    symbols = numpy.frombuffer(ALPHABET.encode(), dtype=numpy.uint8)[chance.integers(0, 32, (INVENTED, 12))]
    symbols[:, 0] = ord("1")
    text = symbols.tobytes().decode()
    invented = [text[start : start + 12] for start in range(0, len(text), 12)]
    serials = codes.serials_of(invented)
    passed = [code for code, serial in zip(invented, serials, strict=True) if serial is not None]
    show(f"{len(passed)} of {INVENTED:,} invented codes pass the arithmetic; all are sent to the platform")
    assert 20 <= len(passed) <= 110
    references = tuple(CouponReference(code=code) for code in passed)
    answer = await core.done(VoidCoupons(coupons=references, reason="try"), campaign=campaign)
    assert (answer["accepted"], answer["refused"]) == (0, len(passed))
    assert {row["refusal"]["code"] for row in answer["rows"]} == {"coupon_not_found"}
    for code in passed[:10]:
        assert await core.refused(RedeemCoupon(coupon=CouponReference(code=code)), campaign=campaign)
        assert (await core.read("/resolve", code=code))["candidates"] == []


async def test_a_billion_codes_cost_one_row_and_can_be_issued_exported_and_redeemed(core: CorePlatform) -> None:
    campaign = await generated(core, "a billion", 1_000_000_000)
    (issued,) = await issue(core, campaign, ["ann"])
    exported = await core.done(ExportCodes(count=1_000), campaign=campaign)
    assert (exported["first"], exported["last"], len(exported["codes"])) == (2, 1_001, 1_000)
    for code, user in ((issued["code"], "ann"), (exported["codes"][499]["code"], None)):
        redeemed = await core.done(RedeemCoupon(coupon=CouponReference(code=code)), campaign=campaign)
        assert redeemed["user"] == user
    shown = await core.read(f"/campaigns/{campaign}")
    assert (shown["quantity"], shown["issued"], shown["exported"]) == (1_000_000_000, 2, 999)


async def test_a_code_of_a_pattern_is_found_by_the_code_alone(core: CorePlatform) -> None:
    pattern = CodePattern(prefix="Shop-", length=10)
    campaign, _ = await patterned_campaign(core, "patterned", 1_000_000_000, pattern)
    other, _ = await patterned_campaign(core, "patterned too", 1_000, CodePattern(prefix="Sh", length=12))
    claimed = await core.done(ClaimCoupon(user="bea"), campaign=campaign)
    assert claimed["code"].startswith("Shop-")
    (bearer,) = (await core.done(ExportCodes(count=1), campaign=campaign))["codes"]
    own = patterned(codes_of(core), campaign, pattern, 1)
    assert [claimed["code"], bearer["code"]] == own.codes_of(1, 2)
    for code, coupon in ((claimed["code"], claimed["coupon"]), (bearer["code"], bearer["coupon"])):
        typed = code.lower().replace("-", "")
        found = (await core.read("/resolve", code=typed))["candidates"]
        assert found == [{"campaign": str(campaign), "coupon": coupon}]
        assert [item["id"] for item in (await core.read("/coupons", code=typed))["coupons"]] == [coupon]
        answer = await core.post("/validate", {"party": PLATFORM, "code": typed})
        assert answer.json()["valid"] is True
    following = own.code_of(3)
    assert (await core.read("/resolve", code=following))["candidates"] == []
    page = await core.read(f"/campaigns/{campaign}/codes")
    assert [(item["code"], item["state"]) for item in page["codes"]] == [
        (claimed["code"], "held"),
        (bearer["code"], "exported"),
    ]
    assert (await core.read(f"/campaigns/{other}"))["pattern"]["prefix"] == "Sh"


async def test_a_job_killed_again_and_again_writes_each_code_once(core: CorePlatform, tmp_path: Path) -> None:
    hits = tmp_path / "hits"
    points = (
        "core.between_slice_and_continuation=kill@1",
        "core.after_commit=kill@2",
    )
    core.processes[0].stop()
    core.start_process(0, SCRIP_FAILPOINTS=points[0], SCRIP_FAILPOINT_LOG=str(hits))
    await core.wait_ready(0)
    total = 23_000
    command = {"kind": "generated", "pattern": PATTERN.model_dump(), "stored": True}
    campaign = campaign_id(PLATFORM, "killed job")
    record = core.record(
        GenerateCampaign.model_validate({"terms": terms(name="killed job"), "quantity": total, "supply": command}),
        campaign=campaign,
    )
    await core.append_record(record)
    for following in (*points[1:], None):
        await asyncio.to_thread(core.processes[0].process.wait, 60)
        environment = {} if following is None else {"SCRIP_FAILPOINTS": following, "SCRIP_FAILPOINT_LOG": str(hits)}
        core.start_process(0, **environment)
    await core.wait_ready(0)
    killed = [line.split()[0] for line in hits.read_text().splitlines() if " kill " in line]
    assert killed == [point.partition("=")[0] for point in points]

    shown = await core.read(f"/campaigns/{campaign}")
    for _ in range(300):
        if shown["state"] != "generating":
            break
        assert shown["generation"]["total"] == total
        await asyncio.sleep(0.1)
        shown = await core.read(f"/campaigns/{campaign}")
    assert (shown["state"], shown["available_codes"], shown["generation"]) == ("active", total, None)

    connection = await asyncpg.connect(core.database.url("core"))
    try:
        rows = await connection.fetch(
            "SELECT position, shown FROM uploaded_code u JOIN campaign c ON c.number = u.campaign WHERE c.id = $1 "
            "ORDER BY position",
            campaign,
        )
        report = await audit(connection, campaign)
    finally:
        await connection.close()
    expected = patterned(codes_of(core), campaign, PATTERN, 1).codes_of(1, total)
    assert [tuple(row) for row in rows] == list(enumerate(expected, start=1))
    assert report is not None
    assert report["differences"] == []
    events = [event["type"] for event in (await core.read(f"/campaigns/{campaign}/events"))["events"]]
    assert events[-1] == "scrip.campaign.generated.v1"
    assert events.count("scrip.campaign.generation_progressed.v1") == 4


async def test_the_rate_of_a_draft_activated_ten_days_later_is_that_of_its_job(core: CorePlatform) -> None:
    supply = {"kind": "generated", "pattern": PATTERN.model_dump(), "stored": True}
    plan = {"terms": terms(name="late job"), "quantity": 900_000, "supply": supply, "draft": True}
    campaign = campaign_id(PLATFORM, "late job")
    await core.done(GenerateCampaign.model_validate(plan), campaign=campaign)
    await core.tell_time("2026-03-12T00:00:00Z")
    await core.done(ActivateCampaign(), campaign=campaign)
    await core.tell_time("2026-03-12T00:00:10Z")
    shown = await core.read(f"/campaigns/{campaign}")
    progress, done = shown["generation"], shown["generation"]["done"]
    assert (shown["state"], done >= 5_000, progress["rate"]) == ("generating", True, round(done / 10, 1))
    end = datetime.fromisoformat("2026-03-12T00:00:00Z") + timedelta(seconds=10 * 900_000 / done)
    assert abs(datetime.fromisoformat(progress["eta"]) - end) < timedelta(seconds=1)
    was = await core.read(f"/campaigns/{campaign}/as-of", seq=shown["seq"])
    assert was["generation"]["done"] == done
    assert (await core.done(CancelGeneration(reason="enough"), campaign=campaign))["state"] == "failed"


async def test_another_code_key_is_used_for_what_is_new_and_the_old_one_stays_good(core: CorePlatform) -> None:
    before = await generated(core, "under the first key", 1_000)
    (old,) = await issue(core, before, ["ann"])
    keys = core.secrets_folder / "code-keys.json"
    first = json.loads(keys.read_text())
    keys.write_text(json.dumps(first | {"2": base64.b64encode(b"2" * 32).decode()}))
    core.processes[0].stop()
    core.start_process(0)
    await core.wait_ready(0)
    assert (await core.read("/status"))["code_keys"] == [1, 2]
    for reply in await core.on_all_lanes(lambda lane: SetCodeKey(partition=lane, version=2)):
        assert reply.status == "done"
    after = await generated(core, "under the second key", 1_000)
    (new,) = await issue(core, after, ["ann"])
    (same_block,) = await issue(core, before, ["bea"])
    assert (old["code"][0], same_block["code"][0], new["code"][0]) == ("1", "1", "2")
    for campaign, row in ((before, old), (before, same_block), (after, new)):
        assert await core.done(RedeemCoupon(coupon=CouponReference(code=row["code"])), campaign=campaign)

    core.processes[0].stop()
    for wrong in (first, first | {"2": base64.b64encode(b"3" * 32).decode()}):
        kept = keys.read_text()
        keys.write_text(json.dumps(wrong))
        process = core.start_process(0)
        assert await asyncio.to_thread(process.process.wait, 60) != 0
        assert "put the keys back" in process.log_end(40)
        keys.write_text(kept)
    core.start_process(0)
    await core.wait_ready(0)
    assert await issue(core, after, ["bea"])
