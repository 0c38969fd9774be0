"""What staff write down about a merchant's interface; secrets come deciphered into it, and print as stars."""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from contracts.fields import Contract
from merchant_adapter.interfaces.addresses import base_url_fault
from merchant_adapter.interfaces.expressions import Expression

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\[\]$-]{1,64}$")]
DELIVERY_FIELDS = ("delivery_id", "campaign_id", "coupon_id", "user_id", "code")


def _good_base_url(value: str) -> str:
    if fault := base_url_fault(value):
        raise ValueError(fault)
    return value.rstrip("/")


def _known_places(path: str) -> str:
    filled = path
    for name in DELIVERY_FIELDS:
        filled = filled.replace("{" + name + "}", "x")
    if not path.startswith("/") or "{" in filled or "}" in filled or "?" in filled or "#" in filled:
        raise ValueError(f"a path begins with / and may hold {{{'}, {'.join(DELIVERY_FIELDS)}}}")
    return path


def _fits_a_header(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if not secret or len(secret) > 4096 or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("must be 1 to 4,096 visible ASCII characters")
    return value


def _is_webhook_secret(value: SecretStr) -> SecretStr:
    try:
        secret = b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        secret = b""
    if not 24 <= len(secret) <= 64:
        raise ValueError("must be whsec_ and base64 of 24 to 64 bytes")
    return value


HeaderSecret = Annotated[SecretStr, AfterValidator(_fits_a_header)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_is_webhook_secret)]
BaseUrl = Annotated[str, StringConstraints(max_length=500), AfterValidator(_good_base_url)]
PathTemplate = Annotated[str, StringConstraints(max_length=500), AfterValidator(_known_places)]


def filled_path(template: str, fields: dict[str, str]) -> str:
    """The template with its places filled, each percent-encoded whole."""
    for name in DELIVERY_FIELDS:
        value = quote(fields[name], safe="")
        if set(value) == {"."}:  # would be taken for a step up or nowhere
            value = value.replace(".", "%2E")
        template = template.replace("{" + name + "}", value)
    return template


class BearerAuthentication(Contract):
    kind: Literal["bearer"] = "bearer"
    token: HeaderSecret


class SignedAuthentication(Contract):
    """Standard Webhooks headers over method, target and body. Two secrets: both sign during a rotation."""

    kind: Literal["signed"] = "signed"
    secrets: Annotated[tuple[WebhookSecret, ...], Field(min_length=1, max_length=2)]


class HeaderAuthentication(Contract):
    """A key in a header of the merchant's choice."""

    kind: Literal["header"] = "header"
    name: HeaderName
    value: HeaderSecret


class BasicAuthentication(Contract):
    kind: Literal["basic"] = "basic"
    user: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^:\x00-\x1f\x7f]*$")]
    password: SecretStr


Authentication = Annotated[
    BearerAuthentication | SignedAuthentication | HeaderAuthentication | BasicAuthentication,
    Field(discriminator="kind"),
]


class InterfaceProfile(Contract):
    """What every kind has."""

    base_url: BaseUrl
    authentication: Authentication
    requests_per_second: Annotated[float, Field(gt=0, le=1000)] = 20


class OpenApiProfile(InterfaceProfile):
    """The merchant built `merchant-interface.openapi.yaml`."""

    kind: Literal["openapi"] = "openapi"


class CursorPaging(Contract):
    """The reply holds the next cursor."""

    style: Literal["cursor"] = "cursor"
    parameter: ParameterName = "cursor"
    limit_parameter: ParameterName | None = "limit"
    next: Expression


class PagePaging(Contract):
    """Pages by number. Without a total (in the body or in a header) the listing ends at an empty page."""

    style: Literal["page"] = "page"
    parameter: ParameterName = "page"
    limit_parameter: ParameterName | None = "per_page"
    first: Annotated[int, Field(ge=0, le=1)] = 1
    total_pages: Expression | None = None
    total_pages_header: HeaderName | None = None


class OffsetPaging(Contract):
    """Goes on by what came, which may be fewer than asked for. SCIM 2.0: `startIndex`, `count`, first 1."""

    style: Literal["offset"] = "offset"
    parameter: ParameterName = "offset"
    limit_parameter: ParameterName | None = "limit"
    first: Annotated[int, Field(ge=0, le=1)] = 0
    total: Expression | None = None


class LinkPaging(Contract):
    """`Link: <…>; rel="next"`, used exactly as given, on the same server only."""

    style: Literal["link"] = "link"
    limit_parameter: ParameterName | None = "limit"


class HasMorePaging(Contract):
    """The reply says whether there is more; the next page starts after the last id."""

    style: Literal["has_more"] = "has_more"
    parameter: ParameterName = "starting_after"
    limit_parameter: ParameterName | None = "limit"
    has_more: Expression = "has_more"


Paging = Annotated[CursorPaging | PagePaging | OffsetPaging | LinkPaging | HasMorePaging, Field(discriminator="style")]


class DeclaredUsers(Contract):
    """Where users are listed. `items` is applied to the reply, the others to each item.

    `attributes` is also the list of what may be taken: what is not named here is not read.
    """

    path: PathTemplate
    query: Annotated[dict[ParameterName, Annotated[str, StringConstraints(max_length=200)]], Field(max_length=20)] = (
        Field(default_factory=dict)
    )
    items: Expression
    id: Expression
    attributes: Annotated[
        dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], Expression], Field(max_length=64)
    ] = Field(default_factory=dict)
    updated_at: Expression | None = None
    deleted: Expression | None = None
    paging: Paging


class DeclaredCall(Contract):
    """A call about one delivery. `body` is applied to the delivery, `accepted` and the rest to the reply."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: PathTemplate
    body: Expression | None = None
    key_header: HeaderName | None = None
    """Header that carries the idempotency key."""
    accepted: Expression = "`true`"
    receipt_id: Expression | None = None
    reason: Expression | None = None


class DeclaredProfile(InterfaceProfile):
    """A REST interface of the merchant's own, described by paths and JMESPath expressions."""

    kind: Literal["declared"] = "declared"
    users: DeclaredUsers | None = None
    deliver: DeclaredCall | None = None
    recall: DeclaredCall | None = None
    find: DeclaredCall | None = None
    """404: never applied."""
    health: PathTemplate | None = None
    resend_is_safe: bool = False
    """The merchant promises to apply the same delivery once, however often it is sent."""


AnyProfile = OpenApiProfile | DeclaredProfile
_any_profile: TypeAdapter[AnyProfile] = TypeAdapter(
    Annotated[AnyProfile, Field(discriminator="kind")], config=ConfigDict(hide_input_in_errors=True)
)


class ProfileFault(ValueError):
    """What was written down is not a profile. `errors`: a JSON pointer and what is wrong there, no values."""

    def __init__(self, errors: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{pointer}: {detail}" for pointer, detail in errors))
        self.errors = errors


def read_profile(value: object) -> AnyProfile:
    """A profile from decoded JSON, secrets in clear.

    Raises:
        ProfileFault: it is none.
    """
    try:
        return _any_profile.validate_python(value)
    except ValidationError as reason:
        found = reason.errors(include_input=False, include_url=False, include_context=False)
    raise ProfileFault(
        tuple((_pointer(error["loc"], value), error["msg"].removeprefix("Value error, ")) for error in found)
    )


def _pointer(place: tuple[int | str, ...], value: object) -> str:
    """The JSON pointer of a validator's place, which also names the kinds and styles it went through."""
    steps = []
    for step in place:
        if isinstance(value, dict):
            if step not in value and step in (value.get("kind"), value.get("style")):
                continue
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in steps)
