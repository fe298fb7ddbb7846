"""What a run of the suite did, for its report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of one process; `add` joins those of another."""

    histories: int = 0
    short_histories: int = 0
    """Histories of fewer than 20 steps: they are run, and not counted among the histories."""
    steps: int = 0
    syncs: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    edits_meanwhile: int = 0
    hand_edits: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    dry_runs: int = 0
    equalities: Counter[str] = field(default_factory=Counter)
    rows_compared: int = 0

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)
