"""Schemathesis as a process: it reads an OpenAPI document and asks a running server."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SEED = "20"


def fuzz(
    document: str,
    folder: Path,
    key: str,
    checks: str,
    *,
    url: str | None = None,
    paths: str = ".*",
    left_out: Sequence[str] = (),
    examples: int,
    phases: str = "fuzzing",
    within: float,
) -> str:
    """Schemathesis's report on the server that keeps this document (a file, or an address); pytest's failure with the
    report when it found something.

    `url`: the server's address, where the document does not say it. `key` is shown as a bearer token. `paths` is a
    pattern. `within`: seconds.
    """
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", document),
        *(() if url is None else ("--url", url)),
        *("--header", f"Authorization: Bearer {key}", "--include-path-regex", paths),
        *(argument for path in left_out for argument in ("--exclude-path", path)),
        *("--checks", checks, "--phases", phases, "--max-examples", str(examples), "--seed", SEED),
        *("--generation-deterministic", "--suppress-health-check", "all"),
        *("--workers", "1", "--request-timeout", "30", "--no-color", "--no-shrink", "--warnings", "off"),
    ]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "COLUMNS": "150"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=within)
    if done.returncode:
        pytest.fail(f"{done.stdout[-12_000:]}\n{done.stderr[-2_000:]}", pytrace=False)
    return done.stdout
