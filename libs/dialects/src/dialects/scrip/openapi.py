"""The part of the OpenAPI 3.1 document that describes `scrip`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic.json_schema import models_json_schema

from dialects.documents import DOCUMENTS, QUESTIONS, OperationName
from dialects.scrip.requests import CAMPAIGN_STATES, COUPON_STATES, EXPORTS, MAX_CAMPAIGNS_PAGE, MAX_PAGE, PREFIX

Item = dict[str, Any]

COMMANDS: tuple[tuple[str, str, OperationName, str], ...] = (
    ("post", "/campaigns", "publish", "Publish a campaign of the merchant's own"),
    ("post", "/campaigns/generate", "generate", "Order a campaign whose codes Scrip makes"),
    ("post", "/campaigns/{campaign}/activate", "activate", "Bring a draft's codes into being"),
    ("post", "/campaigns/{campaign}/amend", "amend", "Change a campaign's terms"),
    ("post", "/campaigns/{campaign}/unpublish", "unpublish", "Take a campaign out of the catalogue"),
    ("post", "/campaigns/{campaign}/pause", "pause", "Pause a campaign"),
    ("post", "/campaigns/{campaign}/resume", "resume", "End a pause"),
    ("post", "/campaigns/{campaign}/stop", "stop", "End a campaign for good"),
    ("post", "/campaigns/{campaign}/cancel-generation", "cancel_generation", "Give up writing codes down"),
    ("put", "/campaigns/{campaign}/quantity", "change_quantity", "Change how many coupons may be issued"),
    ("post", "/campaigns/{campaign}/void-matching", "void_matching", "Take coupons and exported codes out of life"),
    ("post", "/campaigns/{campaign}/void-all", "void_all", "Take all held coupons of a campaign out of life"),
    ("post", "/campaigns/{campaign}/codes", "upload_codes", "Upload codes; each row has its own result"),
    ("post", "/campaigns/{campaign}/export-codes", "export_codes", "Take unissued codes out as bearer codes"),
    ("post", "/campaigns/{campaign}/issue", "issue", "Give a coupon to each of many users"),
    ("post", "/campaigns/{campaign}/claim", "claim", "A user takes a coupon"),
    ("post", "/coupons/validate", "validate", "Would this code be accepted?"),
    ("post", "/coupons/redeem", "redeem", "Use a coupon"),
    ("post", "/coupons/return", "return", "Undo a redemption"),
    ("post", "/coupons/void", "void", "Take a coupon out of life"),
    ("post", "/coupons/reserve", "reserve", "Hold a coupon for an order"),
    ("post", "/coupons/release", "release", "Let go of a coupon held for an order"),
)
QUESTIONS_ASKED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("/campaigns", "The merchant's campaigns", ("after_id", "limit_campaigns", "campaign_state")),
    ("/campaigns/{campaign}", "A campaign with its exact counters", ()),
    ("/campaigns/{campaign}/codes", "Codes of a campaign", ("after", "limit")),
    ("/campaigns/{campaign}/coupons", "Coupons of a campaign", ("after", "limit", "coupon_state", "user")),
    ("/coupons", "Coupons and refusals by code, user or order (one at least)", ("code", "user", "order")),
    ("/coupons/{coupon}", "A coupon with its redemptions", ()),
    ("/commands/{reference}", "What became of an earlier request", ()),
    ("/commands/{reference}/results", "Result rows of a bulk request", ("after", "limit")),
)
LISTS = ("application/x-ndjson", "text/csv")
PROBLEM: Item = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _query(name: str, schema: Item) -> Item:
    return {"name": name, "in": "query", "required": False, "schema": schema}


PARAMETERS: dict[str, Item] = {
    "after_id": _query("after", {"type": "string", "format": "uuid"}),
    "after": _query("after", {"type": "integer", "minimum": 0}),
    "limit_campaigns": _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_CAMPAIGNS_PAGE}),
    "limit": _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}),
    "campaign_state": _query("state", {"type": "string", "enum": sorted(CAMPAIGN_STATES)}),
    "coupon_state": _query("state", {"type": "string", "enum": sorted(COUPON_STATES)}),
    **{name: _query(name, {"type": "string", "minLength": 1, "maxLength": 255}) for name in ("code", "user", "order")},
}
EXPORT_PATH = "/campaigns/{campaign}/export/{what}"
EXPORT_SUMMARY = "Stream codes, coupons or history; the last line has the number of rows and their SHA-256"
IDEMPOTENCY_KEY: Item = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Needed with a bearer key; of a signed request webhook-id is the number. The same number and "
    "content is answered again and has no second effect; other content is refused (422).",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
DRY_RUN: Item = _query("dry_run", {"type": "boolean", "default": False}) | {
    "description": "`true`: nothing happens, and the answer says what would, without codes. The number is not used up."
}
PREFER: Item = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async`: answer 202 once the log has the request, without waiting for its outcome.",
    "schema": {"type": "string"},
}
SECURITY: dict[str, Item] = {
    "terminal_key": {"type": "http", "scheme": "bearer", "description": "A terminal's key, `sk_…`."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Signed in the form of Standard Webhooks, with Scrip-Key, webhook-id and webhook-timestamp.",
    },
}


def paths() -> dict[str, dict[str, Item]]:
    """Path → method → operation."""
    made: dict[str, dict[str, Item]] = {}
    for method, path, name, summary in COMMANDS:
        made.setdefault(PREFIX + path, {})[method] = _command(path, name, summary)
    for path, summary, queries in QUESTIONS_ASKED:
        operation = _operation(path, summary, {"200": _answer("The answer")})
        operation["operationId"] = "merchant_get_" + path.strip("/").replace("/", "_").translate(_BRACES)
        operation["parameters"] += [PARAMETERS[query] for query in queries]
        if path.endswith("{reference}"):
            operation["responses"]["202"] = _answer("Not known yet")
        made.setdefault(PREFIX + path, {})["get"] = operation
    made[PREFIX + EXPORT_PATH] = {"get": _export()}
    return made


def schemas() -> dict[str, Item]:
    """The schemas `paths` refers to, but `Problem`, which all of the gateway's APIs share."""
    models: list[tuple[Any, Literal["validation"]]] = [(model, "validation") for model in DOCUMENTS.values()]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    found: dict[str, Item] = definitions["$defs"]
    return found


_BRACES = str.maketrans("", "", "{}")


def _command(path: str, name: OperationName, summary: str) -> Item:
    document = DOCUMENTS[name]
    created = name in ("publish", "generate", "claim")
    question = name in QUESTIONS
    answers = {"201" if created else "200": _answer("Done")}
    if not question:
        answers["202"] = _answer("The log has the request; ask at `Location` for its outcome")
    operation = _operation(path, summary, answers)
    operation["operationId"] = f"merchant_{name}"
    content: Item = {"application/json": {"schema": {"$ref": f"#/components/schemas/{document.__name__}"}}}
    if name == "upload_codes":
        content |= {kind: {"schema": {"type": "string"}} for kind in LISTS}
    required = any(field.is_required() for field in document.model_fields.values())
    operation["requestBody"] = {"required": required, "content": content}
    if not question:
        operation["parameters"] += [IDEMPOTENCY_KEY, PREFER, DRY_RUN]
    return operation


def _export() -> Item:
    content = {kind: {"schema": {"type": "string"}} for kind in LISTS}
    operation = _operation(EXPORT_PATH, EXPORT_SUMMARY, {"200": {"description": "The rows", "content": content}})
    operation["operationId"] = "merchant_export"
    operation["parameters"][1]["schema"] = {"type": "string", "enum": sorted(EXPORTS)}
    states = sorted(COUPON_STATES | {"exported", "available"})
    operation["parameters"] += [
        _query("format", {"type": "string", "enum": ["csv", "jsonl"]}),
        PARAMETERS["after"],
        _query("last", {"type": "integer", "minimum": 0}),
        _query("state", {"type": "string", "enum": states}),
        PARAMETERS["user"],
        _query("type", {"type": "string", "maxLength": 60}),
    ]
    return operation


def _operation(path: str, summary: str, answers: dict[str, Item]) -> Item:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return {
        "tags": ["merchant: scrip"],
        "summary": summary,
        "security": [{"terminal_key": []}, {"signature": []}],
        "parameters": [{"name": name, "in": "path", "required": True, "schema": schema} for name in names],
        "responses": answers
        | {
            "4XX": {"description": "A problem of the request: `code` says which", "content": PROBLEM},
            "503": {"description": "Not now, or the outcome is not known: send the same again", "content": PROBLEM},
        },
    }


def _answer(description: str) -> Item:
    return {"description": description, "content": {"application/json": {"schema": {"type": "object"}}}}
