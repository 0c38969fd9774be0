"""Who wrote a record: its signature against the keys this process may know and the topic's writers."""

from __future__ import annotations

import time

from contracts.answers import DeadLetterReason
from contracts.writers import WRITER_HEADER, UnsignedWriterError, verify
from process.settings import Secrets

RELOAD_SECONDS = 5.0


class Untrusted(Exception):
    """The record is not from a writer this topic has; `reason` goes into the dead letter."""

    def __init__(self, reason: DeadLetterReason, detail: str, writer: str | None = None) -> None:
        super().__init__(detail)
        self.reason: DeadLetterReason = reason
        self.detail = detail
        self.writer = writer


class Trust:
    """The writers' keys; read again, at most every `RELOAD_SECONDS`, when a signature is of an unknown key.

    Tools are not trusted here: a service other than core does not know what rights a tool has.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._keys = secrets.writer_keys()
        self._read_at = time.monotonic()

    def writer_of(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        headers: list[tuple[str, bytes]] | tuple[tuple[str, bytes], ...],
        allowed: frozenset[str],
    ) -> str:
        """The writer's name; raises Untrusted."""
        signatures = [content for name, content in headers if name == WRITER_HEADER]
        if len(signatures) > 1:
            raise Untrusted("unsigned_writer", "the record has more than one scrip-writer header")
        signature = signatures[0] if signatures else None
        try:
            name = self._verified(signature, topic, key, value)
        except UnsignedWriterError as error:
            raise Untrusted("unsigned_writer", str(error)) from None
        if name not in allowed:
            raise Untrusted("writer_not_allowed", f"the writer {name!r} may not write to {topic}", name)
        return name

    def _verified(self, signature: bytes | None, topic: str, key: bytes, value: bytes) -> str:
        try:
            return verify(signature, topic, key, value, self._keys, None)[0]
        except UnsignedWriterError:
            if time.monotonic() - self._read_at < RELOAD_SECONDS:
                raise
        self._read_at = time.monotonic()
        self._keys = self._secrets.writer_keys()
        return verify(signature, topic, key, value, self._keys, None)[0]
