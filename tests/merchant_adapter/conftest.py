"""A demo merchant and a way out to it, for the tests of this folder."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from merchant_adapter.interfaces import (
    AddressPolicy,
    HttpLimits,
    MerchantInterface,
    OpenApiProfile,
    Outbound,
    open_interface,
)
from merchant_adapter.interfaces.profile import BearerAuthentication
from tests.support.demo_merchants import TOKEN, DemoMerchant, running_demo_merchant

QUICK = HttpLimits(deadline_seconds=1)


@pytest.fixture(scope="session")
def shared_merchant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMerchant]:
    """One process with 250 users for all tests that plant faults and clear them."""
    state: Path = tmp_path_factory.mktemp("merchant") / "state.sqlite3"
    with running_demo_merchant(state, "--users", "250", "--base-path", "/scrip") as running:
        yield running


@pytest.fixture
def merchant(shared_merchant: DemoMerchant) -> Iterator[DemoMerchant]:
    """The shared demo merchant, without planted faults."""
    shared_merchant.clear()
    yield shared_merchant
    shared_merchant.clear()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    """A way out with a deadline of one second, allowed to call this machine."""
    outbound = Outbound(AddressPolicy(allow_local=True), QUICK)
    yield outbound
    await outbound.aclose()


@pytest.fixture
def connect(outbound: Outbound) -> Callable[[str], MerchantInterface]:
    """Opens the interface of the public contract at an address."""

    def connect(address: str) -> MerchantInterface:
        authentication = BearerAuthentication(token=SecretStr(TOKEN))
        profile = OpenApiProfile(base_url=address, authentication=authentication, requests_per_second=1000)
        return open_interface(outbound, address, profile)

    return connect


@pytest.fixture
def interface(connect: Callable[[str], MerchantInterface], merchant: DemoMerchant) -> MerchantInterface:
    """The demo merchant's interface."""
    return connect(merchant.address)
