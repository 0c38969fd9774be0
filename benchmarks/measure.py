"""Alternating runs of ours, the limit and the rival; medians and spreads."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

RUNS = 3


@dataclass
class Figure:
    """One line of the table. Rates: more is better; `unit` names it (claims/s). `limit` and `rival` may be absent."""

    name: str
    unit: str
    ours: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    rival: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bound: str = ""
    """What bounds ours, in a few words."""

    def as_json(self) -> dict[str, Any]:
        """Medians, ratios of medians, and the spread (greatest / least - 1) of each."""
        ours, limit, rival = _median(self.ours), _median(self.limit), _median(self.rival)
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": ours,
            "limit": limit,
            "rival": rival,
            "to_limit": None if not ours or not limit else round(ours / limit, 3),
            "to_rival": None if not ours or not rival else round(ours / rival, 2),
            "spread": {"ours": _spread(self.ours), "limit": _spread(self.limit), "rival": _spread(self.rival)},
            "bound": self.bound,
            "notes": self.notes,
        }


def alternate(
    figures: Sequence[Figure],
    *,
    ours: Callable[[], Sequence[float]],
    limit: Callable[[], Sequence[float]] | None = None,
    rival: Callable[[], Sequence[float]] | None = None,
    runs: int = RUNS,
) -> None:
    """Run each in turn, `runs` times; each callable returns one rate per figure."""
    for _ in range(runs):
        for name, measure in (("ours", ours), ("limit", limit), ("rival", rival)):
            if measure is not None:
                for figure, rate in zip(figures, measure(), strict=True):
                    getattr(figure, name).append(rate)


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


def _spread(values: list[float]) -> float | None:
    return round(max(values) / min(values) - 1, 3) if len(values) > 1 and min(values) > 0 else None
