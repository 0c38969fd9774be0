"""How much an expression may multiply what it is given.

JMESPath has no loops, and still `[@,@] | [@,@] | …` doubles its input with every eight characters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

MOST_GROWTH = 100
"""So many times what was given, at most."""
MOST_PIECES = 500_000
"""Elements and members of all lists and objects of one result: as many as a body of 1 MiB can hold."""
SUMS = frozenset({"multi_select_list", "multi_select_dict", "and_expression", "or_expression", "comparator"})
EACH = frozenset({"projection", "value_projection", "filter_projection"})
"""What is done for each element: a literal there is made as often."""
ESCAPED = 6
"""`to_string` writes one character as six at most."""

Node = Mapping[str, Any]


def growth(expression: Node, *, for_each: bool = False) -> int:
    """An upper bound of (size of the result) / (size of what is given). `expression`: as JMESPath parsed it."""
    kind: str = expression["type"]
    children = [child for child in expression["children"] if isinstance(child, dict)]
    if kind == "literal":
        return max(1, len(json.dumps(expression["value"]))) if for_each else 1
    inner = [growth(child, for_each=for_each or (kind in EACH and place > 0)) for place, child in enumerate(children)]
    if kind in SUMS:
        return max(1, sum(inner))
    if kind == "function_expression":
        return _of_function(str(expression["value"]), children, inner)
    return prod(inner)


def _of_function(name: str, arguments: Sequence[Node], inner: list[int]) -> int:
    if name == "map":
        return prod(inner)
    if name == "join" and arguments:
        # What stands between the texts comes once for each of them.
        if arguments[0]["type"] != "literal":
            return MOST_GROWTH + 1
        return sum(inner) + len(json.dumps(arguments[0]["value"]))
    return max(1, sum(inner)) * (ESCAPED if name == "to_string" else 1)


def is_too_large(value: Any) -> bool:
    """Whether a result has more than `MOST_PIECES` pieces. What stands in it several times counts each time."""
    waiting, pieces = [value], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            pieces += len(one)
            if pieces > MOST_PIECES:
                return True
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return False
