"""The floor: fetch all pages with four threads, COPY, one INSERT ... ON CONFLICT. No checks, no state, no links."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import requests

from bench.jobs import Facts, Job, Work
from bench.source import PAGE
from vantage_pipeline.warehouse import engine

TABLE = "floor"
_COLUMNS = ("cashflow_detailid", "transaction_date", "transaction_amount", "transaction_type", "updated_time")


def prepare(job: Job) -> Work:
    """The job as a hand-written script would do it."""
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=4))

    def page(number: int) -> str:
        url = f"{job.source}/api/CashFlows/GetbyDate/19000101?page={number}&per_page={PAGE}"
        found = session.get(url, timeout=60).json()["cashFlows"]
        return "".join(
            "\t".join([*(str(r[c]) for c in _COLUMNS), json.dumps(r).replace("\\", "\\\\")]) + "\n" for r in found
        )

    def work() -> Facts:
        connection = psycopg2.connect(engine.libpq_url(job.database))
        with ThreadPoolExecutor(4) as pool, connection.cursor() as cursor:
            text = "".join(pool.map(page, range(1, job.pages + 1)))
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS floor (id text PRIMARY KEY, day date, amount numeric, kind text,"
                " at timestamptz, record jsonb)"
            )
            cursor.execute("CREATE TEMP TABLE incoming (LIKE floor)")
            cursor.copy_expert("COPY incoming FROM STDIN", io.StringIO(text))
            cursor.execute(
                "INSERT INTO floor SELECT * FROM incoming ON CONFLICT (id) DO UPDATE SET day = excluded.day,"
                " amount = excluded.amount, kind = excluded.kind, at = excluded.at, record = excluded.record"
            )
            written = cursor.rowcount
        connection.commit()
        connection.close()
        return {"written": written}

    return work
