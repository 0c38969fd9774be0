"""`scrip up` and its Python counterpart, as a user meets them: started, looked at, killed, started again."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.topics import COUPON_EVENTS
from scrip.errors import PlatformError
from scrip.platform import Platform
from tests.support.databases import Databases
from tests.support.servers import Servers

ROOT = Path(__file__).parents[2]


def scrip(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the launcher from a directory that has nothing to do with the checkout."""
    return subprocess.run(
        [ROOT / "scrip", *arguments],
        cwd="/",
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def status(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scrip("status", "--json", "--home", home).stdout)
    return found


def modes_above(path: Path) -> dict[Path, int]:
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in path.parents}


def servers_of(found: dict[str, Any]) -> dict[str, psutil.Process]:
    return {process["name"]: psutil.Process(process["pid"]) for process in found["processes"]}


def wait_until_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 15
    for process in processes:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"{process} still runs"
            time.sleep(0.05)


async def write_facts(database: str, bootstrap: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('row')")
    await connection.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    await producer.send_and_wait(COUPON_EVENTS.name, b"record", partition=0)
    await producer.stop()


async def read_facts(database: str, bootstrap: str) -> list[str]:
    connection = await asyncpg.connect(database)
    word = await connection.fetchval("SELECT word FROM kept")
    await connection.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(COUPON_EVENTS.name, 0)])
    record = await asyncio.wait_for(consumer.getone(), 30)
    await consumer.stop()
    return [word, record.value.decode()]


def admin_url(home: Path, found: dict[str, Any]) -> str:
    password = (home / "secrets" / "database-admin-password").read_text()
    return str(found["addresses"]["postgres"]).replace("://", f"://scrip_admin:{password}@")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A platform of servers only, started in the background by the launcher, in a path with a space."""
    folder = tmp_path_factory.mktemp("with a space") / "private"
    folder.mkdir(mode=0o700)
    path = folder / "my home"
    before = modes_above(path)
    started = scrip("up", "--detach", "--servers-only", "--home", path)
    assert started.returncode == 0, started.stderr
    assert modes_above(path) == before
    yield path
    erased = scrip("down", "--erase", "--home", path)
    assert erased.returncode == 0, erased.stderr
    assert not path.exists()
    assert modes_above(path) == before


async def test_a_platform_can_be_looked_at_stopped_killed_and_keeps_its_data(home: Path) -> None:
    first = status(home)
    assert first["running"]
    assert first["ready"]
    assert first["clock"] == {"mode": "record"}
    assert set(first["versions"]) >= {"scrip", "python", "postgres", "kafka", "java"}
    await write_facts(admin_url(home, first), first["addresses"]["kafka"])

    assert scrip("down", "--home", home).returncode == 0
    assert status(home) == {"running": False, "ready": False, "home": str(home)}
    assert scrip("up", "-d", "--servers-only", "--home", home).returncode == 0
    second = status(home)
    assert second["addresses"] == first["addresses"]
    assert await read_facts(admin_url(home, second), second["addresses"]["kafka"]) == ["row", "record"]

    servers = servers_of(second)
    everything = [child for server in servers.values() for child in [server, *server.children(recursive=True)]]
    psutil.Process(second["supervisor"]).kill()
    wait_until_gone(everything)
    assert not status(home)["running"]
    assert scrip("up", "-d", "--servers-only", "--home", home).returncode == 0
    third = status(home)
    assert await read_facts(admin_url(home, third), third["addresses"]["kafka"]) == ["row", "record"]

    for process in [psutil.Process(third["supervisor"]), *servers_of(third).values()]:
        process.kill()
    assert scrip("up", "-d", "--servers-only", "--home", home).returncode == 0
    fourth = status(home)
    assert await read_facts(admin_url(home, fourth), fourth["addresses"]["kafka"]) == ["row", "record"]


def test_a_second_up_in_the_same_home_says_so(home: Path) -> None:
    second = scrip("up", "--servers-only", "--home", home)
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith(f"scrip: A platform already runs in {home} (process ")


def test_logs_are_shown_by_process(home: Path) -> None:
    shown = scrip("logs", "postgres", "-n", "5", "--home", home)
    assert "ready to accept connections" in shown.stdout
    unknown = scrip("logs", "nobody", "--home", home)
    assert unknown.returncode == 1
    assert "there are: kafka, platform, postgres" in unknown.stderr


def test_nobody_else_can_read_the_secrets(home: Path) -> None:
    files = [file for file in (home / "secrets").rglob("*") if file.is_file()]
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_status_of_a_home_that_never_was_makes_nothing(tmp_path: Path) -> None:
    assert scrip("status", "--home", tmp_path / "nothing").returncode == 1
    assert not (tmp_path / "nothing").exists()


def test_a_taken_port_is_one_sentence_and_nothing_is_left_running(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "home", services=())
    port = platform.home.port("kafka")
    with socket.create_server(("127.0.0.1", port)):
        refused = scrip("up", "--servers-only", "--home", tmp_path / "home")
    assert refused.returncode == 1
    assert f"\nscrip: Port {port}, which this platform keeps for kafka, is taken" in refused.stderr
    assert platform.home.supervisor_pid() is None
    commands = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(tmp_path) in command]
    platform.erase()


def test_ctrl_c_while_starting_stops_what_was_started(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "scrip", "up", "--servers-only", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (home / "logs" / "kafka.log").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped while starting." in errors
    scrip("down", "--erase", "--home", home)


def test_two_platforms_do_not_disturb_each_other_and_killed_servers_come_back(home: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with Platform(tmp_path / "other", services=(), told_time=True, report=said.append) as other:
        assert not set(other.addresses.values()) & set(status(home)["addresses"].values())
        for name in ("kafka", "postgres"):
            pid = other.service_pid(name)
            other.kill(name, signal.SIGKILL)
            other.wait_ready(name)
            assert other.service_pid(name) != pid
        assert [sentence.split(";")[0] for sentence in said] == [
            "kafka was ended by SIGKILL",
            "postgres was ended by SIGKILL",
        ]
        assert status(home)["ready"]
    with pytest.raises(PlatformError, match=r"keeps told time .* start it with --told-time"):
        Platform(tmp_path / "other", services=()).start()
    other.erase()


def test_a_home_of_record_time_does_not_change_to_told_time(home: Path) -> None:
    scrip("down", "--home", home)
    refused = scrip("up", "--servers-only", "--told-time", "--home", home)
    assert refused.returncode == 1
    assert "cannot change to told time" in refused.stderr


def test_another_partition_count_is_refused(home: Path) -> None:
    refused = scrip("up", "--servers-only", "--partitions", "16", "--home", home)
    assert refused.returncode == 1
    assert "has 8 partitions, not 16" in refused.stderr


def test_existing_servers_are_used_and_none_are_started(backend: Servers, databases: Databases, tmp_path: Path) -> None:
    """The name in the address is the database; its roles carry that name, so that other databases keep theirs."""
    given = databases.fresh()
    platform = Platform(tmp_path / "home", services=(), admin_url=given.admin_url, bootstrap=backend.bootstrap)
    with platform:
        assert platform.processes() == {}
        assert platform.addresses["kafka"] == backend.bootstrap
        assert platform.database_name == given.name
        assert f"/{given.name}" in platform.database_url("core")
    platform.erase()
    databases.drop(given)


def test_ctrl_c_stops_everything_and_says_that_the_data_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "scrip", "up", "--servers-only", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        while "Ctrl-C stops everything" not in process.stdout.readline():
            assert process.poll() is None
        servers = list(servers_of(status(home)).values())
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"Stopped; the data stays in {home}." in rest
    wait_until_gone(servers)
    scrip("down", "--erase", "--home", home)
