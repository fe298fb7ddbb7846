"""A Singer tap (Meltano's SDK) and Meltano's target-postgres, as two processes with a pipe between them.

Both start within the time, as they do under Meltano; ``starting`` tells how long they take to do nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.jobs import Facts, Job, Work
from vantage_pipeline.warehouse import engine

TABLE = "cash_flows"
SCHEMA = "bench_singer"
_TARGET = "from target_postgres.target import TargetPostgres; TargetPostgres.cli()"


def prepare(job: Job) -> Work:
    """The job by tap and target, upserting."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    tap, target = folder / "tap.json", folder / "target.json"
    tap.write_text(json.dumps({"source": job.source, "pages": job.pages}))
    address = engine.libpq_url(job.database).replace("postgresql://", "postgresql+psycopg://", 1)
    wanted = {
        "sqlalchemy_url": address, "default_target_schema": SCHEMA, "load_method": "upsert", "use_copy": True,
        "add_record_metadata": False, "activate_version": False,
    }  # fmt: skip
    target.write_text(json.dumps(wanted))
    environment = {
        **os.environ,
        "TAP_LOGLEVEL": "ERROR",
        "TARGET_POSTGRES_LOGLEVEL": "ERROR",
    }

    def work() -> Facts:
        with (folder / "singer.log").open("w") as log:
            reading = subprocess.Popen(
                [sys.executable, "-m", "bench.sides.singer_tap", "--config", str(tap)],
                stdout=subprocess.PIPE, stderr=log, env=environment,
            )  # fmt: skip
            writing = subprocess.run(
                [sys.executable, "-c", _TARGET, "--config", str(target)],
                stdin=reading.stdout, stdout=subprocess.DEVNULL, stderr=log, env=environment,
            )  # fmt: skip
            status = reading.wait()
        if status or writing.returncode:
            raise RuntimeError(f"singer: {(folder / 'singer.log').read_text()[-2000:]}")
        return {}

    return work
