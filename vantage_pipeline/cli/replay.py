"""Records in quarantine tried again as they were kept: after a fix of the mapping, or of the database."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from vantage_pipeline import catalog
from vantage_pipeline.orchestration.io_manager import as_error, is_cancel
from vantage_pipeline.orchestration.pump import Mappers
from vantage_pipeline.records.decode import decode
from vantage_pipeline.records.model import Page
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline.warehouse.state import Run


def replay(settings: Settings, entries: Sequence[int]) -> list[tuple[str, str, int, int]]:
    """Map and merge the entries' records; what goes well is resolved. All open entries when none is named.

    Gives, for each table, its resource and how many went well and how many were refused again.
    """
    url = engine.database_url(settings)
    connection = engine.connect(url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT resource, table_name, array_agg(record::text) FROM vantage_quarantine"
            " WHERE resolved_at IS NULL AND (id = ANY(%s) OR %s) GROUP BY 1, 2 ORDER BY 1, 2",
            (list(entries), not entries),
        )
        groups = cursor.fetchall()
    connection.close()
    done = []
    for state, table, texts in groups:
        resource = catalog.by_state(state)
        run = Run(f"replay-{uuid4()}", triggered_by="quarantine replay", partial=True)
        options = LoadOptions(max_rejected_share=1.0)
        load = Load(lambda: engine.connect(url), resource, run, options)
        try:
            load.begin()
            decoded = [decode(text.encode(), where=f"{state} in quarantine") for text in texts]
            page = Page(catalog.table(table), [d.value for d in decoded], all(d.clean for d in decoded))
            load.write(Mappers(load, settings).rows(page), position={"replay": len(texts)})
            report = load.finish(watermark=None)
        except BaseException as error:
            load.fail([as_error(error, settings)], cancelled=is_cancel(error))
            raise
        done.append((state, table, report.fetched - report.quarantined, report.quarantined))
    return done
