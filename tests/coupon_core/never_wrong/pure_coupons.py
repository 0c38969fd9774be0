"""Coupons being used: found, reserved, redeemed, given back, taken out of life."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contracts.commands import CommandRecord, CouponReference
from tests.coupon_core.never_wrong.pure_campaign import LIVE, OPEN, Campaign, Coupon, Redemption
from tests.coupon_core.never_wrong.pure_terms import No

USABLE = ("held", "reserved", "redeemed")


@dataclass(frozen=True)
class Answer:
    """What must be answered: done with at least these facts, or refused with one of these codes."""

    refused: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    later: bool | None = False
    """Not yet: what follows answers it; None: that, or at once."""


class Coupons:
    """What a lane's model does with coupons. Time that runs out is lazy: each is looked at before it is used."""

    now: datetime | None
    campaigns: dict[str, Campaign]
    slice_of: int
    asking: tuple[str, str]
    """Party and actor of the command being taken."""
    later: bool | None
    """Whether the command being taken is answered by what follows; None: by that, or at once."""
    voids: dict[Any, dict[str, int]]
    """What a void's slices made void so far, by the command that began it."""
    answered: dict[Any, tuple[str, Answer]]

    @property
    def _now(self) -> datetime:
        if self.now is None:
            raise No("clock_not_set")
        return self.now

    def _state(self, campaign: Campaign) -> str:
        """Its state now: who lives and whose time is over has ended, whether core has come to it or not."""
        return "ended" if campaign.state in LIVE and self._now >= campaign.terms.ends else campaign.state

    def _redeeming(self, record: CommandRecord) -> Campaign:
        campaign = self.campaigns.get(record.subject)
        if campaign is None or record.party not in (campaign.owner, *campaign.terms.redeemers):
            raise No("campaign_not_found")
        return campaign

    def _look(self, campaign: Campaign, coupon: Coupon) -> None:
        """What is overdue on a coupon happens first."""
        if coupon.state in OPEN and self._now >= self._end(campaign, coupon):
            coupon.state = "expired"
            coupon.let_go()
        elif coupon.state == "reserved" and coupon.until is not None and self._now >= coupon.until:
            coupon.state = "held"
            coupon.let_go()

    def _end(self, campaign: Campaign, coupon: Coupon) -> datetime:
        return campaign.terms.span(coupon.at)[1]

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
        else:
            campaign.check_room()
            campaign.free.remove(number)
        campaign.coupons[number] = Coupon(user, self._now, bearer=True)
        return campaign.coupons[number]

    def _check_usable(self, campaign: Campaign, coupon: Coupon | None, order: str | None, rest: bool) -> int:
        """Units this order may use; `rest`: also of a coupon of which another order holds a part. Raises No."""
        free = campaign.terms.units
        if coupon is not None:
            self._look(campaign, coupon)
            over = self._now >= self._end(campaign, coupon)
            if coupon.state == "redeemed":
                # Of one user's several coupons, which one is meant changes once their time is over.
                raise No("coupon_already_redeemed", *(["coupon_expired"] if over else []))
            if coupon.state == "expired":
                raise No("coupon_expired", "coupon_already_redeemed")
            if coupon.state in ("voided", "burned"):
                raise No(f"coupon_{coupon.state}")
            free = campaign.free_for(coupon, order)
            if coupon.state == "reserved" and order != coupon.order and not (rest and free > 0):
                raise No("coupon_reserved")
        if self._state(campaign) not in ("active", "exhausted"):
            raise No("coupon_expired" if self._state(campaign) == "ended" else "campaign_not_active")
        why_not = campaign.terms.why_not_now(self._now, None if coupon is None else coupon.at)
        if why_not is not None:
            raise No(why_not)
        return free

    def RedeemCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._redeeming(record)
        terms = campaign.terms
        number = self._find(campaign, command.coupon, USABLE, command.order)
        coupon = campaign.coupons.get(number)
        free = self._check_usable(campaign, coupon, command.order, rest=True)
        terms.check_user("redeem", command.attributes, command.amount)
        off = terms.taken_off(command.amount, command.discount, free)
        coupon = coupon or self._take_bearer(campaign, number, command.coupon.user)
        coupon.redemptions.append(Redemption(off))
        if campaign.counts_units:
            coupon.spent += off if terms.gift else 1
        if not terms.in_parts or campaign.left(coupon) == 0:
            coupon.state = "redeemed"
        elif coupon.order == command.order:
            coupon.state = "held"
        if coupon.state != "reserved":
            coupon.let_go()
        campaign.mind_the_room()
        return {
            "coupon": f"{campaign.id}.{number}",
            "redemption": len(coupon.redemptions),
            "discount": off,
            "state": coupon.state,
            **self._what_is_left(campaign, coupon),
        }

    def _what_is_left(self, campaign: Campaign, coupon: Coupon) -> dict[str, int]:
        if not campaign.terms.in_parts:
            return {}
        return {"balance" if campaign.terms.gift else "uses_left": campaign.left(coupon)}

    def ReserveCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._redeeming(record)
        terms = campaign.terms
        number = self._find(campaign, command.coupon, USABLE, command.order)
        coupon = campaign.coupons.get(number)
        self._check_usable(campaign, coupon, command.order, rest=False)
        left = terms.units if coupon is None else campaign.left(coupon)
        if command.amount is not None and not terms.gift:
            raise No("amount_not_expected")
        if command.amount is not None and command.amount > left:
            raise No("balance_too_low")
        coupon = coupon or self._take_bearer(campaign, number, command.coupon.user)
        until = min(self._now + timedelta(seconds=command.seconds), self._end(campaign, coupon))
        coupon.state, coupon.order, coupon.until = "reserved", command.order, until
        coupon.holds = (command.amount or left) if terms.gift else 1 if terms.in_parts else None
        campaign.mind_the_room()
        answer = {"coupon": f"{campaign.id}.{number}", "until": until.isoformat().replace("+00:00", "Z")}
        return {**answer, "amount": coupon.holds} if terms.gift else answer

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
        coupon.state = "held"
        coupon.let_go()
        return {"coupon": f"{campaign.id}.{number}", "state": "held"}

    def ReturnCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._redeeming(record)
        terms = campaign.terms
        number = self._find(campaign, command.coupon, ("redeemed", "held", "reserved"))
        coupon = campaign.coupons.get(number)
        if coupon is not None:
            self._look(campaign, coupon)
        if coupon is None or coupon.state == "burned" or (coupon.state != "redeemed" and not terms.in_parts):
            raise No("coupon_not_redeemed")
        place = self._redemption(coupon, command.redemption)
        redemption = coupon.redemptions[place - 1]
        amount = redemption.discount - redemption.returned if command.amount is None else command.amount
        if command.amount is not None and not terms.gift:
            raise No("partial_return_impossible")
        if amount > redemption.discount - redemption.returned:
            raise No("return_above_redeemed")
        units = amount if terms.gift else 1
        lapses = self._lapses(campaign, coupon, amount, units)
        redemption.returned += amount
        redemption.over = redemption.returned == redemption.discount
        if not lapses:
            coupon.spent -= units if campaign.counts_units else 0
        if coupon.state == "redeemed" and not lapses:
            coupon.state = "held"
            self._look(campaign, coupon)
        elif coupon.state == "redeemed" and all(each.over for each in coupon.redemptions):
            coupon.state = "burned"
        campaign.mind_the_room()
        return {
            "coupon": f"{campaign.id}.{number}",
            "state": coupon.state,
            "redemption": place,
            "amount": amount,
            "restored": not lapses,
            **self._what_is_left(campaign, coupon),
        }

    def _redemption(self, coupon: Coupon, number: int | None) -> int:
        """Which redemption is meant, counted from 1. Raises No."""
        if number is None or not coupon.redemptions:
            left = [place for place, each in enumerate(coupon.redemptions, 1) if not each.over]
            if not left:
                raise No("coupon_not_redeemed")
            return left[-1]
        if number > len(coupon.redemptions):
            raise No("redemption_not_found")
        if coupon.redemptions[number - 1].over:
            raise No("redemption_already_returned")
        return number

    def _lapses(self, campaign: Campaign, coupon: Coupon, amount: int, units: int) -> bool:
        """Whether what is given back is not the coupon's again."""
        terms, stopped = campaign.terms, campaign.state == "stopped"
        over = stopped or self._now >= self._end(campaign, coupon)
        if terms.policy == "burned" or stopped or (terms.policy == "usable_if_not_expired" and over):
            return True
        if coupon.state not in USABLE:
            return True
        return terms.budget is not None and not over and campaign.budget_left + amount < units * terms.unit_worth

    def VoidCoupons(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self.own(record)
        rows: list[dict[str, Any]] = []
        for index, named in enumerate(command.coupons):
            try:
                number = self._find(campaign, named, USABLE)
                if number not in campaign.coupons and self._now >= campaign.terms.ends:
                    raise No("coupon_expired")
                coupon = campaign.coupons.get(number) or self._take_bearer(campaign, number, None)
                self._look(campaign, coupon)
                if coupon.state not in OPEN:
                    name = {"redeemed": "coupon_already_redeemed"}.get(coupon.state, f"coupon_{coupon.state}")
                    raise No(name)
                coupon.state = "voided"
                coupon.let_go()
                rows.append({"row": index, "coupon": f"{campaign.id}.{number}"})
            except No as no:
                rows.append({"row": index, "refusal": {"code": no.args[0]}})
        campaign.mind_the_room()
        return {"rows": rows}

    def VoidMatching(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self.own(record)
        matching = command.matching
        above = max(command.after, (matching.first or 1) - 1)
        upto = min(command.upto or campaign.last, matching.last or campaign.last)
        for coupon in campaign.coupons.values():
            self._look(campaign, coupon)
        coupons = {n: c for n, c in campaign.coupons.items() if above < n <= upto and c.state in OPEN}
        coupons = {n: c for n, c in coupons.items() if _is_meant(c, matching)}
        asks_holder = matching.users or matching.user_prefix or matching.issued_before
        with_codes = not asks_holder and (not matching.states or "exported" in matching.states)
        codes = {n for n in campaign.out if above < n <= upto} if with_codes else set[int]()
        begins = min([*coupons, *codes], default=upto + 1)
        end = upto if record.dryrun else min(begins - 1 + self.slice_of, upto)
        voided = {"held": 0, "reserved": 0, "exported": 0}
        for number, coupon in coupons.items():
            if number <= end and (not matching.states or coupon.state in matching.states):
                voided[coupon.state] += 1
                coupon.state = "voided"
                coupon.let_go()
        if self._now >= campaign.terms.ends:  # what is left for a slice depends on how far core has swept
            return self._slice(record, command, voided, None)
        voided["exported"] = campaign.void_unheld({number for number in codes if number <= end}, self._now)
        campaign.mind_the_room()
        return self._slice(record, command, voided, end < upto)

    def _slice(self, record: CommandRecord, command: Any, voided: dict[str, int], more: bool | None) -> dict[str, Any]:
        """What a slice of a void is answered: all that is void by then. The last one answers the first; `more`: this
        is not the last one, None: nobody can tell."""
        first = record.id if command.waiting is None else command.waiting.command
        sum_of = self.voids.setdefault(first, {"held": 0, "reserved": 0, "exported": 0})
        for state, count in voided.items():
            sum_of[state] += count
        facts = {"accepted": sum(sum_of.values()), **sum_of, "more": False}
        self.later = False if record.dryrun else more
        if command.waiting is not None:
            self.answered[first] = self.answered[first][0], Answer(facts=facts, later=more)
        return facts

    def own(self, record: CommandRecord) -> Campaign:
        """The campaign, for its owner."""
        campaign = self.campaigns.get(record.subject)
        if campaign is None or campaign.owner != record.party:
            raise No("campaign_not_found")
        return campaign


def _is_meant(coupon: Coupon, matching: Any) -> bool:
    user = coupon.user or ""
    by_user = not matching.users or user in matching.users
    by_prefix = matching.user_prefix is None or user.startswith(matching.user_prefix)
    return by_user and by_prefix and (matching.issued_before is None or coupon.at < matching.issued_before)
