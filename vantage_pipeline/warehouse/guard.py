"""The mass-clear guard: a column that a reading would empty at once is held back and reported.

An absent field clears its column. When it is absent from nearly all records at once, a privacy rule has most
likely hidden it, and the values stay.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """A clearing or a deletion that was not done because it was too large at once."""

    table: str
    kind: Literal["clear", "delete"]
    column: str
    records: int
    share: float

    def as_error(self) -> dict[str, str]:
        """The form in which ``vantage_sync_state.errors`` lists it."""
        if self.kind == "clear":
            message = (
                f"{self.table}.{self.column}: the source gave no value for {self.records} records that have one "
                f"({self.share:.0%}); held back, since a privacy rule has likely hidden the field. If it is meant, "
                f"run again with --allow-clear {self.table}.{self.column}"
            )
        else:
            message = (
                f"{self.table}: {self.records} rows ({self.share:.0%}) are no longer in the source; held back. "
                f"If it is meant, run again with --full --allow-delete"
            )
        return {"code": f"{self.kind.upper()}_HELD_BACK", "message": message, "table": self.table, "field": self.column}


def clearings(
    cursor: Cursor, merge: Merge, batch: RowBatch, options: GuardOptions, *, run_id: str, resource: str
) -> list[HeldBack]:
    """The columns of the staged batch whose clearing is held back, recorded in ``vantage_held_back``."""
    if "*" in options.allow_clearing:
        return []
    table = batch.table
    candidates = [
        column.name
        for column in table.columns
        if f"{table.name}.{column.name}" not in options.allow_clearing
        and not column.required
        and batch.columns[column.name].count(None) >= options.clear_records
    ]
    held = [
        HeldBack(table.name, "clear", name, cleared, cleared / filled)
        for name, (cleared, filled) in merge.clearings(cursor, candidates).items()
        if cleared >= options.clear_records and cleared >= options.clear_share * filled
    ]
    for item in held:
        record(cursor, item, run_id=run_id, resource=resource)
    return held


def record(cursor: Cursor, held: HeldBack, *, run_id: str, resource: str) -> None:
    """Keep what was held back, for the alerts and for whoever decides."""
    cursor.execute(
        "INSERT INTO vantage_held_back (resource, table_name, kind, column_name, records, share, run_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (resource, held.table, held.kind, held.column, held.records, held.share, run_id),
    )
