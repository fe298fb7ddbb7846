"""What the tests share: one real PostgreSQL for all, a fresh database for each, both APIs on loopback.

No test sees the environment, the ``.env`` or the ``.vantage/`` of whoever runs it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
import pytest
from psycopg2 import sql
from xdist.scheduler import LoadScopeScheduling

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings, load_settings
from vantage_pipeline.warehouse.embedded import EmbeddedServer, embedded_server
from vantage_pipeline_tests import command
from vantage_pipeline_tests.database import Database, administer, create, drop, fresh
from vantage_pipeline_tests.pipeline import Pipeline

if TYPE_CHECKING:  # one of them is not there on Windows
    from multiprocessing.context import ForkServerContext, SpawnContext

ROOT = Path(__file__).resolve().parent.parent
_OURS = ("VANTAGE_", "BUBBLE_", "DAGSTER_", "PG")
_MIGRATED, _DAGSTER = "template_migrated", "template_dagster"
_SMALL: dict[str, Any] = {"accounts": 60, "funds": 7, "cash_flows": 150, "bubble_scale": 0.01}


class Finished(NamedTuple):
    """What a command left: its exit status and its output."""

    status: int
    out: str
    err: str


class _OneStack(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each test to whichever worker is free, but those that share one stack of services to one worker, first."""

    def _split_scope(self, nodeid: str) -> str:
        return "stack" if "/stack/" in nodeid else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _OneStack:
    return _OneStack(config, log)


@pytest.fixture(scope="session")
def state_dir() -> Iterator[Path]:
    """The session's ``.vantage/``. Real and sandbox data share its one server, to spare the tests a second.

    Not below pytest's own folder: the next session's start closes that to all but root, and as root, the server runs
    as another user.
    """
    with tempfile.TemporaryDirectory(prefix="vantage-tests-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "live").mkdir()
        (folder / "sandbox").symlink_to("live")
        yield folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with the instance's configuration and no ``.env``."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch, home: Path, state_dir: Path) -> Iterator[None]:
    """Hide the environment of whoever runs the tests, and undo what a test does to it."""
    for name in list(os.environ):
        if name.startswith(_OURS) or name in ("DATABASE_URL", "ALERT_URLS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VANTAGE_PIPELINE_HOME", str(home))
    monkeypatch.setenv("VANTAGE_PIPELINE_STATE_DIR", str(state_dir))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    load_settings.cache_clear()
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    load_settings.cache_clear()


@pytest.fixture(scope="session")
def postgres(state_dir: Path) -> Iterator[EmbeddedServer]:
    """The session's PostgreSQL. What a crash of the machine would cost does not matter to it."""
    server = embedded_server(state_dir / "live" / "pg")
    administer(
        server,
        sql.SQL("ALTER SYSTEM SET fsync = off"),
        sql.SQL("ALTER SYSTEM SET synchronous_commit = off"),
        sql.SQL("SELECT pg_reload_conf()"),
    )
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedServer) -> str:
    """The name of a database that has every migration, to copy from."""
    from vantage_pipeline.warehouse import migrations

    create(postgres, _MIGRATED)
    migrations.apply(postgres.url(_MIGRATED))
    return _MIGRATED


@pytest.fixture(scope="session")
def dagster_template(postgres: EmbeddedServer) -> str:
    """The name of a database that has Dagster's own tables, to copy from."""
    from dagster_postgres import DagsterPostgresStorage

    create(postgres, _DAGSTER)
    DagsterPostgresStorage(postgres.url(_DAGSTER))
    return _DAGSTER


@pytest.fixture
def database(postgres: EmbeddedServer, migrated_template: str) -> Iterator[Database]:
    """A migrated database of the test's own."""
    with fresh(postgres, migrated_template) as made:
        yield made


@pytest.fixture
def empty_database(postgres: EmbeddedServer) -> Iterator[Database]:
    """A database of the test's own with nothing in it."""
    with fresh(postgres) as made:
        yield made


@pytest.fixture
def embedded(postgres: EmbeddedServer, migrated_template: str, dagster_template: str) -> Iterator[Database]:
    """The database that settings without DATABASE_URL lead to, new and migrated, with Dagster's beside it.

    The sandbox's data goes nowhere else, so whatever syncs from it needs this.
    """
    for name, template in (("vantage", migrated_template), ("dagster", dagster_template)):
        drop(postgres, name)
        create(postgres, name, template)
    made = Database(postgres.url("vantage"))
    yield made
    made.close()


@pytest.fixture
def dagster_instance(embedded: Database) -> Iterator[dg.DagsterInstance]:  # noqa: ARG001
    """The instance of ``dagster.yaml`` with nothing in its storage yet."""
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def make_settings(state_dir: Path) -> Callable[..., Settings]:
    """Settings from what is given and nothing else.

    Names are the environment's (``BUBBLE_API_BASE_URL``), or, for ours, the field's (``page_size``).
    """

    def make(**given: Any) -> Settings:
        return Settings(**{"_env_file": None, "state_dir": state_dir, **given})

    return make


@pytest.fixture
def use_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], Settings]:
    """Put variables into the environment, for code that loads the settings by itself; gives those settings."""

    def use(variables: Mapping[str, str]) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        load_settings.cache_clear()
        return load_settings()

    return use


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Both APIs on loopback, small unless told otherwise, served until the test ends."""
    with ExitStack() as stack:

        def make(**options: Any) -> Sandbox:
            return stack.enter_context(Sandbox.start(**{**_SMALL, **options}))

        yield make


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A small sandbox."""
    return make_sandbox()


@pytest.fixture
def pipeline(sandbox: Sandbox, database: Database) -> Pipeline:
    """Syncs from the small sandbox into the test's database, without Dagster around it."""
    return Pipeline(sandbox, database)


@pytest.fixture(scope="session")
def processes() -> ForkServerContext | SpawnContext:
    """Makes processes that have imported the project already, where the platform can fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(command.IMPORTED)
    return context


@pytest.fixture
def run_cli(home: Path, processes: ForkServerContext | SpawnContext, tmp_path: Path) -> Callable[..., Finished]:
    """Run ``vantage-pipeline`` as a user does, in a process of its own."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120) -> Finished:
        environment = {**os.environ, "COLUMNS": "160", **(env or {})}
        out, err = tmp_path / "out.txt", tmp_path / "err.txt"
        process = processes.Process(target=command.run, args=(arguments, environment, home, out, err))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            pytest.fail(f"{arguments} did not end within {timeout:.0f} s: {err.read_text()}")
        return Finished(process.exitcode, out.read_text(), err.read_text())

    return run
