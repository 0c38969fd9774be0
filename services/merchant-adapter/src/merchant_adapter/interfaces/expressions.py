"""JMESPath from a profile: selection without loops, and bounded so that no expression can blow up a reply."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.parser import ParsedResult
from pydantic import AfterValidator, StringConstraints

MAX_COPIES = 64


class DoesNotFit(Exception):
    """An expression met a value it cannot be applied to (a function got another type than it takes)."""


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> ParsedResult:
    return jmespath.compile(expression)


def evaluate(expression: str, value: Any) -> Any:
    """The expression's value.

    Raises:
        DoesNotFit: it cannot be applied; the message quotes neither the expression nor the value.
    """
    try:
        return _compiled(expression).search(value)
    except (JMESPathError, TypeError, ValueError, RecursionError) as reason:
        raise DoesNotFit(type(reason).__name__) from reason


def _bounded(expression: str) -> str:
    try:
        tree = _compiled(expression).parsed
    except (JMESPathError, RecursionError) as reason:
        raise ValueError(f"is not a JMESPath expression: {reason}") from None
    if unknown := _functions(tree) - Functions.FUNCTION_TABLE.keys():
        raise ValueError(f"uses {', '.join(sorted(unknown))}, which JMESPath does not have")
    if _copies(tree) > MAX_COPIES:
        raise ValueError(f"could copy its input more than {MAX_COPIES} times; make it simpler")
    return expression


def _functions(tree: Mapping[str, Any]) -> set[str]:
    named = {tree["value"]} if tree["type"] == "function_expression" else set()
    return named.union(*(_functions(child) for child in tree["children"] if isinstance(child, dict)))


def _copies(tree: Mapping[str, Any]) -> int:
    """At most how many times the value of this expression can hold its whole input.

    JMESPath has no loops, but `[@, @] | [@, @] | …` doubles with each step: 30 steps would fill any memory.
    """
    if tree["type"] in ("literal", "field", "index", "slice", "current", "identity", "comparator", "not_expression"):
        return 1
    inside = [_copies(child) for child in tree["children"]]
    match tree["type"]:
        case "subexpression" | "pipe" | "index_expression" | "projection" | "value_projection":
            return _product(inside)
        case "filter_projection":  # source, what is done with each, condition
            return _product(inside[:2])
        case "function_expression" if any(child["type"] == "expref" for child in tree["children"]):
            return max(1, _product(inside))
        case _:  # lists, hashes, functions, and, or, flatten, expression references
            return max(1, sum(inside))


def _product(numbers: list[int]) -> int:
    product = 1
    for number in numbers:
        product = min(product * number, MAX_COPIES + 1)
    return product


Expression = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_bounded)]
