"""The verbs ``report`` and ``metrics``, and what ``status`` and ``doctor`` say of alerts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from psycopg2.extensions import connection as Connection

from vantage_pipeline.errors import UsageError, WarehouseError
from vantage_pipeline.orchestration.alerting.channels import channels_of
from vantage_pipeline.orchestration.alerting.messages import label
from vantage_pipeline.settings import Settings, load_settings
from vantage_pipeline.warehouse import alerts, engine, migrations


def report(*, out: Path | None, days: int) -> int:
    """Write the report to a file and say where; gives the exit status."""
    from vantage_pipeline.orchestration.report.page import facts_for, write

    settings = load_settings()
    migrations.check(engine.database_url(settings))
    path = (out or settings.state_folder / "reports" / "report.html").resolve()
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; give the name of a file")
    write(settings, facts_for(settings, days=days), path)
    typer.echo(f"report: {path}")
    return 0


def metrics(*, serve: int | None, host: str) -> int:
    """Print the metrics, or serve them until interrupted; gives the exit status."""
    from prometheus_client import generate_latest, start_http_server

    from vantage_pipeline.warehouse.metrics import registry

    settings = load_settings()
    url = engine.database_url(settings)
    migrations.check(url)
    collected = registry(lambda: engine.connect(url))
    if serve is None:
        typer.echo(generate_latest(collected).decode(), nl=False)
        return 0
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        server, thread = start_http_server(serve, addr=host, registry=collected)
    except OSError as error:
        raise UsageError(
            f"--serve {serve}: {host} port {serve} cannot be used ({error.strerror}); give another"
        ) from None
    typer.echo(f"metrics: http://{host}:{server.server_address[1]}/metrics")
    stop.wait()
    server.shutdown()
    thread.join()
    return 0


def open_alerts(connection: Connection) -> tuple[list[str], list[Sequence[Any]]]:
    """The alerts that are open, as a table."""
    with connection.cursor() as cursor:
        found = alerts.open_alerts(cursor)
    return ["alert", "concerns", "what", "began"], [
        [label(a.kind), a.resource, a.details.get("what", ""), f"{a.began_at:%Y-%m-%d %H:%M}"] for a in found
    ]


def channels(settings: Settings) -> str:
    """Which alert channels there are and whether they take messages.

    Raises:
        WarehouseError: one does not.
    """
    connection = engine.connect(engine.database_url(settings))
    try:
        with connection.cursor() as cursor:
            failing = alerts.failing_channels(cursor)
            looked = alerts.last_look(cursor)
    finally:
        connection.close()
    if failing:
        raise WarehouseError("; ".join(f"{f.channel}: {f.waiting} messages wait: {f.error}" for f in failing))
    names = ", ".join(channel.name for channel in channels_of(settings))
    ago = f"{(datetime.now(UTC) - looked).total_seconds():.0f} s ago" if looked else "never (start the daemon)"
    return f"{names or 'ALERT_URLS is not set: nobody is told'}; last looked {ago}"
