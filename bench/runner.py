"""What every comparison is given: the ground, the scale, and the means to have a side do a job."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import psutil

from bench import child, sides
from bench.ground import ROOT, Ground
from bench.jobs import Job, Spent
from bench.source import Source

T = TypeVar("T")


class Scale(StrEnum):
    """How large a comparison is made."""

    FULL = "full"
    QUICK = "quick"
    TINY = "tiny"


@dataclass(frozen=True)
class Bench:
    """Runs jobs.

    Args:
        ground: where.
        scale: how large.
        rounds: how often each side does each job.
        fresh: each job in a process of its own; in this one otherwise, which only a test wants.
        say: tells whoever watches.
    """

    ground: Ground
    scale: Scale
    rounds: int
    fresh: bool = True
    say: Callable[[str], None] = lambda _line: None

    def sides(self, *wanted: str) -> list[str]:
        """Those of the sides that are installed."""
        for side in wanted:
            if lacking := sides.missing(side):
                self.say(f"{side} is left out: {', '.join(lacking)} not installed (make bench installs it)")
        return [side for side in wanted if not sides.missing(side)]

    def job(self, source: str, database: str, pages: int, folder: str = "", **options: Any) -> Job:
        """A job on this ground."""
        return Job(source, database, pages, self.ground.postmaster, folder or str(self.ground.folder()), options)

    def perform(self, side: str, job: Job, source: Source | None = None) -> Spent:
        """Have a side do a job; with `source`, its requests are counted there.

        Raises:
            RuntimeError: the side failed.
        """
        before = source.counted() if source else 0
        spent = self._in_child(side, job) if self.fresh else self._here(side, job)
        if source:
            spent = dataclasses.replace(spent, facts={**spent.facts, "requests": source.counted() - before})
        return spent

    def pipeline(self, *arguments: str, env: Mapping[str, str]) -> tuple[Spent, str]:
        """Run ``vantage-pipeline``, its start included; gives what it took and its standard output.

        Raises:
            RuntimeError: it failed.
        """
        if self.fresh:
            return self.command("-m", "vantage_pipeline", *arguments, env=env)
        from typer.testing import CliRunner

        from vantage_pipeline.cli.app import app
        from vantage_pipeline.settings import load_settings

        with _environment({**self.ground.environment(), **env}):
            load_settings.cache_clear()
            began = time.perf_counter()
            done = CliRunner().invoke(app, list(arguments))
        if done.exit_code:
            raise RuntimeError(f"{' '.join(arguments)[:200]}: {done.output[-3000:]}")
        return Spent(time.perf_counter() - began, 0.0, 0.0, 0.0, {}), done.stdout

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[Spent, str]:
        """Run a Python command line to its end, its start included; gives what it took and its standard output.

        Raises:
            RuntimeError: it failed.
        """
        server = child.server_cpu(self.ground.postmaster)
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**clean_environment(), **self.ground.environment(), **(env or {})},
            cwd=self.ground.home, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        seconds, after = time.perf_counter() - began, os.times()
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)[:200]}: {done.stderr[-3000:] or done.stdout[-3000:]}")
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return Spent(seconds, cpu, child.server_cpu(self.ground.postmaster) - server, 0.0, {}), done.stdout

    def _in_child(self, side: str, job: Job) -> Spent:
        described = json.dumps(dataclasses.asdict(job))
        done = subprocess.run(
            [sys.executable, "-m", "bench.child", side, described],
            env={**clean_environment(), **self.ground.environment()},
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{side}: {done.stderr[-3000:]}")
        return Spent(**json.loads(done.stdout.splitlines()[-1]))

    def _here(self, side: str, job: Job) -> Spent:
        with _environment(self.ground.environment()):
            return child.perform(side, job)


def rotated(sides_: Sequence[T], number: int) -> list[T]:
    """The sides in an order that changes from round to round, so that none always goes first."""
    start = number % len(sides_)
    return [*sides_[start:], *sides_[:start]]


def load_average() -> float:
    """Processes that wanted to run, over the last minute."""
    return psutil.getloadavg()[0]


def clean_environment() -> dict[str, str]:
    """The environment without what configures the project of whoever runs the benchmark."""
    theirs = ("VANTAGE_", "BUBBLE_", "DAGSTER_", "PG")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(theirs) and name not in ("DATABASE_URL", "ALERT_URLS")
    }


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
