"""What a bad server can do to us over HTTP, and what it costs: nothing beyond its own call."""

import asyncio
import gzip
import io
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from merchant_adapter.interfaces import (
    AddressPolicy,
    CredentialsRefused,
    HttpLimits,
    InterfaceFailure,
    MerchantInterface,
    MerchantMisbehaves,
    MerchantUnavailable,
    OpenApiProfile,
    Outbound,
    OutcomeUnknown,
    ProfileFault,
    open_interface,
    read_profile,
)
from merchant_adapter.interfaces.outcomes import failure_of, plain, retry_after_seconds
from merchant_adapter.interfaces.profile import BasicAuthentication, BearerAuthentication, HeaderAuthentication
from tests.support.deliveries import a_delivery
from tests.support.demo_merchants import TOKEN, DemoMerchant
from tests.support.web_servers import serving

Connect = Callable[[str], MerchantInterface]
Saying = Callable[[Response], str]


class TestSlowAndLarge:
    """The faults last a minute; each test ends with the deadline of two seconds."""

    @pytest.fixture(autouse=True)
    async def long_before_the_fault_ends(self) -> AsyncIterator[None]:
        async with asyncio.timeout(25):
            yield

    async def test_a_drip_ends_at_the_deadline(self, interface: MerchantInterface, merchant: DemoMerchant) -> None:
        merchant.plant("users", "drip", seconds=60)
        with pytest.raises(MerchantUnavailable, match="no whole answer within 2 s"):
            await interface.list_users(None, 10)
        merchant.plant("deliver", "drip", seconds=60)
        with pytest.raises(OutcomeUnknown, match="no whole answer within 2 s"):
            await interface.deliver([a_delivery()])

    @pytest.mark.parametrize(
        "until", [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: ", b"HTTP/1.1 2", b""]
    )
    async def test_a_drip_of_headers_ends_at_the_deadline(self, connect: Connect, until: bytes) -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(until)
            try:
                while True:
                    await asyncio.sleep(0.1)
                    if until.endswith(b" "):
                        writer.write(b"x")
                        await writer.drain()
            except (ConnectionError, asyncio.CancelledError):
                writer.close()

        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(MerchantUnavailable, match="no whole answer"):
            await connect(f"http://127.0.0.1:{port}").list_users(None, 10)
        server.close()

    async def test_a_server_that_is_not_http_is_unavailable(self, connect: Connect) -> None:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n" * 3)
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(MerchantUnavailable):
            await connect(f"http://127.0.0.1:{port}").list_users(None, 10)
        server.close()

    async def test_a_gzip_bomb_is_not_unpacked(self, interface: MerchantInterface, merchant: DemoMerchant) -> None:
        merchant.plant("users", "gzip_bomb", megabytes=200)
        with pytest.raises(MerchantMisbehaves, match="compressed"):
            await interface.list_users(None, 10)

    async def test_a_reply_is_read_up_to_two_mebibytes_only(
        self, interface: MerchantInterface, merchant: DemoMerchant
    ) -> None:
        merchant.plant("users", "huge", megabytes=512)
        with pytest.raises(MerchantMisbehaves, match="more than 2097152 bytes"):
            await interface.list_users(None, 10)

    @pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
    async def test_the_limit_is_exact(self, connect: Connect, saying: Saying, extra: int, good: bool) -> None:
        body = b'{"items": []' + b" " * (2 * 2**20 - 13 + extra) + b"}"
        address = saying(Response(body, media_type="application/json"))
        if good:
            assert (await connect(address).list_users(None, 10)).users == ()
        else:
            with pytest.raises(MerchantMisbehaves, match="more than"):
                await connect(address).list_users(None, 10)

    async def test_an_endless_error_page_is_not_read(self, connect: Connect) -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b" " * 65_536
                await asyncio.sleep(0)

        def answer(_: Request) -> Response:
            return StreamingResponse(endless(), 401, media_type="application/problem+json")

        with serving(Starlette(routes=[Route("/users", answer)])) as address, pytest.raises(CredentialsRefused):
            await connect(address).list_users(None, 10)


class TestNotJson:
    @pytest.mark.parametrize("kind", ["html", "bad_json", "wrong_shape"])
    async def test_a_page_that_is_not_one_is_refused(
        self, interface: MerchantInterface, merchant: DemoMerchant, kind: str
    ) -> None:
        merchant.plant("users", kind)
        with pytest.raises(MerchantMisbehaves):
            await interface.list_users(None, 10)
        assert len((await interface.list_users(None, 10)).users) == 10

    @pytest.mark.parametrize("media_type", ["text/html", "text/plain", "", "application/octet-stream", "text/json"])
    async def test_json_under_another_name_is_refused(self, connect: Connect, saying: Saying, media_type: str) -> None:
        reply = Response(b'{"items": []}', headers={"content-type": media_type})
        address = saying(reply)
        with pytest.raises(MerchantMisbehaves, match="media type"):
            await connect(address).list_users(None, 10)

    async def test_gzip_that_was_not_asked_for_is_refused(self, connect: Connect, saying: Saying) -> None:
        reply = Response(
            gzip.compress(b'{"items": []}'), headers={"content-encoding": "gzip"}, media_type="application/json"
        )
        address = saying(reply)
        with pytest.raises(MerchantMisbehaves, match="compressed"):
            await connect(address).list_users(None, 10)


class TestBulkheads:
    async def test_a_hanging_merchant_holds_up_no_other(self, outbound: Outbound, merchant: DemoMerchant) -> None:
        merchant.plant("users", "timeout_before_apply", times=8)
        hanging = open_interface(outbound, "hanging", profile(merchant.address))
        calls = [asyncio.ensure_future(hanging.list_users(None, 1)) for _ in range(20)]
        while merchant.counts()["faults_fired"] < 8:
            await asyncio.sleep(0.01)
        other = open_interface(outbound, "other", profile(merchant.address))
        assert len((await other.list_users(None, 5)).users) == 5
        assert sum(call.done() for call in calls) == 0  # eight hang, twelve wait for their turn
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, MerchantUnavailable) for result in results) >= 8

    async def test_live_clients_are_capped_and_those_at_work_are_kept(self, merchant: DemoMerchant) -> None:
        limits = HttpLimits(deadline_seconds=10, live_clients=2)
        outbound = Outbound(AddressPolicy(allow_local=True), limits)
        merchant.plant("health", "timeout_before_apply", seconds=0.4)
        at_work = asyncio.ensure_future(open_interface(outbound, "m-0", profile(merchant.address)).health())
        while merchant.counts()["faults_fired"] < 1:
            await asyncio.sleep(0.01)
        for number in range(1, 6):
            await open_interface(outbound, f"m-{number}", profile(merchant.address)).health()
            assert outbound.live_clients <= 2
        with pytest.raises(MerchantUnavailable, match="503"):  # its answer arrived: it was not closed
            await at_work
        await outbound.aclose()

    async def test_calls_go_out_no_faster_than_the_profile_says(
        self, outbound: Outbound, merchant: DemoMerchant
    ) -> None:
        slow = profile(merchant.address).model_copy(update={"requests_per_second": 0.001})
        interface = open_interface(outbound, "slow", slow)
        await interface.health()
        second = asyncio.ensure_future(interface.health())
        await asyncio.sleep(0.2)
        assert not second.done()
        quick = slow.model_copy(update={"requests_per_second": 1000})
        await open_interface(outbound, "slow", quick).health()  # the new rate holds at once
        second.cancel()

    async def test_cookies_are_not_kept(self, connect: Connect) -> None:
        seen = []

        def answer(request: Request) -> Response:
            seen.append(request.headers.get("cookie"))
            reply = JSONResponse({"status": "ok"})
            reply.set_cookie("session", "1")
            return reply

        with serving(Starlette(routes=[Route("/health", answer)])) as address:
            for _ in range(2):
                await connect(address).health()
        assert seen == [None, None]


class TestCredentials:
    async def test_what_is_asked_for_goes_out(self, outbound: Outbound) -> None:
        seen: list[httpx.Headers] = []

        def answer(request: Request) -> Response:
            seen.append(httpx.Headers(request.headers.raw))
            return JSONResponse({"status": "ok"})

        with serving(Starlette(routes=[Route("/health", answer)])) as address:
            for number, authentication in enumerate(
                (
                    BearerAuthentication(token=SecretStr("t-1")),
                    HeaderAuthentication(name="X-Api-Key", value=SecretStr("k-1")),
                    BasicAuthentication(user="ümit", password=SecretStr("p:1")),
                )
            ):
                named = OpenApiProfile(base_url=address, authentication=authentication)
                await open_interface(outbound, f"m-{number}", named).health()
        assert seen[0]["authorization"] == "Bearer t-1"
        assert seen[1]["x-api-key"] == "k-1"
        assert seen[2]["authorization"] == "Basic w7xtaXQ6cDox"
        assert {headers["accept-encoding"] for headers in seen} == {"identity"}

    @pytest.mark.parametrize(
        "authentication",
        [
            {"kind": "bearer", "token": "two words"},
            {"kind": "bearer", "token": "line\nfeed"},
            {"kind": "bearer", "token": ""},
            {"kind": "bearer", "token": "ümlaut"},
            {"kind": "header", "name": "X Key", "value": "v-8-v"},
            {"kind": "header", "name": "X-Key\r\nHost", "value": "v-8-v"},
            {"kind": "signed", "secrets": []},
            {"kind": "signed", "secrets": ["whsec_short"]},
            {"kind": "signed", "secrets": ["whsec_%%%"]},
            {"kind": "basic", "user": "a:b", "password": "p-8-p"},
            {"kind": "none"},
        ],
    )
    def test_credentials_that_cannot_be_sent_are_refused_when_written_down(
        self, authentication: dict[str, Any]
    ) -> None:
        written = {"kind": "openapi", "base_url": "https://shop.example", "authentication": authentication}
        with pytest.raises(ProfileFault) as refusal:
            read_profile(written)
        assert all(pointer.startswith("/authentication") for pointer, _ in refusal.value.errors)
        for name in ("token", "value", "password"):
            said = "".join(traceback.format_exception(refusal.value))
            assert not authentication.get(name) or authentication[name] not in said

    async def test_secrets_codes_and_users_are_in_no_log_and_no_message(
        self, outbound: Outbound, merchant: DemoMerchant, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for chatty in ("httpx", "httpcore", "asyncio"):
            caplog.set_level(logging.DEBUG, logger=chatty)
        lines = io.StringIO()
        structlog.configure(
            processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(lines)
        )
        try:
            named = profile(merchant.address)
            interface = open_interface(outbound, "logged", named)
            delivery = a_delivery("user-0000007")
            said = [repr(named), repr(delivery), repr(named.authentication)]
            for kind in ("500", "html", "429", "409", "401", "timeout_after_apply"):
                merchant.plant("deliver", kind)
                try:
                    said.append(repr(await interface.deliver([delivery])))
                except InterfaceFailure as failure:
                    said.append(repr(failure))
            said.append(repr(await interface.list_users(None, 10)))
        finally:
            structlog.reset_defaults()
        everything = "\n".join([lines.getvalue(), caplog.text, *said])
        assert "merchant_call_failed" in lines.getvalue()
        for secret in (TOKEN, delivery.code, delivery.user_id, "user-0000001"):
            assert secret not in everything


class TestPlainFunctions:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("7", 7),
            ("0", 0),
            ("99999999999", 86_400),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("٣", None),
        ],
    )
    def test_retry_after_in_seconds(self, text: str, seconds: float | None) -> None:
        assert retry_after_seconds(httpx.Headers([(b"Retry-After", text.encode())])) == seconds

    def test_retry_after_as_a_date(self) -> None:
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
        assert 90 < (retry_after_seconds(httpx.Headers({"Retry-After": soon})) or 0) <= 100
        past = format_datetime(datetime.now(UTC) - timedelta(days=9), usegmt=True)
        assert retry_after_seconds(httpx.Headers({"Retry-After": past})) == 0

    def test_no_retry_after_is_none(self) -> None:
        assert retry_after_seconds(httpx.Headers()) is None

    def test_a_merchants_words_are_made_plain(self) -> None:
        assert plain("a\nb\x1b[31m\u202ec" + "x" * 500) == "a b [31m c" + "x" * 190

    @pytest.mark.parametrize("problem", [None, [], "x", {"code": 5}, {"code": "a b"}, {"title": {}}, {"detail": None}])
    def test_a_problem_of_any_shape_gives_a_refusal_with_a_slug(self, problem: object) -> None:
        failure = failure_of(422, httpx.Headers(), problem, unsafe=True)
        assert str(failure) == "refused with 422 (http_422)"


def profile(address: str) -> OpenApiProfile:
    return OpenApiProfile(
        base_url=address, authentication=BearerAuthentication(token=SecretStr(TOKEN)), requests_per_second=1000
    )
