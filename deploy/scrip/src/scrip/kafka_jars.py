"""Kafka's 46 jars: named in `kafka.lock` with their SHA-256, kept in the user's Maven cache, always
checked.
"""

import hashlib
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from scrip.errors import PlatformError

FETCH_THREADS = 8
FETCH_TIMEOUT_SECONDS = 30

Progress = Callable[[int, int], None]
"""Called with (jars fetched, jars to fetch), from several threads but never at once."""


@dataclass(frozen=True)
class LockedJar:
    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def relative_path(self) -> Path:
        return Path(*self.group.split("."), self.artifact, self.version, f"{self.artifact}-{self.version}.jar")


def read_lock() -> list[LockedJar]:
    jars = []
    for line in files("scrip").joinpath("kafka.lock").read_text().splitlines():
        coordinates, sha256 = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(LockedJar(group, artifact, version, sha256))
    return jars


def class_path(cache: Path | None = None, progress: Progress | None = None) -> list[Path]:
    """Paths of all jars, each checked against the lock; what is missing is fetched.

    `cache` is a Maven repository folder; without it the user's own (M2_REPO, jgo's settings,
    ~/.m2/repository). Raises PlatformError when a jar cannot be fetched or has another checksum.
    """
    settings = GlobalSettings.load()
    repository = cache if cache is not None else settings.repo_cache
    jars = read_lock()
    missing = [jar for jar in jars if not (repository / jar.relative_path).exists()]
    if missing:
        fetch(missing, repository, {"central": MAVEN_CENTRAL_URL, **settings.repositories}, progress)
    with ThreadPoolExecutor(FETCH_THREADS) as pool:
        digests = list(pool.map(lambda jar: sha256_of(repository / jar.relative_path), jars))
    for jar, digest in zip(jars, digests, strict=True):
        if digest != jar.sha256:
            raise PlatformError(
                f"{repository / jar.relative_path} is not the {jar} that kafka.lock names "
                f"(SHA-256 {digest[:12]}…, not {jar.sha256[:12]}…): delete the file to have it fetched again."
            )
    return [repository / jar.relative_path for jar in jars]


def fetch(jars: list[LockedJar], repository: Path, remotes: dict[str, str], progress: Progress | None) -> None:
    """Fetch into a folder beside, check, then move into place: other processes never see half a jar."""
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".scrip-fetch-", dir=repository) as folder:
            _fetch_all(
                jars,
                repository,
                MavenContext(repo_cache=Path(folder), remote_repos=remotes, timeout=FETCH_TIMEOUT_SECONDS),
                progress,
            )
    except OSError as error:  # requests' errors are among them
        if isinstance(error, requests.RequestException):
            raise PlatformError(
                "Kafka's libraries (45 MB, fetched once) cannot be fetched because the network or the Maven "
                f"repository does not answer ({type(error).__name__}); connect and start again, or set "
                "SCRIP_KAFKA_BOOTSTRAP to the address of an existing Kafka."
            ) from error
        raise PlatformError(f"Kafka's libraries cannot be kept in {repository}: {error.strerror or error}.") from error


def _fetch_all(jars: list[LockedJar], repository: Path, maven: MavenContext, progress: Progress | None) -> None:
    done = 0
    counting = threading.Lock()

    def fetch_one(jar: LockedJar) -> None:
        nonlocal done
        artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
        try:
            fetched = Path(artifact.resolve())
        except RuntimeError as error:
            raise PlatformError(f"{jar} is in none of the Maven repositories {sorted(maven.remote_repos)}.") from error
        digest = sha256_of(fetched)
        if digest != jar.sha256:
            raise PlatformError(
                f"The fetched {jar} is not the one that kafka.lock names (SHA-256 {digest[:12]}…, not "
                f"{jar.sha256[:12]}…); it was thrown away: check what stands between this machine and Maven."
            )
        target = repository / jar.relative_path
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.replace(target)
        with counting:
            done += 1
            if progress is not None:
                progress(done, len(jars))

    with ThreadPoolExecutor(FETCH_THREADS) as pool:
        running = [pool.submit(fetch_one, jar) for jar in jars]
        try:
            for future in running:
                future.result()
        except BaseException:
            for future in running:
                future.cancel()
            raise


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
