"""Bodies in JSON: from bytes to values, refusing what JSON allows and nobody means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dialects.protocol import FieldProblem, RawAnswer, RequestRefused, invalid

MAX_DEPTH = 32
MAX_ERRORS = 100
Model = TypeVar("Model", bound=BaseModel)


def read_json(body: bytes) -> Any:
    """The value of a JSON body; numbers with a fraction come as Decimal, exactly.

    Raises:
        RequestRefused: not UTF-8, not JSON, a member twice in an object, NaN or Infinity, NUL or a lone surrogate in a
            string, or more than 32 levels deep.
    """
    if not body.strip():
        raise _unreadable("The request needs a JSON body; it came with none.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _unreadable(f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise _unreadable(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise _unreadable(f"The body is not usable JSON: {error}.") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise _unreadable(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if b"\\u" in body:
        _refuse_bad_text(value, "")
    return value


def read_model(body: bytes, model: type[Model]) -> Model:
    """The body as a document of this class. Raises RequestRefused with a pointer to each field that is wrong."""
    value = read_json(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise refused_fields(error, value) from None


def refused_fields(error: ValidationError, document: Any) -> RequestRefused:
    """What pydantic found wrong in `document`, as a refusal that points at fields and never repeats their content."""
    problems: dict[str, FieldProblem] = {}
    for found in error.errors(include_url=False, include_input=False):
        pointer = _pointer(found, document)
        problems.setdefault(pointer, FieldProblem(pointer, found["msg"].removeprefix("Value error, ")))
        if len(problems) == MAX_ERRORS:
            break
    first = next(iter(problems.values()))
    where = f"`{first.pointer}`: " if first.pointer else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return invalid(f"{where}{first.detail}{more}.", *problems.values())


def json_answer(status: int, value: Any, headers: Sequence[tuple[str, str]] = ()) -> RawAnswer:
    """An answer with a JSON body; characters outside ASCII stand as they are."""
    return RawAnswer(status, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), tuple(headers))


def _pointer(found: ErrorDetails, document: Any) -> str:
    """A JSON pointer into the document as it was sent: without the names pydantic gives to members of unions."""
    current: Any = document
    parts: list[str] = []
    loc = found["loc"]
    for position, part in enumerate(loc):
        inside = isinstance(current, dict) and part in current
        if inside or (isinstance(current, list) and isinstance(part, int) and part < len(current)):
            current = current[part]
        elif not (position == len(loc) - 1 and found["type"] == "missing"):
            continue
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    if found["type"] in ("union_tag_invalid", "union_tag_not_found"):  # the member that tells which one it is
        parts.append(str(found["ctx"]["discriminator"]).strip("'"))
    return "".join(f"/{part}" for part in parts)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return made


def _decimal(text: str) -> Decimal:
    try:
        made = Decimal(text)
    except InvalidOperation:
        raise ValueError("a number is out of range") from None
    if abs(made.adjusted()) > 100:
        raise ValueError("a number is out of range")
    return made


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_decimal, parse_constant=_no_constant)


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        if not any(isinstance(inner, dict | list) for inner in level):
            break
    return deepest


def _refuse_bad_text(value: Any, pointer: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise invalid(f"`{pointer}` holds the character NUL.", FieldProblem(pointer, "holds the character NUL"))
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise invalid(f"`{pointer}` holds half a character.", FieldProblem(pointer, "holds a lone surrogate"))
    elif isinstance(value, dict):
        for name, inner in value.items():
            _refuse_bad_text(name, pointer)
            _refuse_bad_text(inner, f"{pointer}/{name}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            _refuse_bad_text(inner, f"{pointer}/{position}")


def _unreadable(detail: str) -> RequestRefused:
    return invalid(detail, code="unreadable_body", status=400)
