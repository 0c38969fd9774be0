"""`scrip demo --quick` from the outside: the whole story on a platform of its own, in a process of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from scrip.demo.report import fixed_lines

ROOT = Path(__file__).resolve().parents[2]
BEGINS = "```console\n$ make demo ARGS=--quick\n"
LONGEST_SECONDS = 600  # a stuck demo must end some time; how fast it is, is not asserted
KNOWN = {
    "campaigns": 58,
    "issued": 7_442,
    "redeemed": 45,
    "refused": 5,
    "refused_otherwise": 0,
    "expired": 7_397,
    "held": 0,
    "households": 2_469,
    "households_with_demographics": 801,
    "receipts": 2_469,
    "doubled": 0,
    "planted_500": 1,
    "planted_time_out": 1,
    "killed": 1,
    "gaps": 0,
    "audit": 0,
    "dead_letters": 0,
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    command = [str(ROOT / "scrip"), "demo", "--quick", "--json", str(folder / "demo.json")]
    ended = subprocess.run(
        [*command, "--home", str(folder / "home")],
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    return ended, folder


def test_it_ends_well_with_every_figure_right(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    ended, folder = played
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-3_000:]
    content = json.loads((folder / "demo.json").read_text())
    figures = {each["figure"]: each for each in content["figures"]}
    assert {name: figures[name]["counted"] for name in KNOWN} == KNOWN
    assert [each for each in content["figures"] if each["expected"] != each["counted"]] == []


def test_it_says_how_fast_it_was_and_how_much_memory_each_process_took(
    played: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    content = json.loads((played[1] / "demo.json").read_text())
    assert content["rates"]["issue"]["count"] == KNOWN["issued"]
    assert content["rates"]["expire"]["count"] == KNOWN["expired"]
    assert {"coupon_core", "gateway", "merchant_adapter", "scheduler", "postgres", "kafka"} <= set(content["memory"])
    assert all(size > 0 for size in content["memory"].values())


def test_the_readme_shows_what_it_prints(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """Only lines that say what was measured differ from run to run."""
    _, _, after = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGINS)
    transcript, _, _ = after.partition("\n```")
    assert fixed_lines(transcript) == fixed_lines(played[0].stdout.strip("\n"))


def test_it_leaves_nothing_running(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    home = played[1] / "home"
    status = subprocess.run(
        [str(ROOT / "scrip"), "status", "--json", "--home", str(home)], capture_output=True, text=True, check=False
    )
    assert json.loads(status.stdout)["running"] is False
