"""A clock that moves only when a history says so, for the source and for the syncs.

Without it, a history could not be replayed, and a reading that takes ten minutes would take them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from unittest.mock import patch

from vantage_pipeline.orchestration import bubble_reading, reading
from vantage_pipeline.sandbox import transport_faults, wire
from vantage_pipeline.sources import bubble, vantage

START = datetime(2026, 6, 15, 9, tzinfo=UTC)


class Clock:
    """`now` is the source's time; the syncs' own clock differs from it by `skew`."""

    def __init__(self) -> None:
        self.now = START
        self.skew = timedelta()

    def reset(self) -> None:
        self.now, self.skew = START, timedelta()

    def tick(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the readings and the sandbox's ``Date`` header go by this clock."""
        source, syncs = _virtual(lambda: self.now), _virtual(lambda: self.now + self.skew)
        with ExitStack() as stack:
            for module in (wire, transport_faults):
                stack.enter_context(patch.object(module, "datetime", source))
            for module in (reading, bubble_reading, bubble, vantage):
                stack.enter_context(patch.object(module, "datetime", syncs))
            yield


def _virtual(moment: Callable[[], datetime]) -> type[datetime]:
    class Virtual(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return moment().astimezone(tz)

    return Virtual
