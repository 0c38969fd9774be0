"""Records nobody should write: noise, and good commands changed in their bytes, their JSON, their envelope or headers.

    records = (bad_record(chance, good) for _ in range(20_000))     # the same seed, the same records

`good` are commands that would be done; what is changed may by chance still be one.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from contracts.commands import COMMANDS, LANE_WIDE, CommandRecord, type_of
from contracts.generated_files import CONTRACTS_FOLDER
from contracts.writers import WRITER_HEADER

LARGE = 900 * 1024
"""As large as a record may be."""
STRANGE: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 2**70, 10**4_000, 1.5, 1e308, float("nan"), "", "x", "\0", "\ud800", "\u202e",
    "é" * 40, "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-03-10",
    "9999-12-31", "0001-01-01", "0001-01-01T00:00:00Z", [], {}, [[]], {"a": {}}, ["x"] * 600, "platform",
    "00000000-0000-0000-0000-000000000000",
]  # fmt: skip


@dataclass(frozen=True)
class BadRecord:
    """What to append. `writer` None: unsigned. `lane`: of a lane-wide command; else the key's own lane.

    `misplaced`: to another lane than that.
    """

    key: bytes | None
    value: bytes | None
    writer: str | None = "gateway"
    headers: tuple[tuple[str, bytes], ...] = ()
    lane: int | None = None
    misplaced: bool = False


def example_data(command: type[Any]) -> dict[str, Any]:
    """What the contracts' example of a command says."""
    text = (CONTRACTS_FOLDER / "examples" / f"{type_of(command)}.json").read_text()
    made: dict[str, Any] = json.loads(text)["data"]
    return made | ({"partition": 0} if command in LANE_WIDE else {})


def bad_record(chance: random.Random, good: Sequence[CommandRecord]) -> BadRecord:
    """The next one, under an id of its own."""
    record = chance.choice(good).model_copy(update={"id": UUID(int=chance.getrandbits(128), version=4)})
    made = chance.choice(KINDS)(chance, record)
    fate = chance.random()
    if fate < 0.02:
        return replace(made, key=None)
    if fate < 0.04:
        return replace(made, value=None)
    if fate < 0.06:
        return replace(made, writer=None)
    return replace(made, misplaced=fate > 0.9)


def _noise(chance: random.Random, _: CommandRecord) -> BadRecord:
    writer = chance.choice([None, "gateway"])
    return BadRecord(chance.randbytes(chance.randrange(40)), chance.randbytes(chance.randrange(300)), writer)


def _as_it_is(_: random.Random, record: CommandRecord) -> BadRecord:
    value = record.model_dump_json(exclude_none=True).encode()
    lane = record.data.partition if type(record.data) in LANE_WIDE else None
    return BadRecord(record.subject.encode(), value, lane=lane)


def _of_text(change: Callable[[random.Random, bytes], bytes]) -> Callable[[random.Random, CommandRecord], BadRecord]:
    def changed(chance: random.Random, record: CommandRecord) -> BadRecord:
        made = _as_it_is(chance, record)
        return replace(made, value=change(chance, made.value or b""))

    return changed


def _of_json(
    change: Callable[[random.Random, dict[str, Any]], object],
) -> Callable[[random.Random, CommandRecord], BadRecord]:
    def text(chance: random.Random, value: bytes) -> bytes:
        document = json.loads(value)
        change(chance, document)
        return json.dumps(document).encode()

    return _of_text(text)


def _flip(chance: random.Random, value: bytes) -> bytes:
    made = bytearray(value)
    for _ in range(chance.randint(1, 4)):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made)


def _cut_or_double(chance: random.Random, value: bytes) -> bytes:
    cut = chance.randrange(len(value))
    return value[:cut] if chance.random() < 0.7 else value + value[cut:]


def _against_the_grammar(chance: random.Random, value: bytes) -> bytes:
    """What JSON forbids, or allows and nobody means; now and then as large as can be."""
    open_end = value.removesuffix(b"}")
    large = chance.random() < 0.02
    return chance.choice(
        [
            b"\xef\xbb\xbf" + value,
            value.decode().encode("utf-16"),
            open_end + b',"party":"platform"}',
            open_end + b',"id":NaN}',
            open_end + b',"replypartition":' + b"9" * 5_000 + b"}",
            open_end + b',"actor":"\\ud800"}',
            open_end + b',"extra":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
            b'{"data":' * 10_000 + b"1" + b"}" * 10_000,
            value.replace(b'"1.0"', b'"2.0"'),
            value.replace(b".v1", b".v2"),
            open_end + b',"extra":"' + b"x" * (LARGE if large else 10) + b'"}',
            chance.randbytes(LARGE if large else 100),
            b"[" + value + b"]",
            b"null",
            b"",
        ]
    )


def _envelope(chance: random.Random, document: dict[str, Any]) -> None:
    name = chance.choice([*document, "at", "redrive", "traceparent"])
    document[name] = chance.choice(STRANGE)
    if chance.random() < 0.3:
        del document[name]


def _what_it_says(chance: random.Random, document: dict[str, Any]) -> None:
    node: Any = document["data"]
    while isinstance(node, dict | list) and node:
        place = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        if not isinstance(node[place], dict | list) or chance.random() < 0.3:
            node[place] = chance.choice(STRANGE)
            return
        node = node[place]


def _another_kind(chance: random.Random, document: dict[str, Any]) -> None:
    document["type"] = type_of(chance.choice(COMMANDS))


def _headers(chance: random.Random, record: CommandRecord) -> BadRecord:
    values = [chance.randbytes(20), b"", b"gateway", b"gateway;k=1;v1=", b"gateway;k=" + b"9" * 5_000 + b";v1=00"]
    headers = tuple(
        (chance.choice([WRITER_HEADER, "x", ""]), chance.choice(values)) for _ in range(chance.randint(1, 3))
    )
    return replace(_as_it_is(chance, record), writer=None, headers=headers)


KINDS: tuple[Callable[[random.Random, CommandRecord], BadRecord], ...] = (
    _noise,
    _as_it_is,
    _of_text(_flip),
    _of_text(_cut_or_double),
    _of_text(_against_the_grammar),
    _of_json(_envelope),
    _of_json(_what_it_says),
    _of_json(_what_it_says),
    _of_json(_another_kind),
    _headers,
)
