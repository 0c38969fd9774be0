"""All that a real core process emits is what the contracts say, byte for byte, whatever is sent to it."""

import asyncio
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jsonschema
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import schemas
from contracts.answers import DeadLetter, Reply
from contracts.campaigns import CodePattern, GeneratedSupply
from contracts.commands import (
    COMMAND_RECORD,
    COMMANDS,
    ActivateCampaign,
    AmendCampaign,
    BuildingRules,
    CancelGeneration,
    ChangeQuantity,
    ClaimCoupon,
    CouponFilter,
    CouponReference,
    ExportCodes,
    GenerateCampaign,
    GenerateCodes,
    IssueCoupons,
    IssueRow,
    OrderItem,
    PauseCampaign,
    PublishCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    SetBuildingRules,
    SetCodeKey,
    SetTool,
    StopCampaign,
    UnpublishCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
    type_of,
)
from contracts.events import EVENT_RECORD, EVENT_TYPES, SEQ_HEADER, RefusalRecord
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import campaign_id, event_id
from contracts.partitioner import partition_of
from contracts.refusals import REFUSALS
from contracts.topics import COUPON_COMMANDS, COUPON_DEAD_LETTERS, COUPON_EVENTS, COUPON_REFUSALS, COUPON_REPLIES
from contracts.writers import WRITER_HEADER, Writer
from coupon_core.storage import journal
from tests.support.campaigns import terms
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.servers import Servers

MERCHANT = "0d9d1c8e-6f5b-5a0e-8f3e-2f1c7f6b9a11"
OTHER = "7b1f6a52-3c44-5d2a-9a57-60b3f1f2c9d0"
START = "2026-03-02T09:00:00Z"
JOURNALLED = {
    COUPON_EVENTS.name: journal.EVENTS,
    COUPON_REFUSALS.name: journal.REFUSALS,
    COUPON_DEAD_LETTERS.name: journal.DEAD_LETTERS,
}
READ = (COUPON_COMMANDS, COUPON_REPLIES, COUPON_EVENTS, COUPON_REFUSALS, COUPON_DEAD_LETTERS)
EMITTED_WITHIN_SECONDS = 20.0


@dataclass
class Log:
    """Every record of core's topics, read to the end again and again and checked once."""

    core: CorePlatform
    consumer: AIOKafkaConsumer
    seen: dict[str, list[ConsumerRecord]] = field(default_factory=lambda: defaultdict(list))
    numbers: dict[str, int] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)

    async def check(self) -> None:
        """Read until all that core's journal holds has arrived, and check what is new."""
        connection = await asyncpg.connect(self.core.database.admin_url)
        try:
            rows = await connection.fetch("SELECT kind, sum(count) AS records FROM core.journal GROUP BY kind")
        finally:
            await connection.close()
        expected = {row["kind"]: row["records"] for row in rows}
        async with asyncio.timeout(EMITTED_WITHIN_SECONDS):
            while True:
                batches = await self.consumer.getmany(timeout_ms=100)
                for record in itertools.chain.from_iterable(batches.values()):
                    self.seen[record.topic].append(record)
                    CHECKS[record.topic](self, record)
                complete = all(len(self.seen[topic]) >= expected.get(kind, 0) for topic, kind in JOURNALLED.items())
                if complete and not batches:
                    return


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((schemas.FOLDER / f"{name}.json").read_text()))


def check_event(log: Log, record: ConsumerRecord) -> None:
    event = EVENT_RECORD.validate_json(record.value)
    assert event.model_dump_json().encode() == record.value
    validator(event.type).validate(json.loads(record.value))
    campaign = event.stream.removesuffix("/0")
    assert record.key == campaign.encode()
    assert record.partition == partition_of(record.key, log.core.partitions)
    assert event.id == event_id(campaign, event.seq)
    coupon = getattr(event.data, "coupon", None)
    assert event.subject == (campaign if coupon is None else f"{campaign}.{coupon}")
    assert event.seq == log.numbers.get(campaign, 0) + 1
    log.numbers[campaign] = event.seq
    assert [name for name, _ in record.headers] == [SEQ_HEADER]
    assert int(record.headers[0][1]) >= 1
    log.types[event.type] += 1


def check_refusal(log: Log, record: ConsumerRecord) -> None:
    refusal = RefusalRecord.model_validate_json(record.value)
    assert refusal.model_dump_json().encode() == record.value
    validator(refusal.type).validate(json.loads(record.value))
    assert record.key == refusal.subject.encode()
    assert refusal.id.startswith(refusal.causationid)
    said = REFUSALS[refusal.data.code].model_validate(refusal.data.facts).as_json()
    assert said == {"code": refusal.data.code, "message": refusal.data.message, "facts": refusal.data.facts}
    log.types[refusal.data.code] += 1


def check_dead_letter(log: Log, record: ConsumerRecord) -> None:
    letter = DeadLetter.model_validate_json(record.value)
    assert letter.model_dump_json().encode() == record.value
    validator("scrip.dead_letter.v1").validate(json.loads(record.value))
    assert record.key == f"{letter.topic}-{letter.partition}-{letter.offset}".encode()
    log.types[letter.reason] += 1


def check_reply(log: Log, record: ConsumerRecord) -> None:
    reply = Reply.model_validate_json(record.value)
    assert reply.model_dump_json(exclude_none=True).encode() == record.value
    validator("scrip.reply.v1").validate(json.loads(record.value))
    assert record.key == str(reply.command).encode()
    if reply.refusal is not None:
        assert REFUSALS[reply.refusal.code].model_validate(reply.refusal.facts).as_json() == reply.refusal.model_dump()
    log.types[f"reply {reply.status}"] += 1


def check_command(log: Log, record: ConsumerRecord) -> None:
    """Only core's own: what it appends to its lanes is a command like any other."""
    header = dict(record.headers).get(WRITER_HEADER, b"")
    if header.startswith(b"core;"):
        command = COMMAND_RECORD.validate_json(record.value)
        assert command.model_dump_json(exclude_none=True).encode() == record.value
        validator(command.type).validate(json.loads(record.value))
        log.types[command.type] += 1


CHECKS = {
    COUPON_EVENTS.name: check_event,
    COUPON_REFUSALS.name: check_refusal,
    COUPON_DEAD_LETTERS.name: check_dead_letter,
    COUPON_REPLIES.name: check_reply,
    COUPON_COMMANDS.name: check_command,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def log(databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Log]:
    """A core in told time that knows two merchants and a tool, and all of its topics."""
    async with running_core(databases, backend.bootstrap, tmp_path_factory.mktemp("core")) as core:
        consumer = AIOKafkaConsumer(bootstrap_servers=core.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign(
                [
                    TopicPartition(topic.name, number)
                    for topic in READ
                    for number in range(topic.partition_count(core.partitions))
                ]
            )
            await core.tell_time(START)
            await core.set_merchant(MERCHANT)
            await core.set_merchant(OTHER)
            yield Log(core, consumer)
        finally:
            await consumer.stop()


@dataclass
class Walk:
    """Sends commands of one campaign after another and remembers which kinds were sent."""

    core: CorePlatform
    sent: set[type[Contract]] = field(default_factory=set)

    async def send(self, campaign: UUID, command: Contract, party: str = PLATFORM, **more: Any) -> Reply:
        self.sent.add(type(command))
        return await self.core.send(command, campaign=campaign, party=party, **more)

    async def done(self, campaign: UUID, command: Contract, party: str = PLATFORM, **more: Any) -> dict[str, Any]:
        reply = await self.send(campaign, command, party, **more)
        assert reply.status == "done", reply
        return reply.result or {}


def number(n: int) -> CouponReference:
    return CouponReference(number=n)


async def through_all_that_can_happen(walk: Walk) -> None:
    """Every command, and by them every event there is."""
    spring = campaign_id(PLATFORM, "spring")
    await walk.done(spring, GenerateCampaign(terms=terms(redeemable_by=[OTHER]), quantity=6))
    issued = await walk.done(spring, IssueCoupons(rows=tuple(IssueRow(user=user) for user in "abc")))
    await walk.done(spring, ExportCodes(count=2))
    await walk.done(spring, ClaimCoupon(user="d", order="O-1", paid=0))  # the sixth: exhausted
    await walk.send(spring, ClaimCoupon(user="e"))
    await walk.done(spring, ChangeQuantity(quantity=8))
    await walk.done(spring, ReserveCoupon(coupon=number(1), order="O-2"))
    await walk.send(spring, RedeemCoupon(coupon=number(1), order="O-3", amount=900))
    await walk.done(spring, ReleaseCoupon(coupon=number(1), order="O-2"))
    await walk.done(spring, RedeemCoupon(coupon=CouponReference(code=issued["rows"][0]["code"]), amount=900), OTHER)
    await walk.send(spring, RedeemCoupon(coupon=number(1), amount=900))
    await walk.done(spring, ReturnCoupon(coupon=number(1), reason='„zurück“ \u2028 \\ " \t'), OTHER)
    await walk.done(spring, VoidCoupons(coupons=(number(2), number(77)), reason="by mistake"))
    await walk.done(spring, VoidMatching(matching=CouponFilter(states=("exported",), first=5), reason='"lost" \\'))
    await walk.done(spring, AmendCampaign.model_validate({"terms": {"name": "Spring \u2028 longer"}}))
    await walk.done(spring, PauseCampaign(reason="a pause"))
    await walk.send(spring, RedeemCoupon(coupon=number(1)))
    await walk.done(spring, ResumeCampaign())
    await walk.done(spring, ReserveCoupon(coupon=number(1), order="O-4", seconds=60))
    await walk.done(spring, UnpublishCampaign())

    bread = campaign_id(MERCHANT, "bread")
    supply = {"kind": "shared", "code": "BREAD-5"}
    fields = {"terms": terms(return_policy="burned"), "supply": supply}
    await walk.done(bread, PublishCampaign.model_validate(fields), MERCHANT)
    await walk.done(bread, IssueCoupons(rows=(IssueRow(user="ä"), IssueRow(user="😀"))), MERCHANT)
    await walk.done(bread, RedeemCoupon(coupon=CouponReference(code="bread5", user="ä"), amount=1), MERCHANT)
    await walk.done(bread, ReturnCoupon(coupon=number(1), reason="r"), MERCHANT)
    await walk.send(bread, ClaimCoupon(user="x"), OTHER)
    await walk.done(bread, StopCampaign(reason="recall"), MERCHANT)

    cards = campaign_id(MERCHANT, "cards")
    card = terms(discount={"kind": "gift_card", "balance": 1_000}, budget=1_000)
    await walk.done(cards, GenerateCampaign(terms=card, quantity=2), MERCHANT)
    await walk.done(cards, ClaimCoupon(user="x"), MERCHANT)
    await walk.done(cards, ReserveCoupon(coupon=number(1), order="ä", amount=300), MERCHANT)
    await walk.done(cards, RedeemCoupon(coupon=number(1), order='"B"', amount=600), MERCHANT)
    await walk.done(cards, ReturnCoupon(coupon=number(1), amount=100, reason="too sweet"), MERCHANT)
    await walk.done(cards, VoidCoupons(coupons=(number(1),), reason="lost"), MERCHANT)

    paper = campaign_id(MERCHANT, "paper")
    await walk.done(paper, PublishCampaign.model_validate({**fields, "supply": {"kind": "uploaded"}}), MERCHANT)
    await walk.done(paper, UploadCodes(codes=("P-1", "p1", "P-2", "--")), MERCHANT)
    await walk.done(paper, ClaimCoupon(user="x"), MERCHANT)
    await walk.done(paper, VoidCampaign(reason="all of them"), MERCHANT)

    job = campaign_id(PLATFORM, "job")
    stored = GeneratedSupply(pattern=CodePattern(prefix="JOB-", length=9), stored=True)
    await walk.done(job, GenerateCampaign(terms=terms(), quantity=200_000, supply=stored))
    await walk.done(job, CancelGeneration(reason="given up"))

    tea = campaign_id(MERCHANT, "tea")
    limits: dict[str, Any] = {"per_day_limit": 1, "per_user_day_limit": 1, "low_pool_at": 1}
    lasting = {"starts": "2026-03-01", "ends": "2026-03-31", "days_after_issue": 2, "weekly": [{"days": ["tue"]}]}
    rule = {"expression": "tier == '„gold“'", "attributes": {"tier": "string"}}
    made = terms(validity=lasting, eligibility=rule, **limits)
    await walk.done(tea, GenerateCampaign(terms=made, quantity=2, draft=True), MERCHANT)
    await walk.done(tea, ActivateCampaign(), MERCHANT)
    await walk.send(tea, ClaimCoupon(user="x"), MERCHANT)
    await walk.send(tea, ClaimCoupon(user="x", attributes={"tier": "\u2028"}), MERCHANT)
    await walk.done(tea, ClaimCoupon(user="x", attributes={"tier": "„gold“"}), MERCHANT)  # the first of two, and of one
    await walk.send(tea, ClaimCoupon(user="y", attributes={"tier": "„gold“"}), MERCHANT)
    await walk.send(tea, RedeemCoupon(coupon=number(1), amount=900), MERCHANT)  # on a Monday

    for party, kinds in ((PLATFORM, None), (OTHER, ("percent_off",))):
        for reply in await walk.core.on_all_lanes(
            lambda lane, party=party, kinds=kinds: SetBuildingRules(  # type: ignore[misc]
                partition=lane, party=party, version=1, rules=BuildingRules(kinds=kinds)
            )
        ):
            assert reply.status == "done"
    await walk.send(campaign_id(OTHER, "no"), GenerateCampaign(terms=terms(), quantity=1), OTHER)
    for reply in await walk.core.on_all_lanes(
        lambda lane: SetTool(partition=lane, tool="t", version=1, key_versions=(1,), rights=("issue",))
    ):
        assert reply.status == "done"
    for reply in await walk.core.on_all_lanes(lambda lane: SetCodeKey(partition=lane, version=1)):
        assert reply.status == "done"
    await walk.core.tell_time("2026-03-02T12:00:00Z")  # the reservation's time is over
    await walk.core.tell_time("2026-04-02T00:00:00Z")  # and then the campaigns'


async def what_is_no_command(core: CorePlatform) -> None:
    """A record for each reason for which one can die."""
    gateway, campaign = core.writer(), str(campaign_id(PLATFORM, "spring")).encode()
    wrong = (partition_of(campaign, core.partitions) + 1) % core.partitions
    fine = core.record(ClaimCoupon(user="u"), campaign=campaign.decode())
    value = fine.model_dump_json(exclude_none=True).encode()
    late = core.record(ClaimCoupon(user="u"), campaign=campaign.decode(), notafter="2020-01-01T00:00:00Z")  # type: ignore[arg-type]
    ahead = core.record(ClaimCoupon(user="u"), campaign=campaign.decode(), notafter="2099-01-01T00:00:00Z")  # type: ignore[arg-type]
    await core.append(campaign, value)
    await core.append(campaign, b"\xff\x00 no JSON", writer=gateway, headers=[("note \0 ☃", b"\x00\xff")])
    await core.append(campaign, b'{"type": "a\\u0000b"}', writer=gateway)
    await core.append(None, b"{}", partition=0)
    await core.append(campaign, None, writer=gateway)
    await core.append(b"\xfe\x00", b"", writer=gateway)
    await core.append(campaign, value, writer=gateway, partition=wrong)
    await core.append(b"else", value, writer=gateway)
    await core.append_record(late)
    await core.append_record(ahead)
    await core.append_record(fine, "scheduler")
    await core.append_record(fine, "tool:nobody")


class TestAWalkThroughEverything:
    async def test_every_record_core_emits_is_what_its_model_writes_and_its_schema_allows(self, log: Log) -> None:
        walk = Walk(log.core)
        await through_all_that_can_happen(walk)
        await what_is_no_command(log.core)
        await log.core.send(ClaimCoupon(user="u"), campaign=campaign_id(PLATFORM, "spring"))
        await log.check()
        missing = set(EVENT_TYPES.values()) - log.types.keys()
        assert not missing, f"the walk leads to no {missing}"
        lane_wide = {"RunDue", "AdvanceClock", "SetBuildingRules", "SetCodeKey", "SetMerchant", "SetTool"}
        assert {kind.__name__ for kind in COMMANDS} == {kind.__name__ for kind in walk.sent} | lane_wide | {
            "GenerateCodes"
        }
        assert {"scrip.command.RunDue.v1", type_of(GenerateCodes), type_of(VoidCampaign)} <= log.types.keys()
        reasons = {"unreadable", "unsigned_writer", "writer_not_allowed", "wrong_partition", "wrong_key", "too_late",
                   "too_far_ahead"}  # fmt: skip
        assert reasons <= log.types.keys()
        assert "our_bug" not in log.types
        assert {"reply done", "reply refused"} <= log.types.keys()
        print({kind: log.types[kind] for kind in sorted(log.types)})


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=16)
PARTS = st.sampled_from([1, 100, 10**15])
AMOUNTS = st.none() | st.integers(0, 10**15)
REFERENCES = st.one_of(
    st.builds(number, st.integers(1, 5)),
    st.builds(lambda code, user: CouponReference(code=code, user=user), NAMES | st.just("SHARED"), st.none() | NAMES),
)
STEPS = st.one_of(
    st.builds(
        lambda users: IssueCoupons(rows=tuple(users)), st.lists(st.builds(IssueRow, user=NAMES), min_size=1, max_size=4)
    ),
    st.builds(ClaimCoupon, user=NAMES, code=st.none() | NAMES, order=st.none() | NAMES, paid=AMOUNTS),
    st.builds(
        lambda items, **fields: RedeemCoupon(items=tuple(items), **fields),
        st.lists(st.builds(OrderItem, item=st.just("tea") | TEXT, price=st.integers(0, 10**15)), max_size=2),
        coupon=REFERENCES,
        order=st.none() | NAMES,
        amount=AMOUNTS,
        discount=AMOUNTS,
    ),
    st.builds(ReserveCoupon, coupon=REFERENCES, order=NAMES, seconds=st.integers(1, 86_400), amount=st.none() | PARTS),
    st.builds(ReleaseCoupon, coupon=REFERENCES, order=NAMES),
    st.builds(
        ReturnCoupon, coupon=REFERENCES, redemption=st.none() | st.integers(1, 3), amount=st.none() | PARTS, reason=TEXT
    ),
    st.builds(
        lambda refs, reason: VoidCoupons(coupons=tuple(refs), reason=reason),
        st.lists(REFERENCES, min_size=1, max_size=3),
        TEXT,
    ),
    st.builds(lambda codes: UploadCodes(codes=tuple(codes)), st.lists(NAMES, min_size=1, max_size=4)),
    st.builds(ExportCodes, count=st.integers(1, 3)),
    st.builds(ChangeQuantity, quantity=st.integers(1, 12)),
    st.builds(PauseCampaign, reason=TEXT),
    st.just(ResumeCampaign()),
    st.just(UnpublishCampaign()),
    st.builds(StopCampaign, reason=TEXT),
    st.builds(VoidCampaign, reason=TEXT),
    st.builds(
        lambda first, state, reason: VoidMatching(matching=CouponFilter(first=first, states=state), reason=reason),
        st.integers(1, 9),
        st.sampled_from([(), ("held",), ("exported",)]),
        TEXT,
    ),
)
DISCOUNTS = st.one_of(
    st.builds(lambda amount: {"kind": "amount_off", "amount": amount}, st.integers(1, 10**15)),
    st.builds(lambda points, cap: {"kind": "percent_off", "basis_points": points, "cap": cap}, st.integers(1, 10_000),
              st.none() | st.integers(1, 10**15)),
    st.builds(lambda item: {"kind": "free_item", "item": item, "cap": 900}, st.just("tea") | TEXT),
    st.builds(lambda price: {"kind": "fixed_price", "price": price}, st.integers(0, 10**15)),
    st.builds(lambda cap: {"kind": "merchant_decided", "cap": cap}, st.none() | st.integers(1, 10**15)),
    st.builds(lambda balance: {"kind": "gift_card", "balance": balance}, st.integers(1, 10**15)),
)  # fmt: skip
CAMPAIGNS = st.fixed_dictionaries(
    {
        "terms": st.builds(
            lambda uses, **changes: terms(
                **changes,
                uses=1 if changes["discount"]["kind"] == "gift_card" else uses,
                validity={"starts": "2026-03-01", "ends": "2027-03-31"},
            ),
            name=TEXT,
            uses=st.sampled_from([1, 1, 2, 1_000]),
            discount=DISCOUNTS,
            budget=st.none() | st.integers(1, 10**15),
            rounding=st.sampled_from(["half_up", "down", "up"]),
            minimum_spend=st.sampled_from([0, 100]),
            per_user_limit=st.none() | st.integers(1, 2),
            price=st.sampled_from([0, 5]),
            return_policy=st.sampled_from(["usable_again", "usable_if_not_expired", "burned"]),
            metadata=st.dictionaries(TEXT, TEXT, max_size=2),
        ),
        "supply": st.sampled_from([{"kind": "generated"}, {"kind": "uploaded"}, {"kind": "shared", "code": "SHARED"}]),
        "quantity": st.none() | st.integers(1, 8),
    }
)
RAW = st.tuples(
    st.none() | st.binary(max_size=40),
    st.binary(max_size=80) | st.builds(lambda text: json.dumps({"type": text}).encode(), st.text()),
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.binary(max_size=8)), max_size=2
    ),
    st.booleans(),
)


class TestAnyWalk:
    @settings(max_examples=12, deadline=None)
    @given(
        campaign=CAMPAIGNS, steps=st.lists(STEPS, min_size=1, max_size=12), actor=TEXT, raw=st.lists(RAW, max_size=2)
    )
    async def test_keeps_the_contracts_and_breaks_nothing(
        self,
        log: Log,
        campaign: dict[str, Any],
        steps: list[Contract],
        actor: str,
        raw: list[tuple[bytes | None, bytes, list[tuple[str, bytes]], bool]],
    ) -> None:
        id = campaign_id(MERCHANT, str(uuid4()))
        walk = Walk(log.core)
        gateway: Writer = log.core.writer()
        for key, value, headers, signed in raw:
            await log.core.append(key, value, partition=0, headers=headers, writer=gateway if signed else None)
        await walk.send(id, GenerateCampaign.model_validate(campaign), MERCHANT, actor=actor)
        for step in steps:
            reply = await walk.send(id, step, MERCHANT, actor=actor)
            assert reply.status in ("done", "refused")
        await log.check()
        assert "our_bug" not in log.types
