"""The jobs: each system by increments and in full, the sync of given invoices, and the verification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import is_reserved_asset_job_name

from vantage_pipeline.catalog import BUBBLE_RESOURCES, RESOURCES, VANTAGE_RESOURCES, by_state
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.orchestration.checks import HEALTHY
from vantage_pipeline.orchestration.config import Mode, SyncConfig


def asset_key(resource: Resource) -> dg.AssetKey:
    return dg.AssetKey(resource.asset.split("/"))


def verification_key(system: str) -> dg.AssetKey:
    """The asset that holds a system's tables against its source."""
    return dg.AssetKey([system, "verification"])


def health_check(resource: Resource) -> dg.AssetCheckKey:
    """The key of the resource's check ``healthy``."""
    return dg.AssetCheckKey(asset_key(resource), HEALTHY.name)


def op_name(resource: Resource) -> str:
    """The name of the asset's op, as run configuration calls it."""
    return resource.asset.replace("/", "__")


def run_config(resources: Iterable[Resource], config: SyncConfig) -> Mapping[str, Any]:
    """Run configuration that gives every one of `resources` the same options."""
    options = {name: value for name, value in config.model_dump(mode="python").items() if value is not None}
    written = {name: value.name if isinstance(value, Enum) else value for name, value in options.items()}
    return {"ops": {op_name(resource): {"config": written} for resource in resources}}


def _job(name: str, resources: Iterable[Resource], config: SyncConfig, description: str) -> Any:
    chosen = list(resources)
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*(asset_key(resource) for resource in chosen))
        - dg.AssetSelection.checks(*(health_check(resource) for resource in chosen)),
        config=run_config(chosen, config),
        description=description,
        tags={"vantage_pipeline/system": chosen[0].system},
    )


_INCREMENTAL, _FULL = SyncConfig(), SyncConfig(mode=Mode.FULL)
_INVOICES = (by_state("bubble_invoice"), by_state("bubble_links"))

VANTAGE_INCREMENTAL = _job(
    "vantage_incremental", VANTAGE_RESOURCES, _INCREMENTAL, "What changed in Vantage since each watermark."
)
VANTAGE_FULL = _job(
    "vantage_full", VANTAGE_RESOURCES, _FULL, "Everything in Vantage; what is gone there is marked deleted."
)
BUBBLE_DAILY = _job(
    "bubble_daily", BUBBLE_RESOURCES, _INCREMENTAL, "The days of Bubble that have ended since each watermark."
)
BUBBLE_FULL = _job(
    "bubble_full", BUBBLE_RESOURCES, _FULL, "Everything in Bubble; what is gone there is marked deleted."
)
ONE_INVOICE = "sync_invoice"
SYNC_INVOICE = _job(
    ONE_INVOICE,
    _INVOICES,
    _INCREMENTAL,
    "Given invoices now, with everything they link to: put their ids into ops.bubble__invoice.config.ids.",
)
VERIFICATION = dg.define_asset_job(
    "verification",
    selection=dg.AssetSelection.assets(*(verification_key(system) for system in ("vantage", "bubble"))),
    description="Everything in both systems against the tables; nothing is written unless a config's repair is set.",
)

INCREMENTAL = {"vantage": VANTAGE_INCREMENTAL, "bubble": BUBBLE_DAILY}
"""By system: the job that reads what changed."""
FULL = {"vantage": VANTAGE_FULL, "bubble": BUBBLE_FULL}
"""By system: the job that reads everything."""

_SYNCED: Mapping[str, Sequence[Resource]] = {
    VANTAGE_INCREMENTAL.name: VANTAGE_RESOURCES,
    VANTAGE_FULL.name: VANTAGE_RESOURCES,
    BUBBLE_DAILY.name: BUBBLE_RESOURCES,
    BUBBLE_FULL.name: BUBBLE_RESOURCES,
    SYNC_INVOICE.name: _INVOICES,
}


def resources_of(job: str) -> Sequence[Resource]:
    """The resources that a job syncs when nothing is selected; Dagster's own job of assets syncs all."""
    return RESOURCES if is_reserved_asset_job_name(job) else _SYNCED.get(job, ())


def default_config(job: str) -> SyncConfig:
    """The options of a job's run that is given none."""
    return _FULL if job in {full.name for full in FULL.values()} else _INCREMENTAL


JOBS = [VANTAGE_INCREMENTAL, VANTAGE_FULL, BUBBLE_DAILY, BUBBLE_FULL, SYNC_INVOICE, VERIFICATION]
