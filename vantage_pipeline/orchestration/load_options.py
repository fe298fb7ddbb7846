"""A load's options as the settings have them, for whatever writes: syncs, repairs, replays."""

from __future__ import annotations

from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse.load_report import LoadOptions


def load_options(settings: Settings) -> LoadOptions:
    """The options of a sync of which nothing special was asked."""
    return LoadOptions(
        lock_wait_seconds=settings.lock_wait_seconds,
        table_lock_seconds=settings.table_lock_seconds,
        max_rejected_share=settings.max_rejected_share,
        max_rejected_records=settings.max_rejected_records,
        clear_share=settings.clear_guard_share,
        clear_records=settings.clear_guard_records,
        delete_share=settings.delete_guard_share,
        delete_records=settings.delete_guard_records,
        change_history=settings.change_history,
        mask=settings.mask,
    )
