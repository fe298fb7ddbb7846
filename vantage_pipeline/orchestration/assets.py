"""One asset a resource, all made by one factory from the catalog."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.orchestration import checks
from vantage_pipeline.orchestration.config import SyncConfig
from vantage_pipeline.orchestration.health import freshness
from vantage_pipeline.orchestration.metadata import column_schema, upstream
from vantage_pipeline.orchestration.partitions import daily_partitions
from vantage_pipeline.orchestration.planning import plan_reading
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
        yield dg.Output(reading)
        yield from checks.results(reading)

    return asset


def build_assets() -> list[dg.AssetsDefinition]:
    """All assets, in load order."""
    return [build_asset(resource) for resource in RESOURCES]
