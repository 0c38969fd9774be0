"""`make setup`: the list of packages is complete, the lock is clean, a wrong Python is told in one sentence."""

import re
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scrip.home import pick_free_port

ROOT = Path(__file__).parents[2]
BOOTSTRAP = ROOT / "deploy" / "bootstrap.py"


@pytest.fixture(scope="module")
def bootstrap() -> dict[str, Any]:
    return runpy.run_path(str(BOOTSTRAP))


def test_it_installs_every_package_of_the_workspace(bootstrap: dict[str, Any]) -> None:
    folders = [*ROOT.glob("libs/*"), *ROOT.glob("services/*"), ROOT / "deploy" / "scrip"]
    packages = {str(folder.relative_to(ROOT)) for folder in folders if (folder / "pyproject.toml").exists()}
    assert set(bootstrap["MEMBERS"]) == packages


def test_the_lock_names_every_package_by_hash_and_holds_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    for entry in re.split(r"(?m)^(?=[a-z0-9])", lock)[1:]:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_locks_of_node_packages_hold_no_address() -> None:
    locks = list((ROOT / "tests" / "clients").glob("*/package-lock.json"))
    assert locks
    for lock in locks:
        assert "://" not in lock.read_text(), lock


@pytest.fixture
def run_pip(bootstrap: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """The bootstrap's pip, of the Python that runs the tests, with a log of its own."""
    place = bootstrap["run_pip"].__globals__
    monkeypatch.setitem(place, "PYTHON", sys.executable)
    monkeypatch.setitem(place, "LOG", str(tmp_path / "pip.log"))
    return lambda arguments: bootstrap["run_pip"](["--isolated", *arguments], 1)


def test_an_index_that_does_not_answer_is_one_sentence(
    run_pip: Callable[[list[str]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"http://127.0.0.1:{pick_free_port(taken=set())}/simple"
    with pytest.raises(SystemExit):
        run_pip(["download", "--no-deps", "--dest", str(tmp_path), "--index-url", nobody, "thing==1.0"])
    said = capsys.readouterr().err
    assert said.startswith("The packages cannot be fetched: the network or the package index does not answer; see ")
    assert said.count("\n") == 1


def test_a_package_with_another_checksum_is_one_sentence_and_is_not_installed(
    run_pip: Callable[[list[str]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing.py", "")
        wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"thing==1.0 --hash=sha256:{'0' * 64}\n")
    target = tmp_path / "target"
    wanted = ["--require-hashes", "--no-index", "--find-links", str(tmp_path), "-r", str(lock)]
    with pytest.raises(SystemExit):
        run_pip(["install", "--no-deps", "--target", str(target), *wanted])
    said = capsys.readouterr().err
    assert said.startswith("A fetched package is not the one that requirements.lock names, and was not installed; see ")
    assert said.count("\n") == 1
    assert not (target / "thing.py").exists()


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_an_unsupported_python_is_one_sentence(version: tuple[int, int]) -> None:
    program = (
        f"import runpy, sys; sys.version_info = {(*version, 0, 'final', 0)}; "
        f"sys.argv = [{str(BOOTSTRAP)!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], env={"PATH": ""}, capture_output=True, text=True, check=False, timeout=20
    )
    assert run.returncode == 1
    assert run.stderr.startswith(f"Scrip needs Python 3.11, 3.12 or 3.13, but this is {version[0]}.{version[1]} (")
    assert run.stderr.count("\n") == 1
