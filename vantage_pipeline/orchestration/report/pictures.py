"""The report's plots, as SVG in data addresses: duration, rows changed, errors and freshness over time."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from typing import Any

from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse.report_facts import PastRun, ResourceFacts

_TITLES = ("duration, s", "rows changed", "errors", "hours since a success")
_HOUR = 3600.0
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
}


def picture(settings: Settings, resources: Sequence[ResourceFacts]) -> str:
    """The four plots of one resource, or of several with a legend, as a data address of an SVG."""
    os.environ.setdefault("MPLCONFIGDIR", str(settings.state_folder / "matplotlib"))
    import matplotlib as mpl  # half a second that only the report pays
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    several = len(resources) > 1
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10.6, 2.9) if several else (12, 1.7), layout="constrained")
        axes = figure.subplots(1, len(_TITLES))
        for plot, title in zip(axes, _TITLES, strict=True):
            plot.set_title(title)
            locator = AutoDateLocator(minticks=2, maxticks=5)
            plot.xaxis.set_major_locator(locator)
            plot.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        for facts in resources:
            _draw(axes, facts, several=several)
        for plot in axes:
            plot.set_ylim(0, max(1.0, plot.get_ylim()[1]))
        if several:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(written.getvalue()).decode()}"


def _draw(axes: Sequence[Any], facts: ResourceFacts, *, several: bool) -> None:
    duration, changed, errors, freshness = axes
    runs = facts.runs
    began = [run.began for run in runs]
    mark = "" if several else "o"
    line = {"linewidth": 1.0, "markersize": 3.0, "label": facts.resource}
    duration.plot(began, [run.seconds for run in runs], marker=mark, **line)
    total = [run.created + run.updated + run.deleted for run in runs]
    changed.plot(began, total, marker=mark, **line)
    errors.plot(began, [run.errors for run in runs], marker=mark, **line)
    freshness.plot(*_saw(runs), **line)
    if several:
        return
    failed = [run for run in runs if run.status != "success"]
    duration.plot([run.began for run in failed], [run.seconds for run in failed], "x", color="#c00", markersize=6)
    freshness.axhline(facts.expected_every.total_seconds() / _HOUR, color="#c80", linestyle="--", linewidth=0.8)


def _saw(runs: Sequence[PastRun]) -> tuple[list[object], list[float]]:
    """Hours since the last success at each run's end; a success takes them to nothing."""
    at: list[object] = []
    hours: list[float] = []
    last = None
    for run in runs:
        if last is not None:
            at.append(run.ended)
            hours.append((run.ended - last).total_seconds() / _HOUR)
        if run.status == "success":
            last = run.ended
            at.append(run.ended)
            hours.append(0.0)
    return at, hours
