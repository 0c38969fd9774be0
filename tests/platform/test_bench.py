"""`scrip bench` goes on after a failure, keeps what was measured, and ends as it should."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import command, results
from benchmarks.measure import Figure

README = f"# Ours\n\n{results.BEGIN}\nnothing yet\n{results.END}\n\nmore\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own: results and README."""
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    for module in (results, command):
        monkeypatch.setattr(module, "BENCHMARKS", ("first", "second", "third"))
    (tmp_path / "README.md").write_text(README)
    return tmp_path


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a benchmark of this name that does so."""

    def make(name: str, run: Callable[[], list[Figure]]) -> None:
        module = ModuleType(f"benchmarks.{name}")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", module)

    return make


def figure(name: str, ours: float) -> list[Figure]:
    return [Figure(name, "claims/s", ours=[ours] * 3, limit=[200.0] * 3, bound="the test", notes=["a note"])]


def broken() -> list[Figure]:
    raise RuntimeError("this one is broken")


def table(folder: Path) -> list[str]:
    """The rows of the README's table."""
    return [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("| `")]


def test_a_benchmark_that_fails_does_not_stop_the_next(
    folder: Path, benchmark: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark("first", lambda: figure("first", 100))
    benchmark("second", broken)
    benchmark("third", lambda: figure("third", 50))
    assert command.main([]) == 1
    said = capsys.readouterr().err
    assert "this one is broken" in said
    assert said.splitlines()[-1] == "Failed: second"
    assert table(folder) == [
        "| `first` | claims/s | 100 | 200 | – | 0.5 | – |",
        "| `third` | claims/s | 50 | 200 | – | 0.25 | – |",
    ]


def test_one_run_alone_replaces_only_its_own_rows(folder: Path, benchmark: Callable[..., None]) -> None:
    for name in ("first", "second", "third"):
        benchmark(name, lambda name=name: figure(name, 100))
    assert command.main([]) == 0
    benchmark("second", lambda: figure("second", 20))
    assert command.main(["second"]) == 0
    assert [row.split(" | ")[2] for row in table(folder)] == ["100", "20", "100"]
    assert (folder / "README.md").read_text().endswith(f"{results.END}\n\nmore\n")
    assert results.main(["--check"]) == 0
    (folder / "README.md").write_text(README)
    assert results.main(["--check"]) == 1


def test_figures_written_to_a_file_are_not_kept(folder: Path, benchmark: Callable[..., None]) -> None:
    benchmark("first", lambda: figure("first", 100))
    assert command.main(["first", "--json", str(folder / "first.json")]) == 0
    written = json.loads((folder / "first.json").read_text())
    assert {part: written[part] for part in ("name", "unit", "ours", "limit", "rival", "to_limit", "to_rival")} == {
        "name": "first", "unit": "claims/s", "ours": 100, "limit": 200, "rival": None, "to_limit": 0.5,
        "to_rival": None,
    }  # fmt: skip
    assert not (folder / "results").exists()
    assert (folder / "README.md").read_text() == README


def test_what_is_kept_names_the_machine_but_neither_host_nor_folder(
    folder: Path, benchmark: Callable[..., None]
) -> None:
    benchmark("first", lambda: figure("first", 100))
    assert command.main(["first"]) == 0
    text = (folder / "results" / "first.json").read_text()
    run = json.loads(text)
    assert {"processors", "memory_gib", "python", "load_before"} <= run["machine"].keys()
    assert os.uname().nodename not in text
    assert str(Path.cwd()) not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_after_clearing_away(
    folder: Path, benchmark: Callable[..., None], capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    cleared: list[str] = []

    def interrupted() -> list[Figure]:
        try:
            os.kill(os.getpid(), number)
            return figure("first", 100)
        finally:
            os.kill(os.getpid(), number)  # once more, while it is cleared away
            cleared.append("away")

    benchmark("first", interrupted)
    before = signal.getsignal(number)
    assert command.main(["first"]) == command.INTERRUPTED
    assert cleared == ["away"]
    assert capsys.readouterr().err.splitlines()[-1] == "Interrupted in: first"
    assert signal.getsignal(number) == before
    assert table(folder) == []
