"""What passes from the sources through the mapping to the warehouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.decode import encode_raw

Record = dict[str, Any]
Cell = str | None
"""One value in the text form that PostgreSQL reads; None is NULL."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of one table, as a source gave them. `clean`: see `decode.Decoded`."""

    table: Table
    records: Sequence[Record]
    clean: bool = True
    position: Mapping[str, Any] = field(default_factory=dict)
    """Where the reading stands after this page, for the checkpoint."""
    bytes: int | None = None
    """Size of the largest response that any of the records came in; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot become a row: why, and the whole record as JSON text."""

    table: str
    record_key: str
    code: str
    field: str
    message: str
    record: str

    @classmethod
    def of(cls, table: str, record_key: str, code: str, field: str, message: str, record: object) -> Rejection:
        """A rejection of a record that is still a Python value."""
        return cls(table, record_key, code, field, message, encode_raw(record))

    def as_error(self) -> dict[str, str]:
        """The form in which ``vantage_sync_state.errors`` lists it."""
        return {
            "code": self.code,
            "message": self.message,
            "record_id": self.record_key,
            "field": self.field,
            "table": self.table,
        }


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows by column. All columns have the length of `records`, the rows' raw records.

    A link's column holds the parent's key as the record has it; the merge finds the parent.
    """

    table: Table
    columns: Mapping[str, Sequence[Cell]]
    records: Sequence[Record]
    rejections: Sequence[Rejection] = ()
    fetched: int = 0
    """Records received, without repeats of the same key."""
    repeated: int = 0
    """Records dropped because a later one of the batch has the same key."""
    fields: Mapping[str, int] = field(default_factory=dict)
    """How often each field occurred, for the schema report."""

    def __len__(self) -> int:
        return len(self.records)
