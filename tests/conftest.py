"""Fixtures every test may ask for. The servers are real; which ones is printed in the header of the run."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from scrip.backend import Backend
from tests.support.databases import Databases, FreshDatabase
from tests.support.figures import listing
from tests.support.processes import end_in_order_when_terminated
from tests.support.servers import Servers, chosen_kind, local_backend, running_servers
from tests.support.topics import ensure_topics, reset_topics

# How long something takes is no matter of tests, which share their machine.
settings.register_profile("scrip", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("scrip")


def pytest_report_header() -> str:
    return f"scrip test backend: {chosen_kind()}"


def pytest_configure() -> None:
    end_in_order_when_terminated()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured or reached (`tests/support/figures.py`), of all processes that ran them."""
    reports = [each for some in terminalreporter.stats.values() for each in some if isinstance(each, pytest.TestReport)]
    lines = listing((each.nodeid, each.capstdout) for each in reports)
    if lines:
        terminalreporter.section("what the tests measured")
        for line in lines:
            terminalreporter.line(line)


SHARED_BY_FOLDER = ("gateway", "journeys")
"""Folders whose tests share one platform."""


class ByWhatIsShared(LoadScopeScheduling):  # type: ignore[misc]
    """What shares a platform stays in one of the processes that run tests; otherwise a file is the unit."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = PurePosixPath(file).parent.name
        return folder if folder in SHARED_BY_FOLDER else file


@pytest.hookimpl(optionalhook=True)  # where xdist is off, nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return ByWhatIsShared(config, log)


@pytest.fixture(scope="session")
def backend() -> Iterator[Servers]:
    """PostgreSQL and Kafka for the whole run: `.admin_url`, `.bootstrap`."""
    with running_servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def databases(backend: Servers) -> Iterator[Databases]:
    """Makes databases: `databases.fresh("core")` is a new one in which coupon-core's migrations have run."""
    made = Databases(backend.admin_url)
    yield made
    made.close()


@pytest.fixture
def database(databases: Databases) -> Iterator[FreshDatabase]:
    """A new database with all schemas and roles and no tables, for one test."""
    fresh = databases.fresh()
    yield fresh
    databases.drop(fresh)


@pytest.fixture(scope="module")
def module_database(databases: Databases) -> Iterator[FreshDatabase]:
    """As `database`, for a module."""
    fresh = databases.fresh()
    yield fresh
    databases.drop(fresh)


@pytest.fixture(scope="session")
def topics(backend: Servers) -> str:
    """The contracts' topics (8 lanes) on the run's broker, with what other tests left in them; its
    address.
    """
    ensure_topics(backend.bootstrap)
    return backend.bootstrap


@pytest.fixture
def clean_topics(backend: Servers) -> str:
    """The contracts' topics on the run's broker, emptied before this test; the bootstrap."""
    reset_topics(backend.bootstrap)
    return backend.bootstrap


@pytest.fixture(scope="module")
def fresh_broker() -> Iterator[Backend]:
    """A Kafka process of this module's own with the contracts' topics: `.bootstrap`, `.kill("kafka")`."""
    with local_backend(postgres=False) as broker:
        ensure_topics(broker.bootstrap)
        yield broker
