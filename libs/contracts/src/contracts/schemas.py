"""JSON Schemas of all records, generated from the models: `python -m contracts.schemas --write | --check`.

One file each under `schemas/`, named by the record's type. Both refuse a breaking change against the committed file:
what changed its meaning gets a new type with a new version, and its own file. Before a type was ever released, delete
its file and write it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from contracts.compatibility import breaking_changes
from contracts.generated_files import CONTRACTS_FOLDER, asked_to_write, not_current, report, shown, write
from contracts.records import RECORDS, RecordKind

FOLDER = CONTRACTS_FOLDER / "schemas"
COMMAND = "python -m contracts.schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
ADDRESS = "https://scrip.dev/schemas/"


class _WithoutFieldTitles(GenerateJsonSchema):
    """Titles of fields only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a record; `type`, which readers choose the model by, is required."""
    schema = model.model_json_schema(schema_generator=_WithoutFieldTitles)
    if "const" in schema["properties"].get("type", {}):
        schema["required"] = sorted({*schema.get("required", []), "type"})
        schema["properties"]["type"].pop("default", None)
    return schema


@cache
def as_text(kind: RecordKind) -> str:
    """The content of the record's schema file."""
    schema = {**schema_of(kind.model), "$schema": DRAFT, "$id": f"{ADDRESS}{kind.name}.json"}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def files(folder: Path = FOLDER) -> dict[Path, str]:
    """All schema files and their contents."""
    return {folder / f"{kind.name}.json": as_text(kind) for kind in RECORDS}


def breaking(folder: Path = FOLDER) -> list[str]:
    """What broke since the committed schemas."""
    problems = []
    for kind in RECORDS:
        committed = folder / f"{kind.name}.json"
        if committed.exists():
            old = json.loads(committed.read_text(encoding="utf-8"))
            changes = breaking_changes(old, json.loads(as_text(kind)), emitted=kind.emitted)
            problems += [f"{kind.name} breaks: {change}. Make a new type with a new version." for change in changes]
    known = files(folder)
    for committed in sorted(folder.glob("*.json")):
        if committed not in known:
            problems.append(f"{shown(committed)}: no such record any more, but the log may hold some. Keep its class.")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the files; the exit code."""
    writing = asked_to_write(COMMAND, "JSON Schemas of all records", arguments)
    problems = breaking()
    if writing and not problems:
        write(files())
    return report(problems or not_current(files(), COMMAND))


if __name__ == "__main__":
    sys.exit(main())
