"""The runner: several at once, locks of the dead, every form of address, files that do not work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from vantage_pipeline.errors import DatabaseUnreachable, MigrationsMissing, WarehouseError
from vantage_pipeline.warehouse import migrations
from vantage_pipeline_tests.conftest import ROOT
from vantage_pipeline_tests.database import Database

_APPLY = "import sys; from vantage_pipeline.warehouse import migrations; print(len(migrations.apply(sys.argv[1])))"
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with migrations of the test's own: name to SQL, and to that of the rollback."""

    def make(**files: str) -> Path:
        for number, (name, text) in enumerate(files.items(), 1):
            (tmp_path / f"2026010{number}000000_{name}.sql").write_text(text)
            (tmp_path / f"2026010{number}000000_{name}.rollback.sql").write_text(f"DROP TABLE {name};")
        return tmp_path

    return make


def test_two_processes_at_once_apply_each_once(empty_database: Database) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _APPLY, empty_database.url],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    # nothing but the count is printed: yoyo prints what a SELECT gives
    assert sorted(int(out) for out, _ in said) == [0, len(migrations.known())]
    assert migrations.pending(empty_database.url) == []


def test_a_lock_left_by_a_dead_process_does_not_block(empty_database: Database, folder: Folder) -> None:
    directory = folder(one="CREATE TABLE one (a int)")
    assert len(migrations.apply(empty_database.url, directory)) == 1
    empty_database.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 999999)")
    assert migrations.rollback(empty_database.url, 1, directory) == ["20260101000000_one"]
    empty_database.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 999999)")
    assert migrations.apply(empty_database.url, directory) == ["20260101000000_one"]


def test_every_form_of_address_is_taken(empty_database: Database, folder: Folder) -> None:
    directory = folder(one="CREATE TABLE one (a int)")
    rest = empty_database.url.partition("://")[2]
    parts = urlsplit(empty_database.url)
    host = parse_qs(parts.query).get("host", [parts.hostname])[0]
    without_authority = f"postgresql://{parts.path}?host={host}&user={parts.username}"
    for url in (f"postgres://{rest}", f"postgresql://{rest}", f"postgresql+psycopg2://{rest}", without_authority):
        assert migrations.pending(url, directory) == ["20260101000000_one"], url
        assert migrations.apply(url, directory) == ["20260101000000_one"], url
        assert migrations.rollback(url, 1, directory) == ["20260101000000_one"], url


def test_the_tables_go_to_public_whatever_the_search_path(empty_database: Database, folder: Folder) -> None:
    empty_database.execute("CREATE SCHEMA elsewhere")
    name = empty_database.scalar("SELECT current_database()")
    empty_database.execute(f"ALTER DATABASE {name} SET search_path = elsewhere, public")
    directory = folder(one="CREATE TABLE one (a int)")
    migrations.apply(empty_database.url, directory)
    assert empty_database.scalar("SELECT to_regclass('public.one') IS NOT NULL")
    assert migrations.pending(empty_database.url, directory) == []


def test_what_is_missing_is_named_with_the_command(empty_database: Database, folder: Folder) -> None:
    directory = folder(one="CREATE TABLE one (a int)", two="CREATE TABLE two (a int)", three="CREATE TABLE three ()")
    migrations.apply(empty_database.url, directory)
    migrations.check(empty_database.url, directory)
    migrations.rollback(empty_database.url, 2, directory)
    assert migrations.applied(empty_database.url) == ["20260101000000_one"]
    with pytest.raises(MigrationsMissing, match=r"2 .*_two, \d+_three; run: vantage-pipeline migrate up"):
        migrations.check(empty_database.url, directory)


def test_one_that_fails_changes_nothing_and_those_before_it_stay(empty_database: Database, folder: Folder) -> None:
    directory = folder(one="CREATE TABLE one (a int)", two="CREATE TABLE two (a int); SELECT 1 / 0")
    with pytest.raises(WarehouseError, match="changed nothing: division by zero"):
        migrations.apply(empty_database.url, directory)
    assert migrations.applied(empty_database.url) == ["20260101000000_one"]
    assert empty_database.scalar("SELECT to_regclass('two') IS NULL")


def test_a_rollback_that_something_depends_on_is_refused(empty_database: Database) -> None:
    names = migrations.apply(empty_database.url)
    later = len(names) - 1 - names.index("20251108000000_bubble_tables")
    assert len(migrations.rollback(empty_database.url, later)) == later
    empty_database.execute("CREATE VIEW my_report AS SELECT bubble_id FROM invoice")
    with pytest.raises(WarehouseError, match="my_report"):
        migrations.rollback(empty_database.url)
    assert empty_database.rows("SELECT * FROM my_report") == []
    assert len(migrations.pending(empty_database.url)) == later


def test_an_unreachable_database_is_told_without_the_password() -> None:
    with pytest.raises(DatabaseUnreachable, match="check DATABASE_URL") as caught:
        migrations.pending("postgresql+psycopg2://me:hunter2@127.0.0.1:9/finance")
    assert "hunter2" not in str(caught.value)
