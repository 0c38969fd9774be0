"""docs/promises.md names what exists: every route, command, event and test."""

import ast
import json
import re
from functools import cache

import typer.main
from typer.core import TyperGroup

from contracts.commands import COMMANDS
from contracts.events import EVENT_TYPES
from contracts.fields import Fact
from contracts.merchants import MerchantCommand, MerchantEvent
from contracts.schedules import TaskDue
from contracts.topics import TOPICS
from dialects.scrip.requests import ROUTES
from scrip.__main__ import app
from tests.support.journeys import ROOT

DOCUMENT = ROOT / "docs" / "promises.md"


@cache
def rows() -> list[list[str]]:
    """The cells of all tables: promise, routes, commands, events, test."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "promise" and set(row[0]) != {"-"}]


def named(column: int) -> set[str]:
    """What stands in backticks in a column."""
    return {name for row in rows() for name in re.findall(r"`([^`]+)`", row[column])}


def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / "journeys" / file).read_text(encoding="utf-8"))
    return {
        f"journeys/{file}::{node.name}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_row_is_whole() -> None:
    assert len(rows()) > 30
    assert {len(row) for row in rows()} == {5}


def test_every_route_exists() -> None:
    described = json.loads((ROOT / "docs" / "openapi" / "gateway.json").read_text(encoding="utf-8"))["paths"]
    known = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    known |= {f"{route.method} {route.path}" for route in ROUTES} | {topic.name for topic in TOPICS}
    assert {name for name in named(1) if not name.startswith("scrip ")} - known == set()


def test_every_word_of_the_command_line_exists() -> None:
    commands = [name.split()[1:] for name in named(1) if name.startswith("scrip ")]
    assert commands
    for words in commands:
        found = typer.main.get_command(app)
        for word in words:
            assert isinstance(found, TyperGroup), f"scrip {' '.join(words)}"
            assert word in found.commands, f"scrip {' '.join(words)}"
            found = found.commands[word]


def test_every_command_and_event_exists() -> None:
    of_others = MerchantCommand.__subclasses__()  # those of the scheduler as well
    commands = {kind.__name__ for kind in (*COMMANDS, *of_others)}
    assert named(2) - commands == set()
    elsewhere: tuple[type[Fact], ...] = (*MerchantEvent.__subclasses__(), TaskDue)
    types = {*EVENT_TYPES.values(), *(str(each.model_fields["type"].default) for each in elsewhere)}
    events = {name.removeprefix("scrip.").removesuffix(".v1") for name in types}
    assert named(3) - events == set()


def test_every_test_exists_and_every_promise_has_one() -> None:
    assert all(re.fullmatch(r"`[^`]+`", row[4]) for row in rows())
    journeys = {file.name for file in (ROOT / "tests" / "journeys").glob("test_*.py")}
    existing = {test for file in journeys for test in functions_of(file)}
    assert named(4) - existing == set()
