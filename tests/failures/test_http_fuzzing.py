"""Schemathesis over every operation the gateway documents: no answer of ours is a fault or is undocumented.

It reads the running gateway's own document, so that a new route or field is tried without a new line here.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.core import running_core
from tests.support.databases import Databases
from tests.support.fuzzing import fuzz
from tests.support.gateway import GatewayPlatform, running_gateway
from tests.support.servers import Servers

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
        report = await asyncio.to_thread(
            fuzz,
            f"{gateway.url()}/openapi.json",
            folder,
            key,
            checks,
            paths=paths,
            left_out=NOT_TRIED,
            examples=examples,
            phases=phases,
            within=within,
        )
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
