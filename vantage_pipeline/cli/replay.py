"""Records in quarantine tried again as they were kept: after a fix of the mapping, or of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog
from vantage_pipeline.cli.running import user
from vantage_pipeline.errors import UsageError
from vantage_pipeline.orchestration.io_manager import as_error, is_cancel
from vantage_pipeline.orchestration.load_options import load_options
from vantage_pipeline.orchestration.pump import Mappers
from vantage_pipeline.records.decode import decode
from vantage_pipeline.records.model import Page
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.state import Run


def replay(settings: Settings, entries: Sequence[int]) -> list[tuple[str, str, int, int]]:
    """Map and merge the entries' records; what goes well is resolved. All open entries when none is named.

    Gives, for each table, its resource and how many went well and how many were refused again.

    Raises:
        UsageError: an entry is not there or is resolved; nothing was tried.
        PipelineError: as a sync of the resource; the tables before it are done.
    """
    connection = engine.connect(engine.database_url(settings))
    try:
        _check(connection, entries)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT resource, table_name, array_agg(record::text ORDER BY id) FROM vantage_quarantine"
                " WHERE resolved_at IS NULL AND (id = ANY(%s) OR %s) GROUP BY 1, 2 ORDER BY 1, 2",
                (list(entries), not entries),
            )
            groups = cursor.fetchall()
    finally:
        connection.close()
    run = Run(
        f"replay-{uuid4()}",
        triggered_by=f"command line: {user()} (quarantine replay)",
        options={"replay": list(entries) or "all"},
        partial=True,
    )
    return [_replayed(settings, run, state, table, texts) for state, table, texts in groups]


def _check(connection: Connection, entries: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, resolved_at, resolution FROM vantage_quarantine WHERE id = ANY(%s)", (list(entries),)
        )
        found = {number: (resolved_at, resolution) for number, resolved_at, resolution in cursor.fetchall()}
    for number in entries:
        if number not in found:
            raise UsageError(f"there is no entry {number} in quarantine; see: vantage-pipeline quarantine list")
        resolved_at, resolution = found[number]
        if resolved_at is not None:
            raise UsageError(
                f"entry {number} left the quarantine at {resolved_at:%Y-%m-%d %H:%M} ({resolution}); leave it out, "
                "nothing was tried"
            )


def _replayed(settings: Settings, run: Run, state: str, table: str, texts: Sequence[str]) -> tuple[str, str, int, int]:
    """Where all were refused before, their share says nothing: it fails no replay."""
    url = engine.database_url(settings)
    options = replace(load_options(settings), max_rejected_share=1.0)
    load = Load(lambda: engine.connect(url), catalog.by_state(state), run, options)
    try:
        load.begin()
        decoded = [decode(text.encode(), where=f"{state} in quarantine") for text in texts]
        page = Page(catalog.table(table), [d.value for d in decoded], all(d.clean for d in decoded))
        load.write(Mappers(load, settings).rows(page), position={"replay": len(texts)})
        report = load.finish(watermark=None)
    except BaseException as error:
        load.fail([as_error(error, settings)], cancelled=is_cancel(error))
        raise
    return state, table, report.fetched - report.quarantined, report.quarantined
