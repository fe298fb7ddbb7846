"""What the histories of one process share: the sandbox, two databases, the clock; emptied before each history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog
from vantage_pipeline.errors import PipelineError
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.sources import bubble
from vantage_pipeline.warehouse import crash_points, engine
from vantage_pipeline.warehouse.load_report import LoadOptions, LoadReport
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Killed, Pipeline
from vantage_pipeline_tests.torture.clock import Clock
from vantage_pipeline_tests.torture.source_edits import Edit, Editor
from vantage_pipeline_tests.torture.tally import Tally

PAGE = 3
"""Records a page: few records fill several."""
_KEPT = ("vantage_schema_objects", "vantage_sync_expectation")
_WATCH = """
CREATE TABLE torture_transitions (id bigserial, resource text, was text, became text, time_was timestamptz, time_became timestamptz);
CREATE FUNCTION torture_watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.torture_transitions (resource, was, became, time_was, time_became)
    VALUES (NEW.resource, OLD.last_sync_status, NEW.last_sync_status, OLD.last_sync_time, NEW.last_sync_time);
    RETURN NEW;
END $$;
CREATE TRIGGER torture_watch AFTER UPDATE ON vantage_sync_state FOR EACH ROW EXECUTE FUNCTION torture_watch();
"""


class PooledPipeline(Pipeline):
    """Takes a used session for the next load, emptied of all that a session holds: a new one costs more than a sync."""

    def __init__(self, sandbox: Sandbox, database: Database) -> None:
        super().__init__(sandbox, database)
        self._idle: list[_Session] = []

    def connect(self) -> Connection:
        while self._idle:
            session = self._idle.pop()
            try:
                session.renew()
            except psycopg2.Error:
                session.end()
                continue
            return session
        session = psycopg2.connect(
            engine.libpq_url(self.database.url),
            options=engine.SESSION,
            connection_factory=_Session,
        )
        session.idle = self._idle
        return session

    def close(self) -> None:
        """End the idle sessions."""
        while self._idle:
            self._idle.pop().end()


class _Session(Connection):
    """A connection whose end is a return to the pool."""

    idle: list[_Session]

    def close(self) -> None:
        if not self.closed and self not in self.idle:
            self.idle.append(self)

    def renew(self) -> None:
        self.rollback()
        self.autocommit = True
        with self.cursor() as cursor:
            cursor.execute("DISCARD ALL")
        self.autocommit = False

    def end(self) -> None:
        super().close()


@dataclass
class Trouble:
    """What goes wrong in one sync: a fault of the API, or at the `number`-th time that `point` is reached."""

    faults: list[Fault] = field(default_factory=list)
    point: str = ""
    number: int = 0
    lost: bool = False
    """The connection is lost there instead of the process."""


@dataclass
class Meanwhile:
    """What a second client edits while a sync reads, and how long each request takes."""

    edits: dict[int, list[Edit]] = field(default_factory=dict)
    """By the number of the request before whose answer they happen."""
    last: list[Edit] = field(default_factory=list)
    """After the last page, before the sync ends."""
    seconds_per_request: float = 0.0


@dataclass
class Outcome:
    """How a sync ended: "success", "failed" or "killed"."""

    status: str
    run_id: str
    report: LoadReport | None = None
    error: BaseException | None = None


class World:
    """One process's servers. `lived` goes through the histories, `fresh` is loaded once from a final source."""

    def __init__(self, sandbox: Sandbox, lived: Database, fresh: Database, state_dir: Path) -> None:
        self.sandbox, self.lived, self.fresh = sandbox, lived, fresh
        self.clock = Clock()
        self.tally = Tally()
        self.pipeline = PooledPipeline(sandbox, lived)
        self.loader = PooledPipeline(sandbox, fresh)
        for pipeline in (self.pipeline, self.loader):
            pipeline.changes = {
                "state_dir": state_dir, "backoff_seconds": 0, "concurrency": 1, "page_size": PAGE, "batch_records": 6,
                "max_attempts": 4, "read_timeout": 0.5,
            }  # fmt: skip
        sandbox.bubble.most_per_page = PAGE
        lived.execute(_WATCH)
        tables = lived.rows(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition AND c.relname NOT LIKE '%%yoyo%%' AND c.relname <> ALL (%s) ORDER BY 1",
            [list(_KEPT)],
        )
        self.tables = [name for (name,) in tables]
        self._resources = [name for (name,) in lived.rows("SELECT resource FROM vantage_sync_state")]

    @classmethod
    @contextmanager
    def open(cls, lived: Database, fresh: Database, state_dir: Path) -> Iterator[World]:
        """A world on two migrated databases, with a sandbox of its own."""
        with (
            Sandbox.start(accounts=1, funds=1, cash_flows=1, bubble_scale=0.0) as sandbox,
            patch.object(bubble, "PAGE", PAGE),  # as the client knows how many records the API gives at most
        ):
            world = cls(sandbox, lived, fresh, state_dir)
            try:
                with world.clock.installed():
                    yield world
            finally:
                world.pipeline.close()
                world.loader.close()

    def reset(self) -> None:
        """Nothing in the source, nothing in the database, the clock at its start."""
        self.clock.reset()
        self.calm()
        for records in self.sandbox.vantage.records.values():
            records.clear()
        for name, held in self.sandbox.bubble.records.items():
            held.clear()
            self.sandbox.bubble.changed(name)
        self._empty(self.lived)

    def reset_fresh(self) -> None:
        self._empty(self.fresh)

    def calm(self) -> None:
        """No fault is left, nobody else edits."""
        self.tally.faults.update(self.sandbox.faults.injected)
        self.sandbox.faults.injected.clear()
        self.sandbox.faults.clear()
        self.sandbox.on_request.clear()
        self.sandbox.requests.clear()

    def sync(
        self,
        resource: str,
        editor: Editor,
        *,
        trouble: Trouble | None = None,
        meanwhile: Meanwhile | None = None,
        **how: Any,
    ) -> Outcome:
        """One sync with what happens during it.

        Raises:
            AssertionError: it ended with an error that is none of the pipeline's own.
        """
        self.sandbox.forget_pages()
        act = self._watcher(editor, trouble or Trouble(), meanwhile or Meanwhile())
        options = LoadOptions(
            dry_run=how.get("dry_run", False), max_rejected_records=1_000, clear_records=1_000, allow_deleting=True,
            change_history=True,
        )  # fmt: skip
        try:
            with crash_points.armed(act):
                report = self.pipeline.sync(resource, options=options, **how)
            return self._ended(Outcome("success", self.pipeline.run_id, report))
        except Killed as error:
            return self._ended(Outcome("killed", self.pipeline.run_id, error=error))
        except PipelineError as error:
            return self._ended(Outcome("failed", self.pipeline.run_id, error=error))
        except psycopg2.Error as error:
            if trouble is None or not trouble.lost:
                raise AssertionError(f"{resource}: ended with {type(error).__name__}: {error}") from error
            return self._ended(Outcome("failed", self.pipeline.run_id, error=error))
        finally:
            self.calm()

    def load_fresh(self, resources: list[str]) -> None:
        """Load the final source once into the other database."""
        states = [catalog.find(name) for name in resources]
        options = LoadOptions(max_rejected_records=1_000, clear_records=1_000, allow_deleting=True)
        for position, resource in enumerate(states):
            later = frozenset(table for r in states[position + 1 :] for table in r.tables if r.datasets)
            self.loader.sync(resource.asset, full=True, deferred=later, options=options)

    def digest(self) -> dict[str, Any]:
        """All that the database holds, told by one number a table."""
        parts = [
            sql.SQL("SELECT {}, count(*), coalesce(sum(hashtext(t.xmin::text || t::text)), 0) FROM {} t").format(
                sql.Literal(name), sql.Identifier(name)
            )
            for name in self.tables
        ]
        with self.lived.cursor() as cursor:
            cursor.execute(sql.SQL(" UNION ALL ").join(parts))
            return {name: (count, told) for name, count, told in cursor.fetchall()}

    def _ended(self, outcome: Outcome) -> Outcome:
        self.tally.outcomes[outcome.status] += 1
        return outcome

    def _watcher(self, editor: Editor, trouble: Trouble, meanwhile: Meanwhile) -> Callable[[str], None]:
        """Plan what happens at requests; gives what happens at the load's points."""
        requests = 0
        left = trouble.number

        def at_request(_path: str) -> None:
            nonlocal requests
            requests += 1
            if meanwhile.seconds_per_request:
                self.clock.tick(meanwhile.seconds_per_request)
            for edit in meanwhile.edits.get(requests, ()):
                self.tally.edits[editor.apply(edit)] += 1
                self.tally.edits_meanwhile += 1

        def at_point(name: str) -> None:
            nonlocal left
            if name == "finish.written":
                for edit in meanwhile.last:
                    self.tally.edits[editor.apply(edit)] += 1
                    self.tally.edits_meanwhile += 1
            if not trouble.point or name != trouble.point:
                return
            left -= 1
            if left < 0:
                return
            if left == 0:
                self.tally.crashes[f"{name}, connection lost" if trouble.lost else name] += 1
                self._cut_off()
                if not trouble.lost:
                    raise Killed(name)

        left += 1
        self.sandbox.on_request.append(at_request)
        for fault in trouble.faults:
            self.sandbox.faults.add(fault)
        return at_point

    def _cut_off(self) -> None:
        """End the load's session on the server, as the end of its process would, and wait until it has gone."""
        load = self.pipeline.load
        assert load is not None
        self.lived.rows("SELECT pg_terminate_backend(%s, 10000)", [load.connection.info.backend_pid])

    def _empty(self, database: Database) -> None:
        names = [name for name in self.tables if name != "torture_transitions" or database is self.lived]
        statements: list[sql.Composable] = [sql.SQL("SET session_replication_role = replica")]
        statements += [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in names]
        with database.cursor() as cursor:
            cursor.execute(sql.SQL("; ").join(statements))
            cursor.execute("SET session_replication_role = origin")
            cursor.execute("INSERT INTO vantage_sync_state (resource) SELECT unnest(%s::text[])", [self._resources])
