"""The chain over a campaign's events: what it is made of, and that batches leave no trace in it."""

import re
from hashlib import sha256

from contracts.commands import PauseCampaign, ResumeCampaign, VoidCampaign
from coupon_core.model.chain import link, linked
from coupon_core.storage.auditing import OF_CAMPAIGNS, OF_LANES
from tests.support.deciding import MemoryLane


def test_each_value_is_the_sha_256_of_the_one_before_and_the_events_bytes() -> None:
    lane = MemoryLane()
    campaign = lane.generate(quantity=10)
    lane.issue(campaign, "ann", "Bjørn")
    lane.done(PauseCampaign(reason="日本"), campaign=campaign)
    value = campaign.bytes
    for line in lane.lines:
        value = sha256(value + line.encode()).digest()
    assert len(lane.lines) == 6
    assert lane.campaign(campaign).chain == value


def test_each_campaign_has_a_chain_of_its_own() -> None:
    lane = MemoryLane()
    one, other = lane.generate("one"), lane.generate("other")
    before = lane.campaign(other).chain
    lane.issue(one, "ann")
    assert lane.campaign(other).chain == before
    assert lane.campaign(one).chain == linked(
        one.bytes, [line.encode() for line in lane.lines if f'"stream":"{one}/0"' in line]
    )


def test_cut_into_batches_anywhere_the_events_give_the_same_value() -> None:
    lines = [f"event {number}".encode() for number in range(12)]
    whole = linked(b"start", lines)
    for cut in range(13):
        assert linked(linked(b"start", lines[:cut]), lines[cut:]) == whole
    assert link(b"start", "event 0") == linked(b"start", lines[:1])


def test_one_bit_or_another_order_gives_another_value() -> None:
    lines = [b"one", b"two", b"three"]
    whole = linked(b"start", lines)
    assert len({whole, linked(b"start", [b"ond", *lines[1:]]), linked(b"start", lines[::-1])}) == 3
    assert linked(b"start", [b"onet", b"wo", b"three"]) != whole, "also when the joined bytes are the same"


def test_a_refused_command_leaves_the_chain_as_it_was() -> None:
    lane = MemoryLane()
    campaign = lane.generate()
    before = lane.campaign(campaign).chain
    lane.refused(ResumeCampaign(), campaign=campaign)
    lane.send(VoidCampaign(reason="nothing is held"), campaign=campaign)
    assert lane.campaign(campaign).chain == before


def test_every_check_of_campaigns_takes_an_array_of_numbers() -> None:
    for check in OF_CAMPAIGNS:
        assert "$1::bigint[] IS NULL OR" in check, check
        assert not re.search(r"= *\$1\b", check), check
    assert not [check for check in OF_LANES if "$1" in check]
