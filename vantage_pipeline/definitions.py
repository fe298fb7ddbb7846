"""The one Definitions object that Dagster loads."""

from __future__ import annotations

import dagster as dg

from vantage_pipeline.orchestration.assets import build_assets
from vantage_pipeline.orchestration.code_references import with_code_references
from vantage_pipeline.orchestration.health import build_health_checks
from vantage_pipeline.orchestration.io_manager import warehouse_io_manager
from vantage_pipeline.orchestration.jobs import JOBS
from vantage_pipeline.orchestration.report.asset import REPORT, build_report, build_report_sensors
from vantage_pipeline.orchestration.schedules import build_schedules
from vantage_pipeline.orchestration.sensors import build_sensors
from vantage_pipeline.orchestration.verification_assets import build_verifications

defs = dg.Definitions(
    assets=with_code_references([*build_assets(), *build_verifications(), build_report()]),
    resources={"warehouse": warehouse_io_manager},
    asset_checks=build_health_checks(),
    jobs=[*JOBS, REPORT],
    schedules=build_schedules(),
    sensors=[*build_sensors(), *build_report_sensors()],
    executor=dg.in_process_executor,
)
