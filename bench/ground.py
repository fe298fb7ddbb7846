"""Where the sides meet: one PostgreSQL server of the benchmark's own, a database for each side, a Dagster home."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from vantage_pipeline.warehouse import engine, migrations, postmaster
from vantage_pipeline.warehouse.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parent.parent
_TEMPLATE = "bench_template"
_SETTLING_SECONDS = 30


@dataclass
class Ground:
    """The server and the folders that a benchmark uses."""

    server: EmbeddedServer
    state: Path
    home: Path
    scratch: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _templated: bool = False

    def environment(self) -> dict[str, str]:
        """Variables under which the project keeps its state here and nowhere else."""
        return {
            "VANTAGE_PIPELINE_STATE_DIR": str(self.state),
            "VANTAGE_PIPELINE_HOME": str(self.home),
            "DAGSTER_HOME": str(self.home),
            "VANTAGE_PIPELINE_DAGSTER_DATABASE_URL": self.server.url("dagster"),
            "PYTHONPATH": str(ROOT),
        }

    @property
    def postmaster(self) -> int:
        """The server's process id."""
        self.server.start()
        found = postmaster.read(self.server.cluster)
        return found.pid if found else 0

    def folder(self) -> Path:
        """A new folder for files."""
        made = self.scratch / str(next(self._numbers))
        made.mkdir(parents=True)
        return made

    def fresh(self, name: str, *, migrated: bool = True) -> str:
        """The address of a database that is made anew, with the project's tables or with none."""
        if migrated and not self._templated:
            self._make(_TEMPLATE, None)
            migrations.apply(self.server.url(_TEMPLATE))
            self._templated = True
        self._make(name, _TEMPLATE if migrated else None)
        return self.server.url(name)

    def drop(self, name: str) -> None:
        with self.administering() as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def administering(self) -> Iterator[Connection]:
        """A connection to no database in particular, each statement by itself."""
        connection = engine.connect(self.server.url("postgres"))
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, url: str, statement: str | sql.Composable, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query; none of a statement that gives none."""
        connection = engine.connect(url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def count(self, url: str, table: str) -> int:
        """How many rows a table has."""
        return int(self.rows(url, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))[0][0])

    def written(self, url: str, table: str) -> dict[str, int]:
        """How many rows of a table were ever inserted and updated, and how many dead ones lie in it.

        Asked once whoever was connected has left, since a session reports its counts when it ends.
        """
        self._wait_alone(url)
        found = self.rows(
            url,
            "SELECT coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd), 0)::bigint,"
            " coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables WHERE relname = %s",
            table,
        )
        return dict(zip(("inserted", "updated", "dead"), map(int, found[0]), strict=True))

    def size(self, url: str, table: str) -> int:
        """Bytes of a table with its indexes."""
        return int(self.rows(url, "SELECT pg_total_relation_size(%s::regclass)", table)[0][0])

    def log_position(self) -> int:
        """Bytes of write-ahead log so far."""
        return int(self.rows(self.server.url("postgres"), "SELECT (pg_current_wal_lsn() - '0/0')::bigint")[0][0])

    def _wait_alone(self, url: str) -> None:
        deadline = time.monotonic() + _SETTLING_SECONDS
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        while self.rows(url, query)[0][0] and time.monotonic() < deadline:
            time.sleep(0.05)

    def _make(self, name: str, template: str | None) -> None:
        self.drop(name)
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with self.administering() as connection, connection.cursor() as cursor:
            cursor.execute(statement)


@contextlib.contextmanager
def temporary_ground() -> Iterator[Ground]:
    """A ground in a temporary folder, with the settings that the embedded server has for everyone."""
    with tempfile.TemporaryDirectory(prefix="vantage-bench-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        # the server runs as another user where it is started by root
        root.chmod(0o755)
        home, state = root / "home", root / "state"
        home.mkdir()
        for file in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(ROOT / file, home / file)
        (state / "live").mkdir(parents=True)
        (state / "sandbox").symlink_to("live")
        server = EmbeddedServer(state / "live" / "pg")
        server.start()
        try:
            yield Ground(server, state, home, root / "scratch")
        finally:
            server.stop()
