"""Repair of what a verification found: just those records, through the same load as any sync."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from vantage_pipeline.catalog.model import Dataset, Resource
from vantage_pipeline.orchestration.config import SyncConfig
from vantage_pipeline.orchestration.io_manager import as_error, is_cancel
from vantage_pipeline.orchestration.load_options import load_options
from vantage_pipeline.orchestration.pump import Mappers
from vantage_pipeline.orchestration.reading import DerivedReading
from vantage_pipeline.records.model import RowBatch
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.bubble import BubbleClient
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.gathering import Workspace, staged_batch
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline.warehouse.verdict import Kind
from vantage_pipeline.warehouse.verification import differing_keys, mass_cleared, mass_missing

_SLICE = 1_000
"""Records mended in one batch, at most; fewer where a sync's batches are smaller."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did to one resource. `held_back`: what it left alone because it was too much at once."""

    resource: str
    created: int
    updated: int
    deleted: int
    held_back: tuple[str, ...] = ()


def repair_records(settings: Settings, resource: Resource, workspace: Workspace, began: datetime, run: Run) -> Repaired:
    """Write the records that differ as the source has them, and mark rows that the source does not have.

    Bubble's records are read again by their ids; Vantage has no such reading, so those of the comparing one are
    taken, but not for rows that a sync has written since. What would be held back in a sync is held back here.

    Raises:
        PipelineError: as a sync of the resource.
    """
    held: set[str] = set()
    for dataset in resource.datasets:
        held |= mass_cleared(
            workspace, dataset.table, share=settings.clear_guard_share, records=settings.clear_guard_records
        )
    columns = {f"{d.table.name}.{c.name}" for d in resource.datasets for c in d.table.columns}
    options = _options(settings, allow_clearing=frozenset(columns - held))

    size = min(_SLICE, settings.batch_records)

    def work(load: Load) -> None:
        for dataset in resource.datasets:
            too_many = mass_missing(
                workspace, dataset.table, share=settings.delete_guard_share, records=settings.delete_guard_records
            )
            if too_many is not None:
                load.hold_back(too_many)
            if resource.system == "bubble":
                _mend_by_ids(settings, dataset, workspace, began, load, size=size, marking=too_many is None)
            else:
                _mend_gathered(dataset, workspace, began, load, size=size, marking=too_many is None)

    return _loaded(settings, resource, run, options, work)


def repair_derived(settings: Settings, resource: Resource, run: Run) -> Repaired:
    """Derive again; it writes only rows that differ."""

    def work(load: Load) -> None:
        DerivedReading(resource, settings, SyncConfig()).fill(load, None)

    return _loaded(settings, resource, run, _options(settings), work)


def _mend_by_ids(
    settings: Settings, dataset: Dataset, workspace: Workspace, began: datetime, load: Load, *, size: int, marking: bool
) -> None:
    """`marking`: whether rows that the source does not have are marked as deleted."""
    client = BubbleClient(settings)
    table = dataset.table
    try:
        mappers = Mappers(load, settings)
        extra = {key for keys in differing_keys(workspace, table, Kind.EXTRA, size=size) for key in keys}
        for keys in differing_keys(workspace, table, *Kind, size=size):
            pages = client.by_ids(dataset, keys)
            there = {key for page in pages for key in _written(load, mappers.rows(page))}
            load.report.api_calls = client.session.stats.requests
            if marking:
                load.mark_keys_deleted(table, [key for key in keys if key in extra - there], untouched_since=began)
    finally:
        client.close()


def _mend_gathered(
    dataset: Dataset, workspace: Workspace, began: datetime, load: Load, *, size: int, marking: bool
) -> None:
    table = dataset.table
    for keys in differing_keys(workspace, table, Kind.MISSING, Kind.FIELD, size=size):
        _written(load, staged_batch(workspace, table, keys, untouched_since=began))
    if not marking:
        return
    for keys in differing_keys(workspace, table, Kind.EXTRA, size=size):
        load.mark_keys_deleted(table, keys, untouched_since=began)


def _written(load: Load, batch: RowBatch) -> Iterable[str]:
    """Write a batch; gives the keys that the source has, refused records' too."""
    load.write(batch, position={"repair": len(batch)})
    return [
        *(key for key in batch.columns[batch.table.key] if key),
        *(rejection.record_key for rejection in batch.rejections),
    ]


def _loaded(
    settings: Settings, resource: Resource, run: Run, options: LoadOptions, work: Callable[[Load], None]
) -> Repaired:
    url = engine.database_url(settings)
    repairing = replace(run, options={**run.options, "repair": True}, partial=True)
    load = Load(lambda: engine.connect(url), resource, repairing, options)
    try:
        load.begin()
        work(load)
        report = load.finish(watermark=None)
    except BaseException as error:
        load.fail([as_error(error, settings)], cancelled=is_cancel(error))
        raise
    return Repaired(
        resource.asset,
        created=report.counts.created,
        updated=report.counts.updated,
        deleted=report.deleted,
        held_back=tuple(held.as_error()["message"] for held in report.held_back),
    )


def _options(settings: Settings, *, allow_clearing: frozenset[str] = frozenset()) -> LoadOptions:
    """A batch of nothing but differing rows says nothing about a column's share: what may be cleared is named."""
    return replace(
        load_options(settings), max_rejected_share=1.0, clear_share=0.0, clear_records=1, allow_clearing=allow_clearing
    )
