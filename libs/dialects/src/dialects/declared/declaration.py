"""The document in which a merchant's own API is declared: where its key stands, its operations, how fields map."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self

import jmespath
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from contracts.campaigns import Zone
from contracts.fields import Contract, Currency
from dialects.declared.growth import MOST_GROWTH, growth
from dialects.documents import DOCUMENTS, QUESTIONS, OperationName
from dialects.json_body import refused_fields
from dialects.protocol import FieldProblem, RequestRefused
from dialects.routes import Route, RouteTable

RESERVED = (
    "/merchant/",
    "/internal/",
    "/catalogue/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi",
    "/docs",
)
"""Paths the gateway keeps for itself."""

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,62}$", to_lower=True)]
Scalar = str | int | bool | None


def _compiles(text: str) -> str:
    compiled(text)
    return text


@lru_cache(maxsize=4_096)
def compiled(expression: str) -> Any:
    """The JMESPath expression, compiled. Raises ValueError."""
    try:
        made = jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        raise ValueError(f"{expression!r} is no JMESPath expression: {error}") from None
    if growth(made.parsed) > MOST_GROWTH:
        raise ValueError(f"{expression!r} could make more than {MOST_GROWTH} times of what it is given")
    return made


Expression = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class HeaderKey(Contract):
    """The terminal's key stands in a header of the merchant's choosing."""

    kind: Literal["header"]
    header: HeaderName


class BearerKey(Contract):
    """The terminal's key stands in `Authorization: Bearer`."""

    kind: Literal["bearer"]


class BasicKey(Contract):
    """HTTP Basic: the key's public id is the user, its secret the password."""

    kind: Literal["basic"]


Authentication = Annotated[HeaderKey | BearerKey | BasicKey, Field(discriminator="kind")]


class Money(Contract):
    """An amount of money: theirs in major units ("12.50") or minor ones, ours in minor units."""

    to: Literal["money"]
    unit: Literal["major", "minor"] = "major"
    decimal: Literal[".", ","] = "."


class Percent(Contract):
    """A share: theirs in percent, ours in basis points. `paid`: theirs says what is still paid (88 = 12 % off)."""

    to: Literal["percent"]
    paid: bool = False


class Date(Contract):
    """A day without a time, in strptime's words."""

    to: Literal["date"]
    format: Annotated[str, StringConstraints(min_length=2, max_length=40)] = "%Y-%m-%d"


class Moment(Contract):
    """A day and a time, in strptime's words; `zone` for those that name none."""

    to: Literal["datetime"]
    format: Annotated[str, StringConstraints(min_length=2, max_length=40)] | None = None
    """None: RFC 3339."""
    zone: Zone | None = None
    """None: the merchant's."""


class Enumeration(Contract):
    """Their words for ours."""

    to: Literal["enum"]
    words: Annotated[dict[str, str], Field(min_length=1, max_length=100)]


class Whole(Contract):
    """A whole number, also where it comes as text."""

    to: Literal["integer"]


class AsText(Contract):
    """Text, also where it comes as a number."""

    to: Literal["text"]


Conversion = Annotated[Money | Percent | Date | Moment | Enumeration | Whole | AsText, Field(discriminator="to")]


class Rule(Contract):
    """How one field is made: from an expression or as a constant, then converted."""

    source: Annotated[Expression | None, Field(alias="from")] = None
    value: Scalar = None
    """A constant."""
    default: Scalar = None
    """For what the expression does not find."""
    convert: Conversion | None = None

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if (self.source is None) == (self.value is None):
            raise ValueError("a rule needs either `from` (an expression) or `value` (a constant)")
        if self.source is not None:
            _compiles(self.source)
        return self


FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,4}$")]
RequestMapping = Annotated[dict[FieldName, Expression | Rule], Field(max_length=100)]
AnswerName = Annotated[str, StringConstraints(pattern=r"^[^\x00.]{1,60}(\.[^\x00.]{1,60}){0,4}$")]
AnswerMapping = Annotated[dict[AnswerName, Expression | Rule], Field(max_length=100)]


def as_rule(rule: str | Rule) -> Rule:
    """A rule; a bare expression is one that only reads."""
    return Rule.model_validate({"from": rule}) if isinstance(rule, str) else rule


class Answer(Contract):
    """How an answer is phrased."""

    status: Annotated[int, Field(ge=200, le=299)] = 200
    body: AnswerMapping | None = None
    """None: Scrip's own words."""


class Operation(Contract):
    """One operation of the merchant's API: what it is called there and how its fields map."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: Annotated[str, StringConstraints(pattern=r"^/[^\s?#]{0,200}$")]
    when: Expression | None = None
    """Where several operations share method and path: true for those requests that mean this one."""
    dry_run: Annotated[bool, Field(strict=True)] | Expression = False
    """Requests that only ask what would happen: all of them (true), or those for which the expression says so."""
    request: RequestMapping
    answer: Answer = Answer()

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for condition in (self.when, self.dry_run):
            if isinstance(condition, str):
                _compiles(condition)
        if self.dry_run in ("true", "false"):
            raise ValueError(f"dry_run: {self.dry_run!r} as text is an expression that looks for such a field")
        for rule in list(self.request.values()) + list((self.answer.body or {}).values()):
            if isinstance(rule, str):
                _compiles(rule)
        if self.path.startswith(RESERVED):
            raise ValueError(f"{self.path} is a path the gateway keeps for itself")
        return self


class Errors(Contract):
    """How a problem is phrased."""

    body: AnswerMapping | None = None
    """None: problem+json's members as plain JSON."""
    always_200: bool = False
    """For callers that look into the body only."""
    codes: Annotated[dict[str, str], Field(max_length=200)] = Field(default_factory=dict)
    """Their words for our codes, offered to the mapping as `word` (`code` where there is none)."""


class Declaration(Contract):
    """A merchant's own API."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    authentication: Authentication
    currency: Currency | None = None
    zone: Zone | None = None
    operations: Annotated[dict[OperationName, Operation], Field(min_length=1)]
    errors: Errors = Errors()

    @cached_property
    def table(self) -> RouteTable[tuple[OperationName, ...]]:
        """One route for each method and path; several operations may share it."""
        shared: dict[tuple[str, str], list[OperationName]] = {}
        for name, operation in self.operations.items():
            shared.setdefault((operation.method, operation.path), []).append(name)
        return RouteTable(Route(method, path, tuple(names)) for (method, path), names in shared.items())

    @model_validator(mode="after")
    def _fields_exist(self) -> Self:
        for name, operation in self.operations.items():
            known = field_names(name)
            for target in operation.request:
                if target.partition(".")[0] not in known:
                    allowed = ", ".join(sorted(known))
                    raise ValueError(f"operations.{name}.request: {name} has no field {target!r}; it has {allowed}")
            if operation.dry_run is not False and name in QUESTIONS:
                raise ValueError(f"operations.{name}.dry_run: {name} changes nothing; there is nothing to try")
        for rule in (self.errors.body or {}).values():
            if isinstance(rule, str):
                _compiles(rule)
        return self


OUTSIDE = frozenset({"request", "natural_key", "campaign", "campaign_key"})
"""Fields that say how a request is named, beside its document."""


def field_names(operation: OperationName) -> frozenset[str]:
    """The fields a request mapping of this operation may fill."""
    outside = OUTSIDE - {"request"} if operation in QUESTIONS else OUTSIDE
    return outside | set(DOCUMENTS[operation].model_fields)


DECLARATION: TypeAdapter[Declaration] = TypeAdapter(Declaration)


class DeclarationInvalid(Exception):
    """A profile document is not usable; `errors` point at each place."""

    def __init__(self, errors: tuple[FieldProblem, ...]) -> None:
        super().__init__("; ".join(f"{error.pointer or 'document'}: {error.detail}" for error in errors))
        self.errors = errors


def read_declaration(document: Any) -> Declaration:
    """A declaration from its JSON document. Raises DeclarationInvalid."""
    try:
        return DECLARATION.validate_python(document)
    except ValidationError as error:
        refused: RequestRefused = refused_fields(error, document)
        raise DeclarationInvalid(refused.problem.errors) from None
