"""ARCHITECTURE.md leads a stranger to what exists: every command to its file, every event, every file."""

import re
from functools import cache
from pathlib import Path

from contracts.events import EVENT_TYPES
from contracts.fields import Fact
from contracts.merchants import MerchantCommand, MerchantEvent
from contracts.schedules import CancelTask, FileTask, TaskDue
from coupon_core.decide import OPERATIONS

ROOT = Path(__file__).parents[2]
PARTS = (*sorted((ROOT / "services").iterdir()), *sorted((ROOT / "libs").iterdir()))


@cache
def text() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


@cache
def operations() -> list[list[str]]:
    """Cells of the table of operations, what stands in backticks in each: operation, sent by, command, file, events."""
    table = text().partition("## Operations")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    return [[" ".join(re.findall(r"`([^`]+)`", cell)) for cell in line] for line in lines]


def below(*names: str) -> list[Path]:
    """The files of a path as the document writes it: below a package, or below one of its folders."""
    packages = [each for part in PARTS for each in (part / "src").glob("*") if each.is_dir()]
    return [found for name in names for package in packages
            for found in (package.parent / name, package / name, package / "operations" / name)
            if found.is_file()]  # fmt: skip


def test_every_command_has_a_row_that_names_the_file_it_is_decided_in() -> None:
    for command, operation in OPERATIONS.items():
        files = [row[3].split() for row in operations() if command.__name__ in row[2].split()]
        assert files, f"{command.__name__} has no row"
        code = Path(operation.__code__.co_filename)
        assert all(code in below(*row) for row in files), (
            f"{command.__name__} is decided in {code.name}, not in {files}"
        )


def test_every_command_named_exists() -> None:
    named = {command for row in operations() for command in row[2].split() if command.isidentifier()}
    known = {each.__name__ for each in OPERATIONS} | {each.__name__ for each in MerchantCommand.__subclasses__()}
    assert named == known | {FileTask.__name__, CancelTask.__name__, TaskDue.__name__}


def test_every_event_has_a_row_and_every_event_named_exists() -> None:
    kinds = [*EVENT_TYPES.values(), *(_merchant_type(each) for each in MerchantEvent.__subclasses__())]
    known = {kind.removeprefix("scrip.").removesuffix(".v1") for kind in kinds} | {"schedule.task_due"}
    named = {event for row in operations() for event in row[4].split() if "." in event}
    assert named - known == set()
    assert known - named == set()


def _merchant_type(event: type[Fact]) -> str:
    return str(event.model_fields["type"].default)


def test_every_file_named_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", text()))
    assert len(named) > 40
    assert {name for name in named if not below(name) and not (ROOT / name).is_file()} == set()
    links = re.findall(r"\]\(([^)#]+)\)", text())
    assert [link for link in links if not (ROOT / link).exists()] == []
