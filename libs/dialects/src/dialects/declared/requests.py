"""Requests of a declared API as calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from contracts.fields import RequestNumber
from dialects.calls import Call, CampaignName
from dialects.declared.converters import NotConvertible
from dialects.declared.declaration import OUTSIDE, Declaration, HeaderKey, Operation, as_rule
from dialects.declared.mapping import NotMappable, canonical, found, is_true
from dialects.documents import DOCUMENTS, Named, OperationName
from dialects.json_body import read_json, refused_fields
from dialects.keys import read_key
from dialects.protocol import FieldProblem, Problem, Profile, RawRequest, RequestRefused, invalid, not_offered
from dialects.routes import query_of

NUMBER: TypeAdapter[str] = TypeAdapter(RequestNumber)


def parse(request: RawRequest, profile: Profile) -> Call:
    """What the request asks for. Raises RequestRefused."""
    declaration = declaration_of(profile)
    place = declaration.authentication
    if isinstance(place, HeaderKey) and not request.has(place.header):
        raise RequestRefused(
            Problem(
                "credential_misplaced",
                401,
                "Key in another place",
                f"In this API the key stands in the header {place.header}.",
            )
        )
    operations, parameters = declaration.table.find(request)
    source = source_of(request, parameters)
    for name in operations:
        operation = declaration.operations[name]
        if operation.when is None or is_true(operation.when, source):
            call = call_of(name, operation, source, profile)
            call.note.update(operation=name, source=source)
            return call
    raise not_offered("None of this API's operations at this path fits the request.", status=422)


def declaration_of(profile: Profile) -> Declaration:
    """The merchant's declaration. Raises RequestRefused where it has none."""
    if profile.declaration is None:
        raise RequestRefused(
            Problem("no_declaration", 409, "No declaration", "No API is declared for this merchant yet; ask our staff.")
        )
    return profile.declaration


def source_of(request: RawRequest, parameters: Mapping[str, str]) -> dict[str, Any]:
    """What expressions see: `body`, `path`, `query`, `header` (lower-case names, no keys). Raises RequestRefused."""
    return {
        "body": read_json(request.body) if request.body.strip() else {},
        "path": dict(parameters),
        "query": query_of(request, None),
        "header": {
            name: value
            for name, value in reversed(request.headers)
            if name != "authorization" and read_key(value) is None
        },
    }


def call_of(name: OperationName, operation: Operation, source: Any, profile: Profile) -> Call:
    """A request's fields translated, as a call. Raises RequestRefused, which points at the merchant's own fields."""
    declaration = declaration_of(profile)
    currency, zone = declaration.currency or profile.currency, declaration.zone or profile.zone
    try:
        made = canonical(operation.request, source, currency, zone)
    except NotMappable as error:
        problems = tuple(
            FieldProblem(problem.expression, f"{problem.detail} (for `{problem.field}`)") for problem in error.problems
        )
        raise invalid(f"`{problems[0].pointer}` {problems[0].detail}.", *problems) from None
    document_class = DOCUMENTS[name]
    campaign = _campaign(made.get("campaign"), made.get("campaign_key"))
    number = _number(made.get("request"), "request")
    if number is None and "request" in operation.request:
        raise _theirs(invalid("The request number is missing.", FieldProblem("/request", "is missing")), operation)
    named = Named(
        request=number,
        natural_key=_number(made.get("natural_key"), "natural_key"),
        campaign=campaign,
        dry_run=_is_dry_run(operation, source),
    )
    document = {
        field: value for field, value in made.items() if field in document_class.model_fields and field not in OUTSIDE
    }
    if name in ("publish", "generate"):
        document.setdefault("currency", currency)
        if isinstance(document.get("validity"), dict):
            document["validity"].setdefault("zone", zone)
    try:
        return document_class.model_validate_json(json.dumps(document, default=_decimal)).call(named)
    except ValidationError as error:
        raise _theirs(refused_fields(error, document), operation) from None


def _theirs(refused: RequestRefused, operation: Operation) -> RequestRefused:
    """A refusal whose pointers name the merchant's expressions instead of our fields, where there is one."""
    renamed: list[FieldProblem] = []
    for problem in refused.problem.errors:
        parts = problem.pointer.strip("/").split("/")
        names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        rule = next((operation.request[name] for name in names if name in operation.request), None)
        source = rule if isinstance(rule, str) else rule.source if rule is not None else None
        if source is None:
            renamed.append(problem)
        else:
            renamed.append(FieldProblem(source, f"{problem.detail} (for `{'.'.join(parts)}`)"))
    first = renamed[0]
    where = f"`{first.pointer}`: " if first.pointer else ""
    return RequestRefused(replace(refused.problem, detail=f"{where}{first.detail}.", errors=tuple(renamed)))


def _is_dry_run(operation: Operation, source: Any) -> bool:
    """Whether the request only asks what would happen. What is neither yes nor no is refused: it must not be done."""
    if isinstance(operation.dry_run, bool):
        return operation.dry_run
    try:
        said = found(as_rule(operation.dry_run), source)
    except NotConvertible:
        said = ""
    if said is None or said is False or said == "false":
        return False
    if said is True or said == "true":
        return True
    raise invalid(
        f"`{operation.dry_run}` must be true or false.", FieldProblem(operation.dry_run, "must be true or false")
    )


def _campaign(campaign: Any, key: Any) -> CampaignName | None:
    if campaign is None and key is None:
        return None
    if campaign is None:
        return CampaignName(natural_key=_number(key, "campaign_key"))
    try:
        return CampaignName(UUID(str(campaign)))
    except ValueError:
        raise invalid("`campaign` must be a campaign's id.", FieldProblem("/campaign", "must be an id")) from None


def _number(value: Any, field: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    try:
        return NUMBER.validate_python(value)
    except ValidationError:
        raise invalid(
            f"`{field}` must be text of 1 to 255 characters.",
            FieldProblem(f"/{field}", "must be text of 1 to 255 characters"),
        ) from None


def _decimal(value: Any) -> Any:
    # A number with a fraction is none of ours; as text it is refused where it stands, by name.
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    raise TypeError(type(value).__name__)
