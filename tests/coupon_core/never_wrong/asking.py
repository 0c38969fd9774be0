"""What is asked of a lane: commands made from draws, so that Hypothesis and a seeded random number make the same ones.

The model knows what there is; most questions are about that, some about what there is not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from contracts.commands import (
    ActivateCampaign,
    CancelGeneration,
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
from tests.coupon_core.never_wrong.asking_terms import (
    MERCHANTS,
    Draw,
    draw_amendment,
    draw_attributes,
    draw_supply,
    draw_terms,
    one_in,
)
from tests.coupon_core.never_wrong.pure_campaign import OPEN, Campaign
from tests.coupon_core.never_wrong.pure_model import Model
from tests.coupon_core.never_wrong.pure_terms import START

PARTIES = (PLATFORM, *MERCHANTS)
USERS = ("ann", "bob", "cyd", "dan")
ORDERS = ("order-1", "order-2", None)
MOST_CAMPAIGNS = 4
AT_FIRST = ("generate", "publish", "generate")
"""What everything begins with, so that there is something to ask about."""


def can_be_used(campaign: Campaign) -> bool:
    """Somebody holds a coupon, or knows a code that nobody holds."""
    held = any(coupon.state in OPEN for coupon in campaign.coupons.values())
    return held or bool(campaign.codes and (campaign.free or campaign.exported))


def holds_one(campaign: Campaign) -> bool:
    """An order does."""
    return any(coupon.state == "reserved" for coupon in campaign.coupons.values())


def gave_something(campaign: Campaign) -> bool:
    """A coupon was redeemed."""
    return any(coupon.redemptions for coupon in campaign.coupons.values())


class Asker:
    """Makes commands about the campaigns of some lanes; each has a model."""

    def __init__(self, models: dict[int, Model], *, told: bool) -> None:
        self.models = models
        self.told = told
        self.time = START
        """The time of the next record, or what was told last."""
        self.asked: list[CommandRecord] = []
        self.special: tuple[str, ...] = ()
        """Of all campaigns' terms (`asking_terms.SPECIALS`); none: as they come."""
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
        if campaign.supply != "shared" and campaign.codes and (not numbers or draw.number(1, 3) == 1):
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
        supply = draw_supply(draw, kind, f"SHARED{len(there)}")
        terms = draw_terms(draw, self.time, owner, kind == "shared", self.special)
        subject = campaign.id if name is None else str(campaign_id(owner, name))
        if command is PublishCampaign:
            return self.record(command(terms=terms, supply=supply, quantity=draw.pick((None, 1, 3))), subject, owner)
        quantity = draw.number(1, 8) if kind == "generated" else draw.pick((None, 1, 3))
        made = command(terms=terms, supply=supply, quantity=quantity, draft=one_in(draw, 4))
        return self.record(made, subject, owner)

    def _new_code(self, draw: Draw, campaign: Campaign, sometimes: bool) -> str | None:
        if campaign.supply == "given":
            return draw.pick(tuple(f"GVN{n}" for n in range(8))) if draw.number(1, 10) > 1 else None
        return draw.pick((None, None, None, campaign.code, "WRNG7")) if sometimes else None

    def claim(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, self._is_open)
        if campaign is None:
            return None
        command = ClaimCoupon(
            user=draw.pick(USERS),
            code=self._new_code(draw, campaign, True),
            attributes=draw_attributes(draw, campaign, "issue"),
        )
        return self.record(command, campaign.id, self._owner(draw, campaign))

    def issue(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, self._is_open)
        if campaign is None:
            return None
        rows = tuple(
            IssueRow(
                user=draw.pick(USERS),
                code=self._new_code(draw, campaign, False),
                attributes=draw_attributes(draw, campaign, "issue"),
            )
            for _ in range(draw.number(1, 4))
        )
        return self.record(IssueCoupons(rows=rows), campaign.id, self._owner(draw, campaign))

    def redeem(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, can_be_used)
        if campaign is None:
            return None
        command = RedeemCoupon(
            coupon=self._coupon(draw, campaign, "held", "reserved"),
            order=draw.pick(ORDERS),
            amount=draw.pick((2_000, 1_500, 300, 999, 1_000, 0, None)),
            discount=draw.pick((None, None, 300, 901) if campaign.terms.gift else (None,) * 19 + (300,)),
            attributes=draw_attributes(draw, campaign, "redeem"),
        )
        return self.record(command, campaign.id, self._till(draw, campaign))

    def reserve(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, can_be_used)
        if campaign is None:
            return None
        command = ReserveCoupon(
            coupon=self._coupon(draw, campaign, "held"),
            order=draw.pick(ORDERS[:2]) or "",
            seconds=draw.pick((1, 60, 900)),
            amount=draw.pick((None, 400, 400, 901) if campaign.terms.gift else (None,) * 19 + (400,)),
        )
        return self.record(command, campaign.id, self._till(draw, campaign))

    def release(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, holds_one)
        if campaign is None:
            return None
        command = ReleaseCoupon(coupon=self._coupon(draw, campaign, "reserved"), order=draw.pick(ORDERS[:2]) or "")
        return self.record(command, campaign.id, self._till(draw, campaign))

    def give_back(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, gave_something)
        if campaign is None:
            return None
        states = ("redeemed", "held") if campaign.terms.in_parts else ("redeemed",)
        command = ReturnCoupon(
            coupon=self._coupon(draw, campaign, *states),
            redemption=draw.pick((None,) * 6 + (1, 2)),
            amount=draw.pick((None, None, 100, 901) if campaign.terms.gift else (None,) * 19 + (100,)),
            reason="not wanted",
        )
        return self.record(command, campaign.id, self._till(draw, campaign))

    def void(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, can_be_used)
        if campaign is None:
            return None
        named = tuple(self._coupon(draw, campaign) for _ in range(draw.number(1, 3)))
        named = tuple(one for one in named if one.number is not None or campaign.supply != "shared")
        if not named:
            return None
        return self.record(VoidCoupons(coupons=named, reason="void"), campaign.id, self._owner(draw, campaign))

    def void_all(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, can_be_used)
        if campaign is None or _slices_vary(campaign):
            return None
        return self.record(VoidCampaign(reason="void"), campaign.id, self._owner(draw, campaign))

    def void_matching(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, can_be_used)
        if campaign is None or _slices_vary(campaign):
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
        there = campaign.supply != "uploaded" or campaign.free
        return campaign.state == "active" and campaign.terms.ends > self.time and bool(there)

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
        campaign = self._some(draw)
        if campaign is None or _slices_vary(campaign):
            return None
        return self.record(StopCampaign(reason="stop"), campaign.id, self._owner(draw, campaign))

    def unpublish(self, draw: Draw) -> CommandRecord | None:
        return self._changed(draw, UnpublishCampaign())

    def activate(self, draw: Draw) -> CommandRecord | None:
        return self._changed(draw, ActivateCampaign(), lambda campaign: campaign.state == "draft")

    def amend(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, lambda campaign: campaign.state in ("draft", "active", "exhausted"))
        if campaign is None:
            return None
        return self.record(draw_amendment(draw, campaign), campaign.id, self._owner(draw, campaign))

    def cancel_generation(self, draw: Draw) -> CommandRecord | None:
        command = CancelGeneration(reason="cancel")
        return self._changed(draw, command, lambda campaign: campaign.state == "generating" or campaign.lacks_codes)

    def change_quantity(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw)
        if campaign is None:
            return None
        return self.record(ChangeQuantity(quantity=draw.number(1, 10)), campaign.id, self._owner(draw, campaign))

    def upload(self, draw: Draw) -> CommandRecord | None:
        campaign = self._some(draw, lambda campaign: campaign.supply == "uploaded")
        if campaign is None or campaign.stored:
            return None
        codes = tuple(f"VP{draw.number(0, 12)}" for _ in range(draw.number(1, 4)))
        return self.record(UploadCodes(codes=codes), campaign.id, self._owner(draw, campaign))

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

    def try_out(self, draw: Draw) -> CommandRecord | None:
        """Any of the others, as a dry run."""
        before = len(self.asked)
        record: CommandRecord | None = getattr(self, draw.pick(TRIED))(draw)
        if record is None or len(self.asked) == before:
            return None
        self.asked[-1] = record.model_copy(update={"dryrun": True})
        return self.asked[-1]

    def again(self, draw: Draw) -> CommandRecord | None:
        """A command sent before: as it was, or with its request number and another content."""
        before = [record for record in self.asked if not (record.subject.startswith("lane-") or record.dryrun)]
        if not before:
            return None
        record = draw.pick(before)
        if draw.number(1, 4) == 1 and isinstance(record.data, ClaimCoupon):
            changed = record.data.model_copy(update={"user": "somebody else"})
            return record.model_copy(update={"data": changed})
        return record.model_copy(update={"notafter": self.time + timedelta(days=20)})

    def later(self, draw: Draw) -> datetime:
        """A moment ahead: some minutes from now, or when something begins or ends, or a second beside that."""
        campaigns = self.campaigns()
        at = [moment for campaign in campaigns for moment in campaign.terms.moments(self.time)]
        for campaign in campaigns:
            for coupon in campaign.coupons.values():
                at += [*campaign.terms.span(coupon.at), *([] if coupon.until is None else [coupon.until])]
        beside = timedelta(seconds=draw.pick((-1, 0, 0, 1)))
        ahead = sorted({moment + beside for moment in at if moment + beside > self.time})
        if ahead and draw.number(1, 3) > 1:
            return draw.pick(ahead[:3])
        return self.time + timedelta(seconds=draw.pick((1, 60, 120)))


def _slices_vary(campaign: Campaign) -> bool:
    """Whether the slices of a campaign's end depend on when core came to coupons whose own time is over."""
    return campaign.terms.days is not None


VERBS = {
    "generate": 3,
    "publish": 3,
    "claim": 16,
    "issue": 10,
    "redeem": 24,
    "reserve": 9,
    "release": 5,
    "give_back": 10,
    "void": 3,
    "void_all": 1,
    "void_matching": 3,
    "pause": 2,
    "resume": 3,
    "stop": 1,
    "unpublish": 1,
    "activate": 4,
    "amend": 5,
    "cancel_generation": 1,
    "change_quantity": 3,
    "upload": 6,
    "export": 7,
    "set_merchant": 1,
    "again": 8,
    "try_out": 8,
}
"""What is asked, and how often out of their sum."""
TRIED = tuple(verb for verb in VERBS if verb not in ("again", "try_out", "set_merchant"))
