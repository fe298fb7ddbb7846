"""What a comparison with the source found. Counts are exact; what is listed is only the beginning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a record and its row differ."""

    MISSING = "row missing here"
    EXTRA = "row too many here"
    FIELD = "field differs"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One field, or one whole row, that is not as the source has it. Links show their parent's key."""

    table: str
    key: str
    kind: Kind
    field: str
    here: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class WrongSum:
    """A sum of money that is not the source's, exact to the last digit. `group` is the fund, investor or invoice."""

    table: str
    column: str
    per: str
    group: str
    here: str
    source: str


@dataclass(frozen=True, slots=True)
class Accounted:
    """A record that is not compared, or a link that is rightly empty, and why."""

    table: str
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One resource held against its source. `missing`, `extra` and `changed` count records."""

    resource: str
    records: int = 0
    rows: int = 0
    missing: int = 0
    extra: int = 0
    changed: int = 0
    wrong_sums: int = 0
    waiting: int = 0
    """Records that differ because the source changed them since the last sync, or a sync changed them meanwhile."""
    quarantined: int = 0
    pending: int = 0
    mismatches: tuple[Mismatch, ...] = ()
    sums: tuple[WrongSum, ...] = ()
    accounted: tuple[Accounted, ...] = ()

    @property
    def differing(self) -> int:
        """Records that differ."""
        return self.missing + self.extra + self.changed

    @property
    def equal(self) -> bool:
        return not self.differing and not self.wrong_sums
