"""All ways in which a JSON document can be wrong in one place, found from its JSON Schema.

    for mutation in mutations(schema, document):
        mutation.document      # a copy of `document` with one change
        mutation.pointer       # where, as a JSON pointer
        mutation.what          # the change in words

        mutation.allowed()     # whether the schema allows the change, looking at its place alone

Every field of the schema is tried, those that the document leaves out too, so that a new field needs no new test.
Whether a changed document as a whole is still valid is for the schema to say: `validator(schema).is_valid(...)`.
"""

import copy
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import jsonschema

FORMATS = jsonschema.FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def _is_an_instant(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


TEXTS: tuple[str, ...] = (
    "", "x", "0", "1", "true", "a\0b", "a\nb", "\x7f", "\u202eabc", "e\u0301", "\U0001f39f", "é" * 33, "x" * 65,
    "x" * 1_001, "' OR 1=1 --", "../..", "=1+1", "platform", "00000000-0000-0000-0000-000000000000",
    "0D9D1C8E-6F5B-5A0E-8F3E-2F1C7F6B9A11", "EUR", "XXX",
    "2026-03-10", "2026-02-30", "0001-01-01", "9999-12-31", "2026-03-10T12:00:00", "2026-03-10T12:00:00+23:59",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999-14:00", "2016-12-31T23:59:60Z",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (-1, 0, 1, 2, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 10**40, -(2**63), 0.5, 1.0, 1e308)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [None], [[]], {"a": {}}, ["x", "x"], {"kind": "x"})


@dataclass(frozen=True)
class Mutation:
    """One change of a document."""

    pointer: str
    what: str
    document: Any
    allowed: Callable[[], bool] = field(compare=False)

    def __str__(self) -> str:
        return f"{self.pointer or '/'} {self.what}"


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """What says whether a document is valid; instants are looked at too."""
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def mutations(schema: dict[str, Any], document: Any) -> Iterator[Mutation]:
    """Each change in turn, in the same order every time. `document` itself stays as it is."""
    for path, what, changed, allowed in _changed(schema, schema, document):
        yield Mutation("".join(f"/{part}" for part in path), what, changed, allowed)


Path = tuple[str | int, ...]
Change = tuple[Path, str, Any, Callable[[], bool]]
"""(where in a value, the change in words, what stands in the value's place, whether the schema allows it there)."""


def _changed(root: dict[str, Any], schema: Any, value: Any) -> Iterator[Change]:
    def change(path: Path, what: str, changed: Any) -> Change:
        return path, what, changed, partial(_allows, root, schema, changed)

    branches = list(_branches(root, schema))
    for other in (*_edges(branches, value), *TEXTS, *NUMBERS, *OTHERS):
        yield change((), f"is {_shown(other)}", other)
    if isinstance(value, dict):
        yield change(("unknown",), "is a member nobody knows", {**value, "unknown": 1})
        for branch in branches:
            yield from _members(root, branch, value)
    elif isinstance(value, list):
        for branch in branches:
            items = branch.get("items")
            if isinstance(items, dict):
                first = value[0] if value else sample(root, items)
                yield change((len(value),), "is a repetition", [*value, first])
                for path, what, changed, allowed in _changed(root, items, first):
                    yield (0, *path), what, [changed, *value[1:]], allowed


def _members(root: dict[str, Any], branch: dict[str, Any], value: dict[str, Any]) -> Iterator[Change]:
    known = branch.get("properties", {})
    required = branch.get("required", ())
    for name, inner in known.items():
        if name in value:
            left = {other: found for other, found in value.items() if other != name}
            yield (name,), "is missing", left, partial(operator.not_, name in required)
        found = value[name] if name in value else sample(root, inner)
        if name not in value:
            yield (name,), f"is {_shown(found)}", {**value, name: found}, partial(_allows, root, inner, found)
        for path, what, changed, allowed in _changed(root, inner, found):
            yield (name, *path), what, {**value, name: changed}, allowed
    extra = branch.get("additionalProperties")
    if isinstance(extra, dict):
        for name in ("", "a\0b", "x" * 41, "USD", "eur"):
            added = {**value, name: sample(root, extra)}
            yield (name,), "is a new member", added, partial(_allows, root, branch, added)
        for name, found in value.items():
            if name not in known:
                for path, what, changed, allowed in _changed(root, extra, found):
                    yield (name, *path), what, {**value, name: changed}, allowed


_validators: dict[int, tuple[Any, jsonschema.Draft202012Validator]] = {}
"""By the id of a place's schema, which is kept so that its id stays its own."""


def _allows(root: dict[str, Any], schema: Any, value: Any) -> bool:
    """Whether the schema of one place allows the value there."""
    if id(schema) not in _validators:
        _validators[id(schema)] = (schema, validator({"$defs": root.get("$defs", {}), **schema}))
    return bool(_validators[id(schema)][1].is_valid(value))


def _branches(root: dict[str, Any], schema: Any) -> Iterator[dict[str, Any]]:
    """The alternatives of a schema, references followed."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from _branches(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
        return
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    for alternative in alternatives:
        yield from _branches(root, alternative)
    if not alternatives:
        yield schema


def _edges(branches: list[dict[str, Any]], value: Any) -> list[Any]:
    """At the bounds and just outside of them."""
    made: list[Any] = []
    for schema in branches:
        for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if bound in schema:
                made += [schema[bound] - 1, schema[bound], schema[bound] + 1]
        if "minLength" in schema or "maxLength" in schema:
            lengths = {schema.get("minLength", 0) - 1, schema.get("minLength", 0)}
            most = schema.get("maxLength")
            made += ["x" * length for length in sorted(lengths | ({most, most + 1} if most else set())) if length >= 0]
        if "enum" in schema:
            made += [*schema["enum"], f"{schema['enum'][0]}x", str(schema["enum"][0]).upper()]
        if "const" in schema:
            made += [schema["const"], f"{schema['const']}x"]
        if isinstance(value, list) and value:
            for bound in ("minItems", "maxItems"):
                if schema.get(bound, 10_000) < 10_000:
                    made += [value[:1] * max(schema[bound] - 1, 0), value[:1] * (schema[bound] + 1)]
    return made


def sample(root: dict[str, Any], schema: Any) -> Any:
    """Some value the schema allows, patterns apart."""
    for branch in _branches(root, schema):
        if branch.get("default") is not None:
            return copy.deepcopy(branch["default"])
        if "const" in branch:
            return branch["const"]
        if "enum" in branch:
            return branch["enum"][0]
        match branch.get("type"):
            case "string":
                formats = {"uuid": "0d9d1c8e-6f5b-5a0e-8f3e-2f1c7f6b9a11", "date": "2026-03-10"}
                formats["date-time"] = "2026-03-10T12:00:00Z"
                return formats.get(branch.get("format", ""), "x" * max(branch.get("minLength", 1), 1))
            case "integer" | "number":
                return max(branch.get("minimum", 0), branch.get("exclusiveMinimum", -1) + 1)
            case "boolean":
                return True
            case "array":
                return [sample(root, branch.get("items", {}))] * max(branch.get("minItems", 1), 1)
            case "object":
                return {
                    name: sample(root, inner)
                    for name, inner in branch.get("properties", {}).items()
                    if name in branch.get("required", ())
                }
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}... ({len(text)} characters)"
