"""Attributes of users, as they were fetched from their merchant, for campaigns whose rule asks for them.

Only those a rule names go into a command. Callers of our HTTP APIs send none, but staff, who may know better.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError

from contracts.commands import Attributes, AttributeValue, ClaimCoupon, CouponReference, IssueRow, RedeemCoupon
from contracts.fields import PLATFORM, Contract
from gateway.core_client import CoreClient, Item
from gateway.service_client import ServiceAway, ServiceClient

REMEMBERED_SECONDS = 10.0
NOT_KNOWN_SECONDS = 1.0
"""For so long nothing is asked again about a campaign core does not know, or could not be asked about."""
REMEMBERED_LIMIT = 10_000
USERS_AT_ONCE = 1_000

Step = Literal["issue", "redeem"]
_VALUE: TypeAdapter[AttributeValue] = TypeAdapter(AttributeValue)

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a campaign's rule asks for, when, and of whose users."""

    names: tuple[str, ...]
    steps: tuple[Step, ...]
    merchant: str | None
    parties: frozenset[str]
    """Who may give or take coupons there: for nobody else's commands users are looked up."""


class UserAttributes:
    """Looks up what a campaign's rule asks for and puts it into the command.

    Its methods raise ServiceAway where the adapter, which has the users, cannot be asked.
    """

    def __init__(self, core: CoreClient, adapter: ServiceClient) -> None:
        self._core, self._adapter = core, adapter
        self._remembered: OrderedDict[UUID, tuple[float, Asked | None]] = OrderedDict()

    async def completed(self, command: Contract, campaign: UUID, party: str) -> Contract:
        """The party's command with the attributes that its campaign's rule asks for and that it does not bring."""
        if not isinstance(command, ClaimCoupon | RedeemCoupon):
            return command
        asked = await self._asked(campaign, party, "issue" if isinstance(command, ClaimCoupon) else "redeem")
        given = command.attributes or {}
        if asked is None or asked.merchant is None or not asked.names or given.keys() >= set(asked.names):
            return command
        if isinstance(command, ClaimCoupon):
            user: str | None = command.user
        else:
            user = await self._holder(campaign, command.coupon)
        if user is None:
            return command
        found = await self.of_users(asked.merchant, [user], asked.names)
        return command.model_copy(update={"attributes": {**found.get(user, {}), **given}})

    async def completed_rows(
        self, rows: Sequence[tuple[int, IssueRow]], campaign: UUID, party: str
    ) -> list[tuple[int, IssueRow]]:
        """The same for the rows of a bulk issue."""
        asked = await self._asked(campaign, party, "issue")
        if asked is None or asked.merchant is None or not asked.names:
            return list(rows)
        names = set(asked.names)
        wanted = list({row.user: None for _, row in rows if not (row.attributes or {}).keys() >= names})
        found: dict[str, Attributes] = {}
        for first in range(0, len(wanted), USERS_AT_ONCE):
            found |= await self.of_users(asked.merchant, wanted[first : first + USERS_AT_ONCE], asked.names)
        return [
            (number, row.model_copy(update={"attributes": {**found.get(row.user, {}), **(row.attributes or {})}}))
            for number, row in rows
        ]

    async def validate(self, question: Item) -> Item:
        """Core's answer to whether a coupon would be accepted, with the attributes a rule asks for."""
        answer = await self._core.validate(question)
        missing = next((one for one in answer["reasons"] if one["code"] == "attribute_missing"), None)
        facts = {} if missing is None else missing["facts"]
        if facts.get("user") is None or facts.get("users_of") is None:
            return answer
        found = await self.of_users(facts["users_of"], [facts["user"]], facts["missing"])
        attributes = {**found.get(facts["user"], {}), **(question.get("attributes") or {})}
        return await self._core.validate({**question, "attributes": attributes})

    async def of_users(self, merchant: str, users: Sequence[str], names: Sequence[str]) -> dict[str, Attributes]:
        """These attributes of these users, by user; what is not known, or is none a rule can ask for, is left out."""
        question = {"users": list(users), "attributes": list(names)}
        answer = await self._adapter.post(f"/merchants/{merchant}/attributes", question)
        return {
            user: {name: value for name, value in attributes.items() if _usable(value)}
            for user, attributes in answer["users"].items()
        }

    async def _asked(self, campaign: UUID, party: str, step: Step) -> Asked | None:
        """What the campaign's rule asks for at this step. Where core is away: as last known, else nothing."""
        known = self._remembered.get(campaign)
        if known is None or known[0] < time.monotonic():
            if known is not None:  # others who ask meanwhile go on with what is known
                self._remembered[campaign] = (time.monotonic() + NOT_KNOWN_SECONDS, known[1])
            known = await self._look_up(campaign, known)
            self._remembered[campaign] = known
            self._remembered.move_to_end(campaign)
            if len(self._remembered) > REMEMBERED_LIMIT:
                self._remembered.popitem(last=False)
        asked = known[1]
        return asked if asked is not None and step in asked.steps and party in asked.parties else None

    async def _look_up(self, campaign: UUID, before: tuple[float, Asked | None] | None) -> tuple[float, Asked | None]:
        try:
            found = await self._core.campaign(campaign, None)
        except ServiceAway:
            # Core may still decide: it refuses by name what it lacks, and campaigns without a rule go on.
            logger.warning("Core did not say what a rule asks for.", action="rule_not_asked", campaign=str(campaign))
            return time.monotonic() + NOT_KNOWN_SECONDS, None if before is None else before[1]
        if found is None:
            return time.monotonic() + NOT_KNOWN_SECONDS, None
        rule = found["terms"]["eligibility"]
        if rule is None:
            return time.monotonic() + REMEMBERED_SECONDS, None
        owner = None if found["owner"] == PLATFORM else str(found["owner"])
        steps: tuple[Step, ...] = ("issue", "redeem") if rule["applies_at"] == "both" else (rule["applies_at"],)
        terms = found["terms"]
        parties = frozenset((str(found["owner"]), *terms["senders"], *terms["redeemable_by"]))
        asked = Asked(tuple(sorted(rule["attributes"])), steps, rule["users_of"] or owner, parties)
        return time.monotonic() + REMEMBERED_SECONDS, asked

    async def _holder(self, campaign: UUID, coupon: CouponReference) -> str | None:
        """Who holds the coupon, or, where nobody does, who shows it."""
        if coupon.number is not None:
            found = await self._core.coupon(f"{campaign}.{coupon.number}", None)
            return coupon.user if found is None else found["user"] or coupon.user
        if coupon.user is not None or coupon.code is None:
            return coupon.user
        several = (await self._core.coupons(None, code=coupon.code, user=None, order=None))["coupons"]
        holders = [one["user"] for one in several if one["campaign"] == str(campaign)]
        return holders[0] if holders else None


def _usable(value: Any) -> bool:
    try:
        _VALUE.validate_python(value)
    except ValidationError:
        return False
    return True
