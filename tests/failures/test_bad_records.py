"""Records on the command log that must not act: each becomes a dead letter with its reason (or a refusal), nothing
else changes, and the good command behind it is decided.
"""

import asyncio
import base64
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from contracts.answers import DeadLetter
from contracts.commands import (
    COMMANDS,
    AdvanceClock,
    BuildingRules,
    ChangeQuantity,
    ClaimCoupon,
    CommandRecord,
    CouponReference,
    ExportCodes,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ReturnCoupon,
    RunDue,
    SetBuildingRules,
    SetMerchant,
    SetTool,
    StopCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
)
from contracts.fields import Contract
from contracts.partitioner import partition_of
from contracts.topics import COUPON_COMMANDS, COUPON_DEAD_LETTERS
from contracts.writers import WRITER_HEADER, Writer, sign
from tests.failures.checker import check
from tests.failures.evidence import read_tables
from tests.support.bad_records import BadRecord, bad_record, example_data
from tests.support.campaigns import generated, terms
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.figures import show
from tests.support.servers import Servers

NOW = "2026-03-10T12:00:00Z"
TOOL = "tool:till"
RANDOM_RECORDS = 2_000
SOAK_RECORDS = 20_000
DECIDED_SECONDS = 60.0


class Log:
    """One core process, a campaign in it with a coupon held, and ways to put bad records into its lane."""

    def __init__(self, core: CorePlatform, campaign: UUID) -> None:
        self.core = core
        self.campaign = campaign
        self.lane = partition_of(str(campaign).encode(), core.partitions)

    @property
    def key(self) -> bytes:
        return str(self.campaign).encode()

    def record(self, command: Contract | None = None, **envelope: Any) -> CommandRecord:
        """A good command, unless the envelope spoils it."""
        return self.core.record(
            command or ClaimCoupon(user=f"user-{uuid4()}"), **{"campaign": self.campaign, **envelope}
        )

    def value(self, command: Contract | None = None, **envelope: Any) -> bytes:
        return self.record(command, **envelope).model_dump_json(exclude_none=True).encode()

    async def put(
        self,
        value: bytes | None,
        *,
        key: bytes | None = b"",
        writer: str | Writer | None = "gateway",
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> tuple[int, int]:
        """Append a record to the campaign's lane, or another partition; where it stands."""
        place = self.lane if partition is None else partition
        signer = self.core.writer(writer) if isinstance(writer, str) else writer
        named = self.key if key == b"" else key
        return place, await self.core.append(named, value, partition=place, writer=signer, headers=headers)

    async def dead_letter(self, partition: int, offset: int) -> DeadLetter:
        """The dead letter of this record; waits for it."""
        connection = await asyncpg.connect(self.core.database.url("core"))
        statement = "SELECT body FROM dead_letter WHERE partition = $1 AND position = $2"
        try:
            async with asyncio.timeout(DECIDED_SECONDS):
                while True:
                    body = await connection.fetchval(statement, partition, offset)
                    if body is not None:
                        return DeadLetter.model_validate_json(body)
                    await asyncio.sleep(0.02)
        finally:
            await connection.close()

    async def state(self) -> dict[str, Any]:
        """All rows that a bad record must leave as they are."""
        tables = await read_tables(self.core.database.url("core"))
        return {
            name: getattr(tables, name)
            for name in ("lane_fact", "campaign", "coupon", "redemption", "uploaded_code", "outcome", "refusal")
        }


Bad = Callable[[Log], Awaitable[tuple[int, int]]]
BAD: list[tuple[str, Bad]] = []


def bad(reason: str) -> Callable[[Bad], Bad]:
    """A record that must become a dead letter with this reason; the function appends it and says where it stands."""

    def keep(append: Bad) -> Bad:
        BAD.append((reason, append))
        return append

    return keep


@pytest.fixture(scope="module")
async def log(databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Log]:
    async with running_core(databases, backend.bootstrap, tmp_path_factory.mktemp("core")) as core:
        await core.tell_time(NOW)
        campaign = await generated(core, "bad records", 100_000)
        await core.done(IssueCoupons(rows=(IssueRow(user="holder"),)), campaign=campaign)
        for tool, active in (("till", True), ("retired", False)):
            await core.on_all_lanes(
                lambda lane, tool=tool, active=active: SetTool(  # type: ignore[misc]
                    partition=lane, tool=tool, version=1, key_versions=(1,), rights=("issue",), active=active
                )
            )
        yield Log(core, campaign)


# --- who wrote it


@bad("unsigned_writer")
async def unsigned(log: Log) -> tuple[int, int]:
    return await log.put(log.value(), writer=None)


@bad("unsigned_writer")
async def forged(log: Log) -> tuple[int, int]:
    return await log.put(log.value(), writer=Writer("gateway", 1, b"x" * 32))


@bad("unsigned_writer")
async def changed_after_it_was_signed(log: Log) -> tuple[int, int]:
    value = log.value(ClaimCoupon(user="alice"))
    signature = sign(log.core.writer(), COUPON_COMMANDS.name, log.key, value)
    return await log.put(value.replace(b"alice", b"mally"), writer=None, headers=[(WRITER_HEADER, signature)])


@bad("unsigned_writer")
async def signed_for_another_campaign(log: Log) -> tuple[int, int]:
    value = log.value()
    signature = sign(log.core.writer(), COUPON_COMMANDS.name, str(uuid4()).encode(), value)
    return await log.put(value, writer=None, headers=[(WRITER_HEADER, signature)])


@bad("unsigned_writer")
async def by_a_writer_nobody_knows(log: Log) -> tuple[int, int]:
    return await log.put(log.value(), writer=Writer("console", 1, log.core.writer().key))


@bad("unsigned_writer")
async def with_a_key_version_nobody_knows(log: Log) -> tuple[int, int]:
    return await log.put(log.value(), writer=Writer("gateway", 2, log.core.writer().key))


@bad("unsigned_writer")
async def with_a_signature_that_is_no_text(log: Log) -> tuple[int, int]:
    return await log.put(log.value(), writer=None, headers=[(WRITER_HEADER, b"\xff\x00;k=;v1=")])


@bad("unsigned_writer")
async def by_a_tool_that_was_never_registered(log: Log) -> tuple[int, int]:
    return await log.put(log.value(actor="tool:stranger"), writer="tool:stranger")


@bad("unsigned_writer")
async def by_a_tool_that_was_retired(log: Log) -> tuple[int, int]:
    return await log.put(log.value(actor="tool:retired"), writer="tool:retired")


@bad("unsigned_writer")
async def by_a_tool_with_a_key_it_does_not_use_any_more(log: Log) -> tuple[int, int]:
    return await log.put(log.value(actor=TOOL), writer=log.core.writer(TOOL, version=2))


# --- who may write it


@bad("writer_not_allowed")
async def by_a_tool_that_names_another_actor(log: Log) -> tuple[int, int]:
    return await log.put(log.value(actor="staff:boss"), writer=TOOL)


@bad("writer_not_allowed")
async def by_a_tool_that_acts_for_a_merchant(log: Log) -> tuple[int, int]:
    return await log.put(log.value(actor=TOOL, party=str(uuid4())), writer=TOOL)


@bad("writer_not_allowed")
async def by_a_tool_that_makes_a_merchant(log: Log) -> tuple[int, int]:
    command = SetMerchant(partition=log.lane, merchant=uuid4(), version=1, state="active")
    return await log.put(log.value(command, actor=TOOL), key=f"lane-{log.lane}".encode(), writer=TOOL)


@bad("writer_not_allowed")
async def a_redemption_by_the_adapter(log: Log) -> tuple[int, int]:
    command = RedeemCoupon(coupon=CouponReference(number=1))
    return await log.put(log.value(command, actor="service:adapter"), writer="adapter")


@bad("writer_not_allowed")
async def a_claim_by_core_itself(log: Log) -> tuple[int, int]:
    return await log.put(log.value(actor="service:core"), writer="core")


@bad("writer_not_allowed")
async def anything_by_the_scheduler(log: Log) -> tuple[int, int]:
    return await log.put(log.value(actor="service:scheduler"), writer="scheduler")


@bad("writer_not_allowed")
async def what_is_due_by_the_gateway(log: Log) -> tuple[int, int]:
    command = RunDue(partition=log.lane, until=datetime(2027, 1, 1, tzinfo=UTC))
    return await log.put(log.value(command), key=f"lane-{log.lane}".encode())


# --- when


@bad("too_late")
async def too_late(log: Log) -> tuple[int, int]:
    return await log.put(log.value(notafter=datetime.now(UTC) - timedelta(seconds=1)))


@bad("too_late")
async def an_old_command_replayed(log: Log) -> tuple[int, int]:
    record = log.record(notafter=datetime.now(UTC) + timedelta(seconds=2))
    assert (await log.core.send(record)).status == "done"
    await asyncio.sleep((record.notafter - datetime.now(UTC)).total_seconds() + 0.1)
    return log.lane, await log.core.append_record(record)


@bad("too_far_ahead")
async def meant_to_act_for_more_than_30_days(log: Log) -> tuple[int, int]:
    return await log.put(log.value(notafter=datetime.now(UTC) + timedelta(days=30, minutes=5)))


# --- where


@bad("wrong_partition")
async def in_another_partition(log: Log) -> tuple[int, int]:
    return await log.put(log.value(), partition=(log.lane + 1) % log.core.partitions)


@bad("wrong_partition")
async def a_lane_wide_command_in_another_lane(log: Log) -> tuple[int, int]:
    other = (log.lane + 1) % log.core.partitions
    command = SetMerchant(partition=other, merchant=uuid4(), version=1, state="active")
    return await log.put(log.value(command), key=f"lane-{other}".encode())


@bad("wrong_key")
async def with_the_key_of_another_campaign(log: Log) -> tuple[int, int]:
    other = str(uuid4()).encode()
    return await log.put(log.value(), key=other, partition=partition_of(other, log.core.partitions))


@bad("wrong_key")
async def about_a_campaign_that_is_no_id(log: Log) -> tuple[int, int]:
    return await log.put(log.value(campaign="spring"), key=b"spring")


@bad("wrong_key")
async def about_a_campaign_in_capitals(log: Log) -> tuple[int, int]:
    shouted = str(log.campaign).upper()
    return await log.put(log.value(campaign=shouted), key=shouted.encode())


# --- what it says


def _spoiled(log: Log, **changed: Any) -> bytes:
    document = json.loads(log.value())
    return json.dumps({**document, **changed}).encode()


@bad("unreadable")
async def poison_bytes(log: Log) -> tuple[int, int]:
    return await log.put(b"\xff\xfe\x00\x80{" + os.urandom(200))


@bad("unreadable")
async def a_null_key(log: Log) -> tuple[int, int]:
    return await log.put(log.value(), key=None)


@bad("unreadable")
async def a_tombstone(log: Log) -> tuple[int, int]:
    return await log.put(None)


@bad("unreadable")
async def neither_key_nor_content(log: Log) -> tuple[int, int]:
    return await log.put(b"", key=None, writer=None)


@bad("unreadable")
async def nothing_at_all(log: Log) -> tuple[int, int]:
    return await log.put(b"")


@bad("unreadable")
async def json_nested_10000_deep(log: Log) -> tuple[int, int]:
    return await log.put(b'{"data":' * 10_000 + b"1" + b"}" * 10_000)


@bad("unreadable")
async def lists_nested_10000_deep_in_a_good_envelope(log: Log) -> tuple[int, int]:
    value = log.value().removesuffix(b"}") + b',"extra":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    return await log.put(value)


@bad("unreadable")
async def of_900_kilobytes(log: Log) -> tuple[int, int]:
    return await log.put(_spoiled(log, extra="x" * 900 * 1024))


@bad("unsigned_writer")
async def of_900_random_kilobytes_that_do_not_shrink(log: Log) -> tuple[int, int]:
    return await log.put(os.urandom(900 * 1024), writer=None)


@bad("unsigned_writer")
async def of_three_million_bytes_that_shrink(log: Log) -> tuple[int, int]:
    return await _compressed(log, b"x" * 3_000_000)


@bad("unreadable")
async def signed_and_larger_than_a_record_may_be(log: Log) -> tuple[int, int]:
    value = _spoiled(log).removesuffix(b"}") + b" " * 2_000_000 + b"}"
    return await _compressed(log, value, (WRITER_HEADER, sign(log.core.writer(), COUPON_COMMANDS.name, log.key, value)))


@bad("unsigned_writer")
async def with_a_header_name_that_grows_in_json(log: Log) -> tuple[int, int]:
    return await log.put(b"x", writer=None, headers=[("\x01" * 600_000, b"")])


@bad("unsigned_writer")
async def with_300000_headers(log: Log) -> tuple[int, int]:
    return await log.put(b"x", writer=None, headers=[("", b"")] * 300_000)


@bad("unreadable")
async def with_a_key_of_900_kilobytes(log: Log) -> tuple[int, int]:
    return await log.put(b"{}", key=b"k" * 900 * 1024)


@bad("unsigned_writer")
async def by_a_writer_with_a_name_of_900_kilobytes(log: Log) -> tuple[int, int]:
    return await log.put(b"{}", writer=None, headers=[(WRITER_HEADER, b"\x01" * 900 * 1024 + b";k=1;v1=00")])


async def _compressed(log: Log, value: bytes, *headers: tuple[str, bytes]) -> tuple[int, int]:
    """Small enough for the broker, large once it is read."""
    producer = AIOKafkaProducer(
        bootstrap_servers=log.core.bootstrap, compression_type="gzip", max_request_size=2 * len(value)
    )
    await producer.start()
    try:
        topic = COUPON_COMMANDS.name
        sent = await producer.send_and_wait(topic, value, key=log.key, partition=log.lane, headers=list(headers))
    finally:
        await producer.stop()
    return log.lane, int(sent.offset)


@bad("unreadable")
async def of_a_kind_nobody_knows(log: Log) -> tuple[int, int]:
    return await log.put(_spoiled(log, type="scrip.command.BurnEverything.v1"))


@bad("unreadable")
async def with_a_field_nobody_knows(log: Log) -> tuple[int, int]:
    return await log.put(_spoiled(log, data={"user": "a", "colour": "red"}))


@bad("unreadable")
async def without_an_id(log: Log) -> tuple[int, int]:
    return await log.put(_spoiled(log, id=None))


@bad("unreadable")
async def with_a_nul_in_a_user(log: Log) -> tuple[int, int]:
    return await log.put(_spoiled(log, data={"user": "a\0b"}))


@bad("unreadable")
async def with_half_a_surrogate_pair(log: Log) -> tuple[int, int]:
    return await log.put(_spoiled(log, data={"user": "a\ud800b"}))


@bad("unreadable")
async def with_a_user_of_65_bytes(log: Log) -> tuple[int, int]:
    return await log.put(_spoiled(log, data={"user": "x" * 65}))


@bad("unsigned_writer")
async def with_a_header_whose_name_is_no_text(log: Log) -> tuple[int, int]:
    return log.lane, await asyncio.to_thread(_append_with_bad_header_name, log.core.bootstrap, log.lane)


BAD_HEADER_NAME = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class NoText(str):
    def encode(self, *arguments):
        return bytes([0xFF, 0xFE])

async def main(bootstrap, partition):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    sent = await producer.send_and_wait(
        "coupon.commands", b"{}", key=b"key", partition=partition, headers=[(NoText("ab"), b"value")]
    )
    await producer.stop()
    print(sent.offset)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def _append_with_bad_header_name(bootstrap: str, partition: int) -> int:
    """Only aiokafka's parser in Python lets a test write such a record; it is chosen when a process starts."""
    environment = {**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"}
    command = [sys.executable, "-c", BAD_HEADER_NAME, bootstrap, str(partition)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60).stdout)


@pytest.mark.parametrize(("reason", "append"), BAD, ids=[append.__name__ for _, append in BAD])
async def test_a_bad_record_is_a_dead_letter_and_nothing_else(log: Log, reason: str, append: Bad) -> None:
    before = None if append is an_old_command_replayed else await log.state()
    partition, offset = await append(log)
    letter = await log.dead_letter(partition, offset)
    assert letter.reason == reason, letter.detail
    assert (letter.topic, letter.partition, letter.offset) == (COUPON_COMMANDS.name, partition, offset)
    assert before is None or await log.state() == before
    next_one = log.record()
    assert (await log.core.send(next_one)).status == "done"
    if partition != log.lane:
        lane = SetMerchant(partition=partition, merchant=uuid4(), version=1, state="closed")
        assert (await log.core.send(lane)).status == "done"


async def test_a_command_a_tool_has_no_right_to_is_refused(log: Log) -> None:
    before = await log.state()
    record = log.record(RedeemCoupon(coupon=CouponReference(number=1)), actor=TOOL)
    await log.core.append_record(record, TOOL)
    assert (await log.core.send(log.record())).status == "done"
    after = await log.state()
    (refusal,) = (row for row in after["refusal"] if row not in before["refusal"])
    assert (refusal["command"], refusal["code"]) == (record.id, "not_allowed")
    assert after["redemption"] == before["redemption"]


async def test_a_command_replayed_in_time_is_answered_again_and_has_no_second_effect(log: Log) -> None:
    record = log.record(ClaimCoupon(user="replayed"))
    first = await log.core.send(record)
    before = await log.state()
    again = await log.core.send(record)
    assert again.replayed
    assert (again.status, again.result) == (first.status, first.result)
    assert await log.state() == before


async def test_the_same_id_with_other_content_is_refused_and_the_first_outcome_stays(log: Log) -> None:
    record = log.record(ClaimCoupon(user="first"))
    assert (await log.core.send(record)).status == "done"
    before = await log.state()
    other = record.model_copy(update={"data": ClaimCoupon(user="second")})
    assert await log.core.refused(other) == "idempotency_conflict"
    assert await log.state() == before


async def test_a_campaign_to_the_end_of_the_calendar_is_a_campaign(log: Log) -> None:
    validity = {"starts": "0001-01-01", "ends": "9999-12-31", "zone": "America/Los_Angeles"}
    campaign = await generated(log.core, "for ever", 10, validity=validity)
    assert (await log.core.send(ClaimCoupon(user="patient"), campaign=campaign)).status == "done"


# --- and anything at all


async def test_2000_random_and_mutated_records_leave_no_lag_and_restart_nothing(log: Log) -> None:
    await _appended(log, RANDOM_RECORDS)


@pytest.mark.soak
async def test_nor_do_20000(log: Log) -> None:
    await _appended(log, SOAK_RECORDS)


async def _appended(log: Log, count: int) -> None:
    core, chance = log.core, random.Random(count)
    rows = tuple(IssueRow(user=f"mutant-{n}-{count}") for n in range(50))
    held = await core.done(IssueCoupons(rows=rows), campaign=log.campaign)
    codes = [row["code"] for row in held["rows"]]
    pid = core.processes[0].process.pid
    appended: list[tuple[int, int]] = []
    for _ in range(count // 100):
        good = [
            log.record(command, campaign=uuid4() if isinstance(command, GenerateCampaign) else log.campaign)
            for command in (*(make(chance, codes) for make in _GOOD), *_others())
        ]
        appended += await asyncio.gather(*(_append(log, bad_record(chance, good)) for _ in range(100)))
    for lane in range(core.partitions):
        last = SetMerchant(partition=lane, merchant=uuid4(), version=1, state="closed")
        assert (await core.send(last, within=DECIDED_SECONDS * 5)).status == "done", "there is lag"
    tables = await read_tables(core.database.url("core"))
    buried = {(row["partition"], row["position"]) for row in tables.dead_letter}
    reasons = {row["reason"] for row in tables.dead_letter if (row["partition"], row["position"]) in set(appended)}
    show(f"{len(buried & set(appended))} of {count} are dead letters: {', '.join(sorted(reasons))}")
    assert "our_bug" not in reasons, [row["body"] for row in tables.dead_letter if row["reason"] == "our_bug"][:3]
    assert {"unreadable", "unsigned_writer", "wrong_key", "wrong_partition"} <= reasons
    assert core.processes[0].process.pid == pid
    assert core.processes[0].process.poll() is None


async def _append(log: Log, bad: BadRecord) -> tuple[int, int]:
    partitions = log.core.partitions
    own = bad.lane if bad.lane is not None else partition_of(bad.key or b"", partitions)
    place = (own + bad.misplaced) % partitions
    return await log.put(bad.value, key=bad.key, writer=bad.writer, partition=place, headers=bad.headers)


def _others() -> list[Contract]:
    """The examples of commands that are not below; but for those after which the campaign could do nothing more."""
    known = {type(make(random.Random(0), ["x"])) for make in _GOOD}
    ends = {AdvanceClock, StopCampaign, PauseCampaign, VoidCampaign}
    return [command.model_validate(example_data(command)) for command in COMMANDS if command not in known | ends]


_GOOD: list[Callable[[random.Random, list[str]], Contract]] = [
    lambda chance, codes: ClaimCoupon(user=f"u{chance.randrange(50)}"),
    lambda chance, codes: IssueCoupons(rows=tuple(IssueRow(user=f"u{chance.randrange(90)}") for _ in range(4))),
    lambda chance, codes: RedeemCoupon(coupon=CouponReference(code=chance.choice(codes)), order="o", amount=900),
    lambda chance, codes: RedeemCoupon(coupon=CouponReference(number=chance.randrange(1, 60))),
    lambda chance, codes: ReserveCoupon(coupon=CouponReference(number=chance.randrange(1, 60)), order="o"),
    lambda chance, codes: ReleaseCoupon(coupon=CouponReference(code=chance.choice(codes)), order="o"),
    lambda chance, codes: ReturnCoupon(coupon=CouponReference(code=chance.choice(codes)), redemption=1, reason="r"),
    lambda chance, codes: VoidCoupons(coupons=(CouponReference(number=chance.randrange(1, 60)),), reason="r"),
    lambda chance, codes: UploadCodes(codes=("A-1", "A-2")),
    lambda chance, codes: ExportCodes(count=chance.randrange(1, 9)),
    lambda chance, codes: ChangeQuantity(quantity=chance.randrange(50_000, 90_000)),
    lambda chance, codes: GenerateCampaign(terms=terms(minimum_spend=100, metadata={"a": "b"}), quantity=5),
    lambda chance, codes: SetMerchant(partition=0, merchant=uuid4(), version=1, state="active"),
    lambda chance, codes: SetTool(partition=0, tool="drill", version=1, key_versions=(1,), rights=("issue",)),
    lambda chance, codes: SetBuildingRules(
        partition=0, party=str(uuid4()), version=1, rules=BuildingRules(greatest_percent=5_000, longest_days=9)
    ),
]


async def test_at_the_end_log_topics_and_tables_agree(log: Log) -> None:
    core = log.core
    found = await check(core.bootstrap, core.database.url("core"), {}, core.partitions)
    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)


async def test_dead_letters_are_kept_whole_but_for_those_too_large_to_be_sent_which_say_what_was_cut(log: Log) -> None:
    tables = await read_tables(log.core.database.url("core"))
    letters = [DeadLetter.model_validate_json(row["body"]) for row in tables.dead_letter]
    assert {part for letter in letters for part in letter.cut} == {"value", "headers"}
    assert max(len(row["body"]) for row in tables.dead_letter) < COUPON_DEAD_LETTERS.max_message_bytes
    large = [letter.value for letter in letters if letter.value and len(letter.value) > 1_200_000]
    assert large, "a record of 900 KiB is in base64 larger than the broker's usual limit"
    for value in large:
        assert len(base64.b64decode(value)) >= 900 * 1024
