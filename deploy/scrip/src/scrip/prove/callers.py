"""Callers that go for the same few coupons at once, over HTTP and Kafka, and do not let go before they are answered."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from contracts.identifiers import command_id
from scrip.errors import PlatformError
from scrip.prove.asking import CLAIM, REDEEM, RETURN, Asked, Opened, Said
from scrip.prove.tool import Tool

PATHS = {CLAIM: "claim", REDEEM: "redeem", RETURN: "return"}
KINDS = (CLAIM,) * 5 + (REDEEM,) * 4 + (RETURN,) * 2
AGAIN = 0.1
"""How often what was answered is sent once more, half of it by the other way."""
REFUSED_ENOUGH = 25
"""So many callers must hear that a campaign is exhausted before another takes its place."""
RETRY_STATUS = frozenset({202, 429, 502, 503, 504})
SETTLE_SECONDS = 90.0


class Callers:
    """All that is asked in one run. `seed` makes each caller's choices; their interleaving is the machine's."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        gateways: list[str],
        token: str,
        tool: Tool,
        *,
        seed: int,
        run: str,
        campaigns: int,
        quantity: int,
    ) -> None:
        self.asked: list[Asked] = []
        self.opened: list[Opened] = []
        self._http = http
        self._gateways = gateways
        self._headers = {"Authorization": f"Bearer {token}"}
        self._tool = tool
        self._seed = seed
        self._run = run
        self._open: list[Opened] = []
        self._campaigns = campaigns
        self._quantity = quantity
        self._opening = asyncio.Lock()
        self._users = [f"user-{number}" for number in range(max(4, quantity * 8 // 10))]
        self._until = 0.0

    async def prepare(self) -> None:
        """Make the campaigns that are hammered first."""
        self._open = [await self._make() for _ in range(self._campaigns)]

    async def hammer(self, seconds: float, by_http: int, by_kafka: int) -> None:
        """Ask with so many callers of each kind for so long; then until everything is answered, or time is up."""
        self._until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(by_http + by_kafka):
                group.create_task(self._caller(number, "http" if number < by_http else "kafka"))

    async def ask_what_is_open(self) -> None:
        """Send again whatever has no answer yet."""
        self._until = time.monotonic()
        waiting = [asked for asked in self.asked if not asked.answers]
        slots = asyncio.Semaphore(32)

        async def again(asked: Asked) -> None:
            async with slots:
                await self._ask(asked, "http", random.Random(asked.number))  # noqa: S311

        await asyncio.gather(*(again(asked) for asked in waiting))

    async def _caller(self, number: int, via: str) -> None:
        chance = random.Random(f"{self._seed}/{number}")  # noqa: S311
        count = 0
        while time.monotonic() < self._until:
            count += 1
            opened = self._open[chance.randrange(len(self._open))]
            kind = chance.choice(KINDS)
            if kind != CLAIM and not opened.given:
                kind = CLAIM
            asked = self._new(chance, opened, kind, f"{self._run}/{number}/{count}")
            await self._ask(asked, via, chance)
            if asked.answers and chance.random() < AGAIN:
                other = "kafka" if via == "http" else "http"
                await self._ask(asked, chance.choice((via, other)), chance)
            await self._mind(opened, asked)

    def _new(self, chance: random.Random, opened: Opened, kind: str, number: str) -> Asked:
        data: dict[str, Any]
        if kind == CLAIM:
            data = {"user": chance.choice(self._users)}
        else:
            recent = opened.given[-6:] if chance.random() < 0.8 else opened.given  # many go for the same few
            data = {"coupon": {"number": chance.choice(recent)}}
            data |= {"order": number, "amount": 2_000} if kind == REDEEM else {"reason": "not wanted"}
        command = str(command_id("platform", kind, UUID(opened.id), number))
        asked = Asked(command, kind, opened.id, number, data)
        self.asked.append(asked)
        return asked

    async def _ask(self, asked: Asked, via: str, chance: random.Random) -> None:
        """Until it is answered once more; gives up a while after the end."""
        heard = len(asked.answers)
        while len(asked.answers) == heard and time.monotonic() < self._until + SETTLE_SECONDS:
            if via == "kafka":
                await self._tool.ask(asked)
            elif not await self._ask_http(asked, chance):
                await asyncio.sleep(chance.uniform(0.05, 0.4))

    async def _ask_http(self, asked: Asked, chance: random.Random) -> bool:
        asked.sent += 1
        address = f"{chance.choice(self._gateways)}/internal/v1/campaigns/{asked.campaign}/{PATHS[asked.kind]}"
        try:
            headers = {**self._headers, "Idempotency-Key": asked.number}
            answer = await self._http.post(address, json=asked.data, headers=headers)
        except httpx.TransportError:
            return False  # killed, or not there yet: it may have been decided or not
        if answer.status_code in RETRY_STATUS:
            return False
        try:
            body = answer.json()
        except ValueError:
            body = {}
        if answer.status_code == 200:
            asked.hear(Said("done", None, body, "http"))
        elif body.get("code") == "dead_letter":
            asked.hear(Said("dead", None, body, "http"))
        else:
            asked.hear(Said("refused", str(body.get("code", answer.status_code)), {}, "http"))
        return True

    async def _mind(self, opened: Opened, asked: Asked) -> None:
        """Keep what a caller learned; a campaign that is used up makes room for another."""
        if not asked.answers:
            return
        first = asked.answers[0]
        if asked.kind == CLAIM and first.status == "done":
            opened.given.append(int(first.facts["coupon"].rpartition(".")[2]))
        elif first.code == "campaign_exhausted":
            opened.exhausted += 1
            if opened.exhausted == REFUSED_ENOUGH and time.monotonic() < self._until:
                async with self._opening:
                    made = await self._make()
                    if opened in self._open:
                        self._open[self._open.index(opened)] = made

    async def _make(self) -> Opened:
        """A campaign of its own; the same request until it is there."""
        number = f"{self._run}/campaign/{len(self.opened)}"
        now = datetime.now(UTC)
        body = {
            "terms": {
                "name": f"Proof {number}",
                "currency": "EUR",
                "discount": {"kind": "amount_off", "amount": 500},
                "validity": {
                    "starts": (now - timedelta(days=1)).isoformat(),
                    "ends": (now + timedelta(days=1)).isoformat(),
                },
                "per_user_limit": 2,
                "listed": False,
            },
            "quantity": self._quantity,
        }
        headers = {**self._headers, "Idempotency-Key": number}
        deadline, said = time.monotonic() + SETTLE_SECONDS, "no answer"
        while time.monotonic() < deadline:
            try:
                answer = await self._http.post(f"{self._gateways[0]}/internal/v1/campaigns", json=body, headers=headers)
            except httpx.TransportError as error:
                said = type(error).__name__
            else:
                if answer.status_code in (200, 201):
                    made = Opened(answer.json()["campaign"], self._quantity, 2)
                    self.opened.append(made)
                    return made
                said = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code not in RETRY_STATUS:
                    break
            await asyncio.sleep(0.2)
        raise PlatformError(f"A campaign for the proof could not be made: {said}")
