"""One PostgreSQL for a run of the suite, in a folder of its own, and two databases for each process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg2 import sql

from vantage_pipeline.warehouse import migrations
from vantage_pipeline.warehouse.embedded import EmbeddedServer, embedded_server
from vantage_pipeline_tests.database import Database, administer, create
from vantage_pipeline_tests.torture.world import World

_TEMPLATE = "template_torture"


@contextmanager
def server() -> Iterator[tuple[EmbeddedServer, Path]]:
    """A PostgreSQL with a migrated template. What a crash of the machine would cost does not matter to it."""
    with tempfile.TemporaryDirectory(prefix="vantage-torture-") as folder:
        made = embedded_server(Path(folder) / "live" / "pg")
        try:
            administer(
                made,
                *(
                    sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name))
                    for name in ("fsync", "synchronous_commit", "full_page_writes")
                ),
                sql.SQL("SELECT pg_reload_conf()"),
            )
            create(made, _TEMPLATE)
            migrations.apply(made.url(_TEMPLATE))
            yield made, Path(folder)
        finally:
            made.stop()


@contextmanager
def world(made: EmbeddedServer, folder: Path, number: int, template: str = _TEMPLATE) -> Iterator[World]:
    """The world of process `number`: two databases and a sandbox of its own."""
    names = [f"torture_{number}_{kind}" for kind in ("lived", "fresh")]
    for name in names:
        create(made, name, template)
    lived, fresh = (Database(made.url(name)) for name in names)
    try:
        with World.open(lived, fresh, folder) as opened:
            yield opened
    finally:
        lived.close()
        fresh.close()
