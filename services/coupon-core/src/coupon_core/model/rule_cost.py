"""What a rule may cost: an expression is refused that could keep a lane busy, whatever users' attributes hold.

The library bounds nothing: `tags.map(x, tags.map(y, x + y))` over the 100 texts an attribute may hold takes a second, a
pattern is compiled each time it is matched, and a bulk command asks 500 times while all else waits. What is allowed
stays below some 3 ms, and each pattern at about one at most: what it comes to is bounded, and the text adds little.
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
"""Characters, and what they come to with each `{n}` written out, a class as one: so many `.` of plain ASCII without
backslash take 0.4 ms to compile and match, the dearest classes 1 ms, whatever the text; `.{999}` takes 4 ms,
`(.{99}){99}` 45, `\\w` forty times 20."""
BUILDS_LISTS = frozenset({"map", "filter"})
TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")
MATCHES = re.compile(r"\bmatches\b")
MATCHES_TEXT = re.compile(r"\.\s*matches\s*\(\s*(''|\"\")\s*\)")
TOKEN = re.compile(
    r"(?P<set>\[\^?\]?(?:\[:\^?[a-z]+:\]|[^\[\]])*\])"
    r"|\{ *(?P<least>[0-9]*) *(?P<open_end>,?) *(?P<most>[0-9]*) *\}"
    r"|(?P<other>[^\[\]{}])"
)
IGNORES_SPACE = re.compile(r"\(\?[A-Za-z-]*x")
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
        size = written_out(pattern)
        if size is None:
            return "a pattern repeats with {n}, {n,} or {n,m}, holds no class within a class and no (?x)"
        if size > LONGEST_PATTERN:
            return (
                f"a pattern comes to {LONGEST_PATTERN} places at most, all that it repeats written out; this to {size}"
            )
    return None


def written_out(pattern: str) -> int | None:
    """Characters of a pattern with what it counts written out, a class as one; None: it holds what is not counted here.

    Of what the library would refuse it may be any number."""
    if IGNORES_SPACE.search(pattern):
        return None
    place = size = last = 0
    around: list[int] = []  # what stood before each parenthesis that is open
    while place < len(pattern):
        token = TOKEN.match(pattern, place)
        if token is None:
            return None
        place = token.end()
        if token["least"] is not None:
            times = max(int(token["least"] or 0) + bool(token["open_end"]), int(token["most"] or 0))
            size, last = size - last + last * times, last * times
        elif token[0] == "(":
            around.append(size)
            size, last = 0, 0
        elif token[0] == ")" and around:
            last = size + 2
            size = around.pop() + last
        elif token[0] in "?*+":
            size, last = size + 1, last + 1
        else:
            size, last = size + 1, 1
    return size + sum(around)
