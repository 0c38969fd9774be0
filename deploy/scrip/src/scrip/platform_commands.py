"""`scrip up`, `down`, `status`, `logs`."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from scrip.backend import given_addresses
from scrip.checkout import default_home
from scrip.errors import PlatformError
from scrip.home import Home
from scrip.kafka_jars import class_path
from scrip.platform import SERVICES, Platform, Service
from scrip.status import platform_status
from scrip.supervisor import last_lines

STOP_SECONDS = 90.0
START_SECONDS = 600.0  # a first start fetches 45 MB
FOLLOW_SECONDS = 0.3
PLATFORM_LOG = "platform"

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="SCRIP_HOME", help="Folder of the platform's data; default: .scrip in the checkout."),
]


@dataclass(frozen=True)
class Options:
    """What `up` was asked for."""

    told_time: bool
    auto_verify: bool
    gateways: int
    cores: int
    lanes: int | None
    services: tuple[Service, ...]

    def arguments(self) -> list[str]:
        """The same as arguments of `scrip up`."""
        chosen = {
            "--told-time": self.told_time,
            "--auto-verify": self.auto_verify,
            "--servers-only": not self.services,
        }
        lanes = [] if self.lanes is None else ["--partitions", str(self.lanes)]
        flags = [flag for flag, on in chosen.items() if on]
        return ["--gateways", str(self.gateways), "--cores", str(self.cores), *lanes, *flags]


console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def up(
    home: HomeOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Start in the background.")] = False,
    told_time: Annotated[bool, typer.Option(help="A new home whose clock moves only when told, for good.")] = False,
    auto_verify: Annotated[bool, typer.Option(help="Verify access requests of merchants at once.")] = False,
    gateways: Annotated[int, typer.Option(min=1, help="Number of gateway processes.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Number of coupon-core processes.")] = 1,
    partitions: Annotated[
        int | None, typer.Option(min=1, envvar="SCRIP_PARTITIONS", help="Lanes of a new home.")
    ] = None,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="No services: for running one of them by hand.")
    ] = False,
) -> None:
    """Start PostgreSQL, Kafka and all services; Ctrl-C stops them.

    With SCRIP_DATABASE_URL_ADMIN or SCRIP_KAFKA_BOOTSTRAP the server named there is used instead of a local
    one.
    """
    path = (home or default_home()).absolute()
    options = Options(told_time, auto_verify, gateways, cores, partitions, () if servers_only else SERVICES)
    errors.print("Starting PostgreSQL and Kafka …" if servers_only else "Starting PostgreSQL, Kafka and the services …")
    if detach:
        start_detached(path, options)
        return
    admin_url, bootstrap = given_addresses()
    stopping = stop_on_signals()
    with fetch_progress() as progress:
        platform = Platform(
            path,
            told_time=options.told_time,
            auto_verify=options.auto_verify,
            gateways=options.gateways,
            cores=options.cores,
            lanes=options.lanes,
            services=options.services,
            admin_url=admin_url,
            bootstrap=bootstrap,
            report=lambda sentence: errors.print(sentence, markup=False),
            progress=progress,
        )
        try:
            platform.start()
        except KeyboardInterrupt:
            errors.print("Stopped while starting.")
            raise typer.Exit(130) from None
    try:
        print_addresses(platform.state())
        console.print("Ctrl-C stops everything; the data stays.")
        stopping.armed = False
        stopping.asked.wait()
        console.print("Stopping …")
    except KeyboardInterrupt:
        pass
    finally:
        platform.stop()
    console.print(f"Stopped; the data stays in {path}.", markup=False)


class Stopping:
    """SIGINT, SIGTERM and SIGHUP: during the start they interrupt it, afterwards they ask for the end."""

    def __init__(self) -> None:
        self.armed = True
        self.asked = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt
        self.asked.set()


def stop_on_signals() -> Stopping:
    stopping = Stopping()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopping)
    return stopping


def start_detached(path: Path, options: Options) -> None:
    home = Home(path)
    home.lock()  # says so if one runs already
    home.unlock()
    if given_addresses()[1] is None:
        fetch_kafka()
    command = [sys.executable, "-P", "-m", "scrip", "up", "--home", str(path)]
    command += options.arguments()
    home.logs.mkdir(parents=True, exist_ok=True)
    log = home.logs / f"{PLATFORM_LOG}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + START_SECONDS
    try:
        while home.state().get("phase") != "running" or home.state().get("supervisor") != process.pid:
            if process.poll() is not None:
                raise PlatformError(f"The platform did not start:\n{last_lines(log, 25)}")
            if time.monotonic() > deadline:
                process.terminate()
                raise PlatformError(f"The platform did not start within {START_SECONDS:.0f} s; see {log}.")
            time.sleep(0.1)
    except KeyboardInterrupt:
        process.terminate()
        raise typer.Exit(130) from None
    print_addresses(home.state())
    console.print("It runs in the background; `scrip down` stops it.")


def down(
    home: HomeOption = None,
    erase: Annotated[bool, typer.Option(help="Delete all data of this home as well.")] = False,
) -> None:
    """Stop the platform; its data stays."""
    path = (home or default_home()).absolute()
    if not path.exists():
        console.print(f"There is no platform in {path}.", markup=False)
        return
    kept = Home(path)
    pid = kept.supervisor_pid()
    if pid is None:
        console.print(f"No platform runs in {path}.", markup=False)
    else:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while kept.supervisor_pid() is not None:
            if time.monotonic() > deadline:
                raise PlatformError(f"The platform (process {pid}) did not stop within {STOP_SECONDS:.0f} s.")
            time.sleep(0.1)
        console.print(f"Stopped; the data stays in {path}." if not erase else "Stopped.", markup=False)
    if erase:
        Platform(path).erase()
        console.print(f"All data of {path} is deleted.", markup=False)


def status(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show addresses, readiness, versions and the clock; exit code 0 only when everything can work."""
    path = (home or default_home()).absolute()
    found = platform_status(path)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif not found["running"]:
        console.print(f"No platform runs in {path}.", markup=False)
    else:
        print_status(found)
    if not found["ready"]:
        raise typer.Exit(1)


def logs(
    service: Annotated[str | None, typer.Argument(help="One process, as `status` names it; default: all.")] = None,
    home: HomeOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many last lines of each.")] = 40,
) -> None:
    """Show what the processes logged."""
    folder = (home or default_home()).absolute() / "logs"
    files = {file.stem: file for file in sorted(folder.glob("*.log"))}
    if service is not None and service not in files:
        raise PlatformError(f"{folder} has no log of {service!r}; there are: {', '.join(files) or 'none'}.")
    chosen = {service: files[service]} if service is not None else files
    offsets = {}
    for name, file in chosen.items():
        offsets[name] = file.stat().st_size
        for line in last_lines(file, lines).splitlines() if lines else []:
            typer.echo(prefixed(name, line[2:], many=service is None))
    while follow:
        try:
            time.sleep(FOLLOW_SECONDS)
        except KeyboardInterrupt:
            return
        for name, file in chosen.items():
            offsets[name] = print_new_lines(name, file, offsets[name], many=service is None)


def print_new_lines(name: str, file: Path, offset: int, many: bool) -> int:
    """Print the whole lines after `offset`; returns where to go on (from the start if the file was
    replaced).
    """
    if file.stat().st_size < offset:
        offset = 0
    with file.open("rb") as stream:
        stream.seek(offset)
        content = stream.read()
    whole = content[: content.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        typer.echo(prefixed(name, line, many))
    return offset + len(whole)


def prefixed(name: str, line: str, many: bool) -> str:
    return f"{name:<16} | {line}" if many else line


def print_addresses(state: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, address in reversed(state["addresses"].items()):
        table.add_row(name, address)
    table.add_row("admin token", state["admin_token_file"])
    table.add_row("time", clock_words(state["clock"]))
    console.print("Scrip is up.")
    console.print(table)


def print_status(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("process", "pid", "ready", "starts again", "address"):
        table.add_column(heading)
    for process in found["processes"]:
        ready = "yes" if process["ready"] else "no: " + "; ".join(process["reasons"])
        table.add_row(process["name"], str(process["pid"] or "-"), ready, str(process["restarts"]), process["address"])
    console.print(table)
    console.print(f"admin token   {found['admin_token_file']}", markup=False)
    console.print(f"time          {clock_words(found['clock']['mode'])}", markup=False)
    if found["clock"].get("now"):
        console.print(f"clock         {found['clock']['now']}", markup=False)
    console.print("versions      " + ", ".join(f"{k} {v}" for k, v in found["versions"].items()), markup=False)


def clock_words(mode: str) -> str:
    return "told: it moves only when told" if mode == "told" else "the log's own (record time)"


def fetch_kafka() -> None:
    """Fetch Kafka's libraries, unless they are there, with a bar on stderr. Raises PlatformError."""
    with fetch_progress() as progress:
        class_path(progress=progress)


@contextmanager
def fetch_progress() -> Iterator[Any]:
    """A bar for the first fetch of Kafka's libraries, shown once there is something to fetch."""
    bar = Progress(TextColumn("Fetching Apache Kafka (45 MB, once)"), BarColumn(), MofNCompleteColumn(), console=errors)
    task = bar.add_task("fetch")

    def fetched(done: int, total: int) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield fetched
    finally:
        if bar.live.is_started:
            bar.stop()
