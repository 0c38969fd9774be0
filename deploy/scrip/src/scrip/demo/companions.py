"""Programs around the platform, started as processes: a merchant's server, a shop's client, a Kafka tool."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scrip.checkout import checkout
from scrip.demo.calling import Client, UnexpectedAnswer
from scrip.errors import PlatformError
from scrip.supervisor import dying_with_us

STOP_SECONDS = 10
SHOP_SECONDS = 120
TOOL_SECONDS = 60


class DemoMerchant:
    """The merchant's own server (`examples/demo-merchant`) with the real households; a context manager.

    It dies with the thread that made it.
    """

    def __init__(self, folder: Path, token: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        program = checkout() / "examples" / "demo-merchant" / "demo_merchant"
        if not program.exists():
            raise PlatformError(f"{program} is missing: the demo needs the whole checkout.")
        command = [sys.executable, str(program), "--port", "0", "--real-households"]
        command += ["--state", str(folder / "demo-merchant.sqlite3")]
        self._log = (folder / "demo-merchant.log").open("wb")
        self.process = subprocess.Popen(
            dying_with_us(command),
            cwd=folder,
            env={**os.environ, "DEMO_MERCHANT_TOKEN": token},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.address = ""

    def wait(self) -> None:
        """Wait until it listens. Raises PlatformError."""
        words = self.process.stdout.readline().split() if self.process.stdout else []
        if len(words) < 3 or self.process.poll() is not None:
            raise PlatformError(f"The demo merchant did not start; see {self._log.name}.")
        self.address = words[2]

    @property
    def admin(self) -> Client:
        """Its door for tests: plant faults, read what it counted."""
        return Client(self.address, {})

    def plant(self, kind: str, nth: int, **more: object) -> None:
        """Let the call with the nth delivery go wrong."""
        self.admin.send("POST", "/_admin/faults", {"at": "deliver", "kind": kind, "nth": nth, **more}).expect(201)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self.process)
        self._log.close()


class VoucherifyShop:
    """The shop's program: started early, because its client takes seconds to load; a context manager.

    It ends when nobody holds the other end of its input any more.
    """

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "voucherify-shop.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scrip.demo.voucherify_shop"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def play(self, order: dict[str, Any]) -> dict[str, Any]:
        """Let it play its campaign; what it saw. Raises UnexpectedAnswer."""
        try:
            output, _ = self.process.communicate(json.dumps(order) + "\n", timeout=SHOP_SECONDS)
            seen: dict[str, Any] = json.loads(output)
        except (subprocess.TimeoutExpired, BrokenPipeError, ValueError) as error:
            said = Path(self._log.name).read_text(errors="replace")[-1500:]
            raise UnexpectedAnswer(f"The Voucherify client failed ({error}); its last words:\n{said}") from error
        return seen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self.process)
        self._log.close()


def run_tool(folder: Path, bootstrap: str, credentials: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    """Run `examples/tool/tool.py`, which knows only Kafka; the answer it got. Raises UnexpectedAnswer."""
    file = folder / "tool-credentials.json"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(credentials, stream)
    program = checkout() / "examples" / "tool" / "tool.py"
    command = [sys.executable, str(program), "--credentials", str(file), "--bootstrap", bootstrap, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    if ended.returncode != 0:
        raise UnexpectedAnswer(f"The Kafka tool ended with {ended.returncode}: {ended.stdout}{ended.stderr}"[-1500:])
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def end(process: subprocess.Popen[str]) -> None:
    """Stop a process, by force if it must be."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
