"""20,000 random and changed records through the real Reader and `decide`: each is handled or a dead letter."""

import random
from collections import Counter
from uuid import UUID, uuid4, uuid5

from contracts.commands import COMMANDS, LANE_WIDE, AdvanceClock, CommandRecord
from contracts.fields import PLATFORM
from contracts.identifiers import SCRIP
from contracts.writers import WRITER_HEADER, Writer, sign
from coupon_core.lanes.reading import TOPIC
from tests.support.bad_records import bad_record, example_data
from tests.support.deciding import KEYS, MERCHANT, MemoryLane

RECORDS = 20_000
A_LANE = 1_000
"""So many records meet the same lane; then it is new, so that not all of them meet what is over."""
SEED = 20


def lane_of(told: bool) -> tuple[MemoryLane, list[UUID]]:
    """A lane with a campaign of each supply, coupons held; the campaigns."""
    lane = MemoryLane(told=told)
    if told:
        lane.done(lane.record(AdvanceClock(partition=0, to=lane.now)))
    lane.activate(MERCHANT)
    campaigns = [lane.generate(quantity=1_000), lane.publish({"kind": "shared", "code": "BREAD5"})]
    campaigns.append(lane.publish({"kind": "uploaded"}, "uploaded"))
    for campaign in campaigns[:2]:
        lane.issue(campaign, *(f"u{number}" for number in range(30)), "u-8812")
    return lane, campaigns


def good_records(lane: MemoryLane, campaigns: list[UUID], chance: random.Random) -> list[CommandRecord]:
    """The contracts' examples, some for each campaign, each with an id of its own."""
    made = []
    for command in COMMANDS:
        for campaign in (*campaigns, uuid4()):
            party = PLATFORM if command in LANE_WIDE or campaign == campaigns[0] else MERCHANT
            data = command.model_validate(example_data(command))
            name = uuid5(SCRIP, str(chance.random()))
            made.append(lane.record(data, campaign=campaign, party=party, id=name))
    return made


def test_20000_random_records_are_each_handled_or_a_dead_letter_and_the_ledger_is_right() -> None:
    chance = random.Random(SEED)
    reasons: Counter[str] = Counter()
    for number in range(RECORDS):
        if number % A_LANE == 0:
            lane, campaigns = lane_of(told=number % (2 * A_LANE) == 0)
        if number % 50 == 0:
            good = good_records(lane, campaigns, chance)
        bad = bad_record(chance, good)
        headers = list(bad.headers)
        if bad.writer is not None:
            writer = Writer(bad.writer, 1, KEYS[bad.writer][1])
            headers.insert(0, (WRITER_HEADER, sign(writer, TOPIC, bad.key or b"", bad.value or b"")))
        dead, replies = len(lane.dead), len(lane.replies)
        entry = lane.append(bad.key, bad.value, *headers, partition=int(bad.misplaced))
        if len(lane.dead) > dead:
            reason = lane.dead[-1].reason
            assert reason != "our_bug", f"record {number}: {lane.dead[-1].detail}"
            assert len(lane.replies) == replies
            reasons[reason] += 1
        else:
            assert entry.record is not None
            answers = [reply for _, _, reply in lane.replies[replies:] if reply.command == entry.record.id]
            reasons[answers[-1].status if answers else "nobody to answer"] += 1
        if number % A_LANE == A_LANE - 1:
            for campaign in lane.work.campaigns:
                lane.counters(campaign)
                numbers = [event.seq for event in lane.events if event.stream == f"{campaign}/0"]
                assert numbers == list(range(1, len(numbers) + 1))
    print(dict(reasons))
    assert reasons.total() == RECORDS
    expected = {"unreadable", "unsigned_writer", "wrong_key", "wrong_partition", "too_late", "writer_not_allowed"}
    assert expected <= set(reasons)
    assert min(reasons["done"], reasons["refused"]) > RECORDS // 100
