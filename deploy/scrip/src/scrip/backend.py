"""PostgreSQL and Kafka for a platform or for tests: local ones in a home, or existing ones by address."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from scrip.errors import PlatformError
from scrip.home import Home
from scrip.kafka import HEAP, LocalKafka, broker_answers
from scrip.kafka_jars import Progress
from scrip.postgres import LocalPostgres
from scrip.supervisor import Supervisor
from scrip.waiting import run_coroutine

DATABASE_SETTING = "SCRIP_DATABASE_URL_ADMIN"
KAFKA_SETTING = "SCRIP_KAFKA_BOOTSTRAP"
SERVERS = ("postgres", "kafka")


class Backend:
    """The two servers everything else stands on. Blocking; usable from any thread and as a context manager.

    With `admin_url` or `bootstrap` the existing server is used and the local one is not started. `report`
    receives sentences about children that died; `progress` the first fetch of Kafka's libraries.
    """

    def __init__(
        self,
        home: Path,
        *,
        admin_url: str | None = None,
        bootstrap: str | None = None,
        postgres: bool = True,
        kafka: bool = True,
        heap: Sequence[str] = HEAP,
        report: Callable[[str], None] = lambda sentence: None,
        progress: Progress | None = None,
    ) -> None:
        self.home = Home(home)
        self.report = report
        self._progress = progress
        self._given_url = admin_url
        self._given_bootstrap = bootstrap
        self._postgres = LocalPostgres(self.home) if postgres and admin_url is None else None
        self._kafka = LocalKafka(self.home, heap) if kafka and bootstrap is None else None
        self._supervisor: Supervisor | None = None

    @property
    def admin_url(self) -> str:
        """DSN of a role that may create databases and roles."""
        if self._postgres is not None:
            return self._postgres.admin_url
        if self._given_url is None:
            raise PlatformError("This backend has no PostgreSQL.")
        return self._given_url

    @property
    def bootstrap(self) -> str:
        """`host:port` list of the Kafka brokers."""
        if self._kafka is not None:
            return self._kafka.bootstrap
        if self._given_bootstrap is None:
            raise PlatformError("This backend has no Kafka.")
        return self._given_bootstrap

    @property
    def supervisor(self) -> Supervisor:
        if self._supervisor is None:
            raise PlatformError("This platform is not started.")
        return self._supervisor

    def start(self) -> None:
        """Start what is local and wait until it answers; raises PlatformError, with nothing left running."""
        self.home.lock()
        self._supervisor = Supervisor(self.report, self._changed)
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise

    def _start_all(self) -> None:
        self._start_servers()
        self._wait_for_database()
        self._wait_for_kafka()

    def _start_servers(self) -> None:
        if self._postgres is not None:
            self.supervisor.start(self._postgres.prepare())
        if self._kafka is not None:
            self.supervisor.start(self._kafka.prepare(self._progress))

    def _wait_for_database(self) -> None:
        if self._postgres is not None:
            self.supervisor.wait_ready("postgres")

    def _wait_for_kafka(self) -> None:
        if self._kafka is not None:
            self.supervisor.wait_ready("kafka")
        elif self._given_bootstrap is not None and not run_coroutine(broker_answers(self._given_bootstrap)):
            raise PlatformError(f"No Kafka answers at {self._given_bootstrap} ({KAFKA_SETTING}).")

    def _changed(self) -> None:
        """Called when a process was started or started again."""

    def stop(self) -> None:
        """Stop what was started, services before servers; the data stays. May be called twice."""
        if self._supervisor is not None:
            names = self._supervisor.names()
            self._supervisor.stop(*(name for name in names if name not in SERVERS))
            self._supervisor.stop(*(name for name in names if name in SERVERS))
            self._supervisor.close()
            self._supervisor = None
        self.home.unlock()

    def erase(self) -> None:
        """Delete the home with all data; it must be stopped."""
        if self._postgres is not None:
            self._postgres.erase()
        shutil.rmtree(self.home.path)

    def service_pid(self, name: str) -> int:
        """Process id of `postgres`, `kafka` or a service."""
        return self.supervisor.pid(name)

    def kill(self, name: str, number: int = 9) -> None:
        """Send a signal; what dies of it is started again after about a second."""
        self.supervisor.signal(name, number)

    def halt(self, name: str) -> None:
        """Stop one of them and leave it stopped until `resume`."""
        self.supervisor.stop(name)

    def resume(self, name: str) -> None:
        """Start a halted one again and wait until it is ready."""
        self.supervisor.resume(name)

    def restart(self, name: str) -> None:
        """Stop one of them in order, start it again and wait until it is ready."""
        self.halt(name)
        self.resume(name)

    def wait_ready(self, name: str) -> None:
        """Wait until one of them is ready, also after it was killed; raises PlatformError if that takes
        long.
        """
        self.supervisor.wait_ready(name, after_death=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def given_addresses() -> tuple[str | None, str | None]:
    """Addresses of existing servers from the environment: (database admin DSN, Kafka bootstrap)."""
    return os.environ.get(DATABASE_SETTING) or None, os.environ.get(KAFKA_SETTING) or None
