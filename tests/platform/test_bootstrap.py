"""`make setup`: the list of packages is complete, the lock is clean, a wrong Python is told in one sentence."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
