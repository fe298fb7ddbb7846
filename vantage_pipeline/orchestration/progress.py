"""How far the running syncs are, for whoever in this process wants to show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

LOG_SECONDS = 5.0
"""Seconds between two lines of progress in a run's log."""


@dataclass(frozen=True, slots=True)
class Step:
    """A sync's position. `expected` is what the API said it has, None where it did not say.

    `seconds`: since the reading of the table began.
    """

    resource: str
    table: str
    pages: int
    records: int
    requests: int
    expected: int | None
    seconds: float

    @property
    def rate(self) -> float | None:
        """Records a second so far; None before there is anything to tell it by."""
        return self.records / self.seconds if self.records and self.seconds > 0 else None

    @property
    def left(self) -> timedelta | None:
        """How long the rest takes at this rate; None where that is not known."""
        if self.rate is None or self.expected is None:
            return None
        return timedelta(seconds=round(max(0, self.expected - self.records) / self.rate))

    def text(self) -> str:
        """One line that says it all."""
        of = "" if self.expected is None else f" of {self.expected}"
        known = [
            f"{self.resource} ({self.table}): {self.records}{of} records",
            f"{self.pages} pages, {self.requests} requests",
        ]
        if self.rate is not None:
            known.append(f"{self.rate:.0f} records/s")
        if self.left is not None:
            known.append(f"about {self.left} left")
        return ", ".join(known)


Listener = Callable[[Step], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every step while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(step: Step) -> None:
    """Pass a step on to those who listen."""
    for listener in list(_listeners):
        listener(step)


class Teller:
    """Tells of each page of a reading at once, and a run's log now and then.

    Args:
        requests: how many the reading has made so far.
        expected: how many records a table is to have, where that is known.
        log: takes a line.
    """

    def __init__(
        self,
        resource: str,
        requests: Callable[[], int],
        expected: Callable[[str], int | None],
        log: Callable[[str], object] | None = None,
    ) -> None:
        self._resource, self._requests, self._expected, self._log = resource, requests, expected, log
        self._table = ""
        self._began = self._logged = self._last = time.monotonic()

    def __call__(self, table: str, pages: int, records: int) -> None:
        """So many pages with so many records of a table have been read."""
        now = time.monotonic()
        if table != self._table:
            # the first page of a table was asked for when the last one of the table before it had come
            self._table, self._began = table, self._last
        self._last = now
        step = Step(
            self._resource, table, pages, records, self._requests(), self._expected(table), seconds=now - self._began
        )
        tell(step)
        if self._log is not None and now - self._logged >= LOG_SECONDS:
            self._logged = now
            self._log(step.text())
