"""Results to files: JSON, the tables in ``docs/performance.md``, and pictures."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from bench.findings import Findings, markdown, restored
from bench.ground import ROOT, Ground

PAGE = ROOT / "docs" / "performance.md"
_PACKAGES = ("dagster", "psycopg2-binary", "msgspec", "requests", "dlt", "singer-sdk",
             "meltanolabs-target-postgres", "pandas", "sqlalchemy")  # fmt: skip


def machine(ground: Ground) -> dict[str, str]:
    """What was measured on, and with."""
    found = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()}",
        "python": platform.python_version(),
        "postgresql": str(ground.rows(ground.server.url("postgres"), "SHOW server_version")[0][0]),
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def save(file: Path, about: Mapping[str, str], findings: Mapping[str, Findings]) -> None:
    """Write results as JSON; those of comparisons that were not run this time stay."""
    kept = json.loads(file.read_text()) if file.exists() else {"comparisons": {}}
    for letter, found in findings.items():
        kept["comparisons"][letter] = {**_rounded(dataclasses.asdict(found)), "about": dict(about)}
    kept["comparisons"] = dict(sorted(kept["comparisons"].items()))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept, indent=1) + "\n")


def load(file: Path) -> dict[str, Findings]:
    """Results as they were saved."""
    saved = json.loads(file.read_text())["comparisons"]
    return {letter: restored(found) for letter, found in saved.items()}


def render(file: Path, page: Path = PAGE) -> None:
    """Put the results' tables between the page's marks (``<!-- A -->`` to ``<!-- /A -->``)."""
    text = page.read_text()
    saved = json.loads(file.read_text())["comparisons"]
    for letter, found in load(file).items():
        shown = _section(found, saved[letter]["about"])
        pattern = re.compile(rf"(<!-- {letter} -->\n).*?(<!-- /{letter} -->)", re.DOTALL)
        text = pattern.sub(lambda mark, shown=shown: f"{mark[1]}{shown}\n{mark[2]}", text)  # type: ignore[misc]
    page.write_text(text)


def _section(found: Findings, about: Mapping[str, str]) -> str:
    rounds = 1 + max((m.round for m in found.measurements), default=0)
    said = ", ".join(value if name == "machine" else f"{name} {value}" for name, value in about.items())
    parts = [
        f"{found.title}; medians of {rounds} round{'s' if rounds > 1 else ''}; load average "
        f"{found.load[0]:g} before and {found.load[1]:g} after.",
        markdown(found.table()),
    ]
    if found.bounds:
        parts.append(markdown(found.bounds_table()))
    if found.notes:
        parts.append("\n".join(f"- {note}" for note in found.notes))
    return "\n\n".join([*parts, f"<sub>{said}</sub>"])


def _rounded(value: Any) -> Any:
    """The same with numbers cut to what was really measured, which keeps the file small."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
