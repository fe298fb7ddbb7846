"""A dry run's differences as a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vantage_pipeline.warehouse.merge import Difference

_FIELDS = ("table", "key", "column", "created", "old", "new")


def write_differences(name: str, differences: Sequence[Difference]) -> None:
    """Add the differences to a file, whose name ends in ``.csv`` or ``.json``; several resources share one."""
    path = Path(name)
    found = [{field: asdict(difference)[field] for field in _FIELDS} for difference in differences]
    if path.suffix == ".json":
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        path.write_text(json.dumps([*before, *found], indent=1, ensure_ascii=False, default=str), encoding="utf-8")
        return
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _FIELDS)
        if new:
            writer.writeheader()
        writer.writerows(found)
