"""The whole platform in one home: servers, topics, database, migrations, then the four services as
processes.
"""

import os
import platform as machine
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiokafka.errors import KafkaError

from contracts.topics import COUPON_REPLIES, TOPICS
from messaging.topics_admin import TopicMismatch, create_topics
from scrip import kafka, postgres
from scrip.backend import Backend
from scrip.databases import (
    DEFAULT_DATABASE,
    SCHEMAS,
    ServiceDatabase,
    applied_migrations,
    ensure_database,
    with_database,
)
from scrip.errors import PlatformError
from scrip.kafka_jars import Progress
from scrip.keys import ensure_secrets
from scrip.readiness import reasons_not_ready
from scrip.supervisor import ChildSpec
from scrip.waiting import run_coroutine

DEFAULT_LANES = 8
GATEWAY_PORT = 8700  # where it is free; so that the address in the guide is usually right
DRAIN_SECONDS = 20.0  # a service drains for up to 15
MIGRATION_SECONDS = 120


@dataclass(frozen=True)
class Service:
    module: str
    schema: str

    def migrations(self) -> set[str]:
        """Names of the migrations the installed service brings, found without importing it."""
        found = find_spec(self.module)
        if found is None or found.origin is None:
            raise PlatformError(f"The service {self.module} is not installed: run `make setup`.")
        return {file.stem for file in (Path(found.origin).parent / "migrations").glob("*.sql")}


GATEWAY = Service("gateway", "gateway")
CORE = Service("coupon_core", "core")
ADAPTER = Service("merchant_adapter", "adapter")
SCHEDULER = Service("scheduler", "scheduler")
SERVICES = (CORE, ADAPTER, SCHEDULER, GATEWAY)


class Platform(Backend):
    """A platform one can start, look into, disturb and stop. Blocking; usable as a context manager.

    Processes are named `postgres`, `kafka`, `coupon_core`, `merchant_adapter`, `scheduler` and `gateway`; a second
    gateway or core is `gateway-1`, `coupon_core-1` and so on. `extra_env` maps such a name, or a module's name for
    all its processes, to further environment variables. `services` may leave some out. With `told_time` the home
    keeps told time for good.
    """

    def __init__(
        self,
        home: Path,
        *,
        told_time: bool = False,
        auto_verify: bool = False,
        gateways: int = 1,
        cores: int = 1,
        services: Sequence[Service] = SERVICES,
        lanes: int | None = None,
        extra_env: Mapping[str, Mapping[str, str]] | None = None,
        admin_url: str | None = None,
        bootstrap: str | None = None,
        report: Callable[[str], None] = lambda sentence: None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(home, admin_url=admin_url, bootstrap=bootstrap, report=report, progress=progress)
        if not 1 <= gateways <= (COUPON_REPLIES.partitions or 1):
            raise PlatformError(f"There can be 1 to {COUPON_REPLIES.partitions} gateways, not {gateways}.")
        if cores < 1:
            raise PlatformError(f"There can be 1 or more cores, not {cores}.")
        self.told_time = told_time
        self.auto_verify = auto_verify
        self.gateways = gateways
        self.cores = cores
        self._services = tuple(service for service in SERVICES if service in services)
        self._asked_lanes = lanes
        self._extra_env = dict(extra_env or {})
        self._databases: dict[str, ServiceDatabase] = {}
        self._phase = "starting"
        self._started_at = time.time()

    # -- what one may ask of it ---------------

    @property
    def addresses(self) -> dict[str, str]:
        """Where things are, by process name, without passwords."""
        database = urlsplit(self.database_admin_url)
        place = database.netloc.rpartition("@")[2]
        found = {"postgres": f"postgresql://{place}{database.path}", "kafka": self.bootstrap}
        return found | {name: self.url(name) for name, _, _ in self._instances()}

    def url(self, name: str) -> str:
        """Base address of a service process."""
        return f"http://127.0.0.1:{self._port(name)}"

    @property
    def admin_token(self) -> str:
        """Bearer token of the staff member with the role admin that every platform begins with."""
        return self.home.secret("admin-token")

    @property
    def database_name(self) -> str:
        if self._postgres is not None:
            return DEFAULT_DATABASE
        named = urlsplit(self.admin_url).path.strip("/")
        return DEFAULT_DATABASE if named in ("", "postgres", "template1") else named

    @property
    def database_admin_url(self) -> str:
        """DSN of the platform's database for a role that may do everything (checkers, dumps)."""
        return with_database(self.admin_url, self.database_name)

    def database_url(self, schema: str) -> str:
        """DSN of one service's own role: `gateway`, `core`, `adapter` or `scheduler`."""
        return self._databases[schema].url

    @property
    def lanes(self) -> int:
        """Number of partitions of the lane topics, kept for the life of the home."""
        kept = int(self.home.kept("partitions", lambda: str(self._asked_lanes or DEFAULT_LANES)))
        if self._asked_lanes not in (None, kept):
            raise PlatformError(
                f"{self.home.path} has {kept} partitions, not {self._asked_lanes}; the count is part of the "
                "log's identity and cannot be changed."
            )
        return kept

    def configure(self, name: str, extra_env: Mapping[str, str]) -> None:
        """Give a process other extra variables from its next start on (by `restart`, `resume` or after a
        death).
        """
        self._extra_env[name] = dict(extra_env)
        for service_name, service, index in self._instances():
            if service_name == name:
                self.supervisor.configure(name, self._environment(name, service, index))

    def processes(self) -> dict[str, int]:
        """Process ids by name, of those that run."""
        names = self.supervisor.names()
        return {name: self.supervisor.pid(name) for name in names if self.supervisor.child(name).running}

    # -- starting ---------------

    def start(self) -> None:
        """Start everything and wait until every service can work; raises PlatformError, nothing left
        running.
        """
        super().start()
        self._phase = "running"
        self._changed()

    def stop(self) -> None:
        """Stop services, then servers; the data stays. May be called twice."""
        self._phase = "stopping"
        super().stop()

    def _start_all(self) -> None:
        self._keep_clock()
        lanes = self.lanes
        self._start_servers()
        self._wait_for_database()
        passwords = {schema: self.home.secret(f"database-{schema}-password") for schema in SCHEMAS}
        try:
            self._databases = run_coroutine(ensure_database(self.admin_url, self.database_name, passwords))
        except OSError as error:
            raise PlatformError(f"No PostgreSQL answers at {self.addresses['postgres']}: {error}.") from error
        self._migrate()
        self._wait_for_kafka()
        try:
            run_coroutine(create_topics(self.bootstrap, TOPICS, lanes))
        except (TopicMismatch, KafkaError) as error:
            raise PlatformError(str(error)) from error
        self._start_services()

    def _keep_clock(self) -> None:
        kept = self.home.kept("clock", lambda: "told" if self.told_time else "record")
        if kept == "told" and not self.told_time:
            raise PlatformError(
                f"{self.home.path} keeps told time (its clock moves only when told): start it with "
                "--told-time, or use another --home."
            )
        if kept == "record" and self.told_time:
            raise PlatformError(
                f"{self.home.path} keeps the log's own time and cannot change to told time: use another --home."
            )

    def _migrate(self) -> None:
        """Run the migrations of the services that lack some; to ask first saves seconds at every later start."""
        applied = run_coroutine(applied_migrations(self.database_admin_url))
        behind = [service for service in self._services if not service.migrations() <= applied[service.schema]]
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            for done in [pool.submit(self._migrate_one, service) for service in behind]:
                done.result()

    def _migrate_one(self, service: Service) -> None:
        migrated = subprocess.run(
            [sys.executable, "-P", "-m", service.module, "migrate"],
            env=self._environment(service.module, service, 0),
            cwd=self.home.path,
            capture_output=True,
            text=True,
            check=False,
            timeout=MIGRATION_SECONDS,
        )
        if migrated.returncode != 0:
            raise PlatformError(
                f"The migrations of {service.module} failed (exit code {migrated.returncode}):\n"
                f"{migrated.stderr.strip()[-2000:]}"
            )

    def _start_services(self) -> None:
        instances = self._instances()
        for name, service, index in instances:
            self.supervisor.start(self._spec(name, service, index))
        for name, _, _ in instances:
            self.supervisor.wait_ready(name)

    # -- the processes ---------------

    def _instances(self) -> list[tuple[str, Service, int]]:
        counts = {GATEWAY: self.gateways, CORE: self.cores}
        return [
            (instance_name(service, index), service, index)
            for service in self._services
            for index in range(counts.get(service, 1))
        ]

    def _port(self, name: str) -> int:
        return self.home.port(name, GATEWAY_PORT if name == GATEWAY.module else None)

    def _spec(self, name: str, service: Service, index: int) -> ChildSpec:
        port = self.home.require_free(name, GATEWAY_PORT if name == GATEWAY.module else None)
        return ChildSpec(
            name=name,
            command=[sys.executable, "-P", "-m", service.module],
            log=self.home.logs / f"{name}.log",
            environment=self._environment(name, service, index),
            directory=self.home.path,
            ready=lambda: not reasons_not_ready(port),
            stop_seconds=DRAIN_SECONDS,
        )

    def _environment(self, name: str, service: Service, index: int) -> dict[str, str]:
        """What the process reads, named as in production; the caller's environment lies below it."""
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "SCRIP_PROFILE": "local",
            "SCRIP_DATABASE_URL": self._databases[service.schema].url,
            "SCRIP_KAFKA_BOOTSTRAP": self.bootstrap,
            "SCRIP_HTTP_HOST": "127.0.0.1",
            "SCRIP_HTTP_PORT": str(self._port(name)),
            "SCRIP_SECRETS_DIR": str(ensure_secrets(self.home, service.module)),
            "SCRIP_PARTITIONS": str(self.lanes),
            "SCRIP_CLOCK": "told" if self.told_time else "record",
            "SCRIP_INSTANCE": str(index),
            "SCRIP_CORE_URL": self.url(CORE.module),
            "SCRIP_ADAPTER_URL": self.url(ADAPTER.module),
            "SCRIP_SCHEDULER_URL": self.url(SCHEDULER.module),
        }
        environment.pop("SCRIP_DATABASE_URL_ADMIN", None)  # no service needs it
        if service is GATEWAY and self.auto_verify:
            environment["SCRIP_AUTO_VERIFY"] = "1"
        if service is ADAPTER:
            environment["SCRIP_ALLOWED_LOOPBACK"] = "1"
        return environment | dict(self._extra_env.get(service.module, {})) | dict(self._extra_env.get(name, {}))

    # -- what others read while it runs ---------------

    def _changed(self) -> None:
        self.home.write_state(self.state())

    def state(self) -> dict[str, Any]:
        """What `scrip status` reads: kept in the home, rewritten whenever a process starts."""
        supervisor = self.supervisor
        return {
            "phase": self._phase,
            "supervisor": os.getpid(),
            "started_at": self._started_at,
            "clock": "told" if self.told_time else "record",
            "partitions": self.lanes,
            "addresses": self.addresses,
            "admin_token_file": str(self.home.secrets / "admin-token"),
            "processes": {
                name: {"pid": child.process.pid, "restarts": child.restarts}
                for name in supervisor.names()
                if (child := supervisor.child(name)).process is not None
            },
            "versions": self.versions(),
        }

    def versions(self) -> dict[str, str]:
        found = {"scrip": version("scrip"), "python": machine.python_version()}
        if self._postgres is not None:
            found["postgres"] = postgres.VERSION
        if self._kafka is not None:
            found["kafka"] = kafka.VERSION
            if self._kafka.java is not None:
                found["java"] = f"{self._kafka.java.version} ({self._kafka.java.origin})"
        return found


def instance_name(service: Service, index: int) -> str:
    return service.module if index == 0 else f"{service.module}-{index}"
