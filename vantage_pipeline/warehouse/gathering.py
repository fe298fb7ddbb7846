"""A full reading kept beside the tables, to be compared with them: nothing that a sync uses is locked or written.

The records lie in temporary tables of one session, so memory stays flat, and a sync of the same resource may run
all the while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.errors import WarehouseError
from vantage_pipeline.records.model import RowBatch
from vantage_pipeline.records.plans import ColumnType
from vantage_pipeline.warehouse import deletion, refusals, staging, state, tables
from vantage_pipeline.warehouse.load_report import LoadReport
from vantage_pipeline.warehouse.merge import MergeCounts
from vantage_pipeline.warehouse.rederived import rederive
from vantage_pipeline.warehouse.tables import LiveColumn
from vantage_pipeline.warehouse.verdict import Verdict


def source_name(table: str) -> sql.Identifier:
    """The temporary table with the source's records, links by their parents' keys."""
    return sql.Identifier(f"source_{table}")


def refused_name(table: str) -> sql.Identifier:
    """The temporary table with the keys of records that cannot become rows."""
    return sql.Identifier(f"refused_{table}")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The session with the temporary tables of one system."""

    connection: Connection
    live: Mapping[str, Mapping[str, LiveColumn]]

    @classmethod
    def open(cls, connection: Connection, all_tables: Sequence[Table]) -> Workspace:
        """Make the temporary tables, empty, for every table of the system: links look into those that are not read too.

        Raises:
            MigrationsMissing: a table is not as a sync needs it.
        """
        live = {}
        with connection.cursor() as cursor:
            for table in all_tables:
                live[table.name] = tables.inspect(connection, table)
                staging.create(connection, table, live[table.name])
                cursor.execute(
                    sql.SQL(
                        "CREATE TEMP TABLE {source} (LIKE {staging}); CREATE UNIQUE INDEX ON {source} ({key});"
                        "CREATE TEMP TABLE {refused} (key text PRIMARY KEY, why text NOT NULL)"
                    ).format(
                        source=source_name(table.name),
                        staging=sql.Identifier(staging.staging_name(table)),
                        refused=refused_name(table.name),
                        key=sql.Identifier(table.key),
                    )
                )
        connection.commit()
        return cls(connection, live)

    def now(self) -> datetime:
        """The database's clock, by which rows say when they were last synced."""
        moment = state.clock(self.connection)
        self.connection.commit()
        return moment


class Gathering:
    """The sink of one resource's full reading."""

    def __init__(self, workspace: Workspace, resource: Resource, *, shown: int, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._workspace = workspace
        self._resource = resource
        self._shown = shown
        self.report = LoadReport(resource.state)
        self.began = workspace.now()
        self.rederived: Verdict | None = None

    @property
    def connection(self) -> Connection:
        return self._workspace.connection

    def types(self, table: Table) -> dict[str, ColumnType]:
        return tables.column_types(self._workspace.live[table.name])

    def write(
        self,
        batch: RowBatch,
        *,
        position: Mapping[str, Any] | None = None,  # noqa: ARG002 - there is no checkpoint to keep it in
        resource: Resource | None = None,  # noqa: ARG002 - only the resource's own records are read
    ) -> MergeCounts:
        """Keep the batch; a record that came before is replaced by the later one.

        A row that the columns' types do not take is looked for by halving, as in a load.
        """
        try:
            with refusals.explaining(self._resource.state):
                self._keep(batch)
        except WarehouseError as error:
            self.connection.rollback()
            if not len(batch) or not refusals.of_the_data(error):
                raise
            parts = [refusals.refused(batch, error, self._mask)] if len(batch) == 1 else refusals.halves(batch)
            for part in parts:
                self.write(part)
        return MergeCounts()

    def _keep(self, batch: RowBatch) -> None:
        table = batch.table
        parts = {
            "source": source_name(table.name),
            "staging": sql.Identifier(staging.staging_name(table)),
            "refused": refused_name(table.name),
            "key": sql.Identifier(table.key),
        }
        refused = {rejection.record_key: f"{rejection.code}: {rejection.message}" for rejection in batch.rejections}
        with self.connection.cursor() as cursor:
            staging.fill(cursor, batch)
            cursor.execute(
                sql.SQL(
                    "DELETE FROM {refused} r USING {staging} g WHERE r.key = g.{key}::text;"
                    "DELETE FROM {source} s USING {staging} g WHERE s.{key} = g.{key};"
                    "INSERT INTO {source} SELECT * FROM {staging}"
                ).format(**parts)
            )
            if refused:
                cursor.execute(
                    sql.SQL("DELETE FROM {source} WHERE {key}::text = ANY(%s)").format(**parts), (list(refused),)
                )
                execute_values(
                    cursor,
                    sql.SQL("INSERT INTO {refused} VALUES %s ON CONFLICT (key) DO UPDATE SET why = excluded.why")
                    .format(**parts)
                    .as_string(cursor),
                    list(refused.items()),
                )
            deletion.mark_seen(cursor, batch, batch.rejections)
        self.connection.commit()
        self.report.fetched += batch.fetched

    def distinct_seen(self, table: Table) -> int:
        with self.connection.cursor() as cursor:
            seen = deletion.count_seen(cursor, table)
        self.connection.commit()
        return seen

    def unseen(self, _table: Table, /) -> list[str]:
        """None: what differs is asked for again by whoever repairs it."""
        return []

    def mark_deleted(self, table: Table) -> int:
        """The reading was complete, so the planner may look at what there is. Nothing is marked."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql.SQL("ANALYZE {}").format(source_name(table.name)))
        self.connection.commit()
        return 0

    def run_sql(self, work: Callable[[Cursor], MergeCounts]) -> MergeCounts:
        """See what the derivation would change, and undo it."""
        self.rederived = rederive(self.connection, self._resource, work, shown=self._shown)
        return MergeCounts()


def staged_batch(workspace: Workspace, table: Table, keys: Sequence[str], *, untouched_since: datetime) -> RowBatch:
    """The gathered records with these keys as a batch to be loaded, without those that a sync has written since."""
    columns = staging.staged_columns(table)
    with workspace.connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT {columns} FROM {source} s WHERE s.{key}::text = ANY(%s) AND NOT EXISTS"
                " (SELECT 1 FROM {target} t WHERE t.{key} = s.{key} AND t.last_synced_at >= %s) ORDER BY s.{key}"
            ).format(
                columns=sql.SQL(", ").join(sql.SQL("s.{}::text").format(sql.Identifier(name)) for name in columns),
                source=source_name(table.name),
                target=sql.Identifier(table.name),
                key=sql.Identifier(table.key),
            ),
            (list(keys), untouched_since),
        )
        rows = cursor.fetchall()
    workspace.connection.commit()
    values = {name: [row[index] for row in rows] for index, name in enumerate(columns)}
    records = [{table.column(table.key).fields[0]: key} for key in values[table.key]]
    return RowBatch(table=table, columns=values, records=records, fetched=len(rows))
