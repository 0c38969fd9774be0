"""A listing that turns in circles must not run for ever."""

from __future__ import annotations

from merchant_adapter.interfaces.failures import MerchantMisbehaves
from merchant_adapter.interfaces.merchant_interface import UserPage

MAX_BARREN_PAGES = 10


class PagingCheck:
    """Watches one run over a listing.

    What finds every circle, also in a run that goes on after a restart, is `new_ids`: count it where the
    users are stored. The cursors seen in this process only find most circles a round earlier.
    """

    def __init__(self) -> None:
        self._asked: set[str | None] = set()
        self._barren = 0

    def page(self, asked: str | None, page: UserPage, new_ids: int) -> None:
        """To be called for each page before its cursor is stored.

        asked: the cursor the page was asked for. new_ids: how many of its users were not yet in this run.

        Raises:
            MerchantMisbehaves: the listing would go in circles.
        """
        self._asked.add(asked)
        if page.next_cursor is None:
            return
        if page.next_cursor in self._asked:
            raise MerchantMisbehaves("the listing of users goes in circles: a next_cursor leads back")
        # A page may be empty, or hold nothing but refused rows; a few of those are no circle yet.
        self._barren = 0 if new_ids else self._barren + 1
        if self._barren > (0 if page.users else MAX_BARREN_PAGES):
            raise MerchantMisbehaves(
                "the listing of users goes in circles: a page that is not the last brings no new user"
            )
