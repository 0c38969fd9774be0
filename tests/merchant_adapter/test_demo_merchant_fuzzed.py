"""Schemathesis over the merchant interface: the demo merchant keeps its own contract, whatever it is asked."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo_merchants import CONTRACT_FILE, TOKEN, DemoMerchant, running_demo_merchant
from tests.support.fuzzing import fuzz

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,missing_required_header,ignored_auth"
)


@pytest.fixture
def merchant(tmp_path: Path) -> Iterator[DemoMerchant]:
    with running_demo_merchant(tmp_path / "state.sqlite3") as running:
        yield running


def keeps_the_contract(merchant: DemoMerchant, folder: Path, examples: int, phases: str, within: float) -> None:
    report = fuzz(
        str(CONTRACT_FILE),
        folder,
        TOKEN,
        CHECKS,
        url=merchant.address,
        examples=examples,
        phases=phases,
        within=within,
    )
    cases = re.search(r"([\d,]+) generated", report)
    print(cases[0] if cases else report[-500:])
    assert merchant.process.poll() is None


def test_the_demo_merchant_answers_nothing_that_its_contract_does_not_say(
    merchant: DemoMerchant, tmp_path: Path
) -> None:
    keeps_the_contract(merchant, tmp_path, 30, "coverage,fuzzing", 120)


@pytest.mark.soak
def test_nor_after_many_more_requests(merchant: DemoMerchant, tmp_path: Path) -> None:
    keeps_the_contract(merchant, tmp_path, 1_000, "coverage,fuzzing,stateful", 1_200)
