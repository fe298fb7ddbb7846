"""The sides: each brings the same cash flows into a table. `prepare` imports and sets up; what it gives is timed."""

from __future__ import annotations

import importlib.util

ALL = {
    "ours": "this project",
    "load": "its load alone",
    "floor": "floor",
    "dlt": "dlt",
    "singer": "Singer tap, target-postgres",
    "frame": "pandas to_sql",
}
_NEEDS = {"dlt": ("dlt",), "singer": ("singer_sdk", "target_postgres")}


def missing(side: str) -> list[str]:
    """The packages that a side needs and that are not installed."""
    return [name for name in _NEEDS.get(side, ()) if importlib.util.find_spec(name) is None]
