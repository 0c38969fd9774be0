"""Schemathesis over every operation the gateway documents: no answer of ours is a fault or is undocumented.

It reads the running gateway's own document, so that a new route or field is tried without a new line here.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.gateway import GatewayPlatform, running_gateway
from tests.support.servers import Servers

SEED = "20"
EXAMPLES = 4
SOAK_EXAMPLES = 200
CHECKS = (
    "status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection,"
    "missing_required_header,ignored_auth"
)
AWAY = r"^/internal/v1/(tasks|deliveries|sync-runs|merchants/[^/]+/(users|sync|sync-runs|deliveries))"
"""What the adapter and the scheduler answer, which do not run here: 503, the one documented fault."""
NOT_TRIED = (
    "/internal/v1/events",  # never ends
    "/internal/v1/clock",  # a random year would end every campaign; the model tests try it
)

ACCESS = "v1/access"


@pytest.fixture(scope="module")
async def gateway(
    databases: Databases, backend: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayPlatform]:
    """A gateway and a core that keep told time. Adapter and scheduler are away: 503 is documented for that."""
    folder = tmp_path_factory.mktemp("fuzzed")
    limits = {"SCRIP_ACCESS_REQUESTS_PER_MINUTE": "100000"}
    async with (
        running_core(databases, backend.bootstrap, folder) as core,
        running_gateway(core, environment=limits) as running,
    ):
        await running.done("POST", "/clock", {"to": "2026-03-10T12:00:00Z"})
        yield running


def run(
    gateway: GatewayPlatform, folder: Path, key: str, paths: str, checks: str, examples: int, phases: str, within: float
) -> str:
    """Schemathesis's report; pytest's failure with the report when it found something."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.url()}/openapi.json"),
        *("--header", f"Authorization: Bearer {key}", "--include-path-regex", paths),
        *(argument for path in NOT_TRIED for argument in ("--exclude-path", path)),
        *("--checks", checks, "--phases", phases, "--max-examples", str(examples), "--seed", SEED),
        *("--generation-deterministic", "--suppress-health-check", "all"),
        *("--workers", "1", "--request-timeout", "30", "--no-color", "--no-shrink", "--warnings", "off"),
    ]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "COLUMNS": "150"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=within)
    if done.returncode:
        pytest.fail(f"{done.stdout[-12_000:]}\n{done.stderr[-2_000:]}", pytrace=False)
    return done.stdout


async def _both(gateway: GatewayPlatform, folder: Path, examples: int, phases: str, within: float) -> None:
    shop = await gateway.add_merchant("Fuzzed")
    all_checks = f"not_a_server_error,{CHECKS}"
    for key, paths, checks in (
        (gateway.admin_token, f"^(?!{AWAY[1:]})/(internal|catalogue)/", all_checks),
        (gateway.admin_token, AWAY, CHECKS),
        (shop.credentials["key"], f"^/merchant/(?!{ACCESS})", all_checks),
        # Whoever is known is told the API matched to him, whatever the body says.
        (shop.credentials["key"], f"^/merchant/{ACCESS}", all_checks.replace("negative_data_rejection,", "")),
    ):
        report = await asyncio.to_thread(run, gateway, folder, key, paths, checks, examples, phases, within)
        cases = re.search(r"([\d,]+) generated", report)
        print(f"{paths}: {cases[0] if cases else report[-500:]}")
    assert gateway.processes[0].poll() is None
    assert '"action": "request_failed"' not in gateway.log_end(lines=100_000)


async def test_no_operation_answers_with_a_fault_or_something_undocumented(
    gateway: GatewayPlatform, tmp_path: Path
) -> None:
    await _both(gateway, tmp_path, EXAMPLES, "fuzzing", 240)


@pytest.mark.soak
async def test_nor_after_many_more_requests(gateway: GatewayPlatform, tmp_path: Path) -> None:
    await _both(gateway, tmp_path, SOAK_EXAMPLES, "coverage,fuzzing,stateful", 3_000)
