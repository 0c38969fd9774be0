"""The real year of a grocery chain through core: records of the log → committed coupons + emitted events.

1,197 campaigns, 800,199 coupons, 2,102 redemptions, in the order of their real days, by told time; expiry is timed
apart. What must have been counted is computed from the data alone, and checked in every run.

Limit: the seconds inside core's own write statements over the same records, one connection, nothing else.
Rival: one transaction per coupon and redemption, 16 connections, over every fiftieth coupon; its expiry is one
statement per campaign.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg

from benchmarks import rival
from benchmarks.core_alone import core_alone
from benchmarks.measure import Figure, alternate
from benchmarks.platforms import Commands, Log, Record, busy, log_of, platform, processor_seconds
from contracts.campaigns import AmountOff, SharedSupply, Terms, Validity
from contracts.commands import (
    MAX_ROWS,
    AdvanceClock,
    CouponReference,
    IssueCoupons,
    IssueRow,
    PublishCampaign,
    RedeemCoupon,
    SetMerchant,
)
from contracts.fields import Contract
from contracts.identifiers import campaign_id
from contracts.topics import COUPON_EVENTS, COUPON_REFUSALS
from coupon_core.storage import Connection
from scrip.demo.data import DataCampaign, Figures, Redemption, Year, midnight, read_year
from scrip.platform import CORE, Platform

CHAIN = UUID("5a1e0f6c-2b0f-4a53-9d0e-6f4f0a7c1e2d")
OPENING = timedelta(hours=10)
SAMPLE = 50
BOUND = "core's Python; beside it, PostgreSQL's writes"
COUNTED = """
SELECT count(*) AS campaigns, sum(issued)::bigint AS issued, sum(redeemed)::bigint AS redeemed,
    sum(expired)::bigint AS expired, (SELECT count(*) FROM core.refusal) AS refused, sum(held)::bigint AS held
FROM core.campaign
"""


def run(only: Collection[int] | None = None) -> list[Figure]:
    """Coupons issued and redeemed per second; coupons expired per second. `only` these campaigns of the data."""
    year = read_year(only)
    use, expiry = Figure("real_year", "coupons/s", bound=BOUND), Figure("real_year_expiry", "coupons/s", bound=BOUND)
    said: list[str] = []
    alternate((use, expiry), ours=lambda: _ours(year, said), limit=lambda: _limit(year), rival=lambda: _rival(year))
    figures = year.figures()
    counts = f"{figures.campaigns:,} campaigns, {figures.issued:,} issued, {figures.redeemed:,} redeemed, "
    counts += f"{figures.refused:,} refused, {figures.expired:,} expired, 0 held: counted so in every run"
    use.notes = [counts, f"seconds: {_seconds(year.coupons + len(year.redemptions), use)}"]
    use.notes.append(said[-1])
    expiry.notes = [f"seconds: {_seconds(figures.expired, expiry)}"]
    return [use, expiry]


def _seconds(coupons: int, figure: Figure) -> str:
    return ", ".join(f"{coupons / rate:.1f}" for rate in figure.ours)


# --- the year as commands


@dataclass(frozen=True)
class Stretch:
    """What happens between two days on which campaigns are over, and then that midnight."""

    days: tuple[tuple[date, tuple[DataCampaign, ...], tuple[Redemption, ...]], ...]
    midnight: date
    over: tuple[DataCampaign, ...]

    @property
    def offers(self) -> int:
        return sum(len(campaign.codes) for _, starting, _ in self.days for campaign in starting)

    @property
    def coupons(self) -> int:
        return sum(campaign.coupons for _, starting, _ in self.days for campaign in starting)

    @property
    def shown(self) -> tuple[Redemption, ...]:
        return tuple(redemption for _, _, shown in self.days for redemption in shown)


def stretches(year: Year) -> Iterator[Stretch]:
    """The year, cut at the midnights at which campaigns are over."""
    days: list[tuple[date, tuple[DataCampaign, ...], tuple[Redemption, ...]]] = []
    all_days = {campaign.starts for campaign in year.campaigns} | {campaign.over for campaign in year.campaigns}
    for day in sorted(all_days | {redemption.day for redemption in year.redemptions}):
        over = tuple(campaign for campaign in year.campaigns if campaign.over == day)
        if over:
            yield Stretch(tuple(days), day, over)
            days = []
        starting = tuple(campaign for campaign in year.campaigns if campaign.starts == day)
        days.append((day, starting, tuple(redemption for redemption in year.redemptions if redemption.day == day)))
    assert not any(starting or shown for _, starting, shown in days), "the year ends with its last campaign"


def offer_id(campaign: int, code: str) -> UUID:
    return campaign_id(str(CHAIN), f"{campaign}-{code}")


def use_of(commands: Commands, stretch: Stretch) -> list[Record]:
    """Publications, issues and redemptions of a stretch, in the order of their days."""

    def record(command: Contract, campaign: UUID, at: datetime) -> Record:
        return commands.record(command, campaign, party=str(CHAIN), at=at)

    records = []
    for day, starting, shown in stretch.days:
        at = midnight(day) + OPENING
        for campaign in starting:
            for code in campaign.codes:
                offer = offer_id(campaign.number, code)
                records.append(record(_publication(campaign, code), offer, at))
                users = campaign.households
                for first in range(0, len(users), MAX_ROWS):
                    rows = tuple(IssueRow(user=user) for user in users[first : first + MAX_ROWS])
                    records.append(record(IssueCoupons(rows=rows), offer, at))
        for redemption in shown:
            coupon = CouponReference(code=redemption.code, user=redemption.household)
            command = RedeemCoupon(coupon=coupon, order=f"receipt-{redemption.number}")
            records.append(record(command, offer_id(redemption.campaign, redemption.code), at))
    return records


def _publication(campaign: DataCampaign, code: str) -> PublishCampaign:
    return PublishCampaign(
        terms=Terms(
            name=f"Campaign {campaign.number} ({campaign.kind}), coupon {code}",
            currency="USD",
            discount=AmountOff(amount=100),
            validity=Validity(starts=campaign.starts, ends=campaign.ends, zone="America/New_York"),
            per_user_limit=1,
        ),
        supply=SharedSupply(code=code),
        quantity=len(campaign.households),
    )


def clock_to(commands: Commands, day: date) -> list[Record]:
    """Every lane is told that the day begins."""
    return commands.to_every_lane(lambda lane: AdvanceClock(partition=lane, to=midnight(day)))


def beginning(commands: Commands, year: Year) -> list[Record]:
    """Every lane is told the time and that the chain is active."""
    first = min(campaign.starts for campaign in year.campaigns) - timedelta(days=1)
    chain = commands.to_every_lane(lambda lane: SetMerchant(partition=lane, merchant=CHAIN, version=1, state="active"))
    return clock_to(commands, first) + chain


# --- ours, the limit, the rival: (coupons issued and redeemed, coupons expired) per second


def _ours(year: Year, said: list[str]) -> tuple[float, float]:
    with platform(services=(CORE,), told_time=True) as running:
        began, before = time.monotonic(), processor_seconds(running)
        rates = asyncio.run(_through_core(running, year))
        said.append(busy(running, before, time.monotonic() - began))
        return rates


async def _through_core(running: Platform, year: Year) -> tuple[float, float]:
    commands = Commands(running)
    used = expired = 0.0
    events = gone = refusals = 0
    async with log_of(running) as log:
        await log.append(beginning(commands, year))
        for stretch in stretches(year):
            events += 3 * stretch.offers + stretch.coupons  # created, published, exhausted; issued
            refused = sum(redemption.repeats for redemption in stretch.shown)
            events += len(stretch.shown) - refused
            refusals += refused
            used += await _timed(log, use_of(commands, stretch), events + gone, refusals)
            gone = year.figures(stretch.midnight).expired
            events += sum(len(campaign.codes) for campaign in stretch.over)  # ended
            expired += await _timed(log, clock_to(commands, stretch.midnight), events + gone, refusals)
    connection = await asyncpg.connect(running.database_admin_url)
    try:
        await _check(connection, year.figures())
    finally:
        await connection.close()
    return (year.coupons + len(year.redemptions)) / used, year.figures().expired / expired


async def _timed(log: Log, records: list[Record], events: int, refusals: int) -> float:
    """Seconds from the first append until so many events and refusals stand on their topics."""
    started = time.perf_counter()
    await log.append(records)
    await log.reach(COUPON_EVENTS.name, events)
    await log.reach(COUPON_REFUSALS.name, refusals)
    return time.perf_counter() - started


async def _check(connection: Connection, figures: Figures) -> None:
    row = await connection.fetchrow(COUNTED)
    counted = {} if row is None else dict(row)
    names = ("campaigns", "issued", "redeemed", "refused", "expired", "held")
    expected = {name: getattr(figures, name) for name in names}
    if counted != expected:
        raise RuntimeError(f"the year came out as {counted}, not {expected}")


def _limit(year: Year) -> tuple[float, float]:
    with platform(services=(), told_time=True) as running:
        return asyncio.run(_write_alone(running, year))


async def _write_alone(running: Platform, year: Year) -> tuple[float, float]:
    async with core_alone(running, told=True) as alone:
        await alone.decide(beginning(alone.commands, year))
        used = expired = 0.0
        for stretch in stretches(year):
            before = alone.timed.writing
            await alone.decide(use_of(alone.commands, stretch))
            between = alone.timed.writing
            await alone.decide(clock_to(alone.commands, stretch.midnight))
            used, expired = used + between - before, expired + alone.timed.writing - between
        await _check(alone.timed.connection, year.figures())
    return (year.coupons + len(year.redemptions)) / used, year.figures().expired / expired


def _rival(year: Year) -> tuple[float, float]:
    with platform(services=()) as running:
        return asyncio.run(_by_hand(running.database_admin_url, year))


async def _by_hand(url: str, year: Year) -> tuple[float, float]:
    """The sample holds every fiftieth coupon and redemption, and the coupons of those redemptions."""
    shown = year.redemptions[::SAMPLE]
    coupons = [
        (offer_id(campaign.number, code), household)
        for campaign in year.campaigns
        for code in campaign.codes
        for household in campaign.households
    ]
    redeemed = [(offer_id(each.campaign, each.code), each.household) for each in shown]
    held = dict.fromkeys(coupons[::SAMPLE] + redeemed)
    campaigns = list(dict.fromkeys(campaign for campaign, _ in held))
    await rival.new_tables(url, campaigns)

    async def claim(connection: Connection, coupon: tuple[UUID, str]) -> None:
        await rival.claim(connection, *coupon, uuid4())

    async def redeem(connection: Connection, coupon: tuple[UUID, str]) -> None:
        await rival.redeem(connection, *coupon, "receipt", uuid4())

    async def expire(connection: Connection, campaign: UUID) -> None:
        await connection.execute(rival.EXPIRE, campaign)

    used = await rival.each(url, claim, held) + await rival.each(url, redeem, redeemed)
    expired = await rival.each(url, expire, campaigns)
    return (len(held) + len(redeemed)) / used, (len(held) - len(set(redeemed))) / expired
