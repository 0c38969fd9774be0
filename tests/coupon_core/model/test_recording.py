"""Event bytes made by hand are those the contract's models write, whatever people type."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.commands import ClaimCoupon, IssueCoupons, IssueRow, PauseCampaign
from contracts.events import EVENT_RECORD, CampaignPaused, CouponExpired, CouponIssued, CouponRedeemed, CouponUsed
from contracts.fields import PLATFORM
from coupon_core.model.campaign import RESERVED, Campaign, Coupon, Redemption
from coupon_core.model.recording import Cause, Recorder, instant
from tests.support.deciding import MERCHANT, MemoryLane, terms

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
USERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=16)
MOMENTS = st.datetimes(datetime(2016, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))
AMOUNTS = st.none() | st.integers(0, 10**15)


def a_campaign(seq: int = 0) -> Campaign:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return Campaign(
        number=1,
        id=UUID(int=seq + 7),
        partition=0,
        owner=MERCHANT if seq % 2 else PLATFORM,
        origin="external" if seq % 2 else "internal",
        state="active",
        terms=terms(),
        supply="generated",
        code=None,
        code_normal=None,
        listed=True,
        quantity=None,
        starts=start,
        ends=start,
        created_at=start,
        seq=seq,
    )


def is_what_the_model_writes(line: str) -> None:
    assert EVENT_RECORD.validate_json(line).model_dump_json() == line


@given(
    MOMENTS,
    TEXT,
    USERS,
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.none() | TEXT,
    AMOUNTS,
    st.integers(0, 10**6),
)
def test_issued(
    now: datetime, actor: str, user: str, code_last: str, order: str | None, paid: int | None, seq: int
) -> None:
    recorder = Recorder(a_campaign(seq))
    recorder.issued(Cause(str(UUID(int=1)), actor, now), seq + 1, user, code_last, "claim", order, paid)
    (line,) = recorder.lines
    is_what_the_model_writes(line)
    event = EVENT_RECORD.validate_json(line)
    assert event.data == CouponIssued(
        coupon=seq + 1, user=user, code_last=code_last, how="claim", order=order, paid=paid
    )
    assert (event.seq, event.actor, event.time) == (seq + 1, actor, now)


@given(
    TEXT,
    st.none() | USERS,
    st.none() | TEXT,
    AMOUNTS,
    st.integers(0, 10**15),
    st.sampled_from([{}, {"uses_left": 2}, {"balance": 10**15}]),
)
def test_redeemed_and_used(
    actor: str, user: str | None, order: str | None, amount: int | None, discount: int, left: dict[str, int]
) -> None:
    recorder = Recorder(a_campaign())
    cause = Cause(str(UUID(int=1)), actor, datetime(2026, 3, 1, tzinfo=UTC))
    coupon = Coupon(1, 3, user, RESERVED, 7, cause.now)
    row = Redemption(1, 3, 7, order, amount, discount, MERCHANT, actor, cause.now, UUID(int=1))
    if left:
        recorder.used(cause, coupon, row, left)
    else:
        recorder.redeemed(cause, coupon, row)
    is_what_the_model_writes(recorder.lines[0])
    fields: dict[str, Any] = {"coupon": 3, "user": user, "redemption": 7, "order": order, "amount": amount}
    fields |= {"discount": discount, "currency": "EUR", "at_party": MERCHANT}
    expected = CouponUsed(**fields, state="reserved", **left) if left else CouponRedeemed(**fields)
    assert EVENT_RECORD.validate_json(recorder.lines[0]).data == expected


@given(MOMENTS, TEXT, st.none() | USERS, MOMENTS)
def test_expired(now: datetime, actor: str, user: str | None, due: datetime) -> None:
    recorder = Recorder(a_campaign())
    recorder.expired(Cause(str(UUID(int=1)), actor, now), 3, user, instant(due))
    is_what_the_model_writes(recorder.lines[0])
    assert EVENT_RECORD.validate_json(recorder.lines[0]).data == CouponExpired(coupon=3, user=user, due=due)


@given(TEXT, MOMENTS)
def test_others(reason: str, now: datetime) -> None:
    recorder = Recorder(a_campaign())
    recorder.campaign_event(Cause(str(UUID(int=1)), reason, now), CampaignPaused(reason=reason))
    is_what_the_model_writes(recorder.lines[0])


@settings(max_examples=40)
@given(st.lists(USERS, min_size=1, max_size=4, unique=True), TEXT, USERS)
def test_what_a_lane_writes_for_any_user_reason_and_order(users: list[str], reason: str, order: str) -> None:
    lane = MemoryLane()
    campaign = lane.generate()
    reason = reason.replace("\0", "-")
    lane.done(IssueCoupons(rows=tuple(IssueRow(user=user) for user in users)), campaign=campaign)
    lane.done(ClaimCoupon(user=users[0], order=order, paid=1), campaign=campaign)
    lane.done(PauseCampaign(reason=reason), campaign=campaign, actor=reason)
    for line in lane.lines:
        is_what_the_model_writes(line)
    assert [event.seq for event in lane.events] == list(range(1, 3 + len(users) + 1 + 1 + 1))
