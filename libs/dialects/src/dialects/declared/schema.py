"""The JSON Schema of profile documents, for editors and checks, beside the example.

`python -m dialects.declared.schema --write` writes the file, `--check` fails where it is not current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from contracts.generated_files import DOCS_FOLDER, asked_to_write, not_current, report, write
from dialects.declared.declaration import Declaration

FILE = DOCS_FOLDER.parent / "examples" / "declared-profile" / "profile.schema.json"
COMMAND = "python -m dialects.declared.schema"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of profile documents."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Declaration.model_json_schema()}


def document() -> str:
    """The file as it is committed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the file; the exit code."""
    files = {FILE: document()}
    if asked_to_write(COMMAND, "The JSON Schema of declared profiles", arguments):
        write(files)
    return report(not_current(files, COMMAND))


if __name__ == "__main__":
    sys.exit(main())
