from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.identifiers import (
    campaign_id,
    chunk_id,
    command_id,
    continuation_id,
    coupon_id,
    event_id,
    lane_key,
    split_coupon_id,
    tick_id,
)

CAMPAIGN = UUID("d1b5ff1a-1a9c-5d62-a2a7-33cc3cb7a2a5")


def test_identifiers_are_what_others_derive_from_the_same_words() -> None:
    assert str(campaign_id("platform", "spring-2026")) == "a502618a-2e21-5730-af26-dd2af978b212"
    assert (
        str(command_id("platform", "IssueCoupons", campaign_id("platform", "spring-2026"), "1"))
        == "42b12af0-dfd9-5447-bab1-7405b235484a"
    )


def test_one_word_changed_gives_another_identifier() -> None:
    one = command_id("platform", "IssueCoupons", CAMPAIGN, "1")
    assert one == command_id("platform", "IssueCoupons", str(CAMPAIGN), "1")
    others = [
        command_id("platform", "IssueCoupons", CAMPAIGN, "2"),
        command_id("platform", "ClaimCoupon", CAMPAIGN, "1"),
        chunk_id(one, 0),
        chunk_id(one, 1),
        continuation_id(one, 1),
        tick_id(one, "2026-03-01T00:00:00Z"),
        campaign_id("platform", "1"),
    ]
    assert len({one, *others}) == len(others) + 1


@given(st.uuids(), st.integers(1, 10**12 - 1))
def test_a_coupon_id_comes_apart_again(campaign: UUID, number: int) -> None:
    assert split_coupon_id(coupon_id(campaign, number)) == (campaign, number)


@pytest.mark.parametrize("text", ["", ".", "x.1", f"{CAMPAIGN}", f"{CAMPAIGN}.", f"{CAMPAIGN}.-1", f"{CAMPAIGN}.١",
                                  f"{CAMPAIGN}.1e3", f"{CAMPAIGN}.{'9' * 13}"])  # fmt: skip
def test_other_text_is_no_coupon_id(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the one error it says it raises
        split_coupon_id(text)


def test_events_and_lanes_are_named_readably() -> None:
    assert event_id(CAMPAIGN, 7) == f"{CAMPAIGN}:7"
    assert lane_key(3) == "lane-3"
