"""How the database's address is read, and what is said when it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from vantage_pipeline.errors import DatabaseUnreachable, SettingsError
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database

Make = Callable[..., Settings]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_usual_scheme_gets_the_driver(make_settings: Make, scheme: str) -> None:
    settings = make_settings(DATABASE_URL=f"{scheme}://me:secret@db.example.com:6543/finance?sslmode=require")
    assert engine.database_url(settings) == (
        "postgresql+psycopg2://me:secret@db.example.com:6543/finance?sslmode=require"
    )


@pytest.mark.parametrize("url", ["mysql://me:hunter2@db.example.com/x", "postgresql://me:hun#ter2@db/x", "hunter2"])
def test_another_address_is_refused_without_being_shown(make_settings: Make, url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL") as caught:
        engine.database_url(make_settings(DATABASE_URL=url))
    assert "ter2" not in str(caught.value)


def test_an_unreachable_database_is_named_and_its_password_is_not() -> None:
    with pytest.raises(DatabaseUnreachable, match=r"127\.0\.0\.1:9/finance.*check DATABASE_URL") as caught:
        engine.connect("postgresql+psycopg2://me:hunter2@127.0.0.1:9/finance")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_session_is_in_utc(database: Database) -> None:
    assert database.scalar("SHOW timezone") == "UTC"
    assert database.scalar("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()") == (
        "vantage-pipeline"
    )


def test_the_server_looks_after_a_client_whose_machine_is_gone(database: Database) -> None:
    settings = "SELECT name, reset_val::int, source FROM pg_settings WHERE name LIKE 'tcp\\_%' ORDER BY name"
    assert database.rows(settings) == [
        ("tcp_keepalives_count", 3, "client"),
        ("tcp_keepalives_idle", 15, "client"),
        ("tcp_keepalives_interval", 5, "client"),
        ("tcp_user_timeout", 30_000, "client"),
    ]
    assert database.scalar("SHOW tcp_keepalives_idle") == "0", "the embedded server's socket is a Unix one"


def test_an_address_without_a_host_keeps_its_slashes(make_settings: Make, postgres: EmbeddedServer) -> None:
    settings = make_settings(DATABASE_URL="postgresql:///postgres?host=/run/x&user=someone")
    url = engine.database_url(settings)
    assert url == "postgresql+psycopg2:///postgres?host=/run/x&user=someone"
    assert engine.libpq_url(url) == "postgresql:///postgres?host=/run/x&user=someone"
    query = urlsplit(postgres.url("postgres")).query
    connection = engine.connect(f"postgresql:///postgres?{query}&user=postgres")
    connection.close()
