"""Filling an empty database from the log: everything is decided again, and nothing is sent.

The log holds what the lanes once sent, continuations and what became due included. When there is no lag left the
process is stopped, and core is started without `SCRIP_REBUILD` on the same database.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from contracts.answers import Reply
from contracts.writers import Writer
from coupon_core.lanes.emitting import Emitter
from coupon_core.lanes.reading import LogRecord, Reader
from coupon_core.storage.journal import COMMANDS, JournalRow
from coupon_core.work import Entry


class Continuations:
    """Those decided on anew and those met in the log. A lost platform may have died before it sent its last ones."""

    def __init__(self) -> None:
        self._met: set[str] = set()
        self._missing: dict[int, dict[str, int]] = defaultdict(dict)

    def decided(self, command: str, partition: int, lane_seq: int) -> None:
        """A slice was decided that goes on with this command; it stands in this journal row."""
        if command not in self._met:
            self._missing[partition].setdefault(command, lane_seq)

    def met(self, command: str, partition: int) -> None:
        """This command of core's own was read, often long before the slice it follows is decided."""
        self._met.add(command)
        self._missing[partition].pop(command, None)

    def first_missing(self, partition: int) -> int | None:
        """The earliest journal row of the lane that holds a continuation the log does not."""
        return min(self._missing[partition].values(), default=None)


class RebuildingReader(Reader):
    """Reads as always and notes which continuations it met."""

    def __init__(
        self,
        partitions: int,
        keys: Mapping[str, Mapping[int, bytes]],
        tool_master: bytes | None,
        continuations: Continuations,
    ) -> None:
        super().__init__(partitions, keys, tool_master)
        self._continuations = continuations

    def read(self, record: LogRecord) -> Entry:
        """The entry of a record."""
        entry = super().read(record)
        if entry.record is not None and entry.writer == "core":
            self._continuations.met(str(entry.record.id), entry.partition)
        return entry


class SilentEmitter(Emitter):
    """Takes the emitter's place and sends nothing.

    A lane counts as emitted up to the first continuation that is not in the log: that one, and what follows it in
    the journal, is sent by the first take-over after the rebuild. Repeats are identical.
    """

    def __init__(self, bootstrap: str, writer: Writer, continuations: Continuations) -> None:
        super().__init__(bootstrap, writer)
        self._continuations = continuations

    async def start(self) -> None:
        """Nothing to connect."""

    async def emit(self, rows: Sequence[JournalRow]) -> None:
        """Note the continuations."""
        for row in rows:
            if row.kind == COMMANDS:
                for line in row.lines:
                    self._continuations.decided(json.loads(line)["id"], row.partition, row.lane_seq)

    def emitted_up_to(self, partition: int, lane_seq: int) -> int:
        """All but what the log lacks."""
        missing = self._continuations.first_missing(partition)
        return lane_seq if missing is None else min(lane_seq, missing - 1)

    async def reply(self, replies: Sequence[tuple[str, int | None, Reply]]) -> None:
        """Nobody waits any more."""

    async def send_command(self, partition: int, key: bytes, value: bytes) -> None:
        """What became due is in the log."""
