"""A live line for each resource while it syncs: records, requests, rate, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeft

from vantage_pipeline.orchestration import progress
from vantage_pipeline.orchestration.progress import Step


@contextmanager
def live_progress() -> Iterator[None]:
    """Show progress on the terminal's error stream while the block runs; nothing where it is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[requests]} requests"), TimeElapsedColumn(), TimeLeft(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            name = f"{step.resource} ({step.table})"
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=step.expected, requests=0)
            bars.update(tasks[name], completed=step.records, total=step.expected, requests=step.requests)

        with progress.listening(show):
            yield
