"""The IO manager that many Dagster projects write: all records in one DataFrame, ``to_sql(if_exists="replace")``."""

from __future__ import annotations

import pandas as pd
import requests
import sqlalchemy

from bench.jobs import Facts, Job, Work
from bench.source import PAGE

TABLE = "frame"


def prepare(job: Job) -> Work:
    """The job by pandas."""
    session = requests.Session()

    def work() -> Facts:
        records: list[dict[str, object]] = []
        for number in range(1, job.pages + 1):
            url = f"{job.source}/api/CashFlows/GetbyDate/19000101?page={number}&per_page={PAGE}"
            records.extend(session.get(url, timeout=60).json()["cashFlows"])
        frame = pd.DataFrame(records)
        target = sqlalchemy.create_engine(job.database)
        with target.begin() as connection:
            frame.to_sql(TABLE, connection, if_exists="replace", index=False)
        target.dispose()
        return {"written": len(frame)}

    return work
