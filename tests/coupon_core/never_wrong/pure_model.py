"""What Scrip promises of campaigns and coupons, said once more: small, pure, and made without coupon-core's code.

One `Model` is one lane. `take` says what the answer to a command must be, and moves the model as promised. Time that
runs out is lazy here: a coupon is looked at before it is used, so it does not matter when core gets round to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contracts.campaigns import AmountOff
from contracts.commands import CommandRecord, CouponReference
from contracts.fields import PLATFORM

LIVE = ("active", "paused", "exhausted")
OPEN = ("held", "reserved")
USABLE = ("held", "reserved", "redeemed")


@dataclass(frozen=True)
class Answer:
    """What must be answered: done with at least these facts, or refused with one of these codes."""

    refused: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


class No(Exception):
    """A rule said no."""


@dataclass
class Coupon:
    """A coupon somebody has, or had."""

    user: str | None
    state: str = "held"
    order: str | None = None
    until: datetime | None = None
    redemptions: int = 0
    at: datetime | None = None
    """When it came into being."""


@dataclass
class Campaign:
    """A campaign. `exported` and `free` are numbers of codes that nobody holds yet.

    `void_codes` were exported and became void while nobody held them: coupons, but none that has a row.
    """

    id: str
    owner: str
    terms: Any
    supply: str
    code: str | None
    quantity: int | None
    state: str = "active"
    last: int = 0
    coupons: dict[int, Coupon] = field(default_factory=dict)
    exported: set[int] = field(default_factory=set)
    void_codes: set[int] = field(default_factory=set)
    free: list[int] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return self.quantity is not None and len(self.coupons) + len(self.exported) >= self.quantity

    def mind_the_quantity(self) -> None:
        if self.state in ("active", "exhausted"):
            self.state = "exhausted" if self.full else "active"

    def counted(self) -> dict[str, int]:
        """Coupons by state."""
        states = [coupon.state for coupon in self.coupons.values()]
        return {state: states.count(state) for state in sorted(set(states))}


class Model:
    """One lane."""

    def __init__(self, slice_of: int) -> None:
        self.slice_of = slice_of
        self.now: datetime | None = None
        self.campaigns: dict[str, Campaign] = {}
        self.merchants: dict[str, str] = {}
        self.cursors: set[tuple[str, int]] = set()
        """Campaigns, and the last coupon of a slice that was voided."""
        self.answered: dict[Any, tuple[str, Answer]] = {}
        self.asking = ("", "")
        """Party and actor of the command being taken."""

    def take(self, record: CommandRecord, time: datetime | None, by_core: bool = False) -> Answer:
        """The answer to a command that stands next in the log; `time` is the record's, None where time is told."""
        moment = time or record.at
        if moment is not None and (self.now is None or moment > self.now):
            self.now = moment
        said = f"{record.type} {record.subject} {record.party} {record.data.model_dump_json()}"
        first = self.answered.get(record.id)
        if first is not None:
            return first[1] if first[0] == said else Answer(("idempotency_conflict",))
        try:
            if not by_core and record.party != PLATFORM and self.merchants.get(record.party) != "active":
                raise No("merchant_not_active")
            self.asking = (record.party, record.actor)
            verb: Callable[..., dict[str, Any]] = getattr(self, type(record.data).__name__)
            answer = Answer(facts=verb(record, record.data))
        except No as no:
            answer = Answer(tuple(no.args))
        self.answered[record.id] = (said, answer)
        return answer

    # --- the lane

    def AdvanceClock(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        if self.now is not None and command.to < self.now:
            raise No("clock_moves_forward")
        self.now = command.to
        return {"partition": command.partition}

    def SetMerchant(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        self.merchants[str(command.merchant)] = command.state
        return {"version": command.version}

    def RunDue(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        return {}

    def all_that_is_due_has_happened(self) -> None:
        """Core says that nothing is left that is due."""
        for campaign in self.campaigns.values():
            over = self._now >= campaign.terms.ends
            if campaign.state in LIVE:
                for coupon in campaign.coupons.values():
                    self._look(campaign, coupon)
                campaign.state = "ended" if over else campaign.state

    @property
    def _now(self) -> datetime:
        if self.now is None:
            raise No("clock_not_set")
        return self.now

    # --- campaigns

    def _state(self, campaign: Campaign) -> str:
        """Its state now: who lives and whose time is over has ended, whether core has come to it or not."""
        return "ended" if campaign.state in LIVE and self._now >= campaign.terms.ends else campaign.state

    def GenerateCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        if record.subject in self.campaigns:
            raise No("campaign_exists")
        ends = command.terms.validity.ends
        if ends <= self._now:
            raise No("campaign_over")
        code = getattr(command.supply, "code", None)
        campaign = Campaign(
            record.subject, record.party, Terms.of(command.terms), command.supply.kind, code, command.quantity
        )
        self.campaigns[record.subject] = campaign
        return {"campaign": record.subject, "state": "active"}

    PublishCampaign = GenerateCampaign

    def _own(self, record: CommandRecord) -> Campaign:
        campaign = self.campaigns.get(record.subject)
        if campaign is None or campaign.owner != record.party:
            raise No("campaign_not_found")
        return campaign

    def _change(self, record: CommandRecord, before: tuple[str, ...]) -> Campaign:
        campaign = self._own(record)
        if self._state(campaign) not in before:
            raise No("campaign_state_forbids")
        return campaign

    def PauseCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, ("active", "exhausted"))
        campaign.state = "paused"
        return {"state": "paused"}

    def ResumeCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, ("paused",))
        campaign.state = "exhausted" if campaign.full else "active"
        return {"state": campaign.state}

    def StopCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, LIVE)
        campaign.state = "stopped"
        return {"state": "stopped"}

    def UnpublishCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        self._own(record)
        return {}

    def ChangeQuantity(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, LIVE)
        if command.quantity < len(campaign.coupons) + len(campaign.exported):
            raise No("quantity_below_issued")
        campaign.quantity = command.quantity
        campaign.mind_the_quantity()
        return {"quantity": command.quantity, "state": campaign.state}

    def UploadCodes(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._own(record)
        if campaign.supply != "uploaded":
            raise No("codes_not_uploadable")
        if self._state(campaign) not in LIVE:
            raise No("campaign_over" if self._state(campaign) == "ended" else "campaign_not_active")
        before = len(campaign.codes)
        for code in command.codes:
            if code not in campaign.codes:
                campaign.last += 1
                campaign.codes[code] = campaign.last
                campaign.free.append(campaign.last)
        accepted = len(campaign.codes) - before
        return {"accepted": accepted, "refused": len(command.codes) - accepted}

    def ExportCodes(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._own(record)
        if campaign.supply != "generated":
            raise No("codes_not_exportable")
        if self._state(campaign) not in LIVE:
            raise No("campaign_over" if self._state(campaign) == "ended" else "campaign_not_active")
        if (campaign.quantity or 0) - len(campaign.coupons) - len(campaign.exported) < command.count:
            raise No("campaign_exhausted")
        first = campaign.last + 1
        campaign.last += command.count
        campaign.exported |= set(range(first, campaign.last + 1))
        campaign.mind_the_quantity()
        return {}

    # --- coupons come into being

    def _issuing(self, record: CommandRecord) -> Campaign:
        campaign = self._own(record)
        state = self._state(campaign)
        if state != "active":
            raise No({"ended": "campaign_over", "exhausted": "campaign_exhausted"}.get(state, "campaign_not_active"))
        return campaign

    def _give(self, campaign: Campaign, user: str, code: str | None) -> int:
        if campaign.full:
            raise No("campaign_exhausted")
        limit = campaign.terms.user_limit
        if limit is not None and sum(coupon.user == user for coupon in campaign.coupons.values()) >= limit:
            raise No("user_limit_reached")
        if campaign.supply == "given":
            if code is None:
                raise No("code_required")
            if code in campaign.codes:
                raise No("code_taken")
        elif code not in (None, campaign.code):
            raise No("code_not_expected")
        if campaign.supply == "uploaded":
            if not campaign.free:
                raise No("no_code_left")
            number = campaign.free.pop(0)
        else:
            campaign.last += 1
            number = campaign.last
            if code is not None and campaign.supply == "given":
                campaign.codes[code] = number
        campaign.coupons[number] = Coupon(user, at=self._now)
        return number

    def ClaimCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._issuing(record)
        number = self._give(campaign, command.user, command.code)
        campaign.mind_the_quantity()
        return {"coupon": f"{campaign.id}.{number}", "user": command.user}

    def IssueCoupons(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._issuing(record)
        rows: list[dict[str, Any]] = []
        users: set[str] = set()
        for index, row in enumerate(command.rows):
            try:
                if row.user in users:
                    raise No("repeated_in_request")
                users.add(row.user)
                rows.append({"row": index, "coupon": f"{campaign.id}.{self._give(campaign, row.user, row.code)}"})
            except No as no:
                rows.append({"row": index, "refusal": {"code": no.args[0]}})
        campaign.mind_the_quantity()
        return {"accepted": sum("coupon" in row for row in rows), "rows": rows}

    # --- coupons are used

    def _redeeming(self, record: CommandRecord) -> Campaign:
        campaign = self.campaigns.get(record.subject)
        if campaign is None or record.party not in (campaign.owner, *campaign.terms.redeemers):
            raise No("campaign_not_found")
        return campaign

    def _look(self, campaign: Campaign, coupon: Coupon) -> None:
        """What is overdue on a coupon happens first."""
        if coupon.state in OPEN and self._now >= campaign.terms.ends:
            coupon.state, coupon.order, coupon.until = "expired", None, None
        elif coupon.state == "reserved" and coupon.until is not None and self._now >= coupon.until:
            coupon.state, coupon.order, coupon.until = "held", None, None

    def _find(
        self, campaign: Campaign, named: CouponReference, wanted: tuple[str, ...], order: str | None = None
    ) -> int:
        """The number meant; without a coupon, it is of a code nobody holds."""
        by_user = named.number is None and (named.code is None or campaign.supply == "shared")
        if by_user and named.code in (None, campaign.code):
            found = self._of_user(campaign, named.user, wanted, order)
        elif named.number is not None:
            found = named.number if named.number in campaign.coupons.keys() - campaign.void_codes else None
        else:
            found = campaign.codes.get(named.code or "")
        if found is None or not (found in campaign.coupons or found in campaign.exported or found in campaign.free):
            raise No("coupon_not_found")
        holder = campaign.coupons[found].user if found in campaign.coupons else None
        if named.user is not None and holder not in (None, named.user):
            party, actor = self.asking
            by_staff = party == campaign.owner and actor.startswith("staff:")
            raise No("not_this_users_coupon" if by_staff else "coupon_not_found")
        return found

    def _of_user(self, campaign: Campaign, user: str | None, wanted: tuple[str, ...], order: str | None) -> int | None:
        held = {number: coupon for number, coupon in campaign.coupons.items() if coupon.user == user}
        numbers = [number for number, coupon in sorted(held.items()) if order is not None and coupon.order == order]
        for state in wanted:
            numbers += [number for number, coupon in sorted(held.items()) if coupon.state == state]
        return None if user is None or not held else [*numbers, max(held)][0]

    def _take_bearer(self, campaign: Campaign, number: int, user: str | None) -> Coupon:
        if number in campaign.exported:
            campaign.exported.remove(number)
        elif campaign.full:
            raise No("campaign_exhausted")
        else:
            campaign.free.remove(number)
        campaign.coupons[number] = Coupon(user, at=self._now)
        return campaign.coupons[number]

    def _check_usable(self, campaign: Campaign, coupon: Coupon | None, order: str | None) -> None:
        if coupon is not None:
            self._look(campaign, coupon)
            if coupon.state == "redeemed":
                # Of one user's several coupons, which one is meant changes once their time is over.
                raise No("coupon_already_redeemed", *(["coupon_expired"] if self._now >= campaign.terms.ends else []))
            if coupon.state == "reserved" and order != coupon.order:
                raise No("coupon_reserved")
            if coupon.state == "expired":
                raise No("coupon_expired", "coupon_already_redeemed")
            if coupon.state in ("voided", "burned"):
                raise No(f"coupon_{coupon.state}")
        if self._state(campaign) not in ("active", "exhausted"):
            raise No("coupon_expired" if self._state(campaign) == "ended" else "campaign_not_active")
        if self._now < campaign.terms.starts:
            raise No("campaign_not_started")

    def RedeemCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._redeeming(record)
        number = self._find(campaign, command.coupon, USABLE, command.order)
        coupon = campaign.coupons.get(number)
        self._check_usable(campaign, coupon, command.order)
        off, least, amount = campaign.terms.off, campaign.terms.minimum, command.amount
        if amount is None and least > 0:
            raise No("order_amount_required")
        if amount is not None and amount < least:
            raise No("minimum_spend_not_met")
        coupon = coupon or self._take_bearer(campaign, number, command.coupon.user)
        coupon.state, coupon.order, coupon.until = "redeemed", None, None
        coupon.redemptions += 1
        campaign.mind_the_quantity()
        off = off if amount is None else min(off, amount)
        return {"coupon": f"{campaign.id}.{number}", "redemption": coupon.redemptions, "discount": off}

    def ReserveCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._redeeming(record)
        number = self._find(campaign, command.coupon, USABLE, command.order)
        coupon = campaign.coupons.get(number)
        self._check_usable(campaign, coupon, command.order)
        coupon = coupon or self._take_bearer(campaign, number, command.coupon.user)
        until = min(self._now + timedelta(seconds=command.seconds), campaign.terms.ends)
        coupon.state, coupon.order, coupon.until = "reserved", command.order, until
        campaign.mind_the_quantity()
        return {"coupon": f"{campaign.id}.{number}", "until": until.isoformat().replace("+00:00", "Z")}

    def ReleaseCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._redeeming(record)
        number = self._find(campaign, command.coupon, USABLE, command.order)
        coupon = campaign.coupons.get(number)
        if coupon is not None:
            self._look(campaign, coupon)
        if coupon is None or coupon.state != "reserved":
            raise No("coupon_not_reserved")
        if coupon.order != command.order:
            raise No("coupon_reserved")
        coupon.state, coupon.order, coupon.until = "held", None, None
        return {"coupon": f"{campaign.id}.{number}", "state": "held"}

    def ReturnCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._redeeming(record)
        number = self._find(campaign, command.coupon, ("redeemed", "held", "reserved"))
        coupon = campaign.coupons.get(number)
        if coupon is not None:
            self._look(campaign, coupon)
        if coupon is None or coupon.state != "redeemed":
            raise No("coupon_not_redeemed")
        over = self._now >= campaign.terms.ends
        burned = campaign.terms.policy == "burned" or (over and campaign.terms.policy == "usable_if_not_expired")
        coupon.state = "burned" if burned or campaign.state == "stopped" else "held"
        self._look(campaign, coupon)
        return {"coupon": f"{campaign.id}.{number}", "state": coupon.state, "redemption": coupon.redemptions}

    def VoidCoupons(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._own(record)
        rows: list[dict[str, Any]] = []
        for index, named in enumerate(command.coupons):
            try:
                number = self._find(campaign, named, USABLE)
                coupon = campaign.coupons.get(number) or self._take_bearer(campaign, number, None)
                self._look(campaign, coupon)
                if coupon.state not in OPEN:
                    name = {"redeemed": "coupon_already_redeemed"}.get(coupon.state, f"coupon_{coupon.state}")
                    raise No(name)
                coupon.state, coupon.order, coupon.until = "voided", None, None
                rows.append({"row": index, "coupon": f"{campaign.id}.{number}"})
            except No as no:
                rows.append({"row": index, "refusal": {"code": no.args[0]}})
        campaign.mind_the_quantity()
        return {"rows": rows}

    def VoidCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._own(record)
        if command.after and (campaign.id, command.after) not in self.cursors:
            raise AssertionError(f"no slice ended with {command.after}")
        left = sorted(n for n, coupon in campaign.coupons.items() if n > command.after and coupon.state in OPEN)
        for number in left[: self.slice_of]:
            coupon = campaign.coupons[number]
            self._look(campaign, coupon)
            coupon.state = "voided" if coupon.state in OPEN else coupon.state
            coupon.order = coupon.until = None
        self.cursors |= {(campaign.id, number) for number in left[self.slice_of - 1 : self.slice_of]}
        return {"more": len(left) > self.slice_of}

    def VoidMatching(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._own(record)
        matching = command.matching
        above = max(command.after, (matching.first or 1) - 1)
        upto = min(command.upto or campaign.last, matching.last or campaign.last)
        for coupon in campaign.coupons.values():
            self._look(campaign, coupon)
        coupons = {n: c for n, c in campaign.coupons.items() if above < n <= upto and c.state in OPEN}
        coupons = {n: c for n, c in coupons.items() if self._is_meant(c, matching)}
        asks_holder = matching.users or matching.user_prefix or matching.issued_before
        with_codes = not asks_holder and (not matching.states or "exported" in matching.states)
        codes = {n for n in campaign.exported if above < n <= upto} if with_codes else set[int]()
        begins = min([*coupons, *codes], default=upto + 1)
        end = begins - 1 + self.slice_of
        voided = {"held": 0, "reserved": 0, "exported": 0}
        for number, coupon in coupons.items():
            if number <= end and (not matching.states or coupon.state in matching.states):
                voided[coupon.state] += 1
                coupon.state, coupon.order, coupon.until = "voided", None, None
        for number in codes:
            if number <= end and self._now < campaign.terms.ends:
                voided["exported"] += 1
                campaign.exported.remove(number)
                campaign.void_codes.add(number)
                campaign.coupons[number] = Coupon(None, "voided")
        if self._now < campaign.terms.ends:
            return voided | {"more": end < upto}
        return voided

    @staticmethod
    def _is_meant(coupon: Coupon, matching: Any) -> bool:
        user = coupon.user or ""
        by_user = not matching.users or user in matching.users
        by_prefix = matching.user_prefix is None or user.startswith(matching.user_prefix)
        return by_user and by_prefix and (matching.issued_before is None or coupon.at < matching.issued_before)


@dataclass(frozen=True)
class Terms:
    """What the model minds of a campaign's terms."""

    starts: datetime
    ends: datetime
    user_limit: int | None
    policy: str
    redeemers: tuple[str, ...]
    minimum: int
    off: int

    @staticmethod
    def of(terms: Any) -> Terms:
        off = terms.discount.amount if isinstance(terms.discount, AmountOff) else 0
        validity = terms.validity
        return Terms(
            validity.starts,
            validity.ends,
            terms.per_user_limit,
            terms.return_policy,
            tuple(terms.redeemable_by),
            terms.minimum_spend,
            off,
        )
