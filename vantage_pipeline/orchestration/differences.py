"""A dry run's differences as a file, and the first of them for a table."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from vantage_pipeline.errors import UsageError
from vantage_pipeline.warehouse.differences import Difference

T = TypeVar("T")
_FIELDS = ("resource", "table", "key", "kind", "column", "old", "new")
_END = "\n]\n"


class DifferenceFiles:
    """The files of one run's dry runs. Each is begun anew by the first resource that names it; the others add to it."""

    def __init__(self) -> None:
        self._begun: dict[Path, int] = {}

    def begin(self, name: str) -> None:
        """Empty the file, unless this run has begun it.

        Raises:
            UsageError: its name ends neither in ``.csv`` nor in ``.json``, or it cannot be written.
        """
        path = Path(name)
        if path.suffix not in (".csv", ".json"):
            raise UsageError(f"{name}: expected a name that ends in .csv or .json for a dry run's differences")
        if path in self._begun:
            return
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                if path.suffix == ".csv":
                    csv.DictWriter(file, _FIELDS).writeheader()
                else:
                    file.write("[" + _END)
        except OSError as error:
            raise UsageError(f"{name}: cannot be written ({error.strerror}); name another file") from error
        self._begun[path] = 0

    def add(self, name: str, resource: str, differences: Iterable[Difference]) -> None:
        """Add a resource's differences to a file that was begun."""
        path = Path(name)
        rows = [_row(resource, difference) for difference in differences]
        if path.suffix == ".csv":
            with path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, _FIELDS).writerows({name: _cell(row[name]) for name in _FIELDS} for row in rows)
            return
        with path.open("r+b") as binary:
            binary.seek(-len(_END), 2)
            for number, row in enumerate(rows, start=self._begun[path]):
                text = json.dumps(row, ensure_ascii=False, default=_exact)
                binary.write(f"{',' if number else ''}\n {text}".encode())
            binary.write(_END.encode())
        self._begun[path] += len(rows)


def _row(resource: str, difference: Difference) -> dict[str, object]:
    values = (resource, difference.table, difference.key, difference.kind.value, difference.column)
    return dict(zip(_FIELDS, (*values, difference.old, difference.new), strict=True))


def _exact(value: object) -> object:
    """A number of JSON where it is the same one, else its text."""
    number = float(str(value))
    return number if Decimal(repr(number)) == value else str(value)


def _cell(value: object) -> object:
    """A value in CSV: texts and numbers as they are, everything else as JSON."""
    return value if value is None or isinstance(value, (str, Decimal)) else json.dumps(value, default=_exact)


def first_of(differences: Iterable[T], most: int, *, kind: Callable[[T], object]) -> list[T]:
    """At most `most` of them, in their order, so that each kind is seen: many of one kind hide none of another."""
    found = list(differences)
    seen: Counter[object] = Counter()
    places = []
    for position, difference in enumerate(found):
        places.append((seen[kind(difference)], position))
        seen[kind(difference)] += 1
    chosen = sorted(position for _, position in sorted(places)[:most])
    return [found[position] for position in chosen]
