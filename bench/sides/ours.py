"""This project as its users run it: the asset, its IO manager and its checks, in a Dagster run in this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bench.jobs import Facts, Job, Work

TABLE = "transactions"


def environment(job: Job) -> Mapping[str, str]:
    """The variables that point the project at the job's source and database."""
    return {
        "VANTAGE_API_BASE_URL": job.source,
        "VANTAGE_AUTH_TOKEN": "bench",
        "VANTAGE_CLIENT_ID": "bench",
        "DATABASE_URL": job.database,
    }


def prepare(job: Job) -> Work:
    """The sync of `resource` (cash flows if not told otherwise), `full` or since its watermark."""
    os.environ.update(environment(job))
    import dagster as dg

    from vantage_pipeline import catalog
    from vantage_pipeline.cli.running import run
    from vantage_pipeline.definitions import defs
    from vantage_pipeline.orchestration.config import Mode, SyncConfig
    from vantage_pipeline.settings import load_settings

    load_settings.cache_clear()
    settings = load_settings()
    defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.get():
        pass  # the storage's libraries are imported by now; opening it again is part of the work
    resource = catalog.find(job.options.get("resource", "cashflows"))
    mode = Mode.FULL if job.options.get("full", True) else Mode.INCREMENTAL

    def work() -> Facts:
        done = run(settings, [resource], SyncConfig(mode=mode))[0]
        if done.status != "ok" or done.checks_failed:
            raise RuntimeError(f"{done.resource}: {done.error or done.checks_failed}")
        return _facts(done.metadata)

    return work


def _facts(metadata: Mapping[str, Any]) -> Facts:
    created, updated = int(metadata["created"]), int(metadata["updated"])
    return {"written": created + updated, "unchanged": int(metadata["unchanged"])}
