"""Exports as a real core streams them: whole, countable, to be gone on with, and safe to open in a spreadsheet."""

import asyncio
import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.commands import CouponReference, ExportCodes, RedeemCoupon, UploadCodes
from coupon_core.queries.exporting import as_csv, safe
from tests.support.campaigns import generated, issue, published
from tests.support.core import CorePlatform, core_at
from tests.support.figures import show

OWNER, OTHER = str(uuid4()), str(uuid4())
MILLION = 1_000_000
FLAT_MEGABYTES = 60

core = core_at("2026-03-02T00:00:00Z", OWNER, partners=[OTHER])


@pytest.fixture(scope="module")
async def used(core: CorePlatform) -> UUID:
    """Three issued, one of them redeemed; four exported, one of them redeemed."""
    campaign = await generated(core, "used", 1_000)
    await issue(core, campaign, ["ann", "=cmd()", "cid"])
    exported = await core.done(ExportCodes(count=4), campaign=campaign)
    for reference in (CouponReference(number=1), CouponReference(code=exported["codes"][1]["code"])):
        await core.done(RedeemCoupon(coupon=reference, order="+1"), campaign=campaign)
    return campaign


async def exported(core: CorePlatform, campaign: UUID, what: str, **query: Any) -> str:
    answer = await core.get(f"/campaigns/{campaign}/export/{what}", **query)
    assert answer.status_code == 200, answer.text
    return answer.text


def whole(text: str) -> list[list[str]]:
    """The rows of a CSV export, after its last line was checked."""
    body, end, trailer = text.rpartition("#end,")
    assert end, text[-200:]
    rows = list(csv.reader(io.StringIO(body, newline="")))
    count, digest = trailer.strip().split(",")[:2]
    assert digest == hashlib.sha256(body.encode()).hexdigest()
    header = 1 if rows and rows[0][0] in ("number", "seq") else 0
    assert int(count) == len(rows) - header
    assert len({len(row) for row in rows} | {len(trailer.strip().split(",")) + 1}) <= 1 or not rows
    return rows


async def test_codes_stand_by_number_with_their_state(core: CorePlatform, used: UUID) -> None:
    rows = whole(await exported(core, used, "codes"))
    assert rows[0] == ["number", "code", "state"]
    states = ["redeemed", "held", "held", "exported", "redeemed", "exported", "exported"]
    assert [(int(row[0]), row[2]) for row in rows[1:]] == list(enumerate(states, start=1))
    listed = (await core.read(f"/campaigns/{used}/codes"))["codes"]
    assert [row[1] for row in rows[1:]] == [item["code"] for item in listed]


async def test_json_lines_say_the_same(core: CorePlatform, used: UUID) -> None:
    text = await exported(core, used, "codes", format="jsonl")
    *lines, last = text.splitlines()
    rows = whole(await exported(core, used, "codes"))[1:]
    assert [list(map(str, json.loads(line).values())) for line in lines] == rows
    body = "".join(f"{line}\n" for line in lines)
    assert json.loads(last) == {"end": {"rows": 7, "sha256": hashlib.sha256(body.encode()).hexdigest()}}


async def test_a_range_or_a_state_can_be_asked_for(core: CorePlatform, used: UUID) -> None:
    rows = whole(await exported(core, used, "codes", after=3, last=6))
    assert [row[0] for row in rows] == ["4", "5", "6"]
    rows = whole(await exported(core, used, "codes", state="exported"))
    assert [row[0] for row in rows[1:]] == ["4", "6", "7"]
    assert whole(await exported(core, used, "codes", after=7)) == []


async def test_coupons_are_there_without_their_codes(core: CorePlatform, used: UUID) -> None:
    rows = whole(await exported(core, used, "coupons"))
    assert rows[0][:5] == ["number", "id", "user", "state", "code_last"]
    users = [(row[2], row[3]) for row in rows[1:]]
    assert users == [("ann", "redeemed"), ("'=cmd()", "held"), ("cid", "held"), ("", "redeemed")]
    assert {len(row[4]) for row in rows[1:]} == {4}
    assert [row[2] for row in whole(await exported(core, used, "coupons", state="held"))[1:]] == ["'=cmd()", "cid"]
    assert [row[0] for row in whole(await exported(core, used, "coupons", user="cid"))[1:]] == ["3"]


async def test_history_is_the_events_as_they_were_sent(core: CorePlatform, used: UUID) -> None:
    sent = (await core.read(f"/campaigns/{used}/events"))["events"]
    lines = (await exported(core, used, "history", format="jsonl")).splitlines()[:-1]
    assert [json.loads(line) for line in lines] == sent
    rows = whole(await exported(core, used, "history"))
    assert [int(row[0]) for row in rows[1:]] == [event["seq"] for event in sent]
    redeemed = whole(await exported(core, used, "history", type="coupon.redeemed"))
    assert [row[2] for row in redeemed[1:]] == ["scrip.coupon.redeemed.v1"] * 2
    assert len(whole(await exported(core, used, "history", after=len(sent) - 2))) == 2


async def test_uploaded_codes_stand_as_they_were_written_but_no_formula(core: CorePlatform) -> None:
    campaign = await published(core, "uploads", {"kind": "uploaded"}, party=OWNER)
    shown = ("=1+1", "-A1", "plain, with comma", '@"q"')
    await core.done(UploadCodes(codes=shown), campaign=campaign, party=OWNER)
    await issue(core, campaign, ["ann"], party=OWNER)
    rows = whole(await exported(core, campaign, "codes"))[1:]
    assert [row[1] for row in rows] == ["'=1+1", "'-A1", "plain, with comma", '\'@"q"']
    assert [row[2] for row in rows] == ["held", "available", "available", "available"]


async def test_only_who_may_know_gets_them(core: CorePlatform, used: UUID) -> None:
    mine = await generated(core, "mine", 100, party=OWNER, redeemable_by=[OTHER])
    await issue(core, mine, ["ann"], party=OWNER)
    for what in ("codes", "coupons", "history"):
        path = f"/campaigns/{mine}/export/{what}"
        assert (await core.get(path, party=OWNER)).status_code == 200
        assert (await core.get(path, party=OTHER)).status_code == (200 if what == "coupons" else 404)
        assert (await core.get(f"/campaigns/{used}/export/{what}", party=OWNER)).status_code == 404
        assert (await core.get(path, token="wrong")).status_code == 401
    wrong: list[dict[str, Any]] = [{"after": "-1"}, {"format": "xlsx"}, {"state": "odd"}, {"odd": "1"}]
    for query in wrong:
        assert (await core.get(f"/campaigns/{mine}/export/codes", **query)).status_code == 422, query
    assert (await core.get(f"/campaigns/{mine}/export/history", type="odd")).status_code == 422


async def test_a_million_codes_stream_with_flat_memory_and_can_be_gone_on_with(core: CorePlatform) -> None:
    campaign = await generated(core, "million", 1_000_000_000)
    taken = await core.done(ExportCodes(count=MILLION), campaign=campaign)
    assert (taken["first"], taken["last"]) == (1, MILLION)
    assert "codes" not in taken
    process = core.processes[0]
    headers = {"Authorization": f"Bearer {core.service_token}"}
    url = f"{process.url}/campaigns/{campaign}/export/codes"
    await exported(core, campaign, "codes", last=50_000)
    before, most, digest = memory(process.process.pid), 0.0, hashlib.sha256()
    parts: list[bytes] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with core.http.stream("GET", url, headers=headers) as answer:
        async for part in answer.aiter_bytes():
            parts.append(part)
            most = max(most, memory(process.process.pid))
    took = loop.time() - began
    text = b"".join(parts)
    body, _, trailer = text.rpartition(b"#end,")
    digest.update(body)
    assert trailer.decode().strip() == f"{MILLION},{digest.hexdigest()}"
    assert body.count(b"\r\n") == MILLION + 1
    codes = {line.split(b",")[1] for line in body.splitlines()[1:]}
    assert len(codes) == MILLION
    show(f"1,000,000 codes in {took:.1f} s ({MILLION / took:,.0f}/s); core grew by {most - before:.0f} MB")
    assert most - before < FLAT_MEGABYTES

    # Cut off amid a line: the whole rows are kept, and the rest is asked for.
    kept = body[: len(body) // 2]
    kept = kept[: kept.rindex(b"\n") + 1]
    last = int(kept.splitlines()[-1].split(b",")[0])
    rest = (await core.get(f"/campaigns/{campaign}/export/codes", after=last)).content
    assert kept + rest.rpartition(b"#end,")[0] == body


def memory(pid: int) -> float:
    """Megabytes of the process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the process is gone")


async def test_more_exports_than_a_process_streams_at_once_are_told_to_come_later(core: CorePlatform) -> None:
    campaign = await generated(core, "busy", 1_000_000_000)
    await core.done(ExportCodes(count=MILLION), campaign=campaign)
    url = f"{core.processes[0].url}/campaigns/{campaign}/export/codes"
    headers = {"Authorization": f"Bearer {core.service_token}"}
    opened = [await core.http.send(core.http.build_request("GET", url, headers=headers), stream=True) for _ in range(4)]
    try:
        refused = await core.http.get(url, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (503, "exports_running")
        assert refused.headers["retry-after"]
    finally:
        for answer in opened:
            await answer.aclose()
    for _ in range(100):  # who went away leaves its place
        if (await core.get(f"/campaigns/{campaign}/export/codes", last=10)).status_code == 200:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no place became free")


async def test_one_merchant_cannot_keep_the_others_from_their_exports(core: CorePlatform) -> None:
    campaign = await generated(core, "slow reader", 1_000_000_000, party=OWNER)
    await core.done(ExportCodes(count=MILLION), campaign=campaign, party=OWNER)
    url = f"{core.processes[0].url}/campaigns/{campaign}/export/codes"
    headers = {"Authorization": f"Bearer {core.service_token}"}

    async def opened(party: str | None) -> httpx.Response:
        query = {} if party is None else {"party": party}
        return await core.http.send(core.http.build_request("GET", url, headers=headers, params=query), stream=True)

    answers = [await opened(party) for party in (OWNER, OWNER, OWNER, None)]
    try:
        assert [answer.status_code for answer in answers] == [200, 200, 503, 200]
    finally:
        for answer in answers:
            await answer.aclose()


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\x00x", "\nx", " =1", '"=1"', "\uff1d1"])
def test_no_cell_begins_as_a_formula(cell: str) -> None:
    assert safe(cell) == "'" + cell
    (row,) = csv.reader(io.StringIO(as_csv(("a", "b"), [(cell, 7)]).decode(), newline=""))
    assert row == ["'" + cell, "7"]


@pytest.mark.parametrize("between", [";", "; ", ';"', "\t", "\n", ";;"])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_no_cell_begins_as_a_formula_where_semicolons_or_tabs_end_cells(between: str, sign: str) -> None:
    line = as_csv(("a", "b"), [(f"x{between}{sign}HYPERLINK(1)", 7)]).decode()
    for cell in re.split(r"[;\t\r\n]", line):
        assert not cell.lstrip(" \"'").startswith(sign) or cell.startswith("'"), line


def test_other_cells_stay_as_they_are() -> None:
    for cell in ("", "a=1", "1-2", "'", "\u00e9", "x\ty"):
        assert safe(cell) == cell
