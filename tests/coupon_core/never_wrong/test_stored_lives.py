"""Lives of the simulation on PostgreSQL: what is loaded for a batch is all that its decisions need.

The simulation's view holds everything. The same log, decided on a database in batches of any size and by one owner
after another, gives the same answers and events. Coupons it names by number are mostly named by code or user instead.
"""

import random
from collections import defaultdict
from unittest import mock
from uuid import UUID

import asyncpg

from contracts.commands import CommandRecord, CouponReference
from coupon_core.__main__ import LOOP_PLANNER
from coupon_core.lanes import loading
from coupon_core.work import Entry
from tests.coupon_core.never_wrong.simulated import Life, Store, decide_batch, short_slices
from tests.coupon_core.never_wrong.stored import StoredLanes, emptied
from tests.coupon_core.never_wrong.test_simulation import FIRST_SEED
from tests.support.databases import Databases

SEEDS = 40
SPECIAL: tuple[tuple[str, ...], ...] = ((), ("uses",), ("gift card",))
"""What the campaigns of a life have; a coupon used in parts has a history that must be loaded."""
MOST = (1, 4, 40)
"""Records of each lane in a batch, at most: one of these."""


def renamed(life: Life, record: CommandRecord) -> CommandRecord:
    """The command, its coupon perhaps named by its code or its user; the same whenever the command is sent."""
    chance = random.Random(f"{life.seed} {record.id}")
    named = getattr(record.data, "coupon", None)
    campaigns = [model.campaigns[record.subject] for model in life.models.values() if record.subject in model.campaigns]
    if named is None or named.number is None or not campaigns or chance.random() < 0.2:
        return record
    (campaign,) = campaigns
    codes = [code for code, number in campaign.codes.items() if number == named.number]
    coupon = campaign.coupons.get(named.number)
    others = [CouponReference(code=each) for code in codes for each in (code, code.lower())]
    if coupon is not None and coupon.user is not None:
        others += [CouponReference(user=coupon.user), *(CouponReference(code=code, user=coupon.user) for code in codes)]
    if not others:
        return record
    return record.model_copy(update={"data": record.data.model_copy(update={"coupon": chance.choice(others)})})


async def live_again(life: Life, lanes: StoredLanes) -> None:
    """The life's log decided in memory and on the database."""
    store, chance = Store(life.told), random.Random(life.seed)
    answers: dict[UUID, list[str]] = defaultdict(list)
    for entry in life.log:
        assert entry.record is not None
        lanes.time = entry.time
        lanes.append(renamed(life, entry.record), entry.partition, entry.writer or "")
        read: Entry = lanes.reader.read(lanes.log[entry.partition][-1])
        work, replies = decide_batch(store, [read])
        store.write(work)
        for reply in replies:
            answers[reply.command].append(reply.model_dump_json())
    await lanes.take_over()
    while any(lanes.waiting(lane) for lane in lanes.lanes):
        if chance.random() < 0.1:
            await lanes.decide(chance.choice(MOST), dies="before")
        await lanes.decide(chance.choice(MOST))
        if chance.random() < 0.1:
            await lanes.take_over()
    told = {command: [reply.model_dump_json() for reply in replies] for command, replies in lanes.told.items()}
    for command, expected in answers.items():
        assert told.pop(command, []) == expected, f"seed {life.seed}: other answers to {command}"
    assert not told, f"seed {life.seed}: answers that memory did not give"
    sent = {(record.key, record.value): None for record in lanes.topics.events}  # a new owner may send some again
    events: dict[str, list[str]] = defaultdict(list)
    for key, value in sent:
        events[(key or b"").decode()].append((value or b"").decode())
    assert events == store.lines, f"seed {life.seed}: other events"


async def test_a_database_gives_the_answers_and_events_that_a_view_of_everything_gives(databases: Databases) -> None:
    database = databases.fresh("core")
    admin = await asyncpg.connect(database.admin_url)
    connection = await asyncpg.connect(
        database.url("core"), server_settings={**LOOP_PLANNER, "synchronous_commit": "off"}
    )
    with short_slices(), mock.patch.object(loading, "DUE_CAMPAIGNS", 1):  # as in memory: one campaign in a slice
        for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
            life = Life(seed, steps=90, special=SPECIAL[seed % len(SPECIAL)])
            life.live()
            await emptied(admin)
            await live_again(life, StoredLanes(connection, database.url("core"), life.asker.time, told_time=life.told))
    await connection.close()
    await admin.close()
    databases.drop(database)
