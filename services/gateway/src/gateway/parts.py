"""The parts of a running gateway, built once at start and handed to whoever answers requests.

The seam to `gateway.external_apis`: its `merchants_app(parts)` gives one ASGI application that answers every request
no route of ours takes, on any path; who is asking is `await parts.front_door.identify(raw_request)`.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.bulk import Bulk
from gateway.commanding import Commanding
from gateway.core_client import CoreClient
from gateway.identity.front_door import FrontDoor
from gateway.settings import GatewaySettings
from process.database import Pool


@dataclass(frozen=True)
class Parts:
    """What handlers need."""

    settings: GatewaySettings
    pool: Pool
    commanding: Commanding
    bulk: Bulk
    core: CoreClient
    front_door: FrontDoor
