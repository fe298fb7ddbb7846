"""Syncs as the IO manager does them, without Dagster around: from a sandbox into a database."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog
from vantage_pipeline.orchestration.bubble_reading import BubbleReading
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.reading import DerivedReading, Reading, VantageReading
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.load_report import LoadOptions, LoadReport
from vantage_pipeline.warehouse.rehearsal import Rehearsal
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline_tests.database import Database


def settings_for(sandbox: Sandbox, **changes: Any) -> Settings:
    """Settings that point at the sandbox, with short waits."""
    env = sandbox.environment()
    values: dict[str, Any] = {
        "VANTAGE_API_BASE_URL": env["VANTAGE_API_BASE_URL"],
        "VANTAGE_AUTH_TOKEN": env["VANTAGE_AUTH_TOKEN"],
        "VANTAGE_CLIENT_ID": env["VANTAGE_CLIENT_ID"],
        "BUBBLE_API_BASE_URL": env["BUBBLE_API_BASE_URL"],
        "BUBBLE_API_TOKEN": env["BUBBLE_API_TOKEN"],
        "backoff_seconds": 0.01,
        "read_timeout": 5,
        "bubble_requests_per_minute": 1_000_000,
        **changes,
    }
    return Settings(**values)


class Killed(BaseException):
    """Stands for SIGKILL within a test's process: the load gets no chance to say that it failed."""


class Pipeline:
    """Syncs resources from a sandbox into a database, as the IO manager does, without Dagster around it."""

    def __init__(self, sandbox: Sandbox, database: Database) -> None:
        self.sandbox, self.database = sandbox, database
        self.changes: dict[str, Any] = {}
        self.reading: Reading | None = None
        self.load: Load | None = None
        self._runs = 0
        self._settings: tuple[dict[str, Any], Settings] | None = None

    @property
    def settings(self) -> Settings:
        """The settings with `changes`, made anew when those change."""
        if self._settings is None or self._settings[0] != self.changes:
            self._settings = dict(self.changes), settings_for(self.sandbox, **self.changes)
        return self._settings[1]

    def connect(self) -> Connection:
        """The load's connection to the database."""
        return engine.connect(self.database.url)

    @property
    def run_id(self) -> str:
        """Of the latest run."""
        return f"run-{self._runs}"

    def sync(
        self,
        name: str,
        *,
        full: bool = False,
        window: tuple[Any, Any] | None = None,
        deferred: frozenset[str] = frozenset(),
        options: LoadOptions | None = None,
        rehearsal: Rehearsal | None = None,
        **config: Any,
    ) -> LoadReport:
        resource = catalog.find(name)
        settings = self.settings
        chosen = SyncConfig(mode=Mode.FULL if full else Mode.INCREMENTAL, **config)
        reading: Reading
        if resource.derivation:
            reading = DerivedReading(resource, settings, chosen)
        elif resource.system == "vantage":
            reading = VantageReading(resource, settings, chosen)
        else:
            key = f"{window[0]:%Y-%m-%d}" if window else ""
            reading = BubbleReading(resource, settings, chosen, window=window, partition_key=key, deferred=deferred)
        self._runs += 1
        self.reading = reading
        load = Load(
            self.connect, resource,
            Run(self.run_id, reading.partition_key, options=chosen.given(), partial=chosen.partial),
            options or LoadOptions(dry_run=chosen.dry_run, allow_clearing=frozenset(chosen.allow_clear)),
            rehearsal,
        )  # fmt: skip
        self.load = load
        try:
            load.begin()
            return load.finish(watermark=reading.fill(load, None))
        except Killed:
            load.connection.close()
            raise
        except BaseException as error:
            load.fail([{"code": getattr(error, "code", "ERROR"), "message": str(error)}])
            raise
        finally:
            reading.close()

    def sync_all(self, system: str, *, full: bool = True, dry_run: bool = False) -> dict[str, LoadReport]:
        chosen = [r for r in catalog.RESOURCES if r.system == system]
        reports = {}
        with closing(Rehearsal()) as rehearsal:
            for position, resource in enumerate(chosen):
                later = frozenset(table for r in chosen[position + 1 :] for table in r.tables if r.datasets)
                reports[resource.name] = self.sync(
                    resource.asset, full=full, deferred=later, dry_run=dry_run, rehearsal=rehearsal
                )
        return reports
