"""What the demo's staff do: the internal API with the admin token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from scrip.demo.calling import Client
from scrip.platform import Platform

AUDIT_SECONDS = 600.0
"""Core's audit reads every coupon."""


class Staff:
    """A member of staff with the role admin."""

    def __init__(self, platform: Platform) -> None:
        token = platform.home.secret("service-token")
        self.client = Client(platform.url("gateway"), {"authorization": f"Bearer {platform.admin_token}"})
        self.core = Client(platform.url("coupon_core"), {"authorization": f"Bearer {token}"}, AUDIT_SECONDS)
        self.adapter = Client(platform.url("merchant_adapter"), {"authorization": f"Bearer {token}"})
        self.scheduler = Client(platform.url("scheduler"), {"authorization": f"Bearer {token}"})
        self.now: datetime | None = None

    def tell_time(self, to: datetime) -> None:
        """Move told time; returns when all that became due has happened in every lane."""
        moment = to.astimezone(UTC)
        self.post("/clock", {"to": moment.isoformat()}, key=f"clock {moment.isoformat()}")
        self.now = moment

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """A request that must succeed; the answer's body."""
        return self.client.send("POST", f"/internal/v1{path}", body, key=key).expect(200, 201)

    def order(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """A request that files work for later (202); the answer's body."""
        return self.client.send_once("POST", f"/internal/v1{path}", body, key=key).expect(202)

    def add_merchant(self, name: str, dialect: str, **settings: Any) -> tuple[str, dict[str, Any]]:
        """Add a merchant at once: its id and its credentials."""
        document = {"name": name, "dialect": dialect, **settings}
        added = self.client.send_once("POST", "/internal/v1/merchants", document).expect(201)
        return added["id"], added["credentials"]
