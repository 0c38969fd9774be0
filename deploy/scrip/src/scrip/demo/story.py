"""The story: a platform of its own, a chain that joins it, and the year day by day in the order of its real dates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeVar

from scrip.demo import guests
from scrip.demo.calling import Crowd
from scrip.demo.chain import ask_for_access, lend_users, new_token
from scrip.demo.companions import DemoMerchant, VoucherifyShop
from scrip.demo.data import LAST_DAY, DataCampaign, Redemption, Year, midnight
from scrip.demo.guests import Guests
from scrip.demo.memory import Peaks
from scrip.demo.report import Report, Results, Step
from scrip.demo.staff import Staff
from scrip.demo.tables import Ledger, Tables
from scrip.platform import Platform

EVE = date(2016, 11, 13)
"""The day before the first campaign begins."""
OPENING = timedelta(hours=10)
"""What a day brings happens at ten in the morning; what a day ends, at midnight."""
CHECKED_DAYS = (date(2017, 1, 31), date(2017, 4, 15), date(2017, 5, 20), date(2017, 7, 15), date(2017, 11, 15))
"""At the beginning of these days the counts are compared too."""
ERP_DAY, TOOL_DAY, SHOP_DAY = date(2017, 7, 10), date(2017, 7, 12), date(2017, 7, 14)

Thing = TypeVar("Thing")


@dataclass
class Story:
    """Everything the steps share."""

    platform: Platform
    year: Year
    report: Report
    results: Results
    households: int
    known: int
    """Households with demographics."""
    open_things: ExitStack
    peaks: Peaks = field(default_factory=Peaks)
    guests: Guests = field(default_factory=Guests)
    mid_year: dict[date, Ledger] = field(default_factory=dict)
    issued: int = 0
    redeemed: int = 0
    refused: int = 0
    killed: bool = False
    longest_pause: float = 0.0

    def play(self) -> None:
        """All steps up to the end of the year. Raises UnexpectedAnswer, PlatformError."""
        self.shop = self.open_things.enter_context(VoucherifyShop(self.platform.home.path))
        token = new_token()
        self.merchant = self.open_things.enter_context(DemoMerchant(self.platform.home.path / "demo-merchant", token))
        self.start_platform()
        self.tables = Tables(self.platform)
        self.staff = Staff(self.platform)
        self.staff.tell_time(midnight(EVE))
        self.join()
        self.fetch_users(token)
        self.live()

    def start_platform(self) -> None:
        """PostgreSQL, Kafka and the four services."""
        self.report.heading(
            "Starting a platform of its own: PostgreSQL, Apache Kafka and four services, with told time"
        )
        started = time.monotonic()
        self.platform.start()
        self.merchant.wait()
        self.report.measured(f"ready after {time.monotonic() - started:.1f} s in {self.platform.home.path}")

    def join(self) -> None:
        """The chain asks for access."""
        self.report.heading("The chain asks for access")
        self.chain = ask_for_access(self.platform.url("gateway"), self.staff)
        matched = self.chain.matched
        self.guests.matched += matched["dialect"] == "scrip"
        self.report.line(
            f"verified by staff; its key matched it to the API `{matched['dialect']}` under {matched['base_path']} "
            f"(profile version {matched['profile_version']})"
        )

    def fetch_users(self, token: str) -> None:
        """A timed task fetches the chain's households."""
        self.report.heading("A timed task fetches the chain's households from its own server")
        with self.results.timed("fetch users") as rate:
            run = lend_users(self.staff, self.chain, self.merchant, token)
            rate.count += run["seen"]
        present, known = self.tables.users(self.chain.id)
        self.report.line(f"{present:,} households in {run['pages']} pages, {known:,} of them with demographics")
        self.sync_run = run

    # -- the year ---------------

    def live(self) -> None:
        """Day after day, those on which something happens."""
        year = self.year
        starting = by_day(year.campaigns, lambda each: each.starts)
        over = by_day(year.campaigns, lambda each: each.over)
        shown = by_day(year.redemptions, lambda each: each.day)
        guests_days = {ERP_DAY, TOOL_DAY, SHOP_DAY}
        days = sorted({*starting, *over, *shown, *CHECKED_DAYS, *guests_days, LAST_DAY})
        crowd = Crowd()
        self.open_things.callback(crowd.close)
        title = f"The year day by day: {len(days)} days on which something happens, from {days[0]} to {days[-1]}"
        total = year.coupons + len(year.redemptions)
        notes: list[str] = []
        with self.report.step(title, total) as step:
            for day in days:
                if day in over or day in CHECKED_DAYS or day == LAST_DAY:
                    self.begin(day, expiring=sum(each.coupons for each in over.get(day, ())))
                if day in CHECKED_DAYS:
                    notes.append(self.check(day))
                if day in starting or day in shown or day in guests_days:
                    with self.results.timed("tell time"):
                        self.tell_time(midnight(day) + OPENING)
                if day in starting:
                    self.publish_and_issue(starting[day], crowd, step, day)
                if day in shown:
                    self.redeem(shown[day], crowd, step, day)
                if day in guests_days:
                    notes += self.welcome(day)
        for note in notes:
            self.report.line(note)
        counted = self.tables.ledger(self.chain.id)
        self.report.line(
            f"{LAST_DAY}  {counted.campaigns:,} campaigns, {counted.issued:,} issued, {counted.redeemed:,} redeemed, "
            f"{self.refused:,} refused, {counted.expired:,} expired, {counted.held:,} still held"
        )
        if self.killed:
            self.report.measured(f"longest wait for an answer while coupon-core was gone: {self.longest_pause:.1f} s")

    def tell_time(self, to: datetime) -> None:
        self.staff.tell_time(to)
        self.results.rate("tell time").count += 1

    def begin(self, day: date, expiring: int) -> None:
        """Midnight: what ended with the day before expires."""
        before = self.tables.ledger(self.chain.id).expired if expiring else 0
        with self.results.timed("expire" if expiring else "tell time"):
            self.tell_time(midnight(day))
        if expiring:
            self.results.rate("expire").count += self.tables.ledger(self.chain.id).expired - before

    def check(self, day: date) -> str:
        """Count in the middle of the year; the line that says so."""
        counted = self.mid_year[day] = self.tables.ledger(self.chain.id)
        return (
            f"{day}  {counted.issued:,} issued, {counted.redeemed:,} redeemed, {counted.expired:,} expired, "
            f"{counted.held:,} held"
        )

    def publish_and_issue(self, campaigns: list[DataCampaign], crowd: Crowd, step: Step, day: date) -> None:
        """Publish the offers of the campaigns that start, and give them to their households."""
        offers = [(campaign, code) for campaign in campaigns for code in campaign.codes]
        with self.results.timed("publish") as rate:
            for _ in crowd.each(lambda offer: self.chain.publish(*offer), offers):
                rate.count += 1
        kill_after = len(offers) // 2 if self.year.largest in campaigns and not self.killed else -1
        with self.results.timed("issue") as rate:
            last = time.monotonic()
            for number, accepted in enumerate(crowd.each(lambda offer: self.chain.issue(*offer), offers)):
                now = time.monotonic()
                if self.killed and number >= kill_after >= 0:
                    self.longest_pause = max(self.longest_pause, now - last)
                last = now
                if number == kill_after:
                    self.kill_core()
                rate.count += accepted
                self.issued += accepted
                step.advance(accepted, self.figures(day))

    def kill_core(self) -> None:
        """End coupon-core as an accident would; the supervisor starts it again."""
        self.peaks.look(self.platform.processes())
        self.platform.kill("coupon_core", 9)
        self.killed = True

    def redeem(self, redemptions: list[Redemption], crowd: Crowd, step: Step, day: date) -> None:
        """Show the coupons of a day at the tills; those that were used before after those that were not."""
        with self.results.timed("redeem") as rate:
            for repeats in (False, True):
                some = [redemption for redemption in redemptions if redemption.repeats is repeats]
                for taken in crowd.each(self.chain.redeem, some):
                    self.redeemed += taken
                    self.refused += not taken
                    rate.count += 1
                    step.advance(1, self.figures(day))

    def figures(self, day: date) -> str:
        return f"{day}  issued {self.issued:,}  redeemed {self.redeemed:,}  refused {self.refused:,}"

    # -- the others ---------------

    def welcome(self, day: date) -> list[str]:
        """What the guests do on their days; lines that say so."""
        url, who = self.platform.url("gateway"), self.guests
        if day == ERP_DAY:
            guests.play_erp(url, self.staff, who)
            return [f"{day}  a home-made ERP joined with its own JSON and played its campaign"]
        if day == TOOL_DAY:
            guests.generate_by_tool(self.platform, self.staff, who, self.chain, self.households)
            with self.results.timed("push") as rate:
                guests.push(self.staff, who, self.chain, self.merchant, self.households)
                rate.count += self.households
            return [
                f"{day}  a Kafka tool ordered a campaign; {self.households:,} coupons of it were pushed to the chain, "
                "through one planted 500 and one planted time-out"
            ]
        if day == SHOP_DAY:
            code, user = guests.pushed_code(self.staff, who)
            guests.play_shop(url, self.staff, who, self.shop, code)
            guests.redeem_pushed(who, self.chain, code, user)
            return [f"{day}  a Voucherify client joined and played its campaign; a pushed coupon was redeemed"]
        return []


def by_day(things: Iterable[Thing], day_of: Callable[[Thing], date]) -> dict[date, list[Thing]]:
    """Things by one of their dates, in their order."""
    found: dict[date, list[Thing]] = {}
    for thing in things:
        found.setdefault(day_of(thing), []).append(thing)
    return found
