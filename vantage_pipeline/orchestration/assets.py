"""One asset a resource, all made by one factory from the catalog."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.orchestration import checks
from vantage_pipeline.orchestration.config import SyncConfig
from vantage_pipeline.orchestration.health import freshness
from vantage_pipeline.orchestration.metadata import column_schema, upstream
from vantage_pipeline.orchestration.partitions import daily_partitions
from vantage_pipeline.orchestration.planning import plan_reading
from vantage_pipeline.orchestration.reading import Reading
from vantage_pipeline.settings import load_settings

_OWNERS = {"vantage": "team:investor-accounting", "bubble": "team:solar-finance"}
POOLS = {"vantage": "vantage_api", "bubble": "bubble_api"}


def build_asset(resource: Resource) -> dg.AssetsDefinition:
    """The asset of one resource: it makes the reading, the IO manager loads it, the checks look at the result."""
    metadata: dict[str, Any] = {"tables": ", ".join(resource.tables), "state_row": resource.state}
    schema = column_schema(resource)
    if schema is not None:
        metadata["dagster/column_schema"] = schema
        metadata["dagster/table_name"] = resource.tables[0]

    @dg.asset(
        key=resource.asset.split("/"),
        deps=upstream(resource),
        group_name=resource.system,
        description=resource.description,
        kinds={"python", "postgres"} if resource.datasets else {"sql", "postgres"},
        owners=[_OWNERS[resource.system]],
        pool=POOLS[resource.system],
        metadata=metadata,
        partitions_def=daily_partitions() if resource.partitioned else None,
        backfill_policy=dg.BackfillPolicy.single_run() if resource.partitioned else None,
        freshness_policy=freshness(load_settings(), resource),
        check_specs=checks.specs(resource),
        io_manager_key="warehouse",
        output_required=True,
    )
    def asset(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[Any]:
        reading = plan_reading(resource, load_settings(), config, context)
        if config.dry_run:
            yield from _observed(reading)
        else:
            yield dg.Output(reading)
            yield from checks.results(reading)

    return asset


def _observed(reading: Reading) -> Iterator[Any]:
    """A dry run: it materializes nothing, so it is logged as an observation, and no check speaks of it.

    An output without its materialization is what Dagster itself makes of observed source assets. Without any output,
    it would skip the assets behind this one; and each check has an output, too.
    """
    yield dg.Output(reading, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
    for spec in checks.specs(reading.resource):
        yield dg.Output(None, output_name=spec.get_python_identifier())
    yield dg.AssetObservation(reading.resource.asset.split("/"), metadata=reading.outcome.told)


def build_assets() -> list[dg.AssetsDefinition]:
    """All assets, in load order."""
    return [build_asset(resource) for resource in RESOURCES]
