"""A merchant who fails again and again is left alone for a while, and found again by one call."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from merchant_adapter.interfaces import (
    AddressPolicy,
    HttpLimits,
    InterfaceFailure,
    MerchantInterface,
    MerchantRefused,
    MerchantUnavailable,
    OpenApiProfile,
    Outbound,
    open_interface,
)
from merchant_adapter.interfaces.breaker import Breakers
from merchant_adapter.interfaces.profile import BearerAuthentication
from tests.support.deliveries import a_delivery
from tests.support.demo_merchants import TOKEN, DemoMerchant

OPEN_SECONDS = 0.3


@pytest.fixture
async def outbound(tls: ssl.SSLContext) -> AsyncIterator[Outbound]:
    outbound = Outbound(
        AddressPolicy(allow_local=True), HttpLimits(deadline_seconds=10), Breakers(3, OPEN_SECONDS), tls=tls
    )
    yield outbound
    await outbound.aclose()


@pytest.fixture
def interface(outbound: Outbound, merchant: DemoMerchant) -> MerchantInterface:
    authentication = BearerAuthentication(token=SecretStr(TOKEN))
    profile = OpenApiProfile(base_url=merchant.address, authentication=authentication, requests_per_second=1000)
    return open_interface(outbound, "m", profile)


async def fail(interface: MerchantInterface, times: int) -> None:
    for _ in range(times):
        with pytest.raises(InterfaceFailure):
            await interface.list_users(None, 1)


def users_asked(merchant: DemoMerchant) -> int:
    number: int = merchant.counts()["requests"].get("users", 0)
    return number


async def test_it_opens_after_failures_in_a_row_and_then_nothing_is_sent(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant
) -> None:
    merchant.plant("users", "500", times=3)
    await fail(interface, 3)
    asked = users_asked(merchant)
    with pytest.raises(MerchantUnavailable, match="held back") as held:
        await interface.list_users(None, 1)
    assert held.value.retry_after_seconds is not None
    assert 0 <= held.value.retry_after_seconds <= OPEN_SECONDS
    assert users_asked(merchant) == asked
    assert await outbound.breakers.state("m", "users") == "opened"


async def test_another_operation_and_another_merchant_go_on(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant
) -> None:
    merchant.plant("users", "html", times=3)
    await fail(interface, 3)
    await interface.health()
    authentication = BearerAuthentication(token=SecretStr(TOKEN))
    other = OpenApiProfile(base_url=merchant.address, authentication=authentication)
    assert (await open_interface(outbound, "other", other).list_users(None, 1)).users


async def test_it_heals_by_one_probe_while_the_others_wait(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant
) -> None:
    merchant.plant("users", "503", times=3)
    await fail(interface, 3)
    asked = users_asked(merchant)
    await asyncio.sleep(OPEN_SECONDS + 0.1)
    results = await asyncio.gather(*(interface.list_users(None, 1) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, MerchantUnavailable) for result in results) == 4
    assert users_asked(merchant) == asked + 1
    assert await outbound.breakers.state("m", "users") == "closed"
    await interface.list_users(None, 1)


async def test_a_failing_probe_opens_it_again(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant
) -> None:
    merchant.plant("users", "500", times=4)
    await fail(interface, 3)
    await asyncio.sleep(OPEN_SECONDS + 0.1)
    with pytest.raises(MerchantUnavailable, match="500"):
        await interface.list_users(None, 1)
    with pytest.raises(MerchantUnavailable, match="held back"):
        await interface.list_users(None, 1)


async def test_a_cancelled_probe_leaves_the_next_one_free(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant
) -> None:
    merchant.plant("users", "500", times=3)
    merchant.plant("users", "timeout_before_apply", nth=4)
    await fail(interface, 3)
    await asyncio.sleep(OPEN_SECONDS + 0.1)
    probe = asyncio.ensure_future(interface.list_users(None, 1))
    while merchant.counts()["faults_fired"] < 4:
        await asyncio.sleep(0.01)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert (await interface.list_users(None, 1)).users
    assert await outbound.breakers.state("m", "users") == "closed"


@pytest.mark.parametrize("kind", ["429", "401", "410", "422"])
async def test_an_answer_that_shows_the_merchant_lives_does_not_open_it(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant, kind: str
) -> None:
    merchant.plant("users", kind, times=9)
    await fail(interface, 9)
    assert await outbound.breakers.state("m", "users") == "closed"


async def test_a_success_between_failures_keeps_it_closed(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant
) -> None:
    for _ in range(3):
        merchant.plant("users", "500", times=2)
        await fail(interface, 2)
        await interface.list_users(None, 1)
    assert await outbound.breakers.state("m", "users") == "closed"


async def test_a_refused_delivery_counts_as_an_answer(
    outbound: Outbound, interface: MerchantInterface, merchant: DemoMerchant
) -> None:
    merchant.plant("deliver", "422", times=9)
    for _ in range(9):
        assert (await interface.deliver([a_delivery()]))[0].status == "refused"
    with pytest.raises(MerchantRefused):
        await interface.list_users("%%%", 1)
    assert await outbound.breakers.state("m", "deliver") == "closed"
