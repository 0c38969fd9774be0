"""Eligibility: CEL expressions over a user's attributes and an order's facts. The only module that knows the library.

Deterministic: no clock, no randomness, and no maps, whose order the library does not keep. Bounded: the contract bounds
the expression's length and users' attributes, `rule_cost` what it does with them, and patterns match in linear time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from contracts.campaigns import AttributeType, Eligibility
from contracts.commands import Attributes, OrderItem
from contracts.fields import PLATFORM
from contracts.refusals import (
    AttributeMismatch,
    AttributeMissing,
    AttributeNotExpected,
    EligibilityFailed,
    EligibilityInvalid,
    NotEligible,
    OrderAmountRequired,
    Refusal,
)
from coupon_core.model.refused import Refused
from coupon_core.model.rule_cost import loop_names, too_dear

if TYPE_CHECKING:
    import cel

ORDER_FACTS: dict[str, AttributeType] = {"amount": "int", "items": "strings"}
"""Known at redemption: the order's amount in minor units and the names of its items."""
FACTS: dict[str, AttributeType] = {"user": "string", **ORDER_FACTS}
MOST_SAMPLES = 400
TEXT = re.compile(r'"([^"\\]*)"|' + r"'([^'\\]*)'")
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)")
GREATEST = 2**53
Value = str | int | float | bool | list[str]
Values = dict[str, Value]


def check_rule(rule: Eligibility, party: str = PLATFORM) -> None:
    """Try a rule before a campaign is made of it: it must compile, know its names, and give a bool for typed samples.

    The library compiles `1 + "a" == 2` without complaint: what does not fit together shows only when it runs.

    Raises:
        Refused: `eligibility_invalid`, with what is wrong.
    """
    if rule.users_of is not None and (rule.users_of == PLATFORM or party not in (PLATFORM, rule.users_of)):
        raise _invalid("users_of names a merchant: the platform any, a merchant itself alone")
    declared = {**rule.attributes, **FACTS}
    dear = too_dear(rule.expression, [name for name, kind in declared.items() if kind == "strings"])
    if dear is not None:
        raise _invalid(dear)
    bound = loop_names(rule.expression)
    try:
        names = set(_program(rule.expression).variables())
    except ValueError as error:
        raise _invalid(str(error)) from None
    for name in rule.attributes:
        if name in FACTS or name in bound:
            raise _invalid(f"{name} is taken and cannot be an attribute")
        if name not in names:
            raise _invalid(f"the attribute {name} is declared and not asked for")
    unknown = sorted(names - declared.keys() - set(bound))
    if unknown:
        raise _invalid(f"{unknown[0]} is neither declared nor one of {', '.join(FACTS)}")
    if rule.applies_at != "redeem":
        for name in ORDER_FACTS:
            if name in names:
                raise _invalid(f"{name} is of the order, which is known at redemption only")
    _try_samples(rule.expression, {name: declared[name] for name in sorted(names & declared.keys())})


def why_not_eligible(
    rule: Eligibility | None,
    attributes: Attributes | None,
    *,
    user: str | None,
    users_of: str | None,
    explained: bool = True,
    amount: int | None = None,
    items: Sequence[OrderItem] = (),
) -> Refusal | None:
    """Why the rule does not let this user have or use a coupon; None: it does, or there is no rule.

    `users_of`: whose synced users the attributes are of, for who looks them up. Not `explained`: the refusal does not
    say what they are, because it goes to somebody who may not know.
    """
    given = attributes or {}
    for name in given:
        if rule is None or name not in rule.attributes:
            return AttributeNotExpected(attribute=name)
    if rule is None:
        return None
    missing = sorted(rule.attributes.keys() - given.keys())
    if missing:
        return AttributeMissing(attribute=missing[0], missing=missing, user=user, users_of=users_of)
    values: Values = {}
    for name in sorted(rule.attributes):
        value = _typed(given[name], rule.attributes[name])
        if value is None:
            return AttributeMismatch(attribute=name, expected=rule.attributes[name], found=_kind(given[name]))
        values[name] = value
    program = _program(rule.expression)
    names = _variables(rule.expression)
    if "amount" in names:
        if amount is None:
            return OrderAmountRequired()
        values["amount"] = amount
    if "items" in names:
        values["items"] = [item.item for item in items]
    if "user" in names:
        values["user"] = user or ""
    allowed = _run(program, values)
    if allowed is True:
        return None
    shown = values if explained else {name: value for name, value in values.items() if name in FACTS}
    if allowed is False:
        return NotEligible(expression=rule.expression, values=shown)
    return EligibilityFailed(expression=rule.expression, values=shown)


def _invalid(detail: str) -> Refused:
    return Refused(EligibilityInvalid(detail=" ".join(detail.split())[:300]))


@lru_cache(maxsize=4_096)
def _program(expression: str) -> cel.Program:
    """The compiled expression. Raises ValueError with the library's words."""
    import cel  # brings a command line with it, which nobody waits for who has no rules

    return cel.compile(expression)


@lru_cache(maxsize=4_096)
def _variables(expression: str) -> frozenset[str]:
    return frozenset(_program(expression).variables())


class _Failure:
    """What a run came to that gave no value."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _run(program: cel.Program, values: Mapping[str, Value]) -> object:
    """The expression's value, or a _Failure."""
    try:
        return program.execute(dict(values))
    except Exception as error:
        return _Failure(error)
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":  # a panic of the library's own: its bug, not ours to die of
            raise
        return _Failure(error)


def _try_samples(expression: str, declared: Mapping[str, AttributeType]) -> None:
    program, told = _program(expression), 0
    for values in _samples(expression, declared):
        value = _run(program, values)
        if isinstance(value, bool):
            told += 1
        elif not isinstance(value, _Failure):
            raise _invalid(f"it must say true or false and gives {_kind(value)} for {values}")
        elif isinstance(value.error, TypeError) or "Undefined" in str(value.error):
            raise _invalid(f"for {values} it fails: {value.error}")
    if not told:
        raise _invalid("it fails for every value that was tried")


def _samples(expression: str, declared: Mapping[str, AttributeType]) -> list[Values]:
    """Values of the types declared, in many combinations: common ones, and those around what the expression names.

    Where the expression says `age > 18 && …`, both 18 and 19 are tried, so that what comes after is run too.
    """
    texts = [one or other for one, other in TEXT.findall(expression)]
    numbers = [float(number) for number in NUMBER.findall(TEXT.sub("", expression))]
    whole = sorted({0, 1, *(int(n) + step for n in numbers if n < GREATEST for step in (-1, 0, 1))})
    of_type: dict[AttributeType, Sequence[Value]] = {
        "string": list(dict.fromkeys(["", "a", *texts])),
        "int": list(whole),
        "double": [float(n) for n in whole] + [n for n in numbers if n < GREATEST and not n.is_integer()],
        "bool": [False, True],
        "strings": [[], ["a"], *([text] for text in texts)],
    }
    choices = {name: of_type[kind] for name, kind in declared.items()}
    count = math.prod(len(values) for values in choices.values())
    # With more combinations than are tried, a stride that shares no factor visits them evenly.
    stride = next(step for step in range(count // MOST_SAMPLES + 1, count + 2) if math.gcd(step, count) == 1)
    return list(islice((_combination(choices, number * stride % count) for number in range(count)), MOST_SAMPLES))


def _combination(choices: Mapping[str, Sequence[Value]], number: int) -> Values:
    chosen: Values = {}
    for name, values in choices.items():
        number, place = divmod(number, len(values))
        chosen[name] = values[place]
    return chosen


def _typed(value: object, kind: AttributeType) -> Value | None:
    """The value as its declared type; None: it is of another one. 3 and 3.0 are the same in JSON."""
    match kind:
        case "string":
            return value if isinstance(value, str) else None
        case "bool":
            return value if isinstance(value, bool) else None
        case "int":
            if isinstance(value, float) and value.is_integer() and abs(value) <= GREATEST:
                return int(value)
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        case "double":
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "strings":
            return [str(one) for one in value] if isinstance(value, tuple | list) else None


def _kind(value: object) -> str:
    names = {str: "string", bool: "bool", int: "int", float: "double", list: "strings", tuple: "strings"}
    return names.get(type(value), type(value).__name__)
