"""Where the data and Dagster's storage live, and how to connect."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from vantage_pipeline.errors import DatabaseUnreachable, SettingsError
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import migrations
from vantage_pipeline.warehouse.embedded import embedded_url, with_driver

_CONNECT_SECONDS = 10
SESSION = (
    "-c timezone=UTC -c datestyle=ISO -c client_min_messages=warning"
    # a batch looks up its keys in tables of any size; the default, for rotating disks, reads whole tables instead
    " -c random_page_cost=1.1"
    # only staged batches are analysed: their size is what matters
    " -c default_statistics_target=10"
    # a client whose machine is gone says no goodbye: the server ends its session, and with it the lock of the resource,
    # within half a minute, where it would wait for two hours. Sockets that are no TCP take these for nothing
    " -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000"
)
"""The options, as libpq takes them, of every session that reads or writes rows."""
_migrated: set[str] = set()
_ensured: set[str] = set()


def database_url(settings: Settings) -> str:
    """The data's database as a SQLAlchemy URL. The embedded one is started and migrated on the way.

    Raises:
        SettingsError: DATABASE_URL is not a PostgreSQL address.
    """
    if settings.database_url is not None:
        return normalised(settings.database_url.get_secret_value(), "DATABASE_URL")
    url = embedded_url(settings)
    if url not in _migrated:
        migrations.apply(url)
        _migrated.add(url)
    return url


def dagster_url(settings: Settings) -> str:
    """Dagster's own storage: a database of its own, on the data's server unless another is named."""
    if settings.dagster_database_url is not None:
        return normalised(settings.dagster_database_url.get_secret_value(), "VANTAGE_PIPELINE_DAGSTER_DATABASE_URL")
    if settings.database_url is None:
        return embedded_url(settings, "dagster")
    data = database_url(settings)
    parts = urlsplit(data)
    name = f"{parts.path.lstrip('/') or 'postgres'}_dagster"
    if data not in _ensured:
        _ensure(data, name)
        _ensured.add(data)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


def normalised(url: str, variable: str) -> str:
    """A PostgreSQL URL with its driver named.

    Raises:
        SettingsError: it is something else; the message does not show it.
    """
    try:
        parts = urlsplit(url)
        whole = parts.port != 0 and not parts.fragment
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"{variable}: is not an address; write special characters of the password as %xx")
    if parts.scheme not in ("postgres", "postgresql", "postgresql+psycopg2"):
        raise SettingsError(f"{variable}: must begin with postgresql://; put the database's address there")
    return with_driver(url)


def libpq_url(url: str) -> str:
    """The URL as libpq reads it, without a driver."""
    return f"postgresql://{url.split('://', 1)[-1]}"


def connect(url: str) -> Connection:
    """A connection in UTC, in a transaction.

    Raises:
        DatabaseUnreachable: with host, database and what to do, never the password.
    """
    try:
        connection = psycopg2.connect(
            libpq_url(url),
            application_name="vantage-pipeline",
            connect_timeout=_CONNECT_SECONDS,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            options=SESSION,
        )
    except psycopg2.OperationalError as error:
        parts = urlsplit(url)
        where = f"{parts.hostname or 'the local socket'}{f':{parts.port}' if parts.port else ''}{parts.path}"
        reason = str(error).strip().split("\n")[0]
        if parts.password:
            reason = reason.replace(parts.password, "***")
        raise DatabaseUnreachable(
            f"the database at {where} cannot be reached: {reason}; check DATABASE_URL and that the server runs"
        ) from None
    connection.set_client_encoding("UTF8")
    return connection


def _ensure(url: str, name: str) -> None:
    connection = connect(url)
    connection.rollback()
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg2.errors.DuplicateDatabase:
        pass  # another process was quicker
    except psycopg2.Error as error:
        raise SettingsError(
            f"the database {name!r} for Dagster's storage cannot be made ({str(error).strip().splitlines()[0]}); "
            f"make it, or name another in VANTAGE_PIPELINE_DAGSTER_DATABASE_URL"
        ) from None
    finally:
        connection.close()
