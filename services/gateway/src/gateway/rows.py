"""Bodies that are rows: users to issue to, codes to upload, as JSON, JSON Lines or CSV.

A row that cannot be used is refused in its row; the others go on. Rows are counted from 0, without CSV's header.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request

from contracts.commands import IssueRow
from contracts.fields import CodeText, Contract, UserId
from dialects.json_body import read_json, read_model
from dialects.protocol import FieldProblem, RequestRefused, invalid
from gateway.requests import MAX_ROWS_BODY, media_type, read_body

MAX_ROWS = 100_000
JSON_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/json-lines", "application/ndjson"})
JSON = frozenset({"application/json", "application/x-www-form-urlencoded", ""})
"""curl says that JSON is a form when it is not told; the body says what it is."""
EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
BREATHE_ROWS = 2_000
"""So many rows are read before other requests get their turn."""

Row = TypeVar("Row")
_CODE: TypeAdapter[str] = TypeAdapter(CodeText)
_USER: TypeAdapter[str] = TypeAdapter(UserId)


class UsersDocument(Contract):
    """Users who get a coupon each: `users`, or `rows` where the merchant names the codes."""

    users: Annotated[tuple[UserId, ...], Field(max_length=MAX_ROWS)] = ()
    rows: Annotated[tuple[IssueRow, ...], Field(max_length=MAX_ROWS)] = ()


class CodesDocument(Contract):
    """Codes to upload."""

    codes: Annotated[tuple[CodeText, ...], Field(min_length=1, max_length=MAX_ROWS)]


@dataclass
class Rows(Generic[Row]):
    """What a body held: usable rows with their numbers, and result rows of those that are not."""

    usable: list[tuple[int, Row]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.usable) + len(self.refused)

    def refuse(self, number: int, detail: str) -> None:
        """This row cannot be used."""
        refusal = {"code": "row_unreadable", "message": detail, "facts": {}}
        self.refused.append({"row": number, "refusal": refusal})


async def users_of(request: Request) -> Rows[IssueRow]:
    """The rows of a bulk issue. Raises RequestRefused when the body as a whole is not usable."""
    body, kind = await _body_of(request)
    if kind in JSON:
        document = await _model(body, UsersDocument)
        listed = document.rows or tuple(IssueRow(user=user) for user in document.users)
        if not listed or (document.rows and document.users):
            raise invalid("Send either `users` or `rows`, with at least one in it.")
        return Rows(list(enumerate(listed)))
    return await _each(_pieces(body, kind), _issue_row)


async def codes_of(request: Request) -> Rows[str]:
    """The rows of an upload of codes. Raises RequestRefused when the body as a whole is not usable."""
    body, kind = await _body_of(request)
    if kind in JSON:
        return Rows(list(enumerate((await _model(body, CodesDocument)).codes)))
    return await _each(_pieces(body, kind), _code_row)


async def _body_of(request: Request) -> tuple[bytes, str]:
    kind = media_type(request.headers.get("content-type", ""))
    body = await read_body(request, MAX_ROWS_BODY)
    if body.startswith(EXCEL) or "spreadsheet" in kind or "ms-excel" in kind:
        raise invalid(
            "XLSX is not taken yet: save the sheet as CSV (UTF-8) and send that, or send JSON Lines.",
            FieldProblem("Content-Type", "XLSX is not taken yet"),
            code="xlsx_not_supported",
            status=415,
        )
    if kind not in JSON | JSON_LINES | {"text/csv"}:
        raise invalid(
            f"Rows come as application/json, application/x-ndjson or text/csv, not as {kind[:80]}.",
            FieldProblem("Content-Type", "is none of application/json, application/x-ndjson, text/csv"),
            code="media_type_unsupported",
            status=415,
        )
    return body, kind


Model = TypeVar("Model", bound=BaseModel)


async def _model(body: bytes, model: type[Model]) -> Model:
    # A large document keeps the loop from other requests for half a second: read it beside.
    return await asyncio.to_thread(read_model, body, model) if len(body) > 100_000 else read_model(body, model)


def _pieces(body: bytes, kind: str) -> Iterable[bytes | dict[str, str]]:
    """Lines of JSON, or rows of CSV by the names of their header."""
    if kind in JSON_LINES:
        return (line for line in body.split(b"\n") if line.strip())
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"The CSV is not UTF-8: byte {error.start}.", code="unreadable_body", status=400) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    heads = [cell.strip().lower() for cell in next(reader, [])]
    if not {"user", "code"} & set(heads):
        raise invalid(
            "The CSV needs a header row that names the columns `user` or `code`.",
            FieldProblem("row 1", "names neither `user` nor `code`"),
        )
    return _csv_rows(reader, heads)


def _csv_rows(reader: Any, heads: list[str]) -> Iterable[dict[str, str]]:
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield {head: cell.strip() for head, cell in zip(heads, cells, strict=False) if cell.strip()}
    except csv.Error as error:
        raise invalid(f"The CSV cannot be read: {error}.", code="unreadable_body", status=400) from None


async def _each(pieces: Iterable[bytes | dict[str, str]], read: Callable[[bytes | dict[str, str]], Row]) -> Rows[Row]:
    rows: Rows[Row] = Rows()
    for number, piece in enumerate(pieces):
        if number == MAX_ROWS:
            raise invalid(f"At most {MAX_ROWS} rows go into one request.", code="too_many_rows", status=413)
        if number % BREATHE_ROWS == BREATHE_ROWS - 1:
            await asyncio.sleep(0)
        try:
            rows.usable.append((number, read(piece)))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in found["loc"])
            rows.refuse(number, f"{where}: {found['msg']}" if where else found["msg"])
        except RequestRefused as refused:
            rows.refuse(number, refused.problem.detail)
    if not rows.total:
        raise invalid("There is no row in the body.", FieldProblem("", "holds no row"))
    return rows


def _issue_row(piece: bytes | dict[str, str]) -> IssueRow:
    if isinstance(piece, dict):
        return IssueRow.model_validate({name: piece[name] for name in ("user", "code") if name in piece})
    if piece.lstrip()[:1] == b'"':
        return IssueRow(user=_USER.validate_json(piece))
    return IssueRow.model_validate_json(piece)


def _code_row(piece: bytes | dict[str, str]) -> str:
    if isinstance(piece, dict):
        return _CODE.validate_python(piece.get("code", ""))
    value = read_json(piece)
    return _CODE.validate_python(value.get("code") if isinstance(value, dict) else value, strict=True)
