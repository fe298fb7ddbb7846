"""How far the running syncs are, for whoever in this process wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A sync's position. `expected` is what the API said it has, None where it did not say."""

    resource: str
    table: str
    records: int
    requests: int
    expected: int | None


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
