"""The read API where time is the log's: questions are judged by the process's clock too, and any process answers."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.campaigns import generated, issue
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.servers import Servers


async def validate(core: CorePlatform, code: str, party: str, instance: int) -> dict[str, Any]:
    question = {"party": party, "campaign": None, "code": code, "amount": 1_000}
    answer = await core.post("/validate", question, instance=instance)
    said: dict[str, Any] = answer.json()
    return said


async def test_a_coupon_whose_time_is_over_is_refused_at_once_by_every_process(
    databases: Databases, backend: Servers, tmp_path: Path
) -> None:
    async with running_core(databases, backend.bootstrap, tmp_path, told=False, processes=2) as core:
        merchant = str(uuid4())
        await core.set_merchant(merchant)
        ends = datetime.now(UTC) + timedelta(seconds=4)
        validity = {"starts": "2026-01-01", "ends": ends.isoformat()}
        campaign = await generated(core, "short", 10, party=merchant, validity=validity)
        (row,) = await issue(core, campaign, ["a"], party=merchant)
        for instance in (0, 1):
            listed = await core.get("/catalogue", instance=instance)
            said = await validate(core, row["code"], merchant, instance)
            assert said["as_of"] is not None
            if datetime.fromisoformat(said["as_of"]) < ends:  # else this machine is too busy to ask in time
                assert (said["valid"], said["payable"]) == (True, 500)
                assert [item["id"] for item in listed.json()["campaigns"]] == [str(campaign)]

        # Nothing more is sent: the lanes' clocks stand still, and the coupon's end passes.
        await asyncio.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.05)
        for instance in (0, 1):
            said = await validate(core, row["code"], merchant, instance)
            assert [reason["code"] for reason in said["reasons"]] == ["coupon_expired"]
            assert said["coupon"] == row["coupon"]
            assert (await core.get("/catalogue", instance=instance)).json()["campaigns"] == []

        # What a killed process decided is read from the other one.
        core.processes[0].kill()
        for path in (f"/coupons/{row['coupon']}", f"/campaigns/{campaign}", "/status", "/audit"):
            assert (await core.get(path, instance=1)).status_code == 200
        status = (await core.get("/status", instance=1)).json()
        assert (status["time"], len(status["lanes"])) == ("record", 8)
