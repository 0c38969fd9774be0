"""Kafka's libraries: locked by checksum, fetched once, never used or kept when they are something else."""

import gc
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scrip.errors import PlatformError
from scrip.home import pick_free_port
from scrip.kafka_jars import LockedJar, class_path, fetch, read_lock

CONTENT = b"a jar"
JAR = LockedJar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Maven repository over HTTP: its folder and address."""
    folder = tmp_path / "remote"
    (folder / JAR.relative_path).parent.mkdir(parents=True)
    (folder / JAR.relative_path).write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_lock_names_46_jars_with_checksums_and_no_address() -> None:
    jars = read_lock()
    assert len({str(jar) for jar in jars}) == len(jars) == 46
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert not any("/" in str(jar) for jar in jars)


def test_a_missing_jar_is_fetched_with_progress(remote: tuple[Path, str], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch([JAR], tmp_path / "cache", {"test": remote[1]}, lambda done, total: seen.append((done, total)))
    assert (tmp_path / "cache" / JAR.relative_path).read_bytes() == CONTENT
    assert seen == [(1, 1)]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["org"]


def test_a_fetched_jar_with_another_checksum_is_thrown_away(remote: tuple[Path, str], tmp_path: Path) -> None:
    (remote[0] / JAR.relative_path).write_bytes(b"something else")
    with pytest.raises(PlatformError, match=r"The fetched org\.example:thing:1\.0 is not the one"):
        fetch([JAR], tmp_path / "cache", {"test": remote[1]}, None)
    assert not list((tmp_path / "cache").rglob("*.jar"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_jar_no_repository_has_is_one_sentence(remote: tuple[Path, str], tmp_path: Path) -> None:
    (remote[0] / JAR.relative_path).unlink()
    with pytest.raises(PlatformError, match=r"thing:1\.0 is in none of the Maven repositories \['test'\]\."):
        fetch([JAR], tmp_path / "cache", {"test": remote[1]}, None)
    gc.collect()  # jgo leaves the answer 404 open; its complaint belongs to this test


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{pick_free_port(taken=set())}"
    with pytest.raises(PlatformError, match=r"cannot be fetched because the network .* does not answer"):
        fetch([JAR], tmp_path / "cache", {"test": nobody}, None)


def test_a_cached_jar_with_another_checksum_is_named(tmp_path: Path) -> None:
    for jar in read_lock():
        (tmp_path / jar.relative_path).parent.mkdir(parents=True)
        (tmp_path / jar.relative_path).write_bytes(b"not a jar")
    with pytest.raises(PlatformError, match=r"is not the .* that kafka\.lock names .* delete the file"):
        class_path(cache=tmp_path)
