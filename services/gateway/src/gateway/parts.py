"""The parts of a running gateway, built once at start and handed to whoever answers requests.

The seam to `gateway.external_apis`: its `merchants_app(parts)` gives one ASGI application that answers every
request no route of ours takes, on any path; who is asking is `await parts.front_door.identify(raw_request)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request

from gateway.access.applicants import ApplicantLimit
from gateway.bulk import Bulk
from gateway.catalogue.offers import Offers
from gateway.clock import ClockControl
from gateway.commanding import Commanding
from gateway.core_client import CoreClient
from gateway.dead_letters import DeadLetters
from gateway.guessing import WrongCodes
from gateway.identity.front_door import FrontDoor
from gateway.identity.staff import StaffDoor
from gateway.lanes import Lanes
from gateway.live_stream import LiveStream
from gateway.service_client import ServiceClient
from gateway.settings import GatewaySettings
from messaging.sending import Sender
from process.database import Pool


@dataclass(frozen=True)
class Parts:
    """What handlers need."""

    settings: GatewaySettings
    pool: Pool
    sender: Sender
    commanding: Commanding
    bulk: Bulk
    clock: ClockControl
    lanes: Lanes
    live: LiveStream
    core: CoreClient
    adapter: ServiceClient
    scheduler: ServiceClient
    front_door: FrontDoor
    staff_door: StaffDoor
    applicants: ApplicantLimit
    wrong_codes: WrongCodes
    offers: Offers
    dead_letters: DeadLetters
    keys: Mapping[int, bytes] = field(repr=False)
    """They seal merchants' secrets; the highest id seals."""
    tool_master: bytes = field(repr=False)


def parts_of(request: Request) -> Parts:
    """The parts, from the application that answers the request."""
    return cast("Parts", request.app.state.parts)
