"""``as-of``: a table's rows as they were at a time."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import typer

from vantage_pipeline.cli.tables import print_rows
from vantage_pipeline.errors import UsageError
from vantage_pipeline.settings import Settings, load_settings
from vantage_pipeline.warehouse import engine, migrations
from vantage_pipeline.warehouse.as_of import history_begins, mapped_columns, rows_as_json, rows_as_of

_SHOWN = 50


def as_of(table: str, time: str, *, key: str | None, as_csv: bool, as_json: bool) -> int:
    """Print the rows; gives the exit status: 1 when a key was asked for and no row had it then."""
    if as_csv and as_json:
        raise UsageError("--csv and --json are two forms of the same; choose one")
    settings = load_settings()
    at = _moment(time, settings)
    url = engine.database_url(settings)
    migrations.check(url)
    connection = engine.connect(url)
    try:
        columns = mapped_columns(connection, table)
        _tell_limits(history_begins(connection, table), table, at)
        if as_json:
            count = _print_json(rows_as_json(connection, table, at, columns, key=key))
        elif as_csv:
            count = _print_csv(columns, rows_as_of(connection, table, at, columns, key=key))
        else:
            rows = rows_as_of(connection, table, at, columns, key=key)
            shown = list(islice(rows, _SHOWN))
            count = len(shown) + sum(1 for _ in rows)
            _print(table, at, columns, shown, count)
    finally:
        connection.close()
    return 1 if key is not None and not count else 0


def _print_json(rows: Iterator[str]) -> int:
    typer.echo("[", nl=False)
    count = 0
    for text in rows:
        typer.echo((",\n " if count else "\n ") + text, nl=False)
        count += 1
    typer.echo("\n]")
    return count


def _print_csv(columns: list[str], rows: Iterator[list[str | None]]) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for values in rows:
        writer.writerow(values)
        count += 1
    return count


def _print(table: str, at: datetime, columns: list[str], shown: list[list[str | None]], count: int) -> None:
    """A single row down the page, several across it without the columns that are empty in all of them."""
    title = f"{table} as of {at.isoformat()}: {count} {'row' if count == 1 else 'rows'}"
    if count > len(shown):
        title += f", {len(shown)} shown (--csv or --json gives all)"
    if len(shown) == 1:
        print_rows(title, ["column", "value"], [[name, value] for name, value in zip(columns, shown[0], strict=True)])
        return
    used = [i for i, name in enumerate(columns) if name != "extra" and any(row[i] is not None for row in shown)]
    print_rows(title, [columns[i] for i in used], [[row[i] for i in used] for row in shown])


def _moment(text: str, settings: Settings) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"TIME: expected a time such as 2026-01-31 or 2026-01-31T12:00Z, got {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=settings.zone)


def _tell_limits(begins: datetime | None, table: str, at: datetime) -> None:
    """The history may not reach back so far, which the rows do not show."""
    if begins is None:
        told = "has no entry, so rows are as they are now; VANTAGE_PIPELINE_CHANGE_HISTORY=true lets syncs keep it"
    elif at < begins:
        told = f"begins at {begins.isoformat()}; what changed before is not known"
    else:
        return
    typer.echo(f"note: the change history of {table} {told}", err=True)
