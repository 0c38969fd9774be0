"""Records whose header names are no UTF-8: read, instead of blocking their partition for ever.

aiokafka decodes the names of headers strictly while it unpacks a batch. One such record, which any client in C
can write, makes every poll of its partition raise, and no offset can be skipped past it. `read_any_header_name`
lets aiokafka read such a batch once more, with its slower parser in Python and the names' bad bytes escaped; the
record is then as good or as bad as its signature.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = struct.Struct(">qi")  # base offset, and the batch's length behind these two


def read_any_header_name() -> None:
    """Call once per process, before a consumer is started."""
    fetcher.MemoryRecords = _Records


class _Records:
    """aiokafka's batches of one fetch, each with its bytes at hand."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> _Batch:
        batch = self._records.next_batch()
        end = _LENGTH.size + _LENGTH.unpack_from(self._data)[1]
        data, self._data = self._data[:end], self._data[end:]
        return _Batch(batch, data)


class _Batch:
    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        done = 0
        try:
            for record in self._batch:
                yield record
                done += 1
        except UnicodeDecodeError:
            for number, record in enumerate(_ForgivingBatch(self._data)):
                if number >= done:
                    yield record


class _ForgivingBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _ForgivingBytes(self._buffer)


class _ForgivingBytes(bytearray):
    """A buffer of which aiokafka's parser decodes nothing but the names of headers."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _ForgivingBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
