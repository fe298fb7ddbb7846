"""A live line for each resource while it syncs: pages, records, rate, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from vantage_pipeline.orchestration import progress
from vantage_pipeline.orchestration.progress import Step


@contextmanager
def live_progress(console: Console | None = None) -> Iterator[None]:
    """Show progress on the terminal's error stream while the block runs; nothing where it is no terminal."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[pages]} pages"),
        MofNCompleteColumn(), TextColumn("records {task.fields[rate]}"), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            name = f"{step.resource} ({step.table})"
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=step.expected, pages=0, rate="", left="")
            bars.update(
                tasks[name],
                completed=step.records,
                total=step.expected,
                pages=step.pages,
                rate="" if step.rate is None else f"{step.rate:.0f}/s",
                left="" if step.left is None else f"{step.left} left",
            )

        with progress.listening(show):
            yield
