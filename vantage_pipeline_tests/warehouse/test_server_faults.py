"""The database server itself goes away, or has no room left, in the middle of a sync."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from vantage_pipeline import catalog
from vantage_pipeline.errors import DatabaseUnreachable, WarehouseError
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.warehouse import migrations, postmaster
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline.warehouse.lost import close_dead
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.equality import differing
from vantage_pipeline_tests.pipeline import Pipeline
from vantage_pipeline_tests.warehouse.test_database_faults import HISTORY, STATE, at

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes by signal")


@pytest.fixture(scope="module")
def server(state_dir: Path) -> Iterator[EmbeddedServer]:
    """A server of these tests' own, which they may kill."""
    made = EmbeddedServer(state_dir / "own" / "pg")
    yield made
    made.stop()


@pytest.fixture
def own(
    server: EmbeddedServer, make_sandbox: Callable[..., Sandbox], request: pytest.FixtureRequest
) -> Iterator[Pipeline]:
    url = server.url(f"own_{abs(hash(request.node.name))}")
    migrations.apply(url)
    pipeline = Pipeline(make_sandbox(), Database(url))
    pipeline.changes = {"page_size": 20, "batch_records": 20, "concurrency": 1}
    yield pipeline
    pipeline.database.close()


def kill(server: EmbeddedServer) -> None:
    """As a machine that loses its power, except that the disk keeps what it was given."""
    found = postmaster.read(server.cluster)
    assert found is not None
    main = psutil.Process(found.pid)
    family = [*main.children(), main]
    os.kill(found.pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=20)


def assert_completed(own: Pipeline) -> None:
    own.sync("accounts", full=True)
    assert differing(own.database, catalog.table("investors"), own.sandbox.vantage.records["accounts"]) == set()
    assert [status for (status,) in own.database.rows(HISTORY)] == ["failed", "success"]


def close(own: Pipeline) -> list[str]:
    connection = own.database.connect()
    try:
        return close_dead(connection)
    finally:
        connection.close()


def test_a_restart_in_the_middle(own: Pipeline, server: EmbeddedServer) -> None:
    def restart() -> None:
        server.stop()
        server.start()

    with (
        at("batch.staged", restart, nth=2),
        pytest.raises(DatabaseUnreachable, match=r"accounts: the connection .* lost"),
    ):
        own.sync("accounts")
    assert own.database.scalar("SELECT count(*) FROM investors") == 20
    assert own.database.rows(STATE, "accounts")[0][:2] == ("failed", "DATABASE_UNREACHABLE")
    assert_completed(own)


@pytest.mark.parametrize("point", ["batch.written", "finish.written"])
def test_a_server_that_is_killed_and_stays_away(own: Pipeline, server: EmbeddedServer, point: str) -> None:
    """The sync ends all the same, and what it could not record is recorded once the server is back."""
    with at(point, lambda: kill(server)), pytest.raises(DatabaseUnreachable, match="run the sync again"):
        own.sync("accounts")
    server.start()
    assert own.database.scalar("SELECT count(*) FROM investors") == (0 if point == "batch.written" else 60)
    assert own.database.rows(STATE, "accounts")[0][0] == "running"
    assert close(own) == ["accounts"]
    assert_completed(own)


@pytest.mark.skipif(sys.platform != "linux", reason="counts on a bound on the size of files")
def test_no_room_left(own: Pipeline, server: EmbeddedServer) -> None:
    """The server's files may grow to a size and no further, which is what a full disk or a quota is to a file."""
    import resource

    most, unbounded = 17 * 2**20 + 100, resource.getrlimit(resource.RLIMIT_FSIZE)
    accounts = own.sandbox.vantage.records["accounts"]
    for account in accounts[:40]:
        account["notes_at_length"] = os.urandom(2**19).hex()
    own.changes = {"batch_records": 60}
    server.stop()
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, unbounded[1]))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unbounded)
    own.database.close()
    try:
        with pytest.raises(WarehouseError, match="accounts: PostgreSQL refused a statement") as told:
            own.sync("accounts")
        assert "give the server room" in str(told.value)
        assert own.database.scalar("SELECT count(*) FROM investors") == 0
        assert own.database.rows(STATE, "accounts")[0][:2] == ("failed", "DATABASE_ERROR")
    finally:
        own.database.close()
        server.stop()
        server.start()
    assert_completed(own)
