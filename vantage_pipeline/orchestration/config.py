"""What a run can be told: the same options on the command line and as run configuration in the UI."""

from __future__ import annotations

from enum import Enum
from typing import Any

import dagster as dg
from pydantic import Field


class Mode(Enum):
    """How much of a resource is read."""

    INCREMENTAL = "incremental"
    FULL = "full"


class By(Enum):
    """Which date a range of Bubble records is read by."""

    MODIFIED = "modified"
    CREATED = "created"
    INVOICE_DATE = "invoice_date"


class SyncConfig(dg.Config):
    """Options of one resource's sync."""

    mode: Mode = Field(
        default=Mode.INCREMENTAL, description="incremental: what changed since the watermark; full: everything"
    )
    dry_run: bool = Field(default=False, description="do everything but the commit, and show what would change")
    limit: int | None = Field(default=None, ge=1, description="read no more than so many records")
    allow_clear: list[str] = Field(
        default_factory=list, description="columns (table.column, or *) that may be cleared at once in this run"
    )
    allow_delete: bool = Field(default=False, description="mark any number of vanished rows as deleted in this run")
    wait_seconds: float | None = Field(
        default=None, ge=0, description="how long to wait for another sync of the resource; unset: the setting"
    )
    by: By = Field(default=By.MODIFIED, description="bubble: the date that from_date and to_date speak of")
    from_date: str | None = Field(default=None, description="bubble, with by: first day, yyyy-mm-dd")
    to_date: str | None = Field(default=None, description="bubble, with by: last day, yyyy-mm-dd")
    ids: list[str] = Field(
        default_factory=list, description="bubble: read only these records, with everything they link to"
    )
    force: bool = Field(default=False, description="with ids: write records that are not newer too")
    differences: int | None = Field(default=200, description="differences of each kind kept of a dry run, to be shown")
    diff_file: str | None = Field(
        default=None,
        description="write all differences of a dry run to this file (.csv or .json), begun anew by each run",
    )

    @property
    def partial(self) -> bool:
        """Whether these options read but some records, so that the sync says nothing of the others."""
        return bool(self.limit is not None or self.ids or self.by is not By.MODIFIED or self.from_date or self.to_date)

    def given(self) -> dict[str, Any]:
        """The options that are not the defaults, for the history."""
        return self.model_dump(mode="json", exclude_defaults=True)
