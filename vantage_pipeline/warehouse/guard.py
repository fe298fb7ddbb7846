"""The mass-clear guard: a column that a reading would empty at once is held back and reported.

An absent field clears its column. When it is absent from nearly all records at once, a privacy rule has most
likely hidden it, and the values stay. What counts is the whole reading: a column that few rows fill may lose but
some values in each batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.records.model import RowBatch
from vantage_pipeline.warehouse.merge import Merge


class GuardOptions(Protocol):
    """The part of the load's options that the guards read."""

    @property
    def clear_share(self) -> float: ...
    @property
    def clear_records(self) -> int: ...
    @property
    def allow_clearing(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A clearing or a deletion that was not done because it was too large at once.

    `before`: values of the column that had been cleared when it turned out to be too much.
    """

    table: str
    kind: Literal["clear", "delete"]
    column: str
    records: int
    share: float
    before: int = 0

    def as_error(self) -> dict[str, str]:
        """The form in which ``vantage_sync_state.errors`` lists it."""
        if self.kind == "clear":
            before = f"{self.before} more had been cleared before it showed. " if self.before else ""
            message = (
                f"{self.table}.{self.column}: the source gave no value for {self.records} records that have one "
                f"({self.share:.0%}); held back, since a privacy rule has likely hidden the field. {before}"
                f"If it is meant, run again with --allow-clear {self.table}.{self.column}"
            )
        else:
            message = (
                f"{self.table}: {self.records} rows ({self.share:.0%}) are no longer in the source; held back. "
                f"If it is meant, run again with --full --allow-delete"
            )
        return {"code": f"{self.kind.upper()}_HELD_BACK", "message": message, "table": self.table, "field": self.column}


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one column: values that were cleared, that were not since it was too much, and that the rows read had."""

    cleared: int = 0
    held: int = 0
    filled: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.cleared + other.cleared, self.held + other.held, self.filled + other.filled)

    @property
    def without(self) -> int:
        """Values that the source did not give."""
        return self.cleared + self.held


Tallies = Mapping[tuple[str, str], Tally]
"""By table and column."""


class ClearGuard:
    """Counts what a load clears, and says from when on it is too much.

    A column is held back in a batch that is past number and share by itself, and for the rest of the load once the
    sum of its batches is.
    """

    def __init__(self, options: GuardOptions) -> None:
        self._options = options
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._shut: set[tuple[str, str]] = set()

    def judge(self, cursor: Cursor, merge: Merge, batch: RowBatch) -> tuple[list[HeldBack], Tallies]:
        """What is to be held back of the staged batch, and its tallies, for `keep` once it is committed."""
        table, options = batch.table, self._options
        if "*" in options.allow_clearing:
            return [], {}
        watched = [
            column.name
            for column in table.columns
            if f"{table.name}.{column.name}" not in options.allow_clearing and not column.required
        ]
        held: list[HeldBack] = []
        tallies: dict[tuple[str, str], Tally] = {}
        for name, (cleared, filled) in merge.clearings(cursor, watched).items():
            place = table.name, name
            before = self._tallies.get(place, Tally())
            so_far = before + Tally(cleared, 0, filled)
            if cleared and (place in self._shut or self._past(cleared, filled) or self._past_in_all(so_far)):
                tallies[place] = Tally(0, cleared, filled)
                held.append(
                    HeldBack(table.name, "clear", name, cleared, so_far.without / so_far.filled, before.cleared)
                )
            else:
                tallies[place] = Tally(cleared, 0, filled)
        return held, tallies

    def keep(self, tallies: Tallies) -> None:
        """The batch is committed."""
        for place, tally in tallies.items():
            self._tallies[place] = in_all = self._tallies.get(place, Tally()) + tally
            if self._past_in_all(in_all):
                self._shut.add(place)

    def _past_in_all(self, tally: Tally) -> bool:
        return self._past(tally.without, tally.filled)

    def _past(self, cleared: int, filled: int) -> bool:
        return cleared >= self._options.clear_records and cleared >= self._options.clear_share * filled


def joined(held: Iterable[HeldBack]) -> list[HeldBack]:
    """One entry for each column, in place of one for each batch; the last one's share is that of all."""
    found: dict[tuple[str, str, str], HeldBack] = {}
    for item in held:
        place = item.kind, item.table, item.column
        earlier = found.get(place)
        found[place] = replace(item, records=item.records + earlier.records) if earlier else item
    return list(found.values())


def too_many(gone: int, rows: int, *, share: float, records: int) -> bool:
    """Whether so many of so many rows are too much to be marked as deleted at once."""
    return gone > records and gone > share * rows


def record(cursor: Cursor, held: HeldBack, *, run_id: str, resource: str) -> None:
    """Keep what was held back, for the alerts and for whoever decides."""
    cursor.execute(
        "INSERT INTO vantage_held_back (resource, table_name, kind, column_name, records, share, run_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (resource, held.table, held.kind, held.column, held.records, held.share, run_id),
    )
