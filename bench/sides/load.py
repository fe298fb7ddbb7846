"""This project's reading and load without Dagster around them: what the IO manager does, no run, no checks."""

from __future__ import annotations

import os
import uuid

from bench.jobs import Facts, Job, Work
from bench.sides.ours import TABLE, environment

__all__ = ["TABLE", "prepare"]


def prepare(job: Job) -> Work:
    """The sync of `resource` (cash flows if not told otherwise), `full` or since its watermark."""
    os.environ.update(environment(job))
    from vantage_pipeline import catalog
    from vantage_pipeline.orchestration.config import Mode, SyncConfig
    from vantage_pipeline.orchestration.reading import VantageReading
    from vantage_pipeline.settings import load_settings
    from vantage_pipeline.warehouse import engine
    from vantage_pipeline.warehouse.load import Load
    from vantage_pipeline.warehouse.state import Run

    load_settings.cache_clear()
    settings = load_settings()
    url = engine.database_url(settings)
    resource = catalog.find(job.options.get("resource", "cashflows"))
    mode = Mode.FULL if job.options.get("full", True) else Mode.INCREMENTAL

    def work() -> Facts:
        reading = VantageReading(resource, settings, SyncConfig(mode=mode))
        load = Load(lambda: engine.connect(url), resource, Run(f"bench-{uuid.uuid4()}"))
        load.begin()
        counts = load.finish(watermark=reading.fill(load, None)).counts
        reading.close()
        return {"written": counts.created + counts.updated, "unchanged": counts.unchanged}

    return work
