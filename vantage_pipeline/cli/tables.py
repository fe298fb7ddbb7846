"""Results as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from vantage_pipeline.orchestration.differences import first_of

if TYPE_CHECKING:
    from vantage_pipeline.cli.running import Done

_NUMBERS = ("fetched", "created", "updated", "unchanged", "quarantined", "deleted", "api_calls", "seconds")
_FORETOLD = (*_NUMBERS[:6], "cleared", "links_pending", "links_filled", "seconds")
"""What a dry run tells, which has no checks."""
_SHOWN = 20


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """One table; numbers stand to the right."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float)) or row[index] in ("", None) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(width=None if Console().is_terminal else 160).print(table)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


def print_done(done: Sequence[Done], *, title: str, as_json: bool) -> int:
    """The outcome of a run; gives the exit status."""
    failed = [item for item in done if item.status != "ok"]
    if as_json:
        print_json(
            [
                {
                    "resource": item.resource, "status": item.status, "error": item.error or None,
                    "checks": item.checks, "checks_failed": item.checks_failed, **item.metadata,
                }
                for item in done
            ]
        )  # fmt: skip
        return 1 if failed else 0
    foretold = any("cleared" in item.metadata for item in done)
    numbers = _FORETOLD if foretold else _NUMBERS
    print_rows(
        title,
        ["resource", "status", *(name.removeprefix("links_") for name in numbers), *([] if foretold else ["checks"])],
        [
            [
                item.resource, item.status, *(item.metadata.get(name, "") for name in numbers),
                *([] if foretold else [_checks(item)]),
            ]
            for item in done
        ],
    )  # fmt: skip
    for item in done:
        for difference in first_of(item.metadata.get("first_differences", []), _SHOWN, kind=itemgetter("kind")):
            typer.echo(
                f"  {item.resource} {difference['kind']} {difference['table']} {difference['record']}:"
                f" {difference['column']}: {difference['old']} -> {difference['new']}"
            )
        for name, message in item.metadata.items():
            if name.startswith("held_back/"):
                typer.echo(f"  held back: {message}")
        for rejected in item.metadata.get("first_errors", [])[:5]:
            typer.echo(f"  {item.resource} {rejected['record']}: {rejected['message']}")
        for table, counts in item.metadata.get("by_table", {}).items():
            told = ", ".join(f"{number} {name}" for name, number in counts.items())
            typer.echo(f"  {item.resource}: {table}: {told}")
        for message in item.metadata.get("links_unreadable", {}).values():
            typer.echo(f"  {item.resource}: links wait: {message}")
        for step in item.metadata.get("steps", []):
            typer.echo(f"  {item.resource}: {step['action']}: {step['records']}")
    for item in failed:
        typer.echo(f"error: {item.error}", err=True)
    return 1 if failed else 0


def _checks(item: Done) -> str:
    if not item.checks:
        return ""
    return f"{item.checks - len(item.checks_failed)}/{item.checks}" + (
        f" failed: {', '.join(item.checks_failed)}" if item.checks_failed else ""
    )
