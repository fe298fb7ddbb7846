"""Parts of a type by a date field, and how Bubble is asked for one: it has no "greater or equal"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MILLISECOND = timedelta(milliseconds=1)
_NARROWEST = timedelta(seconds=1)
MODIFIED = "Modified Date"

Constraint = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """Records whose date field lies in ``[start, end)``; None is open."""

    field: str = MODIFIED
    start: datetime | None = None
    end: datetime | None = None


def within(window: Window) -> list[Constraint]:
    """The constraints that ask for a window."""
    found: list[Constraint] = []
    if window.start is not None:
        value = iso(window.start - MILLISECOND)
        found.append({"key": window.field, "constraint_type": "greater than", "value": value})
    if window.end is not None:
        found.append({"key": window.field, "constraint_type": "less than", "value": iso(window.end)})
    return found


def narrowed(window: Window, start: datetime) -> Window | None:
    """What is left of a window from `start` on; None for nothing."""
    if window.end is not None and start >= window.end:
        return None
    return Window(window.field, start, window.end)


def halves(window: Window) -> tuple[Window, list[Window]]:
    """The window's earlier half for the one who reads it, the later one for someone else."""
    end = window.end or datetime.now(UTC)
    if window.start is None or end - window.start < 2 * _NARROWEST:
        return window, []
    middle = window.start + (end - window.start) / 2
    middle = middle.replace(microsecond=middle.microsecond // 1000 * 1000)
    return Window(window.field, window.start, middle), [Window(window.field, middle, window.end)]


def iso(moment: datetime) -> str:
    """A time as Bubble writes it: UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(window: Window) -> str:
    """A window's bounds, for the checkpoint."""
    start = iso(window.start) if window.start else ""
    end = iso(window.end) if window.end else ""
    return f"[{start}, {end})"
