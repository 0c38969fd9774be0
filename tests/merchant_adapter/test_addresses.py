"""Which addresses are called: the table of server-side request forgery, and a canary on loopback nobody may touch."""

import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from merchant_adapter.interfaces import (
    AddressPolicy,
    AddressRefused,
    HttpLimits,
    MerchantInterface,
    MerchantMisbehaves,
    MerchantUnavailable,
    OpenApiProfile,
    Outbound,
    open_interface,
)
from merchant_adapter.interfaces.addresses import GuardedTransport, kind_of, system_resolver
from merchant_adapter.interfaces.profile import BearerAuthentication
from tests.support.demo_merchants import TOKEN, DemoMerchant
from tests.support.web_servers import Canary, serving, watching_canary

NAMES = {
    "shop.example": ["8.8.8.8"],
    "localhost.": ["127.0.0.1"],
    "inside.example": ["127.0.0.1"],
    "half.example": ["8.8.8.8", "127.0.0.1"],
    "half6.example": ["2606:4700::1", "::1"],
    "metadata.example": ["169.254.169.254"],
    "cgnat.example": ["100.64.0.1"],
    "strange.example": ["not an address"],
}

REFUSED = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/?x=https://shop.example",
    "https://127.1:{port}/",
    "https://127.255.255.254:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.1:{port}/",
    "https://017700000001:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://0:{port}/",
    "https://0.0.0.0:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST.:{port}/",
    "https://[::1]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://[::]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[64:ff9b:1::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[2001:0:7f00:1::]:{port}/",
    "https://[fe80::1]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[fec0::1]:{port}/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]:{port}/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://inside.example:{port}/",
    "https://half.example:{port}/",
    "https://half6.example:{port}/",
    "https://metadata.example/",
    "https://cgnat.example/",
    "https://strange.example/",
    "https://user:password@shop.example/",
    "https://user@shop.example/",
    "https://shop.example@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@shop.example/",
    "http://shop.example/",
    "https://shop.example:22/",
    "https://shop.example:5432/",
    "https://shop.example:0/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "https:///users",
    "//127.0.0.1:{port}/",
]


class LoopbackOnly(httpx.AsyncBaseTransport):
    """Where the guard fails, the test may still send nothing beyond this machine."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert kind_of(request.url.host) == "local", "the guard let a packet out"
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def resolve(host: str, port: int) -> list[str]:
    return NAMES.get(host) or await system_resolver(host, port)


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with watching_canary() as canary:
        yield canary
        assert canary.touched == 0


def profile(base_url: str) -> OpenApiProfile:
    return OpenApiProfile(
        base_url=base_url, authentication=BearerAuthentication(token=SecretStr(TOKEN)), requests_per_second=1000
    )


class TestProduction:
    @pytest.mark.parametrize("url", REFUSED)
    async def test_an_address_that_is_not_a_public_merchants_is_refused_without_a_packet(
        self, canary: Canary, tls: ssl.SSLContext, url: str
    ) -> None:
        # The canary's port is allowed here, so that nothing but the address can be the reason.
        policy = AddressPolicy(ports=frozenset({443, canary.port}))
        transport = GuardedTransport(policy, resolve, tls, httpx.Limits())
        transport._inner = LoopbackOnly(transport._inner)  # type: ignore[assignment]
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=20) as client:
            with pytest.raises((AddressRefused, httpx.InvalidURL)):
                await client.get(url.format(port=canary.port))

    def test_the_table_is_long_enough(self) -> None:
        assert len(REFUSED) == len(set(REFUSED)) >= 40

    async def test_a_refused_address_is_its_own_failure_and_opens_no_breaker(self, canary: Canary) -> None:
        outbound = Outbound(AddressPolicy(ports=frozenset({443, canary.port})), resolve=resolve)
        interface = open_interface(outbound, "m", profile(f"https://inside.example:{canary.port}"))
        for _ in range(7):
            with pytest.raises(AddressRefused, match="not public"):
                await interface.health()
        await outbound.aclose()

    @pytest.mark.parametrize(
        "base_url",
        [
            *(
                "",
                "shop.example",
                "https://@shop.example",
                "https://b\\@c",
                "https://[::1%25lo]",
                "ftp://shop.example",
                "https://",
                "https://u:p@shop.example",
                "https://x/?a=b",
            ),
            *("https://x/#f", "https://x/?", "javascript:alert(1)", "https://x:99999/", "https://exa mple.com"),
        ],
    )
    def test_a_bad_base_address_is_refused_when_it_is_written_down(self, base_url: str) -> None:
        with pytest.raises(ValidationError):
            profile(base_url)

    async def test_the_name_is_resolved_once_a_call_and_that_very_address_is_used(self, tls: ssl.SSLContext) -> None:
        answers = iter([["8.8.8.8"], ["127.0.0.1"]])
        connected: list[tuple[str, str, object]] = []

        async def flipping(host: str, port: int) -> list[str]:
            return next(answers)

        def record(request: httpx.Request) -> httpx.Response:
            connected.append((request.url.host, request.headers["host"], request.extensions["sni_hostname"]))
            return httpx.Response(204)

        transport = GuardedTransport(AddressPolicy(), flipping, tls, httpx.Limits())
        transport._inner = httpx.MockTransport(record)  # type: ignore[assignment]  # no packet may leave this machine
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            await client.get("https://shop.example/users")
            with pytest.raises(AddressRefused):
                await client.get("https://shop.example/users")
        assert connected == [("8.8.8.8", "shop.example", "shop.example")]


class TestKinds:
    @pytest.mark.parametrize(
        ("address", "kind"),
        [
            *(("8.8.8.8", "public"), ("2606:4700::1", "public"), ("::ffff:8.8.8.8", "public")),
            *(("64:ff9b::808:808", "public"), ("127.0.0.1", "local"), ("::1", "local"), ("10.1.2.3", "local")),
            *(("172.31.0.1", "local"), ("fd00::1", "local"), ("::ffff:10.0.0.1", "local")),
            *(("64:ff9b::a00:1", "forbidden"), ("169.254.169.254", "forbidden"), ("172.32.0.1", "public")),
            *(("::ffff:169.254.169.254", "forbidden"), ("fe80::1%eth0", "forbidden"), ("2001:db8::1", "forbidden")),
            *(("224.0.1.1", "forbidden"), ("ff0e::1", "forbidden"), ("3fff::1", "forbidden"), ("100::1", "forbidden")),
            *(("5f00::1", "forbidden"), ("", "forbidden"), ("0.0.0.0", "forbidden"), ("::", "forbidden")),
        ],
    )
    def test_an_address_has_its_kind(self, address: str, kind: str) -> None:
        assert kind_of(address) == kind


class TestAllowedLocal:
    async def test_a_merchant_on_this_machine_may_be_called_by_http(self, interface: MerchantInterface) -> None:
        await interface.health()

    @pytest.mark.parametrize(
        "url",
        [
            *("http://169.254.169.254/", "https://169.254.169.254/", "http://metadata.example/"),
            *("http://shop.example/", "https://shop.example:5432/", "http://0.0.0.0:{port}/"),
            *("http://user@127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/", "https://[fe80::1]/"),
        ],
    )
    async def test_metadata_and_plain_http_to_the_world_stay_refused(
        self, canary: Canary, tls: ssl.SSLContext, url: str
    ) -> None:
        transport = GuardedTransport(AddressPolicy(allow_local=True), resolve, tls, httpx.Limits())
        transport._inner = LoopbackOnly(transport._inner)  # type: ignore[assignment]
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=20) as client:
            with pytest.raises(AddressRefused):
                await client.get(url.format(port=canary.port))

    async def test_a_redirect_is_not_followed(
        self, canary: Canary, interface: MerchantInterface, merchant: DemoMerchant
    ) -> None:
        for at in ("users", "health"):
            merchant.plant(at, "redirect", location=f"http://127.0.0.1:{canary.port}/users")
        with pytest.raises(MerchantMisbehaves, match="302"):
            await interface.list_users(None, 10)
        with pytest.raises(MerchantMisbehaves, match="302"):
            await interface.health()

    async def test_proxies_of_the_environment_are_not_used(
        self, canary: Canary, merchant: DemoMerchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
        outbound = Outbound(AddressPolicy(allow_local=True))
        await open_interface(outbound, "m", profile(merchant.address)).health()
        await outbound.aclose()

    async def test_an_address_that_does_not_answer_gives_way_to_the_next(self, merchant: DemoMerchant) -> None:
        port = httpx.URL(merchant.address).port

        async def two(host: str, _: int) -> list[str]:
            return ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first

        outbound = Outbound(AddressPolicy(allow_local=True), resolve=two)
        await open_interface(outbound, "m", profile(f"http://shop.example:{port}/scrip")).health()
        await outbound.aclose()

    async def test_a_name_that_does_not_resolve_is_unavailable(self) -> None:
        async def nowhere(host: str, port: int) -> list[str]:
            raise socket.gaierror(socket.EAI_NONAME, "not known")

        outbound = Outbound(AddressPolicy(), resolve=nowhere)
        with pytest.raises(MerchantUnavailable):
            await open_interface(outbound, "m", profile("https://shop.example")).health()
        await outbound.aclose()


class TestTls:
    """A server with a certificate for shop.example, reached by the address the resolver gave."""

    @pytest.mark.parametrize(("host", "good"), [("shop.example", True), ("other.example", False)])
    async def test_name_and_host_are_the_urls_and_the_certificate_must_fit(
        self, tmp_path: Path, host: str, good: bool
    ) -> None:
        certificate = self_signed(tmp_path / "shop.pem", "shop.example")
        seen: list[str] = []

        def health(request: Request) -> JSONResponse:
            seen.append(request.headers["host"])
            return JSONResponse({"status": "ok"})

        async def loopback(_: str, __: int) -> list[str]:
            return ["127.0.0.1"]

        trusting = ssl.create_default_context(cafile=str(certificate))
        app = Starlette(routes=[Route("/health", health)])
        with serving(app, certificate=certificate) as address:
            port = httpx.URL(address).port
            limits = HttpLimits(deadline_seconds=20)
            outbound = Outbound(AddressPolicy(allow_local=True), limits, resolve=loopback, tls=trusting)
            interface = open_interface(outbound, "m", profile(f"https://{host}:{port}"))
            if good:
                await interface.health()
                assert seen == [f"shop.example:{port}"]
            else:
                with pytest.raises(MerchantUnavailable, match="certificate"):
                    await interface.health()
                assert seen == []
            await outbound.aclose()


def self_signed(path: Path, name: str) -> Path:
    """A certificate for one name, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
