"""From a merchant's request to a canonical document, and from a canonical answer to the merchant's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import jmespath

from dialects.declared.converters import NotConvertible, to_ours, to_theirs
from dialects.declared.declaration import Rule, as_rule, compiled
from dialects.declared.growth import is_too_large


@dataclass(frozen=True, slots=True)
class MappingProblem:
    """A field that could not be made: its name in the target, the expression, and why."""

    field: str
    expression: str
    detail: str


class NotMappable(Exception):
    """At least one field could not be made."""

    def __init__(self, problems: tuple[MappingProblem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.detail}" for problem in problems))
        self.problems = problems


def canonical(mapping: Mapping[str, str | Rule], source: Any, currency: str, zone: str) -> dict[str, Any]:
    """The canonical document of a request; what an expression does not find and has no default is left out.

    Raises NotMappable with every field that could not be made.
    """
    made: dict[str, Any] = {}
    problems: list[MappingProblem] = []
    for name, rule in ((name, as_rule(rule)) for name, rule in mapping.items()):
        try:
            value = found(rule, source)
            if value is not None and rule.convert is not None and rule.source is not None:
                value = to_ours(rule.convert, value, currency, zone)
        except NotConvertible as error:
            problems.append(MappingProblem(name, rule.source or "a constant", str(error)))
            continue
        if value is not None:
            _put(made, name, value)
    if problems:
        raise NotMappable(tuple(problems))
    return made


def phrased(mapping: Mapping[str, str | Rule], source: Any, currency: str, zone: str) -> dict[str, Any]:
    """An answer in the merchant's words; what an expression does not find stands there as null."""
    made: dict[str, Any] = {}
    for name, rule in ((name, as_rule(rule)) for name, rule in mapping.items()):
        value = None
        try:
            value = found(rule, source)
            if value is not None and rule.convert is not None and rule.source is not None:
                value = to_theirs(rule.convert, value, currency, zone)
        except NotConvertible:
            # An answer is never lost because a word for it is missing: it stands as it is.
            pass
        _put(made, name, _plain(value))
    return made


def found(rule: Rule, source: Any) -> Any:
    """What a rule's expression finds, its default, or its constant. Raises NotConvertible."""
    if rule.source is None:
        return rule.value
    try:
        value = compiled(rule.source).search(source)
    except jmespath.exceptions.JMESPathError as error:
        raise NotConvertible(f"the expression cannot be applied: {str(error)[:200]}") from None
    if is_too_large(value):
        raise NotConvertible("the expression makes too much of it")
    return rule.default if value is None else value


def is_true(expression: str, source: Any) -> bool:
    """Whether a condition holds; one that cannot be applied does not."""
    try:
        return compiled(expression).search(source) is True
    except jmespath.exceptions.JMESPathError:
        return False


def _put(document: dict[str, Any], name: str, value: Any) -> None:
    *outer, last = name.split(".")
    for part in outer:
        inner = document.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        document = inner
    document[last] = value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    return value
