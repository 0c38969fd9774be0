"""Named places where a test can kill, stop or break a process.

`SCRIP_FAILPOINTS="core.after_commit=kill@3;core.before_reply=stop@1"` arms two of them: at its third hit the
first sends SIGKILL to its own process, at its first the second sends SIGSTOP (`raise` raises RuntimeError;
`@1` may be left out). A point acts once in a process and is then disarmed; a process restarted with the same
environment arms it again. Each hit of an armed point is first written to the file `SCRIP_FAILPOINT_LOG`
and synced, so that what was reached can be counted although the process is gone.
"""

import os
import signal
from dataclasses import dataclass
from typing import Literal, cast, get_args

Action = Literal["kill", "stop", "raise"]


@dataclass
class _Armed:
    action: Action
    at_hit: int
    hits: int = 0


def parse(text: str) -> dict[str, _Armed]:
    """Read the value of SCRIP_FAILPOINTS; raises ValueError with a sentence when it is not of that form."""
    armed: dict[str, _Armed] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, _, rest = part.partition("=")
        action, _, count = rest.partition("@")
        if not name or action not in get_args(Action) or not (count or "1").isdigit() or count == "0":
            raise ValueError(f"SCRIP_FAILPOINTS: {part!r} is not of the form name=kill|stop|raise@number.")
        armed[name] = _Armed(cast("Action", action), int(count or "1"))
    return armed


_armed = parse(os.environ.get("SCRIP_FAILPOINTS", ""))
_declared: set[str] = set()


def declare(name: str) -> str:
    """Make a point known and give its name back: `AFTER_COMMIT = declare("core.after_commit")`."""
    _declared.add(name)
    return name


def declared() -> frozenset[str]:
    """All points the modules imported so far declare."""
    return frozenset(_declared)


def armed() -> frozenset[str]:
    """The points that would still act in this process."""
    return frozenset(_armed)


def refuse_unknown() -> None:
    """Raise ValueError when an armed point is declared by nobody: a test would wait for it in vain."""
    unknown = sorted(set(_armed) - _declared)
    if unknown:
        raise ValueError(f"SCRIP_FAILPOINTS names points this process does not have: {', '.join(unknown)}.")


def failpoint(name: str) -> None:
    """Do nothing, unless a test armed this point; then kill, stop or raise RuntimeError at the chosen hit."""
    if _armed:
        _hit(name)


def _hit(name: str) -> None:
    point = _armed.get(name)
    if point is None:
        return
    point.hits += 1
    acts = point.hits == point.at_hit
    _record(f"{name} {point.hits} {point.action if acts else 'pass'} {os.getpid()}\n")
    if not acts:
        return
    del _armed[name]
    if point.action == "raise":
        raise RuntimeError(f"failpoint {name}")
    os.kill(os.getpid(), signal.SIGKILL if point.action == "kill" else signal.SIGSTOP)


def _record(line: str) -> None:
    path = os.environ.get("SCRIP_FAILPOINT_LOG")
    if not path:
        return
    # O_APPEND with one write: lines of several processes do not mix.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)
