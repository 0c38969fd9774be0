"""What is asked of a lane: commands made from draws, so that Hypothesis and a seeded random number make the same ones.

The model knows what there is; most questions are about that, some about what there is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid5

from contracts.campaigns import AmountOff, GeneratedSupply, GivenSupply, SharedSupply, Terms, UploadedSupply
from contracts.commands import (
    ChangeQuantity,
    ClaimCoupon,
    CommandRecord,
    CouponFilter,
    CouponReference,
    ExportCodes,
    GenerateCampaign,
    IssueCoupons,
    IssueRow,
    PauseCampaign,
    PublishCampaign,
    RedeemCoupon,
    ReleaseCoupon,
    ReserveCoupon,
    ResumeCampaign,
    ReturnCoupon,
    SetMerchant,
    StopCampaign,
    UnpublishCampaign,
    UploadCodes,
    VoidCampaign,
    VoidCoupons,
    VoidMatching,
    record_for,
)
from contracts.fields import PLATFORM, Contract
from contracts.identifiers import SCRIP, campaign_id, lane_key
from contracts.partitioner import partition_of
from tests.coupon_core.never_wrong.pure_model import Campaign, Model

T = TypeVar("T")
START = datetime(2026, 3, 10, 12, tzinfo=UTC)
MERCHANTS = ("0d9d1c8e-6f5b-5a0e-8f3e-2f1c7f6b9a11", "7b1f6a52-3c44-5d2a-9a57-60b3f1f2c9d0")
PARTIES = (PLATFORM, *MERCHANTS)
USERS = ("ann", "bob", "cyd", "dan")
ORDERS = ("order-1", "order-2", None)
MOST_CAMPAIGNS = 4


def has_coupons(campaign: Campaign) -> bool:
    """Or codes that nobody holds."""
    return bool(campaign.coupons or campaign.free or campaign.exported)


class Draw(Protocol):
    """A source of choices."""

    def pick(self, choices: Sequence[T]) -> T: ...
    def number(self, least: int, most: int) -> int: ...


class Dice:
    """Choices by a seeded random number."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self._random.random() * len(choices))]

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)


class Asker:
    """Makes commands about the campaigns of some lanes; each has a model."""

    def __init__(self, models: dict[int, Model], *, told: bool) -> None:
        self.models = models
        self.told = told
        self.time = START
        """The time of the next record, or what was told last."""
        self.asked: list[CommandRecord] = []
        self._versions = 0

    # --- records

    def lane_of(self, record: CommandRecord) -> int:
        """Where a command stands."""
        if record.subject.startswith("lane-"):
            return int(record.subject.removeprefix("lane-"))
        return partition_of(record.subject.encode(), len(self.models))

    def record(self, command: Contract, subject: str, party: str = PLATFORM, **more: Any) -> CommandRecord:
        made = record_for(
            command,
            **{
                "id": uuid5(SCRIP, f"asked {len(self.asked)}"),
                "source": "/never-wrong",
                "subject": subject,
                "party": party,
                "actor": "staff:test" if party == PLATFORM else f"merchant:{party}/till",
                "notafter": self.time + timedelta(days=20),
                "replyto": "coupon.replies",
                "replypartition": 0,
                **more,
            },
        )
        self.asked.append(made)
        return made

    # --- what there is

    def campaigns(self) -> list[Campaign]:
        return [campaign for model in self.models.values() for campaign in model.campaigns.values()]

    def _some(self, draw: Draw, fits: Callable[[Campaign], object] = lambda campaign: True) -> Campaign | None:
        """Mostly one that fits."""
        there = self.campaigns()
        now = [campaign for campaign in there if campaign.terms.ends > self.time and draw.number(1, 6) > 1] or there
        fitting = [campaign for campaign in now if fits(campaign)]
        wanted = fitting if draw.number(1, 8) > 1 else there
        return draw.pick(wanted) if wanted else None

    def _owner(self, draw: Draw, campaign: Campaign) -> str:
        """Mostly the owner; now and then somebody else."""
        return campaign.owner if draw.number(1, 12) > 1 else draw.pick(PARTIES)

    def _till(self, draw: Draw, campaign: Campaign) -> str:
        return (
            draw.pick((campaign.owner, campaign.owner, *campaign.terms.redeemers))
            if draw.number(1, 12) > 1
            else (draw.pick(PARTIES))
        )

    def _coupon(self, draw: Draw, campaign: Campaign, *states: str) -> CouponReference:
        """Mostly a coupon in one of these states; else any, a code that nobody holds, or one that does not exist."""
        fitting = [number for number, coupon in sorted(campaign.coupons.items()) if coupon.state in states]
        numbers = fitting if fitting and draw.number(1, 4) > 1 else sorted(campaign.coupons)
        if campaign.supply == "shared" and draw.number(1, 2) == 1:
            holders = [user for number in numbers if (user := campaign.coupons[number].user) is not None]
            return CouponReference(code=campaign.code, user=draw.pick((*holders, *holders, *USERS[:1])))
        if campaign.supply != "shared" and campaign.codes and draw.number(1, 3) == 1:
            code = draw.pick(sorted(campaign.codes))
            return CouponReference(code=code, user=draw.pick((None, None, *USERS[:2])))
        known = bool(numbers) and draw.number(1, 12) > 1
        return CouponReference(number=draw.pick(numbers) if known else max(campaign.coupons, default=0) + 1)

    # --- what is asked

    def generate(self, draw: Draw) -> CommandRecord | None:
        return self._create(draw, draw.pick(("generated", "shared", "uploaded")), GenerateCampaign)

    def publish(self, draw: Draw) -> CommandRecord | None:
        return self._create(draw, draw.pick(("shared", "uploaded", "given")), PublishCampaign)

    def _create(self, draw: Draw, kind: str, command: Any) -> CommandRecord | None:
        there = self.campaigns()
        if len(there) >= MOST_CAMPAIGNS:
            campaign = draw.pick(there)
            if campaign.supply == "given" or command is PublishCampaign:
                return None
            name, owner = None, campaign.owner  # a second time, under another request number
        else:
            name, owner = f"c{len(self.asked)}", draw.pick(MERCHANTS if command is PublishCampaign else PARTIES)
        redeemers = draw.pick(((), (MERCHANTS[0],)))
        shared = SharedSupply(code=f"SHARED{len(there)}") if kind == "shared" else None
        supply = shared or {"generated": GeneratedSupply, "uploaded": UploadedSupply, "given": GivenSupply}[kind]()
        terms = Terms.model_validate(
            {
                "name": "spring",
                "currency": "EUR",
                "discount": AmountOff(amount=500),
                "minimum_spend": draw.pick((0, 0, 1_000)),
                "validity": {
                    "starts": self.time + timedelta(minutes=draw.pick((-60, -60, -60, 3))),
                    "ends": self.time + timedelta(minutes=draw.pick((10, 30, 60, 90))),
                },
                "per_user_limit": 1 if kind == "shared" else draw.pick((None, None, 1, 2)),
                "return_policy": draw.pick(("usable_again", "usable_if_not_expired", "burned")),
                "redeemable_by": redeemers if owner in (PLATFORM, *redeemers) else (),
            }
        )
        quantity = draw.number(1, 8) if kind == "generated" else draw.pick((None, 1, 3))
        subject = campaign.id if name is None else str(campaign_id(owner, name))
        return self.record(command(terms=terms, supply=supply, quantity=quantity), subject, owner)

    def _new_code(self, draw: Draw, campaign: Campaign, sometimes: bool) -> str | None:
        if campaign.supply == "given":
            return draw.pick(tuple(f"GVN{n}" for n in range(8))) if draw.number(1, 10) > 1 else None
        return draw.pick((None, None, None, campaign.code, "WRNG7")) if sometimes else None

    def claim(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, self._is_open)
        if campaign is None:
            return None
        command = ClaimCoupon(user=draw.pick(USERS), code=self._new_code(draw, campaign, True))
        return self.record(command, campaign.id, self._owner(draw, campaign))

    def issue(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, self._is_open)
        if campaign is None:
            return None
        rows = tuple(
            IssueRow(user=draw.pick(USERS), code=self._new_code(draw, campaign, False))
            for _ in range(draw.number(1, 4))
        )
        return self.record(IssueCoupons(rows=rows), campaign.id, self._owner(draw, campaign))

    def redeem(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, has_coupons)
        if campaign is None:
            return None
        coupon, order = self._coupon(draw, campaign, "held", "reserved"), draw.pick(ORDERS)
        command = RedeemCoupon(coupon=coupon, order=order, amount=draw.pick((2_000, 300, 999, 1_000, None)))
        return self.record(command, campaign.id, self._till(draw, campaign))

    def reserve(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, has_coupons)
        if campaign is None:
            return None
        coupon, order = self._coupon(draw, campaign, "held"), draw.pick(ORDERS[:2])
        command = ReserveCoupon(coupon=coupon, order=order or "", seconds=draw.pick((1, 60, 900)))
        return self.record(command, campaign.id, self._till(draw, campaign))

    def release(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, has_coupons)
        if campaign is None:
            return None
        command = ReleaseCoupon(coupon=self._coupon(draw, campaign, "reserved"), order=draw.pick(ORDERS[:2]) or "")
        return self.record(command, campaign.id, self._till(draw, campaign))

    def give_back(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, has_coupons)
        if campaign is None:
            return None
        command = ReturnCoupon(coupon=self._coupon(draw, campaign, "redeemed"), reason="not wanted")
        return self.record(command, campaign.id, self._till(draw, campaign))

    def void(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, has_coupons)
        if campaign is None:
            return None
        named = tuple(self._coupon(draw, campaign) for _ in range(draw.number(1, 3)))
        named = tuple(one for one in named if one.number is not None or campaign.supply != "shared")
        if not named:
            return None
        return self.record(VoidCoupons(coupons=named, reason="void"), campaign.id, self._owner(draw, campaign))

    def void_all(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, has_coupons)
        if campaign is None:
            return None
        return self.record(VoidCampaign(reason="void"), campaign.id, self._owner(draw, campaign))

    def void_matching(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, has_coupons)
        if campaign is None:
            return None
        first = draw.number(1, 5)
        matching = CouponFilter(
            first=first,
            last=draw.pick((None, None, first + draw.number(0, 4))),
            states=draw.pick(((), (), ("held",), ("reserved",), ("exported",), ("held", "exported"))),
            users=draw.pick(((), (), (), USERS[:2])),
            user_prefix=draw.pick((None, None, None, "b")),
            issued_before=draw.pick((None, None, self.time, self.time + timedelta(seconds=1))),
        )
        return self.record(VoidMatching(matching=matching, reason="void"), campaign.id, self._owner(draw, campaign))

    def _is_open(self, campaign: Campaign) -> bool:
        return campaign.state == "active" and campaign.terms.ends > self.time

    def _changed(
        self, draw: Draw, command: Contract, fits: Callable[[Campaign], object] = lambda campaign: True
    ) -> CommandRecord | None:
        campaign = self._some(draw, fits)
        if campaign is None:
            return None
        return self.record(command, campaign.id, self._owner(draw, campaign))

    def pause(self, draw: Draw) -> CommandRecord | None:
        return self._changed(draw, PauseCampaign(reason="pause"))

    def resume(self, draw: Draw) -> CommandRecord | None:
        return self._changed(draw, ResumeCampaign(), lambda campaign: campaign.state == "paused")

    def stop(self, draw: Draw) -> CommandRecord | None:
        return self._changed(draw, StopCampaign(reason="stop"))

    def unpublish(self, draw: Draw) -> CommandRecord | None:
        return self._changed(draw, UnpublishCampaign())

    def change_quantity(self, draw: Draw) -> CommandRecord | None:
        return self._changed(draw, ChangeQuantity(quantity=draw.number(1, 10)))

    def upload(self, draw: Draw) -> CommandRecord | None:
        codes = tuple(f"VP{draw.number(0, 12)}" for _ in range(draw.number(1, 4)))
        return self._changed(draw, UploadCodes(codes=codes), lambda campaign: campaign.supply == "uploaded")

    def export(self, draw: Draw) -> CommandRecord | None:
        return self._changed(
            draw, ExportCodes(count=draw.number(1, 3)), lambda campaign: campaign.supply == "generated"
        )

    def set_merchant(self, draw: Draw, state: str | None = None) -> CommandRecord:
        self._versions += 1
        lane, merchant = draw.number(0, len(self.models) - 1), draw.pick(MERCHANTS)
        return self.merchant(lane, merchant, state or draw.pick(("active", "active", "suspended")))

    def merchant(self, lane: int, merchant: str, state: str) -> CommandRecord:
        self._versions += 1
        command = SetMerchant.model_validate(
            {"partition": lane, "merchant": UUID(merchant), "version": self._versions, "state": state}
        )
        return self.record(command, lane_key(lane))

    def again(self, draw: Draw) -> CommandRecord | None:
        """A command sent before: as it was, or with its request number and another content."""
        before = [record for record in self.asked if not record.subject.startswith("lane-")]
        if not before:
            return None
        record = draw.pick(before)
        if draw.number(1, 4) == 1 and isinstance(record.data, ClaimCoupon):
            changed = record.data.model_copy(update={"user": "somebody else"})
            return record.model_copy(update={"data": changed})
        return record.model_copy(update={"notafter": self.time + timedelta(days=20)})

    def later(self, draw: Draw) -> datetime:
        """A moment ahead: some minutes from now, or the very moment at which something ends, or a second beside it."""
        ends: list[datetime] = [campaign.terms.ends for campaign in self.campaigns()]
        ends += [coupon.until for campaign in self.campaigns() for coupon in campaign.coupons.values() if coupon.until]
        beside = timedelta(seconds=draw.pick((-1, 0, 0, 1)))
        moments = [moment + beside for moment in ends if moment + beside > self.time]
        if moments and draw.number(1, 2) > 1:
            return min(moments)
        return self.time + timedelta(seconds=draw.pick((1, 60, 120)))


VERBS = {
    "generate": 3,
    "publish": 3,
    "claim": 14,
    "issue": 8,
    "redeem": 16,
    "reserve": 8,
    "release": 6,
    "give_back": 8,
    "void": 4,
    "void_all": 1,
    "void_matching": 3,
    "pause": 2,
    "resume": 3,
    "stop": 1,
    "unpublish": 1,
    "change_quantity": 4,
    "upload": 6,
    "export": 4,
    "set_merchant": 1,
    "again": 8,
}
"""What is asked, and how often out of their sum."""
