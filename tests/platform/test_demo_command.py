"""What `scrip demo` does with what it has counted, and with its platform; the story itself is tested as a journey."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scrip.demo import command
from scrip.demo.calling import UnexpectedAnswer
from scrip.demo.report import Results
from scrip.errors import PlatformError
from scrip.platform_commands import Options


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """The demo takes signals for itself."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Figures (expected, counted) a story ends with that plays nothing; no library is fetched."""
    figures = {"year.issued": (100, 100), "year.expired": (7, 7)}

    def play(quick: bool, platform: object, report: object, results: Results, open_things: object) -> None:
        for name, (expected, found) in figures.items():
            results.row(name, "Coupons expire", f"events of {name}", expected, found)

    monkeypatch.setattr(command, "play", play)
    monkeypatch.setattr(command, "fetch_kafka", lambda: None)
    return figures


def test_a_figure_that_differs_is_shown_as_wrong_and_the_exit_code_is_1(
    counted: dict[str, tuple[int, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted["year.expired"] = (7, 8)
    home, file = tmp_path / "home", tmp_path / "figures.json"
    assert command.main(["--quick", "--home", str(home), "--json", str(file)]) == 1
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if "events of year.expired" in line)
    assert row.split()[-3:] == ["7", "8", "WRONG"]
    assert next(line for line in said.splitlines() if "events of year.issued" in line).endswith("right")
    assert "1 figures are WRONG." in said
    assert f"The platform's data and logs stay in {home}." in said
    assert {"figure": "year.expired", "expected": 7, "counted": 8} in json.loads(file.read_text())["figures"]


def test_no_figure_at_all_is_not_right(
    counted: dict[str, tuple[int, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted.clear()
    assert command.main(["--home", str(tmp_path / "home")]) == 1


def test_a_story_that_breaks_off_says_where_its_logs_are_and_the_exit_code_is_1(
    counted: dict[str, tuple[int, int]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_off(*_: object) -> None:
        raise UnexpectedAnswer("POST /claim: 500")

    monkeypatch.setattr(command, "play", break_off)
    home = tmp_path / "home"
    assert command.main(["--home", str(home)]) == 1
    said = capsys.readouterr().out
    assert "The story broke off. POST /claim: 500" in said
    assert str(home) in said


@pytest.mark.usefixtures("counted")
def test_keep_leaves_the_platform_up_and_says_that_it_keeps_told_time_and_how_to_advance_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Path, Options]] = []
    monkeypatch.setattr(command, "start_detached", lambda home, options: started.append((home, options)))
    home = tmp_path / "home"
    assert command.main(["--keep", "--home", str(home)]) == 0
    assert [(each[0], each[1].told_time) for each in started] == [(home, True)]
    said = capsys.readouterr().out
    assert "All 2 figures are right." in said
    assert "It keeps told time" in said
    assert f"./scrip clock advance 2018-03-02T00:00:00Z --home {home}" in said


@pytest.mark.usefixtures("counted")
def test_kafkas_libraries_are_fetched_with_a_bar_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(command, "fetch_kafka", lambda: order.append("fetched"))
    played = command.play

    def play(*arguments: Any) -> None:
        order.append("played")
        played(*arguments)

    monkeypatch.setattr(command, "play", play)
    assert command.main(["--home", str(tmp_path / "home")]) == 0
    assert order == ["fetched", "played"]


def test_a_home_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(PlatformError, match="is not empty"):
        command.main(["--home", str(tmp_path)])
