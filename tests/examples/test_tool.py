import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from contracts import identifiers
from contracts.answers import DeadLetter, Reply
from contracts.commands import SetTool
from contracts.partitioner import partition_of
from examples.tool import tool as example
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.servers import Servers

ROOT = Path(__file__).parents[2]
REPLY_TOPIC = "tools.print-shop.replies"
SPRING = ("generate", "--campaign", "spring", "--name", "Spring", "--amount-off", "500", "--quantity", "3",
          "--starts", "2026-03-01", "--ends", "2027-05-31", "--zone", "Europe/Berlin")  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def core(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[CorePlatform]:
    """A core that knows the tool `print-shop`, as the gateway would have told it."""
    async with running_core(databases, backend.bootstrap, tmp_path_factory.mktemp("core"), told=True) as platform:
        await platform.tell_time("2026-03-02T09:00:00Z")
        for reply in await platform.on_all_lanes(
            lambda lane: SetTool(
                partition=lane,
                tool="print-shop",
                version=1,
                key_versions=(1,),
                rights=("generate", "issue"),
                reply_topic=REPLY_TOPIC,
            )
        ):
            assert reply.status == "done"
        yield platform


@pytest.fixture
def credentials(core: CorePlatform, tmp_path: Path) -> Path:
    """What `scrip tool add --json` prints, in a file."""
    writer = core.writer("tool:print-shop")
    printed = {
        "name": "print-shop",
        "writer": writer.name,
        "key": base64.b64encode(writer.key).decode(),
        "key_version": writer.version,
        "reply_topic": REPLY_TOPIC,
    }
    file = tmp_path / "print-shop.json"
    file.write_text(json.dumps(printed))
    return file


def read(credentials: Path) -> dict[str, Any]:
    given: dict[str, Any] = json.loads(credentials.read_text())
    return given


async def run(core: CorePlatform, credentials: Path, *arguments: str) -> tuple[int, Any]:
    """The tool as its user starts it: exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, ROOT / "examples/tool/tool.py"),
        *("--credentials", str(credentials), "--bootstrap", core.bootstrap, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode is not None
    assert out, errors.decode()
    return process.returncode, json.loads(out)


async def test_it_generates_a_campaign_and_issues_its_coupons(core: CorePlatform, credentials: Path) -> None:
    code, answer = await run(core, credentials, *SPRING)
    assert (code, answer["status"]) == (0, "done")
    campaign = str(identifiers.campaign_id("platform", "spring"))
    assert Reply.model_validate(answer).result == {"campaign": campaign, "state": "active"}

    code, answer = await run(core, credentials, "issue", "--campaign", "spring", "--request", "1", "a", "b")
    assert (code, answer["result"]["accepted"]) == (0, 2)
    coupons = [row["coupon"] for row in answer["result"]["rows"]]
    assert coupons == [f"{campaign}.1", f"{campaign}.2"]
    assert all(len(row["code"]) == 12 for row in answer["result"]["rows"])

    code, again = await run(core, credentials, "issue", "--campaign", "spring", "--request", "1", "a", "b")
    assert (code, again["replayed"], again["result"]) == (0, True, answer["result"])

    code, answer = await run(core, credentials, "issue", "--campaign", "spring", "--request", "2", "c", "d")
    assert (answer["result"]["accepted"], answer["result"]["refused"]) == (1, 1)
    assert answer["result"]["rows"][1]["refusal"]["code"] == "campaign_exhausted"


async def test_a_refusal_comes_back_by_its_code(core: CorePlatform, credentials: Path) -> None:
    code, answer = await run(core, credentials, "issue", "--campaign", "never made", "--request", "1", "a")
    assert (code, answer["refusal"]["code"]) == (1, "campaign_not_found")


@pytest.mark.parametrize(("how", "reason"), [("unreadable", "unreadable"), ("forged", "unsigned_writer")])
async def test_a_bad_record_comes_back_as_a_dead_letter(
    core: CorePlatform, credentials: Path, how: str, reason: str
) -> None:
    code, answer = await run(core, credentials, "break", how)
    letter = DeadLetter.model_validate(answer)
    assert (code, letter.reason, letter.topic) == (3, reason, "coupon.commands")
    assert base64.b64decode(letter.value or "") == b'{"specversion": "1.0", "type": "scrip.command.Guess.v1"}'


async def test_it_derives_ids_and_partitions_as_the_contracts_do(core: CorePlatform, credentials: Path) -> None:
    campaign = identifiers.campaign_id("platform", "any")
    assert example.campaign_id("any") == str(campaign)
    assert example.command_id("IssueCoupons", str(campaign), "7") == str(
        identifiers.command_id("platform", "IssueCoupons", campaign, "7")
    )
    tool = example.Tool(core.bootstrap, read(credentials))
    for number in range(16):
        key = str(UUID(int=number * 7919)).encode()
        sent = await asyncio.to_thread(tool.send, key, b"{}")
        assert sent.partition() == partition_of(key, core.partitions)


async def test_the_consumer_beside_it_reads_its_events_without_a_gap(core: CorePlatform, credentials: Path) -> None:
    await run(core, credentials, *SPRING[:2], "summer", *SPRING[3:])
    await run(core, credentials, "issue", "--campaign", "summer", "--request", "1", "a", "b", "c")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, ROOT / "examples/consumer/coupon_events.py"),
        *("--bootstrap", core.bootstrap, "--until-idle", "2"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    *events, seen = out.decode().splitlines()
    campaign = str(identifiers.campaign_id("platform", "summer"))
    assert [line.split()[1] for line in events if campaign in line] == [
        "scrip.campaign.created.v1",
        "scrip.campaign.generation_started.v1",
        "scrip.campaign.generated.v1",
        *["scrip.coupon.issued.v1"] * 3,
        "scrip.campaign.exhausted.v1",
    ]
    assert json.loads(seen) == json.loads(seen) | {"repeats": 0, "gaps": []}
