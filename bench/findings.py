"""What a comparison found: measurements, the bounds that were to hold, and their tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.jobs import Spent


@dataclass(frozen=True, slots=True)
class Measurement:
    """One side in one case and one round."""

    case: str
    side: str
    round: int
    spent: Spent


@dataclass(frozen=True, slots=True)
class Bound:
    """Something that was to hold: `value` at most `limit`, or at least it."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def held(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Findings:
    """The result of one comparison.

    Args:
        letter: its letter.
        title: what was compared, with the sizes.
        base: the side, or else the case, that ratios refer to; empty for none.
    """

    letter: str
    title: str
    base: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    """Load average of the machine at the beginning and at the end."""

    def add(self, case: str, side: str, number: int, spent: Spent) -> None:
        self.measurements.append(Measurement(case, side, number, spent))

    def of(self, case: str, side: str) -> list[Spent]:
        return [m.spent for m in self.measurements if (m.case, m.side) == (case, side)]

    def seconds(self, case: str, side: str) -> float:
        """The median time; not a number where nothing was measured."""
        return _median(spent.seconds for spent in self.of(case, side))

    def processor(self, case: str, side: str) -> float:
        """The median processor time, of the side and the server together."""
        return _median(spent.cpu + spent.server_cpu for spent in self.of(case, side))

    def fact(self, case: str, side: str, name: str) -> float:
        """The median of a fact."""
        return _median(float(spent.facts[name]) for spent in self.of(case, side) if name in spent.facts)

    def peak(self, case: str, side: str) -> float:
        return _median(spent.peak_mib for spent in self.of(case, side))

    def pairs(self) -> list[tuple[str, str]]:
        """The cases and sides in the order in which they were first measured, case by case."""
        cases = list(dict.fromkeys(m.case for m in self.measurements))
        sides = list(dict.fromkeys(m.side for m in self.measurements))
        return [(case, side) for case in cases for side in sides if self.of(case, side)]

    def table(self) -> list[list[str]]:
        """Medians as rows of text; the first row is the heading."""
        names = list(dict.fromkeys(name for m in self.measurements for name in m.spent.facts))
        memory = any(m.spent.peak_mib for m in self.measurements)
        heading = ["case", "side", "seconds", "least to most", "processor s", "of which server"]
        heading += ["ratio"] if self.base else []
        heading += ["processor ratio"] if self.base else []
        heading += ["peak MiB"] if memory else []
        rows = [[*heading, *names]]
        for case, side in self.pairs():
            found = self.of(case, side)
            times = [spent.seconds for spent in found]
            row = [case, side, f"{statistics.median(times):.2f}", f"{min(times):.2f} to {max(times):.2f}"]
            row += [f"{self.processor(case, side):.2f}", f"{_median(s.server_cpu for s in found):.2f}"]
            if self.base:
                reference = self._reference(case, side)
                row.append(_ratio(self.seconds(case, side), self.seconds(*reference)))
                row.append(_ratio(self.processor(case, side), self.processor(*reference)))
            row += [f"{self.peak(case, side):.0f}"] if memory else []
            rows.append([*row, *(self._shown(case, side, name) for name in names)])
        return rows

    def bounds_table(self) -> list[list[str]]:
        """The bounds as rows of text."""
        rows = [["must hold", "bound", "measured", "held"]]
        for bound in self.bounds:
            limit = f"{'at least' if bound.at_least else 'at most'} {bound.limit:g}"
            rows.append([bound.what, limit, f"{bound.value:.4g}", "yes" if bound.held else "**no**"])
        return rows

    def _reference(self, case: str, side: str) -> tuple[str, str]:
        return (case, self.base) if any(m.side == self.base for m in self.measurements) else (self.base, side)

    def _shown(self, case: str, side: str, name: str) -> str:
        values = [spent.facts[name] for spent in self.of(case, side) if name in spent.facts]
        if not values:
            return ""
        if all(isinstance(value, (int, float)) for value in values):
            middle = statistics.median(values)
            return f"{middle:.0f}" if middle == int(middle) or middle >= 100 else f"{middle:.2f}"
        return str(values[-1])


def _median(values: Iterable[float]) -> float:
    listed = list(values)
    return statistics.median(listed) if listed else float("nan")


def _ratio(value: float, reference: float) -> str:
    return f"{value / reference:.2f}" if reference and reference == reference else ""


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The same for a terminal."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def restored(saved: dict[str, Any]) -> Findings:
    """Findings as they were saved (by `dataclasses.asdict`)."""
    made = Findings(**{name: saved[name] for name in ("letter", "title", "base", "notes", "load")})
    made.measurements = [Measurement(**{**m, "spent": Spent(**m["spent"])}) for m in saved["measurements"]]
    made.bounds = [Bound(**bound) for bound in saved["bounds"]]
    return made
