"""Which addresses the adapter may call: a merchant's URL is input, and our network has a database in it.

The name is resolved once per call, every address it has must be public, and the connection goes to one of
those very addresses with the Host and the TLS name of the URL: a resolver that changes its mind between check
and use gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import httpx

from merchant_adapter.interfaces.failures import AddressRefused

Resolver = Callable[[str, int], Awaitable[list[str]]]
MAX_ADDRESSES_TRIED = 3

_HOST = re.compile(rb"[a-z0-9_.-]{1,253}|[0-9a-f:.]{2,45}")  # a name or IPv4, or IPv6 without a zone
_IPV6_PUBLIC = ipaddress.ip_network("2000::/3")
_IPV6_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # Teredo and the like, documentation, 6to4
    )
)
_IPV4_NOT_PUBLIC = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24")))
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class AddressPolicy:
    """`allow_local`: loopback and private addresses may be called too, by http and on any port; link-local
    ones never (cloud metadata lives there). `ports`: those allowed on public addresses.
    """

    allow_local: bool = False
    ports: frozenset[int] = frozenset({443, 8443})

    def check(self, url: httpx.URL) -> None:
        """What can be said without asking a resolver.

        Raises:
            AddressRefused: this URL is never called.
        """
        if url.scheme != "https" and not (url.scheme == "http" and self.allow_local):
            raise AddressRefused("the address of a merchant's interface must begin with https://")
        if fault := _fault_of(url):
            raise AddressRefused(f"the address {fault}")
        if port_of(url) not in self.ports and not self.allow_local:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise AddressRefused(f"port {port_of(url)} is not among those allowed: {allowed}")

    async def addresses(self, url: httpx.URL, resolve: Resolver) -> list[str]:
        """The addresses that may be connected to for this URL, in the resolver's order.

        Raises:
            AddressRefused: the URL, or one of the addresses its host has, is not to be called.
            OSError: the name does not resolve.
        """
        self.check(url)
        found = await resolve(url.raw_host.decode("ascii"), port_of(url))
        kinds = {kind_of(address) for address in found}
        if "forbidden" in kinds or ("local" in kinds and not self.allow_local):
            raise AddressRefused("the host has an address that is not public")
        if "public" in kinds and (url.scheme != "https" or port_of(url) not in self.ports):
            raise AddressRefused("a public address is called by https and on an allowed port only")
        return found[:MAX_ADDRESSES_TRIED]


def port_of(url: httpx.URL) -> int:
    return url.port if url.port is not None else (80 if url.scheme == "http" else 443)


def kind_of(text: str) -> Literal["public", "local", "forbidden"]:
    """`local`: loopback or private; `forbidden`: anything else that is not a public unicast address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "forbidden"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return kind_of(str(address.ipv4_mapped))
        if address in _NAT64:
            # Behind NAT64 this is how a public IPv4 host looks; a private one must not hide in it.
            inner = kind_of(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
            return "public" if inner == "public" else "forbidden"
        if address.is_loopback or _within(address, _PRIVATE):
            return "local"
        # Not `is_global`: it calls site-local, discard, 6to4 and embedded private addresses global.
        return "public" if address in _IPV6_PUBLIC and not _within(address, _IPV6_NOT_PUBLIC) else "forbidden"
    if address.is_loopback or _within(address, _PRIVATE):
        return "local"
    if address.is_global and not address.is_multicast and not _within(address, _IPV4_NOT_PUBLIC):
        return "public"
    return "forbidden"


def _within(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
) -> bool:
    return any(address in network for network in networks)


def base_url_fault(text: str) -> str | None:
    """What is wrong with a base address as written down, or nothing; the policy judges it at each call."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return "is not a URL"
    if url.scheme not in ("https", "http"):
        return "must be like https://merchant.example/scrip"
    if "?" in text or "#" in text or "@" in text or "\\" in text:
        return "must have no query, no fragment and none of @ and \\"
    return _fault_of(url)


def _fault_of(url: httpx.URL) -> str | None:
    if url.userinfo:
        return "must hold no user or password: credentials are set apart"
    if not _HOST.fullmatch(url.raw_host):
        return "must name a host"
    if not 1 <= port_of(url) <= 65_535:
        return "must have a port between 1 and 65535"
    return None


async def system_resolver(host: str, port: int) -> list[str]:
    """Every address (A and AAAA) the system knows for a name.

    Raises:
        OSError: none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connects to the addresses the policy allows and to nothing else; takes nothing from the environment."""

    def __init__(self, policy: AddressPolicy, resolve: Resolver, tls: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._policy = policy
        self._resolve = resolve
        self._inner = httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            addresses = await self._policy.addresses(request.url, self._resolve)
        except OSError as reason:
            raise httpx.ConnectError("the host's name does not resolve", request=request) from reason
        name = request.url.raw_host.decode("ascii")
        failure: httpx.TransportError = httpx.ConnectError("the host has no address", request=request)
        for address in addresses:
            onward = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # the Host header among them
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": name},
            )
            try:
                return await self._inner.handle_async_request(onward)
            except (httpx.ConnectError, httpx.ConnectTimeout) as reason:
                failure = reason  # nothing was sent: the next address may answer
        raise failure

    async def aclose(self) -> None:
        await self._inner.aclose()
