"""What a load is told, and what it tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vantage_pipeline.catalog.model import Rule
from vantage_pipeline.records.model import Rejection, RowBatch
from vantage_pipeline.records.rules import KNOWN_TRANSACTION_TYPES
from vantage_pipeline.warehouse.differences import Differences
from vantage_pipeline.warehouse.guard import HeldBack
from vantage_pipeline.warehouse.merge import MergeCounts
from vantage_pipeline.warehouse.state import ERRORS_LISTED


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a load behaves; the defaults are the settings' defaults."""

    dry_run: bool = False
    lock_wait_seconds: float = 0
    table_lock_seconds: float = 30
    """How long one transaction waits for rows or tables that others hold; it is tried four times."""
    max_rejected_share: float = 0.01
    max_rejected_records: int = 10
    clear_share: float = 0.9
    clear_records: int = 10
    allow_clearing: frozenset[str] = frozenset()
    """Columns (``table.column`` or ``*``) whose clearing is not held back in this run."""
    delete_share: float = 0.05
    delete_records: int = 10
    allow_deleting: bool = False
    change_history: bool | tuple[str, ...] = False
    """Whether changes are kept: of all tables, of none, or of those named."""
    differences_kept: int | None = None
    """Differences of each kind collected in a dry run; None for all."""
    mask: Callable[[str], str] = str
    """Hides the secrets in what PostgreSQL says of a row, before anything keeps it."""


@dataclass
class LoadReport:
    """What a load did, so far or in all."""

    resource: str
    fetched: int = 0
    repeated: int = 0
    counts: MergeCounts = field(default_factory=MergeCounts)
    by_table: dict[str, MergeCounts] = field(default_factory=dict)
    related: MergeCounts = field(default_factory=MergeCounts)
    """Rows of other resources that were written because rows of this one name them."""
    quarantined: int = 0
    deleted: int = 0
    links_filled: int = 0
    unmapped_types: Counter[str] = field(default_factory=Counter)
    """Transaction types that the mapping does not know, kept as they came, with how many records had them."""
    errors: list[dict[str, str]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    held_back: list[HeldBack] = field(default_factory=list)
    cleared: int = 0
    """Values that would be cleared, counted in a dry run only."""
    differences: Differences = field(default_factory=Differences)
    watermark_before: datetime | None = None
    watermark_after: datetime | None = None
    api_calls: int = 0
    api_calls_by_status: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    """Requests that were tried again."""

    def facts(self) -> dict[str, Any]:
        """What the history keeps beyond the functions' arguments."""
        return {
            "records_synced": self.fetched,
            "records_created": self.counts.created,
            "records_updated": self.counts.updated,
            "records_unchanged": self.counts.unchanged,
            "records_quarantined": self.quarantined,
            "records_deleted": self.deleted,
            "records_cleared_held": sum(h.records for h in self.held_back if h.kind == "clear"),
            "api_calls": self.api_calls,
            "api_calls_by_status": self.api_calls_by_status,
            "retries": self.retries,
            "watermark_before": self.watermark_before,
        }

    def checkpoint(self, batch: RowBatch, counts: MergeCounts, position: Mapping[str, Any] | None) -> dict[str, Any]:
        """Counts so far with one batch more, and where the reading stands after it."""
        return {
            "records_synced": self.fetched + batch.fetched,
            "records_created": self.counts.created + counts.created,
            "records_updated": self.counts.updated + counts.updated,
            "records_unchanged": self.counts.unchanged + counts.unchanged,
            "records_quarantined": self.quarantined + len(batch.rejections),
            "api_calls": self.api_calls,
            "checkpoint": {"table": batch.table.name, **(position or {})},
        }

    def count(self, batch: RowBatch, counts: MergeCounts, rejections: Sequence[Rejection], *, own: bool) -> None:
        """Count a batch that is written. `own`: its records are of the resource itself, not some that these name."""
        if own:
            self.fetched += batch.fetched
            self.repeated += batch.repeated
            self.counts = self.counts + counts
            self.quarantined += len(rejections)
        else:
            self.related = self.related + counts
        for column in batch.table.columns:
            if column.rule is Rule.TRANSACTION_TYPE:
                types = Counter(batch.columns[column.name])
                self.unmapped_types.update({t: n for t, n in types.items() if t and t not in KNOWN_TRANSACTION_TYPES})
        self.by_table[batch.table.name] = self.by_table.get(batch.table.name, MergeCounts()) + counts
        self.rejections.extend(rejections[: max(0, ERRORS_LISTED - len(self.rejections))])
