"""What Scrip promises of campaigns and coupons, said once more: small, pure, and made without coupon-core's code.

One `Model` is one lane. `take` says what the answer to a command must be, and moves the model as promised. Time that
runs out is lazy here: a coupon is looked at before it is used, so it does not matter when core gets round to it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any

from contracts import campaigns as contracts
from contracts.commands import CommandRecord
from contracts.fields import PLATFORM
from tests.coupon_core.never_wrong.pure_campaign import LIVE, OPEN, Campaign, Coupon
from tests.coupon_core.never_wrong.pure_coupons import Answer, Coupons
from tests.coupon_core.never_wrong.pure_terms import No, Terms

MANAGED = ("draft", *LIVE)
"""States in which a campaign can be changed."""


class Model(Coupons):
    """One lane."""

    def __init__(self, slice_of: int) -> None:
        self.slice_of = slice_of
        self.now = None
        self.campaigns = {}
        self.asking = ("", "")
        self.merchants: dict[str, str] = {}
        self.cursors: set[tuple[str, int]] = set()
        """Campaigns, and the last coupon of a slice that was voided."""
        self.answered = {}
        self.later = False
        self.voids = {}

    def take(self, record: CommandRecord, time: datetime | None, by_core: bool = False) -> Answer:
        """The answer to a command that stands next in the log; `time` is the record's, None where time is told.

        Nothing is left of a dry run.
        """
        if record.dryrun:
            return self._trial()._decide(record, time, by_core)
        return self._decide(record, time, by_core)

    def _trial(self) -> Model:
        trial = copy.copy(self)
        trial.campaigns, trial.cursors = copy.deepcopy(self.campaigns), set(self.cursors)
        trial.merchants, trial.answered = dict(self.merchants), dict(self.answered)
        trial.voids = copy.deepcopy(self.voids)
        return trial

    def _decide(self, record: CommandRecord, time: datetime | None, by_core: bool) -> Answer:
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
            self.later = False
            facts = verb(record, record.data)
            answer = Answer(facts=facts, later=self.later)
        except No as no:
            answer = Answer(tuple(no.args))
        self.answered[record.id] = (said, answer)
        return answer

    # --- the lane

    def AdvanceClock(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        if self.now is not None and command.to < self.now:
            raise No("clock_moves_forward")
        self.now = command.to
        self.later = None  # where something is due
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

    # --- campaigns come into being

    def GenerateCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        supply = command.supply
        campaign = self._create(record, command, getattr(supply, "stored", False))
        pattern = getattr(supply, "pattern", None)
        if pattern is not None and pattern.length == 1:  # the others have codes enough
            raise No("code_space_too_small")
        self.campaigns[record.subject] = campaign
        if command.draft:
            campaign.state = "draft"
        else:
            self._make_codes(campaign)
        return {"campaign": record.subject, "state": campaign.state}

    def PublishCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        self.campaigns[record.subject] = self._create(record, command, stored=False)
        return {"campaign": record.subject, "state": "active"}

    def _create(self, record: CommandRecord, command: Any, stored: bool) -> Campaign:
        if record.subject in self.campaigns:
            raise No("campaign_exists")
        code = getattr(command.supply, "code", None)
        kind = "uploaded" if stored else command.supply.kind
        campaign = Campaign(record.subject, record.party, command.terms, kind, code, command.quantity, stored)
        self._check_terms(campaign.terms)
        return campaign

    def _check_terms(self, terms: Terms) -> None:
        if terms.budget is not None and terms.worth > terms.budget:
            raise No("budget_too_small")
        if terms.ends <= terms.starts:
            raise No("end_before_start")
        if terms.ends <= self._now:
            raise No("campaign_over")
        if terms.never_usable:
            raise No("never_usable")

    def _make_codes(self, campaign: Campaign) -> None:
        campaign.state = "active"
        if campaign.stored:
            campaign.state = "generating"
            self._write_codes(campaign)

    def _write_codes(self, campaign: Campaign) -> None:
        if self._now >= campaign.terms.ends:
            campaign.state = "failed"
            return
        before, total = campaign.last, campaign.quantity or 0
        if before >= total:
            return  # the quantity was lowered
        campaign.last = min(before + self.slice_of, total)
        campaign.free += range(before + 1, campaign.last + 1)
        if campaign.last == total and campaign.state == "generating":
            campaign.state = "active"

    def ActivateCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, ("draft",))
        self._check_terms(campaign.terms)
        self._make_codes(campaign)
        return {"state": campaign.state}

    def GenerateCodes(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, ("generating", *LIVE))
        if command.after != campaign.last:
            raise No("campaign_state_forbids")
        self._write_codes(campaign)
        return {"state": campaign.state, "done": campaign.last}

    def CancelGeneration(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, ("generating", *LIVE))
        if campaign.state == "generating":
            campaign.state = "failed"
        elif campaign.lacks_codes:
            campaign.quantity = campaign.last
            campaign.mind_the_room()
        else:
            raise No("campaign_state_forbids")
        return {"state": campaign.state, "done": campaign.last}

    # --- campaigns are managed

    def _change(self, record: CommandRecord, before: tuple[str, ...]) -> Campaign:
        campaign = self.own(record)
        if self._state(campaign) not in before:
            raise No("campaign_state_forbids")
        return campaign

    def AmendCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, MANAGED)
        before = campaign.told
        asked = {name: getattr(command.terms, name) for name in contracts.Terms.model_fields}
        values = {name: value for name, value in asked.items() if value is not None}
        cleared = {name: contracts.Terms.model_fields[name].default for name in command.clear}
        after = before.model_copy(update={**cleared, **values})
        names = [name for name in contracts.Terms.model_fields if getattr(before, name) != getattr(after, name)]
        if campaign.coupons or campaign.exported:
            for name in names:
                if not _promise_kept(name, before, after):
                    raise No("amendment_forbidden")
        if names:
            self._check_terms(Terms.of(after))
            campaign.amend(after)
            campaign.mind_the_room()
        return {"amended": names, "state": campaign.state}

    def PauseCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, ("active", "exhausted"))
        campaign.state = "paused"
        return {"state": "paused"}

    def ResumeCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, ("paused",))
        campaign.state = "active"
        campaign.mind_the_room()
        return {"state": campaign.state}

    def StopCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, (*MANAGED, "failed"))
        campaign.state = "stopped"
        if not record.dryrun:
            return {"state": "stopped"}
        for coupon in campaign.coupons.values():
            self._look(campaign, coupon)
        return {"state": "stopped", "voided": sum(coupon.state in OPEN for coupon in campaign.coupons.values())}

    def UnpublishCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        self.own(record)
        return {}

    def ChangeQuantity(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._change(record, MANAGED)
        if command.quantity < len(campaign.coupons) + len(campaign.exported):
            raise No("quantity_below_issued")
        under_way = campaign.lacks_codes  # the job goes on to what the quantity is by then
        campaign.quantity = command.quantity
        if campaign.lacks_codes and not under_way:
            self._write_codes(campaign)
        campaign.mind_the_room()
        return {"quantity": command.quantity, "state": campaign.state}

    def UploadCodes(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self.own(record)
        if campaign.supply != "uploaded":
            raise No("codes_not_uploadable")
        if self._state(campaign) not in MANAGED:
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
        campaign = self.own(record)
        if campaign.supply != "generated":
            raise No("codes_not_exportable")
        if self._state(campaign) == "exhausted":
            campaign.none_left()
        if self._state(campaign) not in LIVE:
            raise No("campaign_over" if self._state(campaign) == "ended" else "campaign_not_active")
        campaign.check_room(command.count)
        if campaign.terms.waiting:
            raise No("codes_need_receiver")
        first = campaign.last + 1
        campaign.last += command.count
        campaign.exported |= set(range(first, campaign.last + 1))
        campaign.out |= set(range(first, campaign.last + 1))
        campaign.mind_the_room()
        return {"first": first, "last": campaign.last}

    # --- coupons come into being

    def _issuing(self, record: CommandRecord) -> Campaign:
        campaign = self.own(record)
        state = self._state(campaign)
        if state == "exhausted":
            campaign.none_left()
        if state != "active":
            raise No("campaign_over" if state == "ended" else "campaign_not_active")
        first, end = campaign.terms.span(self._now)
        if campaign.terms.waiting and first >= end:
            raise No("issue_too_late")
        return campaign

    def _give(self, campaign: Campaign, user: str, code: str | None, attributes: Any) -> int:
        campaign.check_room()
        limit = campaign.terms.user_limit
        if limit is not None and sum(coupon.user == user for coupon in campaign.coupons.values()) >= limit:
            raise No("user_limit_reached")
        campaign.terms.check_user("issue", attributes)
        campaign.check_limits(user, self._now)
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
        campaign.coupons[number] = Coupon(user, self._now)
        return number

    def ClaimCoupon(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._issuing(record)
        number = self._give(campaign, command.user, command.code, command.attributes)
        campaign.mind_the_room()
        first, end = (moment.isoformat().replace("+00:00", "Z") for moment in campaign.terms.span(self._now))
        return {"coupon": f"{campaign.id}.{number}", "user": command.user, "valid_from": first, "valid_until": end}

    def IssueCoupons(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self._issuing(record)
        rows: list[dict[str, Any]] = []
        users: set[str] = set()
        for index, row in enumerate(command.rows):
            try:
                if row.user in users:
                    raise No("repeated_in_request")
                users.add(row.user)
                number = self._give(campaign, row.user, row.code, row.attributes)
                rows.append({"row": index, "coupon": f"{campaign.id}.{number}"})
            except No as no:
                rows.append({"row": index, "refusal": {"code": no.args[0]}})
        campaign.mind_the_room()
        return {"accepted": sum("coupon" in row for row in rows), "rows": rows}

    def VoidCampaign(self, record: CommandRecord, command: Any) -> dict[str, Any]:
        campaign = self.own(record)
        if self._now >= campaign.terms.ends:  # what is left for a slice depends on how far core has swept
            for coupon in campaign.coupons.values():
                self._look(campaign, coupon)
            return self._slice(record, command, {}, None)
        if command.after and (campaign.id, command.after) not in self.cursors:
            raise AssertionError(f"no slice ended with {command.after}")
        left = sorted(n for n, coupon in campaign.coupons.items() if n > command.after and coupon.state in OPEN)
        voided = {"held": 0, "reserved": 0}
        for number in left if record.dryrun else left[: self.slice_of]:
            coupon = campaign.coupons[number]
            self._look(campaign, coupon)
            if coupon.state in OPEN:
                voided[coupon.state] += 1
                coupon.state = "voided"
            coupon.let_go()
        campaign.mind_the_room()
        self.cursors |= {(campaign.id, number) for number in left[self.slice_of - 1 : self.slice_of]}
        return self._slice(record, command, voided, len(left) > self.slice_of)


def _promise_kept(name: str, before: contracts.Terms, after: contracts.Terms) -> bool:
    """Whether a term may be another one although a coupon is out."""
    was, shall = getattr(before, name), getattr(after, name)
    if name == "per_user_limit":
        return True
    if name == "validity":
        later = shall.ends >= was.ends and shall.model_copy(update={"ends": was.ends}) == was
        return bool(later and was.days_after_issue is None)
    if name == "budget":
        return was is not None and shall is not None and shall > was
    return name in ("per_day_limit", "per_week_limit", "per_month_limit") and was is not None and shall is not None
