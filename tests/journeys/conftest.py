"""One whole platform for all journeys: PostgreSQL, Kafka and the four services as processes, in record time."""

from collections.abc import Iterator

import httpx
import pytest

from scrip.platform import Platform
from tests.support.journeys import Journey

SETTINGS = {
    "gateway": {"SCRIP_ACCESS_REQUESTS_PER_MINUTE": "100"},
    # Retries come soon and calls end soon, so that planted time-outs cost seconds.
    "merchant_adapter": {"SCRIP_CALL_DEADLINE_SECONDS": "4", "SCRIP_FIRST_RETRY_SECONDS": "0.3"},
}


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The platform; nobody is verified by itself."""
    platform = Platform(tmp_path_factory.mktemp("journeys") / "home", extra_env=SETTINGS, report=print)
    platform.home.port("gateway")  # any but the usual one, for which other tests' platforms compete
    with platform, httpx.Client(trust_env=False, timeout=60) as http:
        yield Journey(platform, http)
    platform.erase()
