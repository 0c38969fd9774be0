"""A field's docstring is its description in JSON Schemas.

pydantic has this as `use_attribute_docstrings`, which reads the sources of every class when it is imported: half of
the time in which a service starts. Here the sources are read when a schema is made.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class Described(BaseModel):
    """Base of models whose fields are described by the text that stands below them."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, field in properties.items():
            if "description" not in field and (text := description_of(cls, name)):
                field["description"] = text
        return schema


def description_of(model: type[BaseModel], name: str) -> str | None:
    """The docstring of a field, its own class's before those of the bases; None where there is none."""
    return next((texts[name] for base in model.__mro__ if name in (texts := _own(base))), None)


@cache
def _own(model: type) -> dict[str, str]:
    if not issubclass(model, Described):
        return {}
    try:
        source = inspect.getsource(model)
    except (OSError, TypeError):  # made at run time
        return {}
    body = ast.parse(textwrap.dedent(source)).body[0]
    fields = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(fields)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
