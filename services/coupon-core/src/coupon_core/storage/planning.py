"""Whether the loop's statements are planned for each batch, or once for many.

To plan its statements takes a small batch as long as to run them, so small ones take plans made before. But what was
planned on an empty table may stay a scan of all of it when the table is full: such plans live for two seconds. A large
batch, for which planning costs nothing, and what ranges over many coupons are always planned for themselves.
"""

from __future__ import annotations

import time

from coupon_core.storage import Connection

SMALL_RECORDS = 200
PLANS_LIVE_SECONDS = 2.0
FOR_EACH, ONCE = "force_custom_plan", "force_generic_plan"


class Planning:
    """How one connection plans; a new connection plans for each batch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._mode = FOR_EACH
        self._renewed = 0.0

    async def suit(self, records: int, *, ranges: bool) -> None:
        """Before the transaction of a batch with so many records; `ranges`: some of them range over many coupons."""
        mode = ONCE if records <= SMALL_RECORDS and not ranges else FOR_EACH
        now = time.monotonic()
        if mode == ONCE and now - self._renewed > PLANS_LIVE_SECONDS:
            self._renewed = now
            await self._connection.execute("DISCARD PLANS")
        if mode != self._mode:
            await self._connection.execute(f"SET plan_cache_mode = {mode}")
            self._mode = mode
