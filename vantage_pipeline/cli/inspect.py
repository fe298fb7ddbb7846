"""The verbs that look: ``status``, ``history``, ``doctor``, ``migrate``, ``quarantine``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import typer
from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog
from vantage_pipeline.cli import operate
from vantage_pipeline.cli.tables import print_json, print_rows
from vantage_pipeline.errors import PipelineError, UsageError
from vantage_pipeline.settings import Settings, load_settings
from vantage_pipeline.warehouse import engine, migrations

_ONLY_JSON = frozenset(("unchanged", "api_calls", "errors"))
"""Columns of the history for which a terminal has no room. Those that are empty in all rows are left out too."""


@contextmanager
def _open(settings: Settings) -> Iterator[Connection]:
    url = engine.database_url(settings)
    migrations.check(url)
    connection = engine.connect(url)
    try:
        yield connection
    finally:
        connection.close()


def _rows(connection: Connection, statement: str, *params: Any) -> tuple[list[str], list[list[Any]]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        names = [column.name for column in cursor.description or ()]
        return names, [list(row) for row in cursor.fetchall()]


def _print(title: str, names: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool) -> None:
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_rows(title, names, rows)


def status(*, as_json: bool) -> int:
    with _open(load_settings()) as connection:
        names, rows = _rows(
            connection,
            "SELECT h.resource, h.health_indicator AS health, h.last_sync_status AS status,"
            " to_char(h.last_sync_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS watermark,"
            " h.records_synced AS synced,"
            " s.records_created AS created, s.records_updated AS updated, h.duration_ms AS ms, h.error_count AS errors,"
            " (SELECT count(*) FROM vantage_quarantine q WHERE q.resource = h.resource"
            " AND q.resolved_at IS NULL) AS quarantined,"
            " (SELECT coalesce(string_agg(kind, ', ' ORDER BY kind), '') FROM (SELECT unnest(h.conditions) UNION"
            " SELECT condition FROM sync_conditions c WHERE c.resource = h.resource) holding (kind)) AS conditions"
            " FROM sync_health h JOIN vantage_sync_state s USING (resource) ORDER BY"
            " array_position(ARRAY['red', 'yellow', 'green'], h.health_indicator), h.resource",
        )
        alert_names, open_alerts = operate.open_alerts(connection)
    _print("Status", names, rows, as_json=as_json)
    if open_alerts and not as_json:
        print_rows("Open alerts", alert_names, open_alerts)
    return 0


def history(name: str, *, as_json: bool) -> int:
    resource = catalog.find(name)
    with _open(load_settings()) as connection:
        names, rows = _rows(
            connection,
            "SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS started, status,"
            " partition_key AS days,"
            " records_synced AS synced, records_created AS created, records_updated AS updated,"
            " records_unchanged AS unchanged, records_deleted AS deleted, records_quarantined AS quarantined,"
            " (SELECT coalesce(sum(b.records), 0) FROM vantage_held_back b"
            " WHERE (b.run_id, b.resource) = (h.run_id, h.resource)) AS held_back,"
            " jsonb_array_length(errors) AS errors, coalesce(errors->0->>'code', '') AS first_error,"
            " api_calls, retries, duration_ms AS ms, nullif(attempt, 1) AS attempt, partial,"
            " triggered_by, options::text AS options, run_id FROM vantage_sync_history h WHERE resource = %s"
            " ORDER BY started_at DESC, id DESC LIMIT 20",
            resource.state,
        )
    if not as_json:
        shown = [
            index for index, name in enumerate(names) if name not in _ONLY_JSON and any(row[index] for row in rows)
        ]
        names, rows = [names[index] for index in shown], [[row[index] for index in shown] for row in rows]
    _print(f"History of {resource.asset}", names, rows, as_json=as_json)
    return 0


def doctor(*, as_json: bool) -> int:
    settings = load_settings()
    checks: list[tuple[str, str, str]] = []

    def check(name: str, look_at: Callable[[], str]) -> None:
        try:
            checks.append((name, "ok", look_at()))
        except PipelineError as error:
            checks.append((name, "failed", str(error)))

    check("database", lambda: _database(settings))
    check("migrations", lambda: _migrations(settings))
    if checks[-1][1] == "ok":
        check("alerts", lambda: operate.channels(settings))
    for system in ("vantage", "bubble"):
        if system in settings.configured_systems:
            check(f"{system} API", partial(_probe, settings, system))
        else:
            checks.append(
                (f"{system} API", "not set", f"{system.upper()}_API_BASE_URL is not set; its resources are left out")
            )
    _print("Doctor", ["check", "result", "what it says"], checks, as_json=as_json)
    return 1 if any(result == "failed" for _, result, _ in checks) else 0


def _database(settings: Settings) -> str:
    connection = engine.connect(engine.database_url(settings))
    version = connection.server_version
    connection.close()
    return f"PostgreSQL {version // 10_000}, {'embedded' if settings.embedded else 'DATABASE_URL'}"


def _migrations(settings: Settings) -> str:
    migrations.check(engine.database_url(settings))
    return f"all {len(migrations.known())} applied"


def _probe(settings: Settings, system: str) -> str:
    from vantage_pipeline.sources.bubble import BubbleClient
    from vantage_pipeline.sources.vantage import VantageClient

    patient = settings.model_copy(update={"max_attempts": 2, "max_attempts_of": {}})
    client = VantageClient(patient) if system == "vantage" else BubbleClient(patient)
    try:
        return client.probe()
    finally:
        client.close()


def migrate_up() -> None:
    names = migrations.apply(_migration_url())
    typer.echo(f"applied {len(names)}: {', '.join(names)}" if names else "nothing to apply: the database is up to date")


def migrate_down(count: int) -> None:
    names = migrations.rollback(_migration_url(), count)
    typer.echo(f"undone {len(names)}: {', '.join(names)}")


def migrate_status(*, as_json: bool) -> None:
    have = set(migrations.applied(_migration_url()))
    rows = [(name, "applied" if name in have else "pending") for name in migrations.known()]
    _print("Migrations", ["migration", "state"], rows, as_json=as_json)


def _migration_url() -> str:
    """The database's address, without the migrating on the way that the embedded one gets elsewhere."""
    settings = load_settings()
    if settings.embedded:
        from vantage_pipeline.warehouse.embedded import embedded_url

        return embedded_url(settings)
    return engine.database_url(settings)


def quarantine_list(*, as_json: bool) -> int:
    with _open(load_settings()) as connection:
        names, rows = _rows(
            connection,
            "SELECT id, resource, table_name AS table, record_key AS record, code, message, times_seen AS seen,"
            " to_char(last_seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS last_seen FROM vantage_quarantine"
            " WHERE resolved_at IS NULL ORDER BY resource, record_key",
        )
    _print("Quarantine", names, rows, as_json=as_json)
    return 0


def quarantine_show(entry: int) -> int:
    with _open(load_settings()) as connection:
        names, rows = _rows(connection, "SELECT *, record::text AS record FROM vantage_quarantine WHERE id = %s", entry)
    if not rows:
        raise UsageError(f"there is no entry {entry} in quarantine; see: vantage-pipeline quarantine list")
    print_json(dict(zip(names, rows[0], strict=True)))
    return 0


def quarantine_replay(entries: Sequence[int], *, as_json: bool) -> int:
    from vantage_pipeline.cli.replay import replay

    done = replay(load_settings(), entries)
    _print("Replayed", ["resource", "table", "well", "refused again"], done, as_json=as_json)
    return 1 if any(row[3] for row in done) else 0
