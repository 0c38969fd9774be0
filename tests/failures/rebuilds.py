"""Are two databases, made from one command log, the same?"""

from collections import defaultdict

from tests.failures.checker import COMMANDS, EVENTS, REFUSALS, Difference
from tests.failures.evidence import Tables

NOT_COMPARED: dict[str, tuple[str, ...]] = {
    "lane": ("epoch", "lane_seq", "emitted_lane_seq"),
    "lane_fact": (),
    "campaign": (),
    "coupon": (),
    "redemption": (),
    "uploaded_code": (),
    "exported_range": (),
    "code_block": (),
    "outcome": (),
    "refusal": (),
    "dead_letter": ("redriven_at",),
}
"""Tables that follow from the log alone, with the columns that do not."""


def rebuilt_differently(one: Tables, other: Tables) -> list[Difference]:
    """How two databases made from one log differ, the journal's grouping excepted."""
    result: list[Difference] = []
    for name, not_compared in NOT_COMPARED.items():
        left, right = (
            [{column: value for column, value in row.items() if column not in not_compared} for row in rows]
            for rows in (getattr(one, name), getattr(other, name))
        )
        if len(left) != len(right):
            result.append(Difference(name, f"{len(left)} rows and {len(right)} rows"))
        unequal = [(a, b) for a, b in zip(left, right, strict=False) if a != b]
        result += [Difference(name, f"{a} became {b}") for a, b in unequal[:5]]
    for kind, what in ((EVENTS, "event bytes"), (REFUSALS, "refusal bytes"), (COMMANDS, "continuation bytes")):
        left_lines, right_lines = (_lines_by_campaign(tables, kind) for tables in (one, other))
        for key in sorted(left_lines.keys() | right_lines.keys()):
            a, b = left_lines.get(key, []), right_lines.get(key, [])
            if a != b:
                at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
                result.append(Difference(what, f"{key}: {len(a)} and {len(b)} lines, other from line {at + 1} on"))
    return result


def _lines_by_campaign(tables: Tables, kind: int) -> dict[str, list[str]]:
    """Event lines by campaign; lines of other kinds by lane (each lane's are in order)."""
    lines: dict[str, list[str]] = defaultdict(list)
    rows = [row for row in tables.journal if row["kind"] == kind]
    for row in sorted(rows, key=lambda row: (row["partition"], row["lane_seq"])):
        lines[f"lane {row['partition']}" if row["campaign"] is None else str(row["campaign"])] += row["lines"]
    return lines
