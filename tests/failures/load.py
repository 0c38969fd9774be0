"""Load on a core platform over Kafka: many users at once, few coupons, commands sent again at random.

Campaigns of every supply, with quantities so tight that most runs exhaust them, owned by two merchants and the
platform; several users go for the same coupon. Some campaigns end, and some are stopped, while the load runs, so
that slices and continuations are under way when a fault strikes.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from contracts.campaigns import AmountOff, GeneratedSupply, GivenSupply, SharedSupply, Terms, UploadedSupply
from contracts.commands import (
    ChangeQuantity,
    ClaimCoupon,
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
    StopCampaign,
    UploadCodes,
    VoidCoupons,
)
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from tests.failures.client import SETTLE_SECONDS, Client
from tests.support.core import CorePlatform

SUPPLIES = ("generated", "shared", "uploaded", "given")
AGAIN = 0.15
"""How often a command that was answered is sent again at once."""
USERS = 40
LONGEST_THOUGHT_SECONDS = 0.1
"""Between two commands of a user; without it the load, and not the fault, would be what is tested."""
CHOICES = {
    "claim": 30,
    "issue": 8,
    "redeem": 25,
    "give_back": 8,
    "reserve": 5,
    "release": 3,
    "void": 4,
    "upload": 3,
    "export": 2,
    "quantity": 2,
    "pause": 1,
    "stop": 1,
    "create": 2,
}


@dataclass
class Campaign:
    """A campaign as its merchant remembers it."""

    id: UUID
    owner: str
    supply: str
    code: str | None
    redeemer: str
    coupons: list[CouponReference] = field(default_factory=list)
    """How to name coupons that were given out, or exported."""


class Load:
    """`async with Load(platform) as load`; then `start`, faults, `finish`."""

    def __init__(self, platform: CorePlatform, *, seed: int = 1, users: int = 24) -> None:
        self.client = Client(platform)
        self.platform = platform
        self.random = random.Random(seed)
        self.merchants = [str(uuid4()), str(uuid4())]
        self.campaigns: list[Campaign] = []
        self.asked: Counter[str] = Counter()
        self._users = users
        self._numbers = count(1)
        self._working: list[asyncio.Task[None]] = []

    async def prepare(self, campaigns: int = 20) -> None:
        """Make the merchants known to every lane and bring the campaigns into being."""
        for merchant in self.merchants:
            await self.platform.set_merchant(merchant)
        await asyncio.gather(*(self._create(SUPPLIES[number % 4]) for number in range(campaigns)))

    def client_of(self, platform: CorePlatform) -> Client:
        """The same clients with the same journal, asking another platform."""
        client = Client(platform)
        client.journal = self.client.journal
        return client

    def start(self) -> None:
        """Let the users begin; each asks one thing after the other."""
        self.client.stopping.clear()
        self._working = [asyncio.create_task(self._user()) for _ in range(self._users)]

    async def finish(self, within: float = SETTLE_SECONDS) -> None:
        """Let them end, then ask for everything ever asked once more, and hear every answer."""
        self.client.stopping.set()
        working, self._working = self._working, []
        await asyncio.gather(*working)
        await self.client.ask_all_again(within)

    async def until(self, commands: int, within: float = 60.0) -> None:
        """Wait until so many more commands were answered. Raises TimeoutError, or what broke a user."""
        answered = self._answered()
        async with asyncio.timeout(within):
            while self._answered() < answered + commands:
                for task in self._working:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)

    def _answered(self) -> int:
        return self.asked.total()

    async def _user(self) -> None:
        names, weights = list(CHOICES), list(CHOICES.values())
        while not self.client.stopping.is_set():
            (name,) = self.random.choices(names, weights)
            await getattr(self, f"_{name}")()
            self.asked[name] += 1
            await asyncio.sleep(self.random.uniform(0, LONGEST_THOUGHT_SECONDS))

    async def _ask(self, campaign: Campaign, command: Any, party: str | None = None) -> dict[str, Any]:
        """The result of a done command; nothing for a refused one. Now and then it is sent again."""
        reply = await self.client.ask(command, campaign=campaign.id, party=party or campaign.owner)
        if reply is None:
            return {}
        if self.random.random() < AGAIN:
            await self.client.send_again(reply.command)
        return (reply.result or {}) if reply.status == "done" else {}

    # --- what users do

    async def _create(self, supply: str | None = None, **changed: Any) -> Campaign:
        number = next(self._numbers)
        supply = supply or self.random.choice(SUPPLIES)
        owner = self.random.choice([*self.merchants, PLATFORM] if supply in ("generated", "shared") else self.merchants)
        redeemer = self.random.choice(self.merchants) if owner == PLATFORM else owner
        now = datetime.now(UTC)
        ends = now + (timedelta(seconds=self.random.uniform(2, 20)) if number % 4 == 0 else timedelta(days=1))
        lasting = {"days_after_issue": 1} if number % 5 == 0 else {}
        terms = Terms.model_validate(
            {
                "name": f"campaign {number}",
                "currency": "EUR",
                "discount": AmountOff(amount=500),
                "validity": {"starts": now - timedelta(days=1), "ends": ends, **lasting},
                "per_user_limit": self.random.choice([None, 1, 2]),
                "per_day_limit": 5 if number % 3 == 0 else None,
                "low_pool_at": 2 if number % 3 == 1 else None,
                "return_policy": self.random.choice(["usable_again", "burned"]),
                "redeemable_by": () if owner == redeemer else (redeemer,),
            }
        )
        code = f"SHARED-{number}" if supply == "shared" else None
        made: Any = {
            "generated": GeneratedSupply,
            "uploaded": UploadedSupply,
            "given": GivenSupply,
        }
        kind = SharedSupply(code=code) if code is not None else made[supply]()
        command: Any = PublishCampaign if supply == "given" or (owner != PLATFORM and number % 2) else GenerateCampaign
        if supply == "generated":
            command = GenerateCampaign
        campaign = Campaign(campaign_id(owner, f"{number}"), owner, supply, code, redeemer)
        quantity = changed.pop("quantity", self.random.choice([15, 30, 60]))
        await self._ask(campaign, command(terms=terms, supply=kind, quantity=quantity))
        if supply == "uploaded":
            await self._upload(campaign)
        self.campaigns.append(campaign)
        return campaign

    def _some(self, *supplies: str) -> Campaign:
        fitting = [campaign for campaign in self.campaigns[-20:] if not supplies or campaign.supply in supplies]
        return self.random.choice(fitting or self.campaigns)

    def _name(self) -> str:
        return f"user-{self.random.randrange(USERS)}"

    def _remember(self, campaign: Campaign, row: dict[str, Any]) -> None:
        number = int(row["coupon"].rpartition(".")[2])
        named = self.random.random()
        if campaign.supply == "shared":
            reference = CouponReference(code=campaign.code, user=row["user"])
        elif named < 0.5 and "code" in row:
            reference = CouponReference(code=row["code"])
        else:
            reference = CouponReference(number=number)
        campaign.coupons.append(reference)

    def _coupon(self) -> tuple[Campaign, CouponReference]:
        campaign = self._some()
        if not campaign.coupons:
            return campaign, CouponReference(number=1)
        # The latest are wanted by all at once.
        return campaign, self.random.choice(campaign.coupons[-6:])

    async def _claim(self) -> None:
        campaign, user = self._some(), self._name()
        code = f"GIVEN-{self.random.randrange(200)}" if campaign.supply == "given" else None
        result = await self._ask(campaign, ClaimCoupon(user=user, code=code))
        if "coupon" in result:
            self._remember(campaign, result)

    async def _issue(self) -> None:
        campaign = self._some()
        rows = []
        for _ in range(self.random.randint(2, 12)):
            code = f"GIVEN-{self.random.randrange(200)}" if campaign.supply == "given" else None
            rows.append(IssueRow(user=self._name(), code=code))
        result = await self._ask(campaign, IssueCoupons(rows=tuple(rows)))
        for row in result.get("rows", []):
            if "coupon" in row:
                self._remember(campaign, row)

    async def _redeem(self) -> None:
        campaign, coupon = self._coupon()
        order = f"order-{next(self._numbers)}"
        await self._ask(campaign, RedeemCoupon(coupon=coupon, order=order, amount=2_000), campaign.redeemer)

    async def _give_back(self) -> None:
        campaign, coupon = self._coupon()
        await self._ask(campaign, ReturnCoupon(coupon=coupon, reason="not wanted"), campaign.redeemer)

    async def _reserve(self) -> None:
        campaign, coupon = self._coupon()
        order = f"order-{self.random.randrange(5)}"
        command = ReserveCoupon(coupon=coupon, order=order, seconds=self.random.choice([1, 900]))
        await self._ask(campaign, command, campaign.redeemer)

    async def _release(self) -> None:
        campaign, coupon = self._coupon()
        order = f"order-{self.random.randrange(5)}"
        await self._ask(campaign, ReleaseCoupon(coupon=coupon, order=order), campaign.redeemer)

    async def _void(self) -> None:
        campaign, coupon = self._coupon()
        await self._ask(campaign, VoidCoupons(coupons=(coupon,), reason="void"))

    async def _upload(self, campaign: Campaign | None = None) -> None:
        campaign = campaign or self._some("uploaded")
        codes = tuple(f"UP-{self.random.randrange(400)}" for _ in range(15))
        await self._ask(campaign, UploadCodes(codes=codes))
        if self.random.random() < 0.3 and campaign.supply == "uploaded":
            campaign.coupons.append(CouponReference(code=self.random.choice(codes)))  # a bearer's

    async def _export(self) -> None:
        campaign = self._some("generated")
        result = await self._ask(campaign, ExportCodes(count=self.random.randint(1, 5)))
        campaign.coupons += [CouponReference(code=row["code"]) for row in result.get("codes", [])]

    async def _quantity(self) -> None:
        campaign = self._some()
        await self._ask(campaign, ChangeQuantity(quantity=self.random.randint(10, 80)))

    async def _pause(self) -> None:
        campaign = self._some()
        await self._ask(campaign, PauseCampaign(reason="a look at it"))
        await self._ask(campaign, ResumeCampaign())

    async def _stop(self) -> None:
        await self._ask(self._some(), StopCampaign(reason="over"))
