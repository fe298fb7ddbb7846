"""``make bench``: both sides alternate in one go; medians and ratios are printed."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import floor
from bench.source import serving
from vantage_pipeline import catalog
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.reading import VantageReading
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.embedded import stop
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.state import Run


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ours(settings: Settings, url: str, name: str, number: int) -> str:
    resource = catalog.find(name)
    reading = VantageReading(resource, settings, SyncConfig(mode=Mode.FULL))
    load = Load(lambda: engine.connect(url), resource, Run(f"bench-{name}-{number}"))
    load.begin()
    counts = load.finish(watermark=reading.fill(load, None)).counts
    reading.close()
    return f"{counts.created} created, {counts.updated} updated, {counts.unchanged} unchanged"


def main() -> None:
    """Run comparison A: a first load of cash flows, and the same again unchanged."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--records", type=int, default=137_862)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, serving(options.records) as address:
        values: dict[str, Any] = {
            "VANTAGE_API_BASE_URL": address, "VANTAGE_AUTH_TOKEN": "bench", "VANTAGE_CLIENT_ID": "bench",
            "state_dir": Path(folder),
        }  # fmt: skip
        settings = Settings(**values)
        url = engine.database_url(settings)
        connection = engine.connect(url)
        for number, name in enumerate(("accounts", "funds")):
            _ours(settings, url, name, number)
        times: dict[str, list[float]] = {}
        _say(f"{platform.machine()}, {os.cpu_count()} cores, PostgreSQL {connection.server_version // 10_000}")
        for number in range(options.rounds):
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS floor; TRUNCATE transactions CASCADE")
            connection.commit()
            for kind in ("first", "unchanged"):
                spent = _seconds(lambda: floor.load(address, options.records, connection))
                times.setdefault(f"floor {kind}", []).append(spent)
                run = 2 * number + (kind == "unchanged")
                spent = _seconds(partial(_ours, settings, url, "cashflows", run))
                times.setdefault(f"ours {kind}", []).append(spent)
        for kind in ("first", "unchanged"):
            ours, least = (statistics.median(times[f"{side} {kind}"]) for side in ("ours", "floor"))
            _say(f"{options.records} cash flows, {kind}: {ours:.2f} s, floor {least:.2f} s, ratio {ours / least:.2f}")
        connection.close()
        stop(settings)


if __name__ == "__main__":
    main()
