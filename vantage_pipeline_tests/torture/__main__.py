"""``make torture``: histories for as long as asked, in several processes, with a report at the end.

Histories run in chunks, each with a seed of its own, so that a failing one is found again without what came before.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vantage_pipeline_tests.torture import histories, servers
from vantage_pipeline_tests.torture.tally import Tally

CHUNK = 50
_SETTINGS = ("VANTAGE_", "BUBBLE_", "DAGSTER_", "PG", "DATABASE_URL", "ALERT_URLS")


@dataclass
class Run:
    """What is asked for, and what came of it so far."""

    minutes: float | None
    wanted: int | None
    seed: int
    started: float = field(default_factory=time.monotonic)
    tally: Tally = field(default_factory=Tally)
    failures: list[str] = field(default_factory=list)
    chunks: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def done(self) -> bool:
        if self.failures or (self.minutes is not None and self.seconds >= self.minutes * 60):
            return True
        return self.wanted is not None and self.tally.histories >= self.wanted

    def line(self) -> str:
        rate = self.tally.histories / max(self.seconds, 1) * 60
        return (
            f"{self.tally.histories} histories ({rate:.0f} a minute), {self.tally.steps} steps, "
            f"{sum(self.tally.faults.values())} faults, {sum(self.tally.crashes.values())} crashes, "
            f"{len(self.failures)} violations"
        )


def _process(number: int, asked: Connection, made: Any, folder: Any) -> None:
    """Run the chunks that are asked for; answer each with its tally and what failed."""
    with servers.world(made, folder, number) as world:
        while True:
            seed = asked.recv()
            if seed is None:
                return
            world.tally = Tally()
            try:
                histories.run(world, number=seed, histories=CHUNK)
                problem = ""
            except BaseException as error:  # noqa: BLE001 - whatever ended a history is what is to be told
                notes = "\n".join(getattr(error, "__notes__", ()))
                told = "".join(traceback.format_tb(error.__traceback__)[-6:])
                if isinstance(error, BaseExceptionGroup):
                    told += "".join(traceback.format_exception(error))[-20_000:]
                problem = f"seed {seed}: {type(error).__name__}: {error}\n\n{told}\n{notes}"
            asked.send((world.tally, problem))


def _drive(run: Run, processes: int, console: Console) -> None:
    with ExitStack() as stack:
        made, folder = stack.enter_context(servers.server())
        shown = stack.enter_context(
            Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console)
        )
        task = shown.add_task(run.line(), total=run.wanted or (run.minutes or 0) * 60)
        context = multiprocessing.get_context("fork")
        pipes: dict[Connection, Any] = {}
        for number in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_process, args=(number, theirs, made, folder), daemon=True)
            process.start()
            pipes[ours] = process
            _ask(run, ours)
        last = 0.0
        while pipes:
            for ready in cast(list[Connection], wait(list(pipes), timeout=5)):
                try:
                    tally, problem = ready.recv()
                except EOFError:
                    run.failures.append("a process of the suite ended without a word")
                    pipes.pop(ready)
                    continue
                run.tally.add(tally)
                run.failures.extend([problem] if problem else [])
                if run.done:
                    ready.send(None)
                    pipes.pop(ready).join()
                else:
                    _ask(run, ready)
            shown.update(task, description=run.line(), completed=run.tally.histories if run.wanted else run.seconds)
            if not console.is_terminal and run.seconds - last > 60:
                last = run.seconds
                console.print(f"{run.seconds / 60:.0f} min: {run.line()}")


def _ask(run: Run, pipe: Connection) -> None:
    pipe.send(run.seed * 1_000_000 + run.chunks)
    run.chunks += 1


def _report(run: Run, console: Console) -> None:
    table = Table("what", "how often", title=f"Convergence, seed {run.seed}, {run.seconds / 60:.1f} minutes")
    for one in fields(run.tally):
        value = getattr(run.tally, one.name)
        name = one.name.replace("_", " ")
        if isinstance(value, Counter):
            for kind, count in sorted(value.items()):
                table.add_row(f"{name}: {kind}", str(count))
        else:
            table.add_row(name, str(value))
    table.add_row("violations", str(len(run.failures)))
    console.print(table)
    console.print(run.line())
    for failure in run.failures:
        console.print(failure, markup=False, highlight=False)


def main() -> int:
    """Run what the arguments ask for; the exit status is 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--histories", type=int, help="stop after so many histories of at least 20 steps")
    parser.add_argument("--seed", type=int, help="of the run, as the report names it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", type=int, metavar="SEED", help="only the histories of this seed, that of a failure")
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        del os.environ[name]
    console = Console()
    if given.replay is not None:
        with servers.server() as (made, folder), servers.world(made, folder, 0) as world:
            histories.run(world, number=given.replay, histories=CHUNK)
        return 0
    minutes = given.minutes if given.minutes or given.histories else 10.0
    run = Run(minutes, given.histories, given.seed if given.seed is not None else random.randrange(1_000_000))
    console.print(f"Seed {run.seed}, {given.processes} processes.")
    _drive(run, given.processes, console)
    _report(run, console)
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
