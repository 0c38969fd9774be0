"""Limits by period and by user and day, as one command that issues coupons meets them."""

from __future__ import annotations

from contracts.events import CampaignLimitReached
from contracts.refusals import PeriodLimitReached, Refusal, UserDayLimitReached
from coupon_core.model.campaign import Campaign
from coupon_core.model.periods import Period, period_end, period_limits, period_start
from coupon_core.model.validity import day_of, start_of
from coupon_core.work import Call, PeriodCount


class Limits:
    """The campaign's counters at the time of the command; what follows from the time is worked out once."""

    def __init__(self, call: Call, campaign: Campaign) -> None:
        self.call, self.campaign = call, campaign
        self.zone = campaign.terms.validity.zone
        self.user_day_limit = campaign.terms.per_user_day_limit
        self.today = start_of(day_of(call.now, self.zone), self.zone)
        self.counts = [self._count(period, limit) for period, limit in period_limits(campaign.terms)]

    def _count(self, period: Period, limit: int) -> PeriodCount:
        """The period's counter."""
        first = period_start(period, self.call.now, self.zone)
        key = self.campaign.number, period, first
        found = self.call.work.period_counts.get(key)
        if found is None:
            begins, ends = start_of(first, self.zone), period_end(period, first, self.zone)
            found = self.call.work.period_counts[key] = PeriodCount(*key, begins, ends, 0, limit)
        found.most = limit
        return found

    def why_not(self, user: str) -> Refusal | None:
        """Why this user may not get a coupon now, if so."""
        for count in self.counts:
            if count.issued >= count.most:
                return PeriodLimitReached(period=count.period, limit=count.most, next=count.ends)
        if self.user_day_limit is not None:
            held = self.call.work.by_user.get((self.campaign.number, user), ())
            today = sum(coupon.issued_at >= self.today for coupon in held)
            if today >= self.user_day_limit:
                following = period_end("day", day_of(self.call.now, self.zone), self.zone)
                return UserDayLimitReached(limit=self.user_day_limit, issued=today, next=following)
        return None

    def count(self) -> None:
        """Count a coupon that was issued now; tells when that was the last one of a period."""
        for count in self.counts:
            count.issued += 1
            count.changed = True
            if count.issued == count.most:
                reached = CampaignLimitReached(
                    period=count.period, starts=count.begins, ends=count.ends, limit=count.most
                )
                self.call.work.recorder(self.campaign).campaign_event(self.call.cause, reached)
