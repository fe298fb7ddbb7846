"""From a Dagster run to the reading of one resource: its window, its partitions, what the run reads later."""

from __future__ import annotations

import dagster as dg

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.errors import UsageError
from vantage_pipeline.orchestration.bubble_reading import BubbleReading
from vantage_pipeline.orchestration.config import SyncConfig
from vantage_pipeline.orchestration.jobs import ONE_INVOICE, op_name
from vantage_pipeline.orchestration.partitions import window_of
from vantage_pipeline.orchestration.reading import DerivedReading, Reading, VantageReading
from vantage_pipeline.settings import Settings


def plan_reading(
    resource: Resource, settings: Settings, config: SyncConfig, context: dg.AssetExecutionContext
) -> Reading:
    """The reading that this run's step asks for."""
    if resource.derivation is not None:
        return DerivedReading(resource, settings, config)
    if resource.system == "vantage":
        return VantageReading(resource, settings, config)
    if context.run.job_name == ONE_INVOICE and resource.name == "invoice" and not config.ids:
        raise UsageError(f"{ONE_INVOICE}: which invoices? Put their ids into ops.{op_name(resource)}.config.ids")
    keys = _partition_keys(resource, context)
    return BubbleReading(
        resource,
        settings,
        config,
        window=window_of(keys) if keys else None,
        partition_key=_range_name(keys),
        deferred=_read_later(resource, context),
    )


def _partition_keys(resource: Resource, context: dg.AssetExecutionContext) -> list[str]:
    if not resource.partitioned or not (context.has_partition_key or context.has_partition_key_range):
        return []
    key_range = context.partition_key_range
    return [key_range.start, key_range.end]


def _range_name(keys: list[str]) -> str:
    if not keys:
        return ""
    return keys[0] if keys[0] == keys[-1] else f"{keys[0]}...{keys[-1]}"


def _read_later(resource: Resource, context: dg.AssetExecutionContext) -> frozenset[str]:
    """Tables of the resources that this run reads after this one."""
    selected = context.run.asset_selection
    position = [r.state for r in RESOURCES].index(resource.state)
    later = RESOURCES[position + 1 :]
    chosen = [r for r in later if selected is None or dg.AssetKey(r.asset.split("/")) in selected]
    return frozenset(table for r in chosen for table in r.tables if r.datasets)
