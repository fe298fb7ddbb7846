"""The comparisons, by letter."""

from __future__ import annotations

import importlib

from bench.findings import Findings
from bench.runner import Bench, load_average

LETTERS = {
    "A": "first_load",
    "B": "delays",
    "C": "bubble",
    "D": "large_tables",
    "E": "memory",
    "F": "overheads",
    "G": "scale_out",
}


def compare(letter: str, bench: Bench) -> Findings:
    """Run one comparison."""
    before = load_average()
    found: Findings = importlib.import_module(f"bench.comparisons.{LETTERS[letter]}").compare(bench)
    found.load = [round(before, 2), round(load_average(), 2)]
    return found
