"""A demo merchant and a way out to it, for the tests of this folder."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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
from tests.support.web_servers import serving

QUICK = HttpLimits(deadline_seconds=2)


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


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    """The public certificate authorities; reading them takes a while."""
    return httpx.create_ssl_context(trust_env=False)


@pytest.fixture(scope="session")
def parrot() -> Iterator[tuple[str, list[Response]]]:
    """A server that answers everything with the last response of the list; its address and the list."""
    said: list[Response] = []

    def answer(_: Request) -> Response:
        return said[-1]

    methods = ["GET", "POST", "PUT"]
    with serving(Starlette(routes=[Route("/{path:path}", answer, methods=methods)])) as address:
        yield address, said


@pytest.fixture
def saying(parrot: tuple[str, list[Response]]) -> Callable[[Response], str]:
    """Makes a server give this answer to everything; its address."""
    address, said = parrot

    def saying(response: Response) -> str:
        said[:] = [response]
        return address

    return saying


@pytest.fixture
async def outbound(tls: ssl.SSLContext) -> AsyncIterator[Outbound]:
    """A way out with a deadline of two seconds, allowed to call this machine."""
    outbound = Outbound(AddressPolicy(allow_local=True), QUICK, tls=tls)
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
