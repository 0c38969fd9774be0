"""A campaign as its events tell it, from the first to the last: states, counters, and what cannot have happened."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.events import ENDS, EVENT_TYPES
from tests.failures.evidence import LogRecord

EVENT_NAMES = {kind: event.__name__ for event, kind in EVENT_TYPES.items()}
FROM: dict[str, set[str | None]] = {
    "CouponIssued": {None},
    "CouponReserved": {None, "held", "reserved"},
    "CouponReleased": {"reserved"},
    "CouponUsed": {None, "held", "reserved"},
    "CouponRedeemed": {None, "held", "reserved"},
    "CouponReturned": {"redeemed"},
    "CouponRefunded": {"held", "reserved", "redeemed", "voided", "expired"},
    "CouponBurned": {"redeemed"},
    "CouponVoided": {None, "held", "reserved"},
    "CouponExpired": {None, "held", "reserved"},
}
"""States a coupon may be in before each event; None: nobody held it yet."""
TO = {event.__name__: state for event, state in ENDS.items()}
"""The state a coupon is in after each event; those of coupons used in parts say it themselves."""
FOLLOWS = {
    "CampaignCreated": "draft",
    "CampaignGenerationStarted": "generating",
    "CampaignGenerationFailed": "failed",
    "CampaignGenerated": "active",
    "CampaignPublished": "active",
    "CampaignPaused": "paused",
    "CampaignExhausted": "exhausted",
    "CampaignReplenished": "active",
    "CampaignStopped": "stopped",
    "CampaignEnded": "ended",
}
"""The state a campaign is in after each event; a resumed one says it itself."""


@dataclass(slots=True)
class Event:
    """The first occurrence of an event."""

    campaign: str
    seq: int
    name: str
    cause: str
    data: dict[str, Any]
    line: bytes
    record: LogRecord


@dataclass(slots=True)
class Story:
    """A campaign as its events tell it, read from the first to the last."""

    campaign: str
    events: list[Event] = field(default_factory=list)
    state: str = ""
    quantity: int | None = None
    terms: dict[str, Any] = field(default_factory=dict)
    supply: str = ""
    stored: bool = False
    """Its codes are written down first."""
    coupons: dict[int, str] = field(default_factory=dict)
    users: dict[int, str | None] = field(default_factory=dict)
    redemptions: dict[int, int] = field(default_factory=dict)
    returned: dict[tuple[int, int], int] = field(default_factory=dict)
    """Minor units given back, by coupon and redemption."""
    spent: int = 0
    """Minor units taken off and not given back."""
    issued_to: Counter[str] = field(default_factory=Counter)
    issued_on: Counter[str] = field(default_factory=Counter)
    exports: list[tuple[int, int]] = field(default_factory=list)
    exported: int = 0
    voids: list[tuple[int, int]] = field(default_factory=list)
    void_codes: int = 0
    """Exported codes that became void while nobody held them: issued and voided without a coupon."""
    available: int = 0
    wrongs: list[tuple[str, str]] = field(default_factory=list)
    """(check, detail) of what cannot have happened in this order."""

    def tell(self, event: Event) -> None:
        """Go on with the next event."""
        data, name = event.data, event.name
        if name in FROM:
            self._tell_coupon(event, data["coupon"])
        elif name == "CampaignCreated":
            self.quantity, self.supply, self.terms = data["quantity"], data["supply"], dict(data["terms"])
            self.stored = self.supply == "uploaded" and data.get("pattern") is not None
        elif name == "CampaignAmended":
            self.terms |= data["after"]
        elif name in ("CampaignGenerationProgressed", "CampaignGenerationFailed"):
            self.available = data["done"] - len(self.coupons)
        elif name == "CampaignGenerated" and self.stored:
            self.available = data["quantity"]
        elif name == "CampaignQuantityChanged":
            self.quantity = data["after"]
        elif name == "CodesUploaded":
            self.available += data["accepted"]
        elif name == "CodesExported":
            self.exports.append((data["first"], data["last"]))
            self.exported += data["last"] - data["first"] + 1
        elif name == "CodesVoided":
            self._tell_void(event, range(data["first"], data["last"] + 1))
        if name == "CampaignResumed":
            self.state = data["state"]
        self.state = FOLLOWS.get(name, self.state)
        if self.quantity is not None and self.issued + self.exported > self.quantity:
            self._wrong("bounds", event, f"{self.issued} issued and {self.exported} exported of {self.quantity}")
        budget = self.terms.get("budget")
        if budget is not None and self.spent > budget:
            self._wrong("bounds", event, f"{self.spent} spent of a budget of {budget}")

    @property
    def issued(self) -> int:
        """Coupons, and codes that became void without ever being one."""
        return len(self.coupons) + self.void_codes

    def _tell_void(self, event: Event, numbers: range) -> None:
        unheld = [number for number in numbers if number not in self.coupons]
        if len(unheld) != event.data["count"]:
            self._wrong("effects", event, f"{event.data['count']} codes are void, {len(unheld)} were nobody's")
        for number in unheld:
            if not _within(self.exports, number) or _within(self.voids, number):
                self._wrong("effects", event, f"code {number} was not exported, or void before")
        self.voids.append((numbers[0], numbers[-1]))
        self.void_codes += len(unheld)
        self.exported -= len(unheld)

    def _tell_coupon(self, event: Event, number: int) -> None:
        name, before = event.name, self.coupons.get(number)
        if before not in FROM[name]:
            self._wrong("effects", event, f"coupon {number} was {before} before {name}")
        if before is None:
            self.users[number] = event.data.get("user")
            if self.supply == "uploaded":
                self.available -= 1
            elif name != "CouponIssued":
                self.exported -= 1
                if _within(self.voids, number):
                    self._wrong("effects", event, f"coupon {number}: {name}, but its code was void")
                if not _within(self.exports, number):
                    self._wrong("effects", event, f"coupon {number}: {name}, but it was neither issued nor exported")
        if name == "CouponIssued":
            self.issued_to[event.data["user"]] += 1
            limit = self.terms.get("per_user_limit")
            if limit is not None and self.issued_to[event.data["user"]] > limit:
                self._wrong("bounds", event, f"{event.data['user']} got more than {limit}")
            day = self._day(event)
            self.issued_on[day] += 1
            limit = self.terms.get("per_day_limit")
            if limit is not None and self.issued_on[day] > limit:
                self._wrong("bounds", event, f"more than {limit} were issued on {day}")
        if name in ("CouponUsed", "CouponRedeemed"):
            self.redemptions[number] = self.redemptions.get(number, 0) + 1
            if event.data["redemption"] != self.redemptions[number]:
                self._wrong("effects", event, f"coupon {number}: redemption {event.data['redemption']} out of turn")
            self.spent += event.data["discount"] or 0
        if name in ("CouponReturned", "CouponRefunded", "CouponBurned"):
            key, amount = (number, event.data["redemption"]), event.data["amount"] or 0
            self.returned[key] = self.returned.get(key, 0) + amount
            self.spent -= amount
        self.coupons[number] = TO.get(name) or event.data["state"]

    def _day(self, event: Event) -> str:
        """The calendar day of the campaign's zone."""
        moment = datetime.fromisoformat(json.loads(event.line)["time"])
        zone: str = self.terms.get("validity", {}).get("zone", "UTC")
        return str((moment if zone == "UTC" else moment.astimezone(ZoneInfo(zone))).date())

    def _wrong(self, check: str, event: Event, detail: str) -> None:
        self.wrongs.append((check, f"{self.campaign}:{event.seq}: {detail}"))


def _within(ranges: list[tuple[int, int]], number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)
