"""Named points of a load at which a test may end the process, or the connection, or do something else.

Nothing is armed in production: a point then costs one comparison. A test arms a function with `armed`, in its own
process or in one that it starts; what that function does at a point is its business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

POINTS: tuple[str, ...] = (
    "begin.locked",
    "begin.written",
    "begin.committed",
    "batch.staged",
    "batch.written",
    "batch.committed",
    "deletion.written",
    "deletion.committed",
    "derivation.written",
    "derivation.committed",
    "finish.written",
    "finish.committed",
    "failure.written",
    "failure.committed",
)
"""In the order in which a sync comes by. ``written``: all is said, nothing is committed; ``committed``: right after."""

_armed: Callable[[str], None] | None = None


def reached(name: str) -> None:
    """The load has come to the point `name`, one of `POINTS`."""
    if _armed is not None:
        _armed(name)


@contextmanager
def armed(act: Callable[[str], None]) -> Iterator[None]:
    """Call `act` with the name of each point that any thread of this process reaches, until the block ends."""
    global _armed
    before, _armed = _armed, act
    try:
        yield
    finally:
        _armed = before
