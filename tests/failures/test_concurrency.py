"""Fifty callers on the last hundred coupons of twenty campaigns, a hundred tills with the same coupon: exactly so many.

Two core processes and two gateways; then by Kafka, while core processes are killed at their fail points.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.answers import Reply
from contracts.commands import ClaimCoupon, CouponReference, GenerateCampaign, RedeemCoupon, StopCampaign
from contracts.fields import PLATFORM
from contracts.identifiers import campaign_id
from tests.failures.checker import check
from tests.failures.client import Client
from tests.failures.test_processes import POINTS, all_ready, died
from tests.support.campaigns import terms
from tests.support.core import CorePlatform, running_core
from tests.support.databases import Databases
from tests.support.gateway import GatewayPlatform, running_gateway
from tests.support.servers import Servers

CAMPAIGNS, LEFT, CALLERS, TILLS = 20, 5, 50, 100
ALWAYS = {"starts": "2026-01-01", "ends": "2036-12-31"}
Pair = tuple[tuple[str, int], tuple[str, int]]
PAIRS: tuple[Pair, ...] = (
    (("core.before_commit", 5), ("core.after_epoch", 2)),
    (("core.after_commit", 5), ("core.mid_drain", 1)),
    (("core.mid_emit", 5), ("core.before_reply", 5)),
    (("core.between_slice_and_continuation", 1), ("core.after_epoch", 1)),
)
"""Two deaths of one process after each other: the second meets what the first one left."""
ONE_ROUND: tuple[Pair, ...] = ((("core.after_commit", 5), ("core.before_reply", 5)),)
"""Points at which a caller does not know what became of its command."""


@pytest.fixture(scope="module")
async def gateway(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayPlatform]:
    folder = tmp_path_factory.mktemp("concurrency")
    async with (
        running_core(databases, backend.bootstrap, folder, told=False, processes=2) as core,
        running_gateway(core, processes=2) as running,
    ):
        yield running


async def made(gateway: GatewayPlatform, quantity: int) -> str:
    document = {
        "terms": {
            "name": f"Rush {uuid4().hex[:8]}",
            "currency": "EUR",
            "discount": {"kind": "amount_off", "amount": 500},
            "validity": ALWAYS,
        },
        "quantity": quantity,
    }
    return str((await gateway.done("POST", "/campaigns", document))["campaign"])


async def answered(gateway: GatewayPlatform, path: str, body: Any, instance: int) -> httpx.Response:
    """Ask with one request number until there is an answer."""
    key = uuid4().hex
    while True:
        answer = await gateway.staff("POST", path, body, key=key, instance=instance)
        if answer.status_code not in (202, 503):
            return answer
        await asyncio.sleep(0.2)


async def test_fifty_callers_get_exactly_the_last_hundred_coupons_of_twenty_campaigns(gateway: GatewayPlatform) -> None:
    campaigns = [await made(gateway, LEFT) for _ in range(CAMPAIGNS)]

    async def caller(number: int) -> list[tuple[str, httpx.Response]]:
        path = [campaigns[(number + step) % CAMPAIGNS] for step in range(CAMPAIGNS)]
        return [
            (campaign, await answered(gateway, f"/campaigns/{campaign}/claim", {"user": f"user-{number}"}, number % 2))
            for campaign in path
        ]

    told = [each for answers in await asyncio.gather(*map(caller, range(CALLERS))) for each in answers]
    for campaign in campaigns:
        answers = [answer.json() for of, answer in told if of == campaign]
        given = [answer["coupon"] for answer in answers if answer.get("status") == "done"]
        assert sorted(given) == [f"{campaign}.{number}" for number in range(1, LEFT + 1)]
        refused = Counter(answer["code"] for answer in answers if "code" in answer and "coupon" not in answer)
        assert refused == {"campaign_exhausted": CALLERS - LEFT}
        view = await gateway.done("GET", f"/campaigns/{campaign}")
        assert (view["issued"], view["state"]) == (LEFT, "exhausted")


async def test_of_a_hundred_tills_with_the_same_coupon_one_redeems_it_and_99_are_told_when(
    gateway: GatewayPlatform,
) -> None:
    campaign = await made(gateway, 1)
    await gateway.done("POST", f"/campaigns/{campaign}/claim", {"user": "ann"})

    async def till(number: int) -> dict[str, Any]:
        body = {"coupon": {"number": 1}, "order": f"order-{number}", "amount": 2_000}
        answer: dict[str, Any] = (await answered(gateway, f"/campaigns/{campaign}/redeem", body, number % 2)).json()
        return answer

    answers = await asyncio.gather(*map(till, range(TILLS)))
    (first,) = [answer for answer in answers if answer.get("status") == "done"]
    others = [answer for answer in answers if answer is not first]
    assert Counter(answer["code"] for answer in others) == {"coupon_already_redeemed": TILLS - 1}
    assert {(answer["coupon"], answer["redeemed_at"]) for answer in others} == {(first["coupon"], first["redeemed_at"])}


# --- while core is killed


class Rush:
    """The same two by Kafka, round after round, by clients that send again until they are answered."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.rounds = 0
        self.enough = asyncio.Event()
        self._run = uuid4()
        self._numbers = count()

    async def go_on(self) -> None:
        while not self.enough.is_set():
            await asyncio.gather(self.last_coupons(), self.one_coupon(), self.a_stop())
            self.rounds += 1

    async def last_coupons(self) -> None:
        campaign = await self._campaign(LEFT)
        replies = await self._all(campaign, [ClaimCoupon(user=f"user-{number}") for number in range(CALLERS)])
        given = [(reply.result or {})["coupon"] for reply in replies if reply.status == "done"]
        assert sorted(given) == [f"{campaign}.{number}" for number in range(1, LEFT + 1)]
        assert refusals(replies) == {"campaign_exhausted": CALLERS - LEFT}

    async def one_coupon(self) -> None:
        campaign = await self._campaign(1)
        await self._all(campaign, [ClaimCoupon(user="ann")])
        tills = [
            RedeemCoupon(coupon=CouponReference(number=1), order=f"order-{number}", amount=2_000)
            for number in range(TILLS)
        ]
        replies = await self._all(campaign, tills)
        assert sum(reply.status == "done" for reply in replies) == 1
        assert refusals(replies) == {"coupon_already_redeemed": TILLS - 1}

    async def a_stop(self) -> None:
        """Sliced work, so that there are continuations to die before."""
        campaign = await self._campaign(LEFT)
        await self._all(campaign, [ClaimCoupon(user="ann"), ClaimCoupon(user="bob")])
        await self._all(campaign, [StopCampaign(reason="over")])

    async def _campaign(self, quantity: int) -> UUID:
        campaign = campaign_id(PLATFORM, f"rush {self._run} {next(self._numbers)}")
        await self._all(campaign, [GenerateCampaign(terms=terms(validity=ALWAYS), quantity=quantity)])
        return campaign

    async def _all(self, campaign: UUID, commands: list[Any]) -> list[Reply]:
        replies = await asyncio.gather(*(self.client.ask(command, campaign=campaign) for command in commands))
        return [reply for reply in replies if reply is not None]


def refusals(replies: list[Reply]) -> Counter[str]:
    return Counter(reply.refusal.code for reply in replies if reply.refusal is not None)


async def rushed_while_killed(core: CorePlatform, pairs: Sequence[Pair], hits: Path) -> set[str]:
    """The fail points at which a process died while the rush went on; every round of it came out exactly."""
    await all_ready(core)
    async with Client(core) as client:
        rush = Rush(client)
        rushing = asyncio.create_task(rush.go_on())
        try:
            for number, pair in enumerate(pairs):
                instance, other = number % 2, 1 - number % 2
                if "core.mid_drain" in dict(pair):  # nobody else may drain what is left
                    core.processes[other].kill()
                core.processes[instance].kill()
                for point, hit in pair:
                    environment = {"SCRIP_FAILPOINTS": f"{point}=kill@{hit}", "SCRIP_FAILPOINT_LOG": str(hits)}
                    await died(core.start_process(instance, **environment), point)
                await all_ready(core)
        except TimeoutError:
            if rushing.done():
                rushing.result()  # without callers nothing dies
            raise
        finally:
            rush.enough.set()
        await asyncio.wait_for(rushing, 120)
        assert rush.rounds > 0
        found = await check(core.bootstrap, core.database.url("core"), client.journal, core.partitions)
        assert not found, "\n".join(map(str, found))
    lines = (await asyncio.to_thread(hits.read_text)).splitlines()
    return {line.split()[0] for line in lines if line.split()[2] == "kill"}


async def test_it_stays_exact_when_core_dies_and_callers_do_not_know_what_became_of_it(
    gateway: GatewayPlatform, tmp_path: Path
) -> None:
    reached = await rushed_while_killed(gateway.core, ONE_ROUND, tmp_path / "hits")
    assert reached == {point for pair in ONE_ROUND for point, _ in pair}


@pytest.mark.soak
async def test_it_stays_exact_when_core_dies_at_every_fail_point(gateway: GatewayPlatform, tmp_path: Path) -> None:
    assert await rushed_while_killed(gateway.core, PAIRS * 2, tmp_path / "hits") == POINTS
