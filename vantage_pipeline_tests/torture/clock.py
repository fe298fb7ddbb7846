"""A clock that moves only when a history says so, for the source and for the syncs.

Without it, a history could not be replayed, and a reading that takes ten minutes would take them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from typing import Any
from unittest.mock import patch

from vantage_pipeline.orchestration import bubble_reading, reading
from vantage_pipeline.sandbox import Sandbox
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
    def installed(self, sandbox: Sandbox) -> Iterator[None]:
        """Let the readings and the sandbox's ``Date`` header go by this clock."""
        clock = self

        class Virtual(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return (clock.now + clock.skew).astimezone(tz)

        def date_header(_handler: object, _timestamp: float | None = None) -> str:
            return format_datetime(clock.now, usegmt=True)

        handler = sandbox._server.RequestHandlerClass
        modules = (reading, bubble_reading, bubble, vantage)
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(patch.object(module, "datetime", Virtual))
            stack.enter_context(patch.object(handler, "date_time_string", date_header))
            yield
