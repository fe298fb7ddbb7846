"""The report as an asset, made after each run of a daily job, however that ended."""

from typing import Any

import dagster as dg

from vantage_pipeline.orchestration.jobs import BUBBLE_DAILY, BUBBLE_FULL, VANTAGE_FULL, VANTAGE_INCREMENTAL
from vantage_pipeline.orchestration.report.page import facts_for, write
from vantage_pipeline.orchestration.report.pictures import picture
from vantage_pipeline.settings import load_settings
from vantage_pipeline.warehouse.report_facts import ReportFacts

KEY = dg.AssetKey(["operations", "report"])
_KEPT = 30


def build_report() -> dg.AssetsDefinition:
    """The asset; its metadata holds the file's path, the counts and the pictures."""

    @dg.asset(
        key=KEY,
        group_name="operations",
        kinds={"html"},
        description="Each resource's health and plots of its last runs, as one HTML page.",
    )
    def report() -> dg.MaterializeResult[None]:
        settings = load_settings()
        facts = facts_for(settings)
        folder = settings.state_folder / "reports"
        path = folder / f"report-{facts.at:%Y%m%dT%H%M%SZ}.html"
        write(settings, facts, path)
        for old in sorted(folder.glob("report-*.html"))[:-_KEPT]:
            old.unlink()
        metadata: dict[str, dg.MetadataValue[Any]] = {
            "report": dg.MetadataValue.path(path),
            "open_conditions": dg.MetadataValue.int(len(facts.conditions)),
            "open_alerts": dg.MetadataValue.int(len(facts.alerts)),
            "health": dg.MetadataValue.md(_health(facts)),
        }
        for system, bubble in (("vantage", False), ("bubble", True)):
            shown = [r for r in facts.resources if r.runs and r.resource.startswith("bubble_") is bubble]
            if shown:
                metadata[f"{system}_runs"] = dg.MetadataValue.md(f"![{system}]({picture(settings, shown)})")
        return dg.MaterializeResult(metadata=metadata)

    return report


REPORT = dg.define_asset_job(
    "report", selection=dg.AssetSelection.assets(KEY), description="The report of each resource's health, as a page."
)


def build_report_sensors() -> list[dg.SensorDefinition]:
    """A sensor for each way in which a daily run may end, on by default."""
    return [
        _build_sensor("report_after_success", dg.DagsterRunStatus.SUCCESS),
        _build_sensor("report_after_failure", dg.DagsterRunStatus.FAILURE),
        _build_sensor("report_after_cancel", dg.DagsterRunStatus.CANCELED),
    ]


def _build_sensor(name: str, status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=name,
        run_status=status,
        monitored_jobs=[VANTAGE_INCREMENTAL, VANTAGE_FULL, BUBBLE_DAILY, BUBBLE_FULL],
        request_job=REPORT,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Has the report made after each run of a daily job.",
    )
    def ask_for_report(context: dg.RunStatusSensorContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.dagster_run.run_id)

    return ask_for_report


def _health(facts: ReportFacts) -> str:
    lines = ["| resource | health | status | conditions |", "|---|---|---|---|"]
    lines.extend(f"| {r.resource} | {r.colour} | {r.status} | {', '.join(r.conditions)} |" for r in facts.resources)
    return "\n".join(lines)
