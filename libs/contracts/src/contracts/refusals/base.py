"""What every refusal is."""

from __future__ import annotations

from typing import Any, ClassVar

from contracts.fields import Fact


class Refusal(Fact):
    """Base of all refusals. `code` is stable for ever; `message` may be improved; facts are the model's fields."""

    code: ClassVar[str]
    message: ClassVar[str]

    def as_json(self) -> dict[str, Any]:
        """`{"code", "message", "facts"}`, ready for JSON."""
        facts = self.model_dump(mode="json", exclude_none=True)
        return {"code": self.code, "message": self.message.format_map(_Said(facts)), "facts": facts}


class _Said(dict[str, Any]):
    """Facts for a message; one that is not at hand does not spoil the sentence."""

    def __missing__(self, name: str) -> str:
        return f"(unknown {name})"
