"""Dagster's storage for ``dagster.yaml``: dagster-postgres on the database that the settings name.

No address and no secret is in the instance's configuration, so none shows on the command lines on which Dagster
passes it on, and every plain ``dagster`` command finds the embedded server started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from vantage_pipeline.settings import load_settings
from vantage_pipeline.warehouse.engine import dagster_url


class PipelineStorage(DagsterPostgresStorage):
    """dagster-postgres, told by the settings where to go."""

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, _config_value: Mapping[str, Any]
    ) -> PipelineStorage:
        return cls(dagster_url(load_settings()), should_autocreate_tables=True, inst_data=inst_data)
