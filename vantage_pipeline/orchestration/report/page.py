"""The report as one HTML file."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.orchestration.alerting.messages import label
from vantage_pipeline.orchestration.alerting.watch import watched_states
from vantage_pipeline.orchestration.report.pictures import picture
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.report_facts import ReportFacts, read

DAYS = 30


def facts_for(settings: Settings, *, days: int = DAYS) -> ReportFacts:
    """What the report shows of the systems that are set up, or of both where none is."""
    states = watched_states(settings) or [resource.state for resource in RESOURCES]
    connection = engine.connect(engine.database_url(settings))
    try:
        return read(connection, states, days=days)
    finally:
        connection.close()


def render(settings: Settings, facts: ReportFacts) -> str:
    """The page. Every value is escaped, every secret masked, and nothing is loaded from elsewhere."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=_moment, label=label)
    of_resources = {resource.resource for resource in facts.resources}
    page = environment.get_template("page.html.j2").render(
        facts=facts,
        ui=settings.ui_url.rstrip("/"),
        colours=Counter(resource.colour for resource in facts.resources),
        others=[alert for alert in facts.alerts if alert.resource not in of_resources],
        pictures={r.resource: picture(settings, [r]) if r.runs else "" for r in facts.resources},
    )
    return settings.mask(page)


def write(settings: Settings, facts: ReportFacts, path: Path) -> None:
    """Write the page to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(render(settings, facts), encoding="utf-8")
    unfinished.replace(path)


def _moment(value: object) -> object:
    if value is None:
        return ""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value
