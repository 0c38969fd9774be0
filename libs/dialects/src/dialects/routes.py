"""From method and path to the operation; from the query to its parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, unquote

from dialects.protocol import FieldProblem, Problem, RawRequest, RequestRefused, invalid

MAX_PARAMETERS = 50
Operation = TypeVar("Operation")


@dataclass(frozen=True)
class Route(Generic[Operation]):
    """A method and a path such as `/v1/campaigns/{campaign}`; `operation` is what to do."""

    method: str
    path: str
    operation: Operation


class RouteTable(Generic[Operation]):
    """Routes, indexed once by their length and last part. Those that end in a word come before placeholders."""

    def __init__(self, routes: Iterable[Route[Operation]]) -> None:
        self._index: dict[tuple[int, str | None], list[tuple[list[str], Route[Operation]]]] = {}
        for route in routes:
            segments = route.path.split("/")
            last = None if segments[-1].startswith("{") else segments[-1]
            self._index.setdefault((len(segments), last), []).append((segments, route))

    def find(self, request: RawRequest) -> tuple[Operation, dict[str, str]]:
        """The operation the request names and the values in its path, unescaped.

        Raises:
            RequestRefused: no such path (404), another method than this path has (405), or a path that is not UTF-8.
        """
        segments = [_unescaped(segment) for segment in request.path.split("/")]
        methods: list[str] = []
        for last in (segments[-1], None):
            for pattern, route in self._index.get((len(segments), last), ()):
                values = _match(pattern, segments)
                if values is not None:
                    if route.method == request.method:
                        return route.operation, values
                    methods.append(route.method)
        if methods:
            allowed = ", ".join(dict.fromkeys(methods))
            raise RequestRefused(
                Problem(
                    "method_not_allowed",
                    405,
                    "Method not allowed",
                    f"This path takes {allowed}.",
                    facts={"allow": allowed},
                )
            )
        raise RequestRefused(Problem("not_found", 404, "Not found", "This API has nothing at this path."))


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    """The values of the placeholders, or None where the path is another one."""
    values: dict[str, str] = {}
    for mine, segment in zip(pattern, segments, strict=True):
        if mine.startswith("{"):
            if not segment:
                return None
            values[mine[1:-1]] = segment
        elif mine != segment:
            return None
    return values


def query_of(request: RawRequest, known: Iterable[str] | None) -> dict[str, str]:
    """The query's parameters, unescaped.

    Raises:
        RequestRefused: a parameter stands there twice, is none of `known` (None: any), or cannot be read.
    """
    if not request.query:
        return {}
    try:
        pairs = parse_qsl(
            request.query,
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except (ValueError, UnicodeDecodeError):
        raise invalid("The query cannot be read: it is not UTF-8, or has too many parameters.", status=400) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise invalid(
                f"The parameter `{name}` stands in the query twice.", FieldProblem(name, "stands there twice")
            )
        if "\0" in value:
            raise invalid(f"The parameter `{name}` holds the character NUL.", FieldProblem(name, "holds NUL"))
        found[name] = value
    if known is not None:
        for name in found.keys() - set(known):
            takes = ", ".join(sorted(known)) or "none"
            raise invalid(
                f"There is no parameter `{name}` here; this operation takes {takes}.",
                FieldProblem(name, "is not known here"),
            )
    return found


def whole_number(query: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """A parameter that is a whole number within bounds. Raises RequestRefused."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and least <= int(text) <= most):
        raise invalid(
            f"`{name}` must be a whole number from {least} to {most}.",
            FieldProblem(name, f"must be a whole number from {least} to {most}"),
        )
    return int(text)


def _unescaped(segment: str) -> str:
    if "%" not in segment and segment.isascii() and "\0" not in segment:
        return segment
    try:
        text = unquote(segment.encode("latin-1").decode("utf-8"), errors="strict")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise invalid("The path cannot be read: it is not UTF-8.", status=400) from None
    if "\0" in text:
        raise invalid("The path holds the character NUL.", status=400)
    return text
