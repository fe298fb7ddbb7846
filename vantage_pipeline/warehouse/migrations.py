"""The migrations of ``sql/migrations``: plain SQL with paired rollbacks, run by yoyo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from vantage_pipeline.errors import DatabaseUnreachable, MigrationsMissing, WarehouseError
from vantage_pipeline.settings import sql_dir

_LOCK = 0x4D494752
_ROLLBACK = ".rollback.sql"


def known(directory: Path | None = None) -> list[str]:
    """The migrations there are, in order."""
    folder = directory or sql_dir() / "migrations"
    return sorted(path.stem for path in folder.glob("*.sql") if not path.name.endswith(_ROLLBACK))


def applied(url: str) -> list[str]:
    """The migrations that the database has, in order."""
    with _connection(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('_yoyo_migration') IS NOT NULL")
        row = cursor.fetchone()
        if not row or not row[0]:
            return []
        cursor.execute("SELECT migration_id FROM _yoyo_migration ORDER BY migration_id")
        return [name for (name,) in cursor.fetchall()]


def pending(url: str, directory: Path | None = None) -> list[str]:
    """The migrations that the database lacks."""
    have = set(applied(url))
    return [name for name in known(directory) if name not in have]


def check(url: str) -> None:
    """Raise `MigrationsMissing` if the database lacks a migration."""
    missing = pending(url)
    if missing:
        raise MigrationsMissing(
            f"the database lacks {len(missing)} migration(s), the first is {missing[0]}; run:"
            f" vantage-pipeline migrate up"
        )


def apply(url: str, directory: Path | None = None) -> list[str]:
    """Apply what is pending; gives the names. Safe when several processes do it at once.

    Raises:
        WarehouseError: a migration refused; what it says is in the message, and it changed nothing.
    """
    if not pending(url, directory):
        return []
    with _alone(url):
        names = pending(url, directory)
        backend, found = _yoyo(url, directory)
        with _explained(), backend:
            backend.apply_migrations(found.filter(lambda migration: migration.id in names))
    return names


def rollback(url: str, count: int = 1, directory: Path | None = None) -> list[str]:
    """Undo the last `count` migrations; gives their names, the last applied first."""
    with _alone(url):
        names = list(reversed([name for name in applied(url) if name in set(known(directory))]))[:count]
        backend, found = _yoyo(url, directory)
        with _explained(), backend:
            for name in names:
                backend.rollback_migrations(found.filter(lambda migration, name=name: migration.id == name))
    return names


def _yoyo(url: str, directory: Path | None) -> tuple[Any, Any]:
    import yoyo

    backend = yoyo.get_backend(urlunsplit(urlsplit(url)._replace(scheme="postgresql")))
    return backend, yoyo.read_migrations(str(directory or sql_dir() / "migrations"))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        lines = [line for line in str(error).strip().splitlines() if not line.startswith(("CONTEXT", "PL/pgSQL"))]
        raise WarehouseError(f"a migration was refused and changed nothing: {' '.join(lines)}") from error


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """One migrating process at a time: an advisory lock, which a crash gives back, unlike a row in a table."""
    with _connection(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        # who holds this lock is alone, so a lock row left by a dead process is nobody's
        cursor.execute("SELECT to_regclass('yoyo_lock') IS NOT NULL")
        row = cursor.fetchone()
        if row and row[0]:
            cursor.execute("DELETE FROM yoyo_lock")
        yield


@contextmanager
def _connection(url: str) -> Iterator[Any]:
    plain = urlunsplit(urlsplit(url)._replace(scheme="postgresql"))
    try:
        connection = psycopg2.connect(plain, connect_timeout=10, application_name="vantage-pipeline migrations")
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise DatabaseUnreachable(
            f"the database cannot be reached: {reason}; check DATABASE_URL and that the server runs"
        ) from None
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()
