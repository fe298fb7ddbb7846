"""The migrations of ``sql/migrations``: plain SQL with paired rollbacks, run by yoyo."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.errors import DatabaseUnreachable, MigrationsMissing, WarehouseError
from vantage_pipeline.settings import sql_dir

_LOCK = 0x4D494752
_ROLLBACK = ".rollback.sql"
_CONNECT_SECONDS = 10
_YOYO_TABLES = ("_yoyo_log", "_yoyo_migration", "_yoyo_version", "yoyo_lock")


def known(directory: Path | None = None) -> list[str]:
    """The migrations there are, in order."""
    folder = directory or sql_dir() / "migrations"
    return sorted(path.stem for path in folder.glob("*.sql") if not path.name.endswith(_ROLLBACK))


def applied(url: str) -> list[str]:
    """The migrations that the database has, in order.

    Raises:
        DatabaseUnreachable: no connection.
    """
    with _connection(url) as connection, connection.cursor() as cursor:
        return _applied(cursor)


def pending(url: str, directory: Path | None = None) -> list[str]:
    """The migrations that the database lacks, in order."""
    have = set(applied(url))
    return [name for name in known(directory) if name not in have]


def check(url: str, directory: Path | None = None) -> None:
    """Raise `MigrationsMissing` with the names if the database lacks a migration."""
    missing = pending(url, directory)
    if missing:
        raise MigrationsMissing(
            f"the database lacks {len(missing)} migration(s): {', '.join(missing)}; run: vantage-pipeline migrate up"
        )


def apply(url: str, directory: Path | None = None) -> list[str]:
    """Apply what is pending; gives the names. Safe when several processes do it at once.

    Raises:
        WarehouseError: a migration refused; what it says is in the message, and it changed nothing.
    """
    if not pending(url, directory):
        return []
    with _alone(url) as cursor, _explained("a migration was refused and changed nothing"):
        names = _without(known(directory), _applied(cursor))
        with _yoyo(url, directory) as (backend, found):
            for name in names:
                backend.apply_migrations(_only(found, name))
        _close_yoyo_tables(cursor)
        left = _without(names, _applied(cursor))
        if left:
            # yoyo skips a file that it cannot read, with no more than a line in its log
            raise WarehouseError(f"the migration {left[0]} could not be read as SQL and was not applied; mend the file")
    return names


def rollback(url: str, count: int = 1, directory: Path | None = None) -> list[str]:
    """Undo the last `count` migrations; gives their names, the last applied first.

    Raises:
        WarehouseError: a rollback refused, for instance since a view of your own depends on a table.
    """
    with _alone(url) as cursor, _explained("a rollback was refused and changed nothing"):
        there = set(known(directory))
        names = [name for name in reversed(_applied(cursor)) if name in there][:count]
        with _yoyo(url, directory) as (backend, found):
            for name in names:
                backend.rollback_migrations(_only(found, name))
    return names


def _applied(cursor: Cursor) -> list[str]:
    cursor.execute("SELECT to_regclass('public._yoyo_migration') IS NOT NULL")
    row = cursor.fetchone()
    if not row or not row[0]:
        return []
    cursor.execute("SELECT migration_id FROM public._yoyo_migration ORDER BY migration_id")
    return [name for (name,) in cursor.fetchall()]


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    return [name for name in names if name not in others]


def _only(found: Any, name: str) -> Any:
    return found.filter(lambda migration: migration.id == name)


@contextmanager
def _yoyo(url: str, directory: Path | None) -> Iterator[tuple[Any, Any]]:
    import yoyo  # 0.1 s that only those who migrate pay

    logging.getLogger("yoyo").setLevel(logging.WARNING)
    plain = _plain(url)
    # whatever search_path the role has, the tables belong to public
    backend = yoyo.get_backend(f"{plain}{'&' if urlsplit(plain).query else '?'}schema=public")
    with backend:
        yield backend, yoyo.read_migrations(str(directory or sql_dir() / "migrations"))


def _close_yoyo_tables(cursor: Cursor) -> None:
    """Close yoyo's own tables to others, as the migrations close theirs."""
    cursor.execute("SELECT to_regprocedure('public.vantage_close_table(text)') IS NOT NULL")
    row = cursor.fetchone()
    if row and row[0]:
        cursor.execute(
            "SELECT public.vantage_close_table(tablename) FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename = ANY(%s)",
            (list(_YOYO_TABLES),),
        )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        lines = [
            line for line in str(error).strip().splitlines() if not line.startswith(("CONTEXT", "PL/pgSQL", "SQL "))
        ]
        raise WarehouseError(f"{what}: {' '.join(lines)}") from error


@contextmanager
def _alone(url: str) -> Iterator[Cursor]:
    """One migrating process at a time: an advisory lock, which a crash gives back, unlike a row in a table."""
    with _connection(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        # who holds this lock is alone, so a lock row left by a dead process is nobody's
        cursor.execute("SELECT to_regclass('public.yoyo_lock') IS NOT NULL")
        row = cursor.fetchone()
        if row and row[0]:
            cursor.execute("DELETE FROM public.yoyo_lock")
        yield cursor


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    try:
        connection = psycopg2.connect(
            _plain(url), connect_timeout=_CONNECT_SECONDS, application_name="vantage-pipeline migrations"
        )
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        password = urlsplit(url).password
        if password:
            reason = reason.replace(password, "***")
        raise DatabaseUnreachable(
            f"the database cannot be reached: {reason}; check DATABASE_URL and that the server runs"
        ) from None
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def _plain(url: str) -> str:
    """The URL as libpq and yoyo read it, whichever of the usual schemes it came with."""
    return f"postgresql://{url.partition('://')[2]}"
