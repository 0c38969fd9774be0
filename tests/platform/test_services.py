"""The four services on servers that were there before, given by address, as in production."""

import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scrip.backend import Backend
from scrip.platform import Platform
from scrip.status import platform_status
from tests.support.servers import local_backend


@pytest.fixture(scope="module")
def servers() -> Iterator[Backend]:
    """Servers of this module's own: the topics of the run's broker belong to other tests' databases."""
    with local_backend() as started:
        yield started


@pytest.fixture(scope="module")
def platform(servers: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(
        tmp_path_factory.mktemp("platform") / "home",
        admin_url=servers.admin_url,
        bootstrap=servers.bootstrap,
        auto_verify=True,
        report=print,
    )
    with made:
        yield made
    made.erase()


def ask_gateway(platform: Platform, path: str) -> dict[str, Any]:
    return ask(platform, path, {"Authorization": f"Bearer {platform.admin_token}"})


def test_every_service_is_ready_and_no_server_was_started(platform: Platform) -> None:
    found = platform_status(platform.home.path)
    assert found["ready"], found
    assert set(platform.processes()) == {"coupon_core", "merchant_adapter", "scheduler", "gateway"}
    assert found["addresses"]["kafka"] == platform.bootstrap


def test_the_admin_token_opens_the_internal_api(platform: Platform) -> None:
    found = ask_gateway(platform, "/internal/v1/status")
    assert found["time"] == "record"
    assert all(found[service]["answers"] for service in ("core", "adapter", "scheduler"))


def test_with_auto_verify_an_applicant_gets_its_credentials_at_once(platform: Platform) -> None:
    document = json.dumps({"name": "Corner shop", "contact": "shop@example.org", "dialect": "scrip"}).encode()
    filed = ask(platform, "/merchant/v1/access", {"content-type": "application/json"}, document)
    assert filed["state"] == "active", filed
    found = ask(platform, f"/merchant/v1/access/{filed['id']}", {"authorization": f"Bearer {filed['token']}"})
    assert found["credentials"]["key"]


def ask(platform: Platform, path: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
    request = urllib.request.Request(platform.url("gateway") + path, body, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.mark.parametrize("service", ["coupon_core", "merchant_adapter", "scheduler", "gateway"])
def test_a_killed_service_comes_back(platform: Platform, service: str) -> None:
    pid = platform.service_pid(service)
    platform.kill(service, signal.SIGKILL)
    platform.wait_ready(service)
    assert platform.service_pid(service) != pid


def test_a_service_is_not_ready_while_the_database_is_away(platform: Platform, servers: Backend) -> None:
    servers.halt("postgres")
    away = platform_status(platform.home.path)
    servers.resume("postgres")
    not_ready = {process["name"] for process in away["processes"] if not process["ready"]}
    assert not_ready >= {"coupon_core", "merchant_adapter", "scheduler", "gateway"}
    for name in platform.processes():
        platform.wait_ready(name)


def test_every_service_says_that_kafka_is_away_though_it_has_nothing_in_hand(
    platform: Platform, servers: Backend
) -> None:
    services = {"coupon_core", "merchant_adapter", "scheduler", "gateway"}
    servers.halt("kafka")
    deadline = time.monotonic() + 60
    saying: set[str] = set()
    while not saying >= services and time.monotonic() < deadline:
        found = platform_status(platform.home.path)["processes"]
        saying = {each["name"] for each in found if any("Kafka broker" in reason for reason in each["reasons"])}
        time.sleep(0.5)
    servers.resume("kafka")
    assert saying >= services
    for name in platform.processes():
        platform.wait_ready(name)


def test_everything_stops_in_order_and_starts_again_where_it_was(platform: Platform) -> None:
    addresses = platform.addresses
    token = platform.admin_token
    platform.stop()
    assert not platform_status(platform.home.path)["running"]
    platform.start()
    assert platform.addresses == addresses
    assert platform.admin_token == token
    assert platform_status(platform.home.path)["ready"]


def test_no_secret_is_shown_by_status_or_written_to_a_log(platform: Platform) -> None:
    secrets = [file.read_text().strip() for file in platform.home.secrets.iterdir() if file.is_file()]
    assert len(secrets) > 5
    written = [json.dumps(platform_status(platform.home.path))]
    written += [file.read_text(errors="replace") for file in Path(platform.home.logs).glob("*.log")]
    assert not [secret for secret in secrets for text in written if secret in text]
