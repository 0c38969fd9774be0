"""What a rule may cost: an expression is refused that could keep a lane busy, whatever users' attributes hold.

The library bounds nothing: `tags.map(x, tags.map(y, x + y))` over the 100 texts an attribute may hold takes a second, a
pattern is compiled each time it is matched, and a bulk command asks 500 times while all else waits. What is allowed
stays below some 3 ms.
"""

from __future__ import annotations

import re
from collections.abc import Collection

LOOP = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter)\s*\(\s*(\w+)\s*,")
MOST_LOOPS = 2
MOST_WITH_LOOPS = 300
"""Characters of an expression that goes through a list: it is worked through up to 100 times."""
MOST_LISTS = 8
"""Times a list is named: each costs as much as going through it."""
MOST_PLUS = 20
"""Texts and lists grow by it."""
MOST_PATTERNS = 2
LONGEST_PATTERN = 60
"""Characters; of plain ASCII without backslash it compiles in half a millisecond, `\\w` forty times takes twenty."""
BUILDS_LISTS = frozenset({"map", "filter"})
TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")
MATCHES = re.compile(r"\bmatches\b")
MATCHES_TEXT = re.compile(r"\.\s*matches\s*\(\s*(''|\"\")\s*\)")
PATTERN = re.compile(r"\.\s*matches\s*\(\s*('[^']*'|\"[^\"]*\")\s*\)")


def loop_names(expression: str) -> list[str]:
    """The names that loops over lists give to what they look at."""
    return [name for _, name in LOOP.findall(expression)]


def too_dear(expression: str, lists: Collection[str]) -> str | None:
    """Why the rule could cost too much; None: it cannot. `lists` are the names of lists it may use."""
    if "\\" in expression or "'''" in expression or '"""' in expression:
        return "it must hold no backslash and no text in triple quotes"
    code = TEXT.sub(lambda text: text[0][0] * 2, expression)
    loops = list(LOOP.finditer(code))
    if "{" in code:
        return "it must hold no {: maps have no order, and what depends on one could differ"
    if len(loops) > MOST_LOOPS:
        return f"it goes through lists {len(loops)} times; {MOST_LOOPS} times at most"
    if loops:
        why_not = _loops_too_dear(code, loops, len(expression))
        if why_not is not None:
            return why_not
    named = sum(len(re.findall(rf"\b{name}\b", code)) for name in lists)
    if named > MOST_LISTS:
        return f"it names lists {named} times; {MOST_LISTS} times at most"
    if code.count("+") > MOST_PLUS:
        return f"it adds {code.count('+')} times; {MOST_PLUS} times at most"
    return _patterns_too_dear(expression, code)


def _loops_too_dear(code: str, loops: list[re.Match[str]], length: int) -> str | None:
    if length > MOST_WITH_LOOPS:
        return f"what goes through a list has {MOST_WITH_LOOPS} characters at most"
    for loop in loops:
        if loop[1] in BUILDS_LISTS:
            return f"{loop[1]} builds a list; exists and all ask of one"
    if len(loops) > 1 and loops[1].start() < _end_of(code, loops[0].end()):
        return "it goes through a list for each of another; one after the other is possible"
    if "+" in code:
        return "what goes through a list must not add (+): texts and lists would grow each time"
    if MATCHES.search(code):
        return "what goes through a list must not match patterns"
    return None


def _end_of(code: str, inside: int) -> int:
    """Where the parenthesis ends in which this place is."""
    depth = 1
    for place in range(inside, len(code)):
        depth += (code[place] == "(") - (code[place] == ")")
        if depth == 0:
            return place
    return len(code)


def _patterns_too_dear(expression: str, code: str) -> str | None:
    patterns = [text[1:-1] for text in PATTERN.findall(expression)]
    count = len(MATCHES.findall(code))
    if count != len(MATCHES_TEXT.findall(code)) or count > MOST_PATTERNS:
        return f"matches takes a text that stands there, {MOST_PATTERNS} times at most"
    for pattern in patterns:
        if len(pattern) > LONGEST_PATTERN or not pattern.isascii():
            return f"a pattern has {LONGEST_PATTERN} characters of ASCII at most"
    return None
