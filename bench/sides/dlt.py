"""dlt as its documentation has it: the REST API source into PostgreSQL, merge with the upsert strategy."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from bench.jobs import Facts, Job, Work
from bench.source import PAGE
from vantage_pipeline.warehouse import engine

TABLE = "cash_flows"
SCHEMA = "bench"


def prepare(job: Job) -> Work:
    """The job by dlt, with its defaults but for the strategy."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    import dlt
    import dlt.destinations
    from dlt.sources.rest_api import rest_api_source

    endpoint = {
        "path": "api/CashFlows/GetbyDate/19000101",
        "params": {"per_page": PAGE},
        "data_selector": "cashFlows",
        "paginator": {"type": "page_number", "base_page": 1, "page_param": "page", "total_path": None,
                      "maximum_page": job.pages + 1, "stop_after_empty_page": False},
    }  # fmt: skip
    resource = {
        "name": TABLE,
        "endpoint": endpoint,
        "primary_key": "cashflow_detailid",
        "write_disposition": {"disposition": "merge", "strategy": "upsert"},
    }

    def work() -> Facts:
        source = rest_api_source({"client": {"base_url": f"{job.source}/"}, "resources": [resource]})
        pipeline = dlt.pipeline(
            pipeline_name="bench",
            pipelines_dir=job.folder,
            destination=dlt.destinations.postgres(_complete(job.database)),
            dataset_name=SCHEMA,
        )
        pipeline.run(source).raise_on_failed_jobs()
        return {"written": pipeline.last_trace.last_normalize_info.row_counts[TABLE]}

    return work


def _complete(url: str) -> str:
    """The address with the host and password that dlt wants; libpq goes by the socket named behind them."""
    parts = urlsplit(engine.libpq_url(url))
    if parts.hostname:
        return parts.geturl()
    return f"postgresql://{parts.username}:none@localhost{parts.path}?{parts.query}"
