"""coupon-core with one of its safeguards taken out: `python -P tests/failures/mutant.py no_fence`.

Started by tests in place of `python -m coupon_core`, to see that what the safeguard is for is noticed without it.
"""

import asyncio
import sys
from collections.abc import Sequence
from itertools import count

from coupon_core import __main__ as core
from coupon_core.lanes.emitting import Emitter
from coupon_core.lanes.loop import Core
from coupon_core.storage import Connection, journal
from coupon_core.storage import lanes as lane_rows
from coupon_core.storage.journal import JournalRow


def nothing() -> None:
    """The control: all safeguards are there."""


def no_fence() -> None:
    """A batch moves its lanes' positions whoever owns them and wherever they stand."""
    moving = lane_rows.FENCE.replace("AND lane.epoch = new.epoch AND lane.position = new.held", "")
    _replaced(lane_rows.FENCE, moving)
    lane_rows.FENCE = moving


def no_epoch() -> None:
    """Taking a lane over leaves its epoch as it is, so that only the position tells two owners apart."""
    taking = lane_rows.TAKE_OVER.replace("SET epoch = lane.epoch + 1", "SET epoch = lane.epoch")
    _replaced(lane_rows.TAKE_OVER, taking)
    lane_rows.TAKE_OVER = taking


def no_drain() -> None:
    """Who takes a lane over does not send what its last owner had committed and not sent."""

    async def nothing_left(connection: Connection, partition: int, lane_seq: int, limit: int) -> list[JournalRow]:
        return []

    journal.rows_after = nothing_left


def uneven() -> None:
    """A control: every other sending waits a moment, as it may where a broker is slow. No safeguard is missing."""
    at_once, number = Emitter.emit, count()

    async def sometimes_later(self: Emitter, rows: Sequence[JournalRow]) -> None:
        await asyncio.sleep(0.05 * (next(number) % 2))
        await at_once(self, rows)

    Emitter.emit = sometimes_later  # type: ignore[method-assign]


def two_chains() -> None:
    """Committed batches are sent by two tasks at once, unevenly."""
    uneven()
    one = Core._emit

    async def two(self: Core) -> None:
        await asyncio.gather(one(self), one(self))

    Core._emit = two  # type: ignore[method-assign]


def _replaced(before: str, after: str) -> None:
    if before == after:
        sys.exit("the statement this mutation changes is not what it was: change the mutation too")


MUTATIONS = {mutation.__name__: mutation for mutation in (nothing, no_fence, no_epoch, no_drain, uneven, two_chains)}


def main(arguments: Sequence[str]) -> None:
    """Mutate, then live as core does."""
    MUTATIONS[arguments[1]]()
    del sys.argv[1:]
    core.main()


if __name__ == "__main__":
    main(sys.argv)
