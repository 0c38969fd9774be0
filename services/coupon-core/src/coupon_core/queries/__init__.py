"""The read API of coupon-core: HTTP, for our own services."""

from __future__ import annotations

from typing import Any


class QueryApi:
    def __init__(self, *args: Any) -> None: ...

    def routes(self) -> list[Any]:
        return []
