"""Files made from the contracts: written to the checkout, or checked to be what would be written."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

CONTRACTS_FOLDER = Path(__file__).resolve().parents[2]
"""`libs/contracts` of the checkout; an installed package has no such files."""
DOCS_FOLDER = CONTRACTS_FOLDER.parents[1] / "docs"


def shown(path: Path) -> str:
    """The path as a reader of the repository knows it."""
    checkout = CONTRACTS_FOLDER.parents[1]
    return str(path.relative_to(checkout) if path.is_relative_to(checkout) else path)


def not_current(files: Mapping[Path, str], command: str) -> list[str]:
    """A sentence for each file that is missing or has another content; `command` makes it."""
    problems = []
    for path, content in files.items():
        if not path.exists():
            problems.append(f"{shown(path)} is missing: run `{command} --write` and commit it.")
        elif path.read_text(encoding="utf-8") != content:
            problems.append(f"{shown(path)} is not what the contracts say: run `{command} --write` and commit it.")
    return problems


def write(files: Mapping[Path, str]) -> None:
    """Write the files whose content differs."""
    for path, content in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            print(f"wrote {shown(path)}")


def asked_to_write(command: str, about: str, arguments: Sequence[str] | None = None) -> bool:
    """What the command line asks for: True with --write, False with --check."""
    parser = argparse.ArgumentParser(prog=command, description=about)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="write what differs")
    choice.add_argument("--check", action="store_true", help="fail when something differs")
    return bool(parser.parse_args(arguments).write)


def report(problems: Sequence[str]) -> int:
    """Print the problems; the exit code."""
    for problem in problems:
        print(problem)
    return 1 if problems else 0
