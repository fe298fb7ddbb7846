"""What PostgreSQL refuses: an error of ours for each, and the one record that is at fault found among the others.

The mapping knows the columns' types, not every rule of the database at hand: a value too long for an index, a number
beyond a column's digits, a constraint of someone's own. Such a record must not keep the rest of its batch out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.errors import DatabaseUnreachable, TooManyRejections, WarehouseError
from vantage_pipeline.records.model import Cell, Rejection, RowBatch
from vantage_pipeline.warehouse.load_report import LoadOptions, LoadReport
from vantage_pipeline.warehouse.merge import Merge

AGAIN = frozenset((errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED, errorcodes.LOCK_NOT_AVAILABLE))
"""Codes after which the same transaction, made again, may well succeed."""
_OF_THE_DATA = ("22", "23", "54")
"""Classes of codes that speak of the rows: data, integrity, and limits of the program."""
CODE = "REFUSED_BY_DATABASE"
_ENOUGH_TO_TELL = 1_000
"""Records before which a running sync is not ended for its share of rejected ones."""


def explained(error: psycopg2.Error, resource: str) -> WarehouseError:
    """The error as ours, with what to do."""
    first = str(error).strip().split("\n")[0]
    if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) and not error.pgcode:
        return DatabaseUnreachable(
            f"{resource}: the connection to the database was lost ({first}); what was committed stays; "
            f"run the sync again when the database is back"
        )
    return WarehouseError(
        f"{resource}: PostgreSQL refused a statement ({error.pgcode}): {first}; what was committed stays; "
        f"{_advice(error)}"
    )


@contextmanager
def explaining(resource: str) -> Iterator[None]:
    """Raise what PostgreSQL raises within the block as ours."""
    try:
        yield
    except psycopg2.Error as error:
        raise explained(error, resource) from error


def _advice(error: psycopg2.Error) -> str:
    code = error.pgcode or ""
    if code.startswith("53") or "could not extend file" in str(error) or "could not write" in str(error):
        return "give the server room (disk, memory or connections) and run the sync again"
    if code in AGAIN:
        return "others hold the rows; run the sync again when they are done"
    if code.startswith("57"):
        return "someone cancelled the statement, or the server is stopping; run the sync again"
    if code.startswith("42"):
        return "compare the tables with the migrations (vantage-pipeline verify), then run the sync again"
    return "look at the server's log, then run the sync again"


def of_the_data(error: WarehouseError) -> bool:
    """Whether the rows are at fault, so that others may go in without them."""
    cause = error.__cause__
    return isinstance(cause, psycopg2.Error) and (cause.pgcode or "")[:2] in _OF_THE_DATA


def halves(batch: RowBatch) -> tuple[RowBatch, RowBatch]:
    """The batch in two; what was rejected and counted before stays with the first."""
    middle = len(batch) // 2
    first, second = _part(batch, 0, middle), _part(batch, middle, len(batch))
    return (
        RowBatch(
            table=batch.table,
            columns=first,
            records=batch.records[:middle],
            rejections=batch.rejections,
            fetched=batch.fetched - (len(batch) - middle),
            repeated=batch.repeated,
            fields=batch.fields,
        ),
        RowBatch(table=batch.table, columns=second, records=batch.records[middle:], fetched=len(batch) - middle),
    )


def refused(batch: RowBatch, error: WarehouseError, mask: Callable[[str], str]) -> RowBatch:
    """A batch of one row as a batch of none and one rejection more.

    Args:
        mask: hides the secrets in what the server said, which repeats the row's values.
    """
    table = batch.table
    key = batch.columns[table.key][0] or ""
    told = mask(str(error.__cause__ or error)).strip().split("\n")[0]
    rejection = Rejection.of(table.name, key, CODE, _field(batch, error), f"PostgreSQL: {told}", batch.records[0])
    return RowBatch(
        table=table,
        columns={name: [] for name in batch.columns},
        records=[],
        rejections=[*batch.rejections, rejection],
        fetched=batch.fetched,
        repeated=batch.repeated,
        fields=batch.fields,
    )


def foreign(cursor: Cursor, merge: Merge, batch: RowBatch) -> list[Rejection]:
    """Rejections for staged keys that another source owns in the table."""
    taken = set(merge.of_another_owner(cursor))
    if not taken:
        return []
    name = batch.table.key
    return [
        Rejection.of(
            batch.table.name,
            str(key),
            "OWNED_BY_ANOTHER_SOURCE",
            batch.table.column(name).fields[0],
            f"a row of another source has the {name} {key!r}; it stays as it is",
            record,
        )
        for key, record in zip(batch.columns[name], batch.records, strict=True)
        if key in taken
    ]


def _part(batch: RowBatch, start: int, end: int) -> dict[str, Sequence[Cell]]:
    return {name: values[start:end] for name, values in batch.columns.items()}


def _field(batch: RowBatch, error: WarehouseError) -> str:
    """The record's field that the column named by the server is made of; empty where it names none."""
    cause = error.__cause__
    column = cause.diag.column_name if isinstance(cause, psycopg2.Error) else None
    known = next((c for c in batch.table.columns if c.name == column), None)
    return known.fields[0] if known is not None and known.fields else column or ""


def check_share(report: LoadReport, options: LoadOptions, *, final: bool) -> None:
    """Raise `TooManyRejections` when the share of rejected records is past the limit, with enough of them to tell."""
    if not final and report.fetched < _ENOUGH_TO_TELL:
        return
    limit = options.max_rejected_share * report.fetched
    if report.quarantined >= max(1, options.max_rejected_records) and report.quarantined > limit:
        raise TooManyRejections(
            f"{report.resource}: {report.quarantined} of {report.fetched} records were rejected, more than "
            f"{options.max_rejected_share:.1%}; the first: {report.rejections[0].message}. What was good is "
            f"in the table; look at them with: vantage-pipeline quarantine list"
        )
