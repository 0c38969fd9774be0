"""May the new schema of a record take the place of the old one? What breaks is named.

What was ever written must stay readable: a record valid under the old schema is valid under the new one and says the
same. Whoever reads what we emit must find what was promised: what always stood there still stands there, in the same
type. Anything else is a new type with a new version.

Knows the part of JSON Schema that the contracts' models produce; a keyword it does not know must stay as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
WORDS = frozenset({"title", "description", "examples", "$defs", "$schema", "$id", "$comment", "discriminator"})
"""Keywords that forbid nothing."""
COMPARED = frozenset(
    {
        *LOWER_BOUNDS,
        *UPPER_BOUNDS,
        *("type", "const", "enum", "format", "default", "anyOf", "oneOf", "$ref"),
        *("properties", "required", "additionalProperties", "items", "prefixItems", "propertyNames"),
    }
)


def breaking_changes(old: Schema, new: Schema, *, emitted: bool) -> list[str]:
    """Sentences naming each breaking change. `emitted`: others read these records; else we alone do."""
    return list(_Comparison(old, new, emitted).node("the record", old, new))


class _Comparison:
    def __init__(self, old: Schema, new: Schema, emitted: bool) -> None:
        self.old_definitions: Schema = old.get("$defs", {})
        self.new_definitions: Schema = new.get("$defs", {})
        self.emitted = emitted

    def node(self, at: str, old: Schema, new: Schema) -> Iterator[str]:
        """Two subschemas for the same place. Each is taken as a choice of alternatives, told apart by `_kind`."""
        before = {_kind(node): node for node in _alternatives(old, self.old_definitions)}
        after = {_kind(node): node for node in _alternatives(new, self.new_definitions)}
        if "default" in old and old["default"] != new.get("default", old["default"]):
            yield f"{at}: the default changed from {old['default']!r} to {new['default']!r}"
        for kind, node in before.items():
            same = after.get(kind) or after.get(("any",))
            if same is None and kind == ("integer",) and not self.emitted:
                same = after.get(("number",))
            if same is None:
                yield f"{at}: {_named(kind)} is no longer allowed"
            else:
                yield from self._alternative(at, node, same)
        if self.emitted:
            for kind in after.keys() - before.keys():
                if ("any",) not in before:
                    yield f"{at}: {_named(kind)} came to what readers may meet"

    def _alternative(self, at: str, old: Schema, new: Schema) -> Iterator[str]:
        yield from _values(at, old, new)
        yield from _bounds(at, old, new)
        for keyword in sorted((old.keys() | new.keys()) - COMPARED - WORDS):
            if keyword in new and old.get(keyword) != new[keyword]:
                yield f"{at}: {keyword} is another one now"
        yield from self._object(at, old, new)
        for keyword, part in (("items", "each item"), ("propertyNames", "each name")):
            if keyword in new:
                yield from self.node(f"{at}, {part}", old.get(keyword, {}), new[keyword])
        if "prefixItems" in old or "prefixItems" in new:
            if len(old.get("prefixItems", [])) != len(new.get("prefixItems", [])):
                yield f"{at}: it has another number of items"
            for place, (one, other) in enumerate(
                zip(old.get("prefixItems", []), new.get("prefixItems", []), strict=False)
            ):
                yield from self.node(f"{at}, item {place}", one, other)

    def _object(self, at: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{at}: the property {name!r} was removed"
            else:
                yield from self.node(f"{at}, {name!r}", before[name], after[name])
        for name in new.get("required", []):
            if name not in old.get("required", []):
                yield f"{at}: the property {name!r} is required now and was not before"
        if self.emitted:
            for name in old.get("required", []):
                if name in after and name not in new.get("required", []):
                    yield f"{at}: the property {name!r} may be missing now and always stood there before"
        others_before, others_after = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if isinstance(others_before, dict) and isinstance(others_after, dict):
            yield from self.node(f"{at}, each property", others_before, others_after)
        elif others_before is not False and others_after is not True:
            yield f"{at}: other properties are no longer allowed"


def _alternatives(node: Schema, definitions: Schema) -> Iterator[Schema]:
    if "$ref" in node:
        yield from _alternatives(definitions[node["$ref"].removeprefix("#/$defs/")], definitions)
    elif "anyOf" in node or "oneOf" in node:
        for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            yield from _alternatives(choice, definitions)
    elif isinstance(node.get("type"), list):
        for kind in node["type"]:
            yield {**node, "type": kind}
    else:
        yield node


def _kind(node: Schema) -> tuple[str, ...]:
    """What tells the alternatives of one place apart: the type, the format, and the `kind` of an object."""
    if "type" not in node and "const" not in node and "enum" not in node:
        return ("any",)
    fixed = node.get("const", next(iter(node.get("enum", ())), None))
    kind = node.get("type") or {bool: "boolean", int: "integer", str: "string"}.get(type(fixed), "null")
    if kind == "object":
        named = node.get("properties", {}).get("kind", {}).get("const")
        return ("object",) if named is None else ("object", str(named))
    return (kind, node["format"]) if "format" in node else (kind,)


def _named(kind: tuple[str, ...]) -> str:
    return " ".join(kind) if kind != ("any",) else "any value"


def _values(at: str, old: Schema, new: Schema) -> Iterator[str]:
    """A fixed list of values may grow (readers must expect that), never shrink."""

    def allowed(node: Schema) -> list[Any] | None:
        return [node["const"]] if "const" in node else node.get("enum")

    before, after = allowed(old), allowed(new)
    if after is None:
        return
    if before is None:
        yield f"{at}: only {_listed(after)} may stand here now"
        return
    gone = [value for value in before if value not in after]
    if gone:
        yield f"{at}: {_listed(gone)} may no longer stand here"


def _listed(values: list[Any]) -> str:
    return ", ".join(repr(value) for value in values)


def _bounds(at: str, old: Schema, new: Schema) -> Iterator[str]:
    for keyword in LOWER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{at}: {keyword} rose to {new[keyword]}"
    for keyword in UPPER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{at}: {keyword} fell to {new[keyword]}"
