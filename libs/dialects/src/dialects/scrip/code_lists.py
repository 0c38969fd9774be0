"""Lists of codes as a merchant uploads them: JSON, JSON Lines or CSV."""

from __future__ import annotations

import csv
import io

from pydantic import TypeAdapter, ValidationError

from contracts.fields import CodeText
from dialects.documents import MAX_ROWS, UploadDocument
from dialects.json_body import MAX_ERRORS, read_json, read_model
from dialects.protocol import FieldProblem, RawRequest, invalid

CODES: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[CodeText, ...])
JSON_LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines", "application/ndjson")
EXCEL = ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/vnd.ms-excel")


def read_codes(request: RawRequest) -> tuple[str, ...]:
    """The codes of an upload, in order; what they are is told by Content-Type.

    Raises:
        RequestRefused: another content type (415; XLSX is named), an unreadable body (400), rows that are no codes
            (422, each with its number, from 1), none at all, or more than 50,000.
    """
    kind = (request.header("content-type") or "application/json").partition(";")[0].strip().lower()
    if kind in EXCEL or request.body.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise invalid(
            "XLSX is not taken yet: save the sheet as CSV (UTF-8) and send that, or send JSON Lines.",
            FieldProblem("Content-Type", "XLSX is not taken yet"),
            code="xlsx_not_supported",
            status=415,
        )
    if kind in JSON_LINES:
        return _checked(_json_lines(request.body))
    if kind == "text/csv":
        return _checked(codes_of_csv(request.body))
    # curl -d says that JSON is a form; the body says what it is.
    if kind in ("application/json", "application/x-www-form-urlencoded"):
        if request.body.lstrip()[:1] == b"[":
            listed = read_json(request.body)
            return _checked([(f"/{position}", one) for position, one in enumerate(listed)])
        return read_model(request.body, UploadDocument).codes
    raise invalid(
        f"Codes come as application/json, application/x-ndjson or text/csv, not as {kind[:80]}.",
        FieldProblem("Content-Type", "is none of application/json, application/x-ndjson, text/csv"),
        code="media_type_unsupported",
        status=415,
    )


def codes_of_csv(body: bytes) -> list[tuple[str, object]]:
    """The column `code` of a CSV with a header row, or the only column of one without.

    Raises RequestRefused when it is not UTF-8 or no column can be told.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"The CSV is not UTF-8: byte {error.start}.", code="unreadable_body", status=400) from None
    try:
        numbered = list(enumerate(csv.reader(io.StringIO(text), strict=True), 1))
    except csv.Error as error:
        raise invalid(f"The CSV cannot be read: {error}.", code="unreadable_body", status=400) from None
    rows = [(number, row) for number, row in numbered if any(cell.strip() for cell in row)]
    if not rows:
        return []
    heads = [cell.strip().lower() for cell in rows[0][1]]
    if "code" in heads:
        column, rows = heads.index("code"), rows[1:]
    elif len(heads) == 1:
        column = 0
    else:
        raise invalid(
            "The CSV has several columns and none of them is named `code`.",
            FieldProblem("row 1", "no column is named `code`"),
        )
    return [(f"row {number}", row[column].strip() if column < len(row) else "") for number, row in rows]


def _json_lines(body: bytes) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            value = read_json(line)
            found.append((f"line {number}", value.get("code") if isinstance(value, dict) else value))
        if len(found) > MAX_ROWS:
            break
    return found


def _checked(rows: list[tuple[str, object]]) -> tuple[str, ...]:
    if not rows:
        raise invalid("There is no code in the body.", FieldProblem("", "holds no code"))
    if len(rows) > MAX_ROWS:
        raise invalid(f"At most {MAX_ROWS} codes go into one request.", FieldProblem("", f"at most {MAX_ROWS} codes"))
    values = tuple(value for _, value in rows)
    try:
        return CODES.validate_python(values, strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [FieldProblem(rows[int(one["loc"][0])][0], one["msg"]) for one in errors[:MAX_ERRORS]]
        raise invalid(
            f"{len(errors)} of {len(rows)} rows hold no usable code, the first in {problems[0].pointer}: "
            f"{problems[0].detail}.",
            *problems,
        ) from None
