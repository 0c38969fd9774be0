"""The signature every command record carries: who wrote it.

Header `scrip-writer`, ASCII: `<writer>;k=<key version>;v1=<hex>`. The hex is HMAC-SHA256 under the writer's key over

    topic + "\\n" + key + "\\n" + value

as raw bytes (topic and key UTF-8; neither may hold a newline). A tool's key is HMAC-SHA256(tool master key,
"tool:<name>;k=<version>"), so that no service has to be told it.

Vector: key = 32 bytes 0x00..0x1f, topic `coupon.commands`, record key `k`, value `{}` gives `VECTOR`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

WRITER_HEADER = "scrip-writer"
LONGEST_NAMED = 200
"""Bytes of a header's first two parts; what a stranger writes must fill neither memory nor dead letters."""
VECTOR = "b7abe04b092a94bc83bee7278bd63fae57823d813a67a4b82a2a3c9547b750c6"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who signs: a name (`gateway`, `adapter`, `core`, `scheduler` or `tool:<name>`), a key version and the key."""

    name: str
    version: int
    key: bytes


class UnsignedWriterError(Exception):
    """The record carries no signature, an unknown writer, or one that does not match."""


def mac(key: bytes, topic: str, record_key: bytes, value: bytes) -> str:
    """The hex HMAC-SHA256 of one record."""
    begun = _begun(key).copy()
    begun.update(b"%b\n%b\n%b" % (topic.encode(), record_key, value))
    return begun.hexdigest()


@lru_cache(maxsize=256)
def _begun(key: bytes) -> hmac.HMAC:
    """An HMAC that has met its key: to begin one costs more than to sum a record up."""
    return hmac.new(key, digestmod=hashlib.sha256)


def sign(writer: Writer, topic: str, record_key: bytes, value: bytes) -> bytes:
    """The value of the `scrip-writer` header."""
    return f"{writer.name};k={writer.version};v1={mac(writer.key, topic, record_key, value)}".encode()


def tool_key(master: bytes, name: str, version: int) -> bytes:
    """The key of a registered tool."""
    return hmac.digest(master, f"tool:{name};k={version}".encode(), hashlib.sha256)


def verify(
    header: bytes | None,
    topic: str,
    record_key: bytes,
    value: bytes,
    keys: Mapping[str, Mapping[int, bytes]],
    tool_master: bytes | None,
) -> tuple[str, int]:
    """Name and key version of the writer that signed the record.

    Raises:
        UnsignedWriterError: no header, another form, an unknown writer or version, or a wrong signature. A tool's
            name is *not* checked against the registered tools here.
    """
    if header is None:
        raise UnsignedWriterError("the record has no scrip-writer header")
    name, version = named_in(header)
    given = header.rpartition(b";")[2].removeprefix(b"v1=")
    if name.startswith("tool:"):
        key = None if tool_master is None else tool_key(tool_master, name[5:], version)
    else:
        key = keys.get(name, {}).get(version)
    if key is None:
        raise UnsignedWriterError(f"writer {name!r} with key version {version} is not known here")
    if not hmac.compare_digest(mac(key, topic, record_key, value).encode(), given):
        raise UnsignedWriterError(f"the signature does not match what writer {name!r} would have written")
    return name, version


def named_in(header: bytes) -> tuple[str, int]:
    """Writer and key version that a signature names, right or wrong; raises UnsignedWriterError where it names none."""
    return _named(header.rpartition(b";")[0][: LONGEST_NAMED + 1])


@lru_cache(maxsize=4_096)
def _named(head: bytes) -> tuple[str, int]:
    """Writer and key version of a header's first two parts."""
    try:
        name, version = head.decode("ascii").split(";")
        if len(head) > LONGEST_NAMED:
            raise ValueError("too long")
        return name, int(version.removeprefix("k="))
    except ValueError:
        raise UnsignedWriterError("the scrip-writer header is not <writer>;k=<version>;v1=<hex>") from None
