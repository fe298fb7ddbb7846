"""A pipeline whose tables can be held against the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vantage_pipeline import catalog
from vantage_pipeline.orchestration.verification import Verification, verify
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline.warehouse.verdict import Verdict
from vantage_pipeline_tests.pipeline import Pipeline, settings_for

TABLES = sorted({name for resource in catalog.RESOURCES for name in resource.tables})
KEPT = [
    *TABLES, "vantage_sync_state", "vantage_sync_history", "vantage_quarantine", "vantage_pending_links",
    "vantage_link_repairs", "vantage_link_conflicts", "vantage_field_sightings", "vantage_held_back",
    "vantage_change_history",
]  # fmt: skip


class Verifier:
    """A pipeline whose tables can be verified."""

    def __init__(self, pipeline: Pipeline, state_dir: Path) -> None:
        self.pipeline, self.database, self.sandbox = pipeline, pipeline.database, pipeline.sandbox
        self.settings = settings_for(pipeline.sandbox, state_dir=state_dir)

    def verify(self, *names: str, repair: bool = False) -> Verification:
        mend = Run("mending", triggered_by="a test") if repair else None
        return verify(self.settings, catalog.select(names), mend=mend)

    def found(self, *names: str) -> Verdict:
        (verdict,) = self.verify(*names).verdicts
        return verdict

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every byte of the rows with where they lie, of the state and of the history."""
        return {name: self.database.rows(f'SELECT ctid, xmin, t::text FROM "{name}" t ORDER BY ctid') for name in KEPT}


def listed(verdict: Verdict) -> list[tuple[str, str, str, str | None, str | None]]:
    return [(m.key, m.kind.name, m.field, m.here, m.source) for m in verdict.mismatches]


def names(system: str) -> Sequence[str]:
    return [resource.asset for resource in catalog.RESOURCES if resource.system == system]
