"""What a side is told and what it tells back: plain data that travels as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = dict[str, Any]
Work = Callable[[], Facts]
"""What is timed. Gives the facts: rows written, requests made."""


@dataclass(frozen=True, slots=True)
class Job:
    """One thing for a side to do.

    Args:
        source: base URL of the source.
        database: address of the PostgreSQL database to write to.
        pages: how many pages there are.
        postmaster: process id of the server, to measure its processor time.
        folder: where the side may keep files.
        options: what only one side understands.
    """

    source: str
    database: str
    pages: int
    postmaster: int
    folder: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a job took.

    Args:
        seconds: wall-clock time.
        cpu: processor seconds of the side's own processes.
        server_cpu: processor seconds of the PostgreSQL server meanwhile.
        peak_mib: the most memory that the side's process held, its imports included.
        facts: what the side tells.
    """

    seconds: float
    cpu: float
    server_cpu: float
    peak_mib: float
    facts: Facts
