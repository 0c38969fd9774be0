"""PostgreSQL and Kafka for the tests: real ones, from containers, from this machine or given by address.

SCRIP_TEST_BACKEND chooses: `containers` (an engine must answer), `local` (the platform's own servers in a
temporary folder) or `external` (SCRIP_DATABASE_URL_ADMIN and SCRIP_KAFKA_BOOTSTRAP name existing ones).
Without it: containers where a Docker engine answers, else local.
"""

import gc
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import docker
import docker.errors
import requests

from scrip.backend import Backend, given_addresses
from scrip.home import Home, pick_free_port
from scrip.kafka import broker_answers
from scrip.postgres import HOME_NAME, ROOT_DATA
from scrip.waiting import run_coroutine

CHOICES = ("containers", "local", "external")
FOLDER_PREFIX = "scrip-test-"
SMALL_HEAP = ("-Xms96m", "-Xmx256m")
ENGINE_TIMEOUT_SECONDS = 3
POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.3.1"
KAFKA_PORT = 9092


@dataclass(frozen=True)
class Servers:
    """Where the servers are: DSN of a role that may do everything, `host:port` list of Kafka brokers."""

    kind: str
    admin_url: str
    bootstrap: str


@cache
def chosen_kind() -> str:
    """The backend this run uses; asks the Docker engine at most once."""
    asked = os.environ.get("SCRIP_TEST_BACKEND", "")
    if asked and asked not in CHOICES:
        raise RuntimeError(f"SCRIP_TEST_BACKEND is {asked!r}; it may be {', '.join(CHOICES)} or absent.")
    if asked:
        return asked
    return "containers" if engine_answers() else "local"


def engine_answers() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker's client leaves its socket open when it fails
        try:
            engine = docker.from_env(timeout=ENGINE_TIMEOUT_SECONDS)
            try:
                return bool(engine.ping())
            finally:
                engine.close()
        except (docker.errors.DockerException, requests.RequestException, OSError):
            pass
        gc.collect()
    return False


@contextmanager
def running_servers() -> Iterator[Servers]:
    """The servers of the chosen kind, started and, afterwards, gone with all data."""
    kind = chosen_kind()
    if kind == "external":
        admin_url, bootstrap = given_addresses()
        if admin_url is None or bootstrap is None:
            raise RuntimeError("SCRIP_TEST_BACKEND=external needs SCRIP_DATABASE_URL_ADMIN and SCRIP_KAFKA_BOOTSTRAP.")
        yield Servers(kind, admin_url, bootstrap)
    elif kind == "containers":
        with container_servers() as servers:
            yield servers
    else:
        with local_backend() as backend:
            yield Servers(kind, backend.admin_url, backend.bootstrap)


def erase_data_of_killed_runs() -> None:
    """As root the data lie outside the temporary folder; a run that was killed could not delete them."""
    for note in ROOT_DATA.glob(f"*/{HOME_NAME}"):
        home = Path(note.read_text())
        of_a_test = home.parent.name.startswith(FOLDER_PREFIX)
        if of_a_test and (not home.exists() or Home(home).supervisor_pid() is None):
            shutil.rmtree(note.parent, ignore_errors=True)


@contextmanager
def local_backend(*, postgres: bool = True, kafka: bool = True) -> Iterator[Backend]:
    """PostgreSQL and Kafka of this test's own, in a temporary folder, with a small heap."""
    erase_data_of_killed_runs()
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, ignore_cleanup_errors=True) as folder:
        backend = Backend(Path(folder) / "home", postgres=postgres, kafka=kafka, heap=SMALL_HEAP, report=print)
        backend.start()
        try:
            yield backend
        finally:
            backend.stop()
            backend.erase()


@contextmanager
def container_servers() -> Iterator[Servers]:
    if not engine_answers():
        raise RuntimeError("SCRIP_TEST_BACKEND=containers, but no Docker engine answers.")
    from testcontainers.core.container import DockerContainer

    port = pick_free_port(taken=set())
    postgres = (
        DockerContainer(POSTGRES_IMAGE)
        .with_env("POSTGRES_PASSWORD", "postgres")
        .with_command("postgres -c max_connections=200")
        .with_exposed_ports(5432)
    )
    kafka = DockerContainer(KAFKA_IMAGE).with_bind_ports(KAFKA_PORT, port)
    with ExitStack() as stack:
        host = stack.enter_context(postgres).get_container_host_ip()
        for name, value in container_kafka_environment(host, port).items():
            kafka.with_env(name, value)
        stack.enter_context(kafka)
        admin_url = f"postgresql://postgres:postgres@{host}:{postgres.get_exposed_port(5432)}/postgres"
        servers = Servers("containers", admin_url, f"{host}:{port}")
        wait_until_both_answer(servers, seconds=90)
        yield servers


def container_kafka_environment(host: str, port: int) -> dict[str, str]:
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{KAFKA_PORT},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }


def wait_until_both_answer(servers: Servers, seconds: float) -> None:
    from tests.support.databases import server_answers

    deadline = time.monotonic() + seconds
    while not (run_coroutine(server_answers(servers.admin_url)) and run_coroutine(broker_answers(servers.bootstrap))):
        if time.monotonic() > deadline:
            raise RuntimeError(f"The containers' PostgreSQL and Kafka did not both answer within {seconds:.0f} s.")
        time.sleep(0.5)
