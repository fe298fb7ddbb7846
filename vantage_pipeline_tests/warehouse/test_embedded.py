"""The embedded server between processes: shared, outliving kills, gone with the last one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from vantage_pipeline.errors import DatabaseUnreachable
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import embedded, engine, postmaster
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.conftest import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes by signal")

_USER = """
import sys
from pathlib import Path
from vantage_pipeline.warehouse.embedded import embedded_server
print(embedded_server(Path(sys.argv[1])).url(), flush=True)
sys.stdin.read()
"""


class User:
    """Another process that uses the server until it is told to leave."""

    def __init__(self, cluster: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(cluster)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> str:
        """End it in order; gives what it complained of."""
        _, complaints = self.process.communicate(timeout=60)
        return complaints

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "pg"
    EmbeddedServer(tmp_path / "pg").stop()


@pytest.fixture
def join(cluster: Path) -> Iterator[Callable[[], User]]:
    users: list[User] = []

    def start() -> User:
        users.append(User(cluster))
        return users[-1]

    yield start
    for user in users:
        if user.process.poll() is None:
            user.kill()


def test_the_last_of_two_processes_stops_it(cluster: Path, join: Callable[[], User]) -> None:
    first = join()
    url = first.url()
    second = join()
    assert second.url() == url
    assert first.leave() == ""
    engine.connect(url).close()
    assert second.leave() == ""
    assert postmaster.read(cluster) is None
    with pytest.raises(DatabaseUnreachable, match="check DATABASE_URL"):
        engine.connect(url)


def test_a_killed_process_does_not_keep_it_alive(cluster: Path, join: Callable[[], User]) -> None:
    first, second = join(), join()
    assert first.url() == second.url()
    first.kill()
    assert EmbeddedServer(cluster).running
    second.leave()
    assert not EmbeddedServer(cluster).running


def test_four_processes_start_it_at_once(cluster: Path, join: Callable[[], User]) -> None:
    users = [join() for _ in range(4)]
    (url,) = {user.url() for user in users}
    engine.connect(url).close()
    assert [user.leave() for user in users] == [""] * 4
    assert not EmbeddedServer(cluster).running


def test_a_killed_server_starts_again_with_its_data(cluster: Path) -> None:
    server = EmbeddedServer(cluster)
    connection = engine.connect(server.url())
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 7 AS number")
    found = postmaster.read(cluster)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(found.pid)] if psutil.pid_exists(found.pid) else [], timeout=10)

    again = engine.connect(server.url())
    with again, again.cursor() as cursor:
        cursor.execute("SELECT number FROM kept")
        assert cursor.fetchall() == [(7,)]
    again.close()
    with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize("lines", [1, 8])
def test_a_pid_file_from_before_a_restart_does_not_block(cluster: Path, lines: int) -> None:
    """The id in it belongs to another program by now: here, to this one, or to another folder's server."""
    server = EmbeddedServer(cluster)
    server.start()
    stale = (cluster / "postmaster.pid").read_text().splitlines()
    server.stop()
    stale[0] = str(os.getpid())
    text = "\n".join(stale[:lines]) + "\n"
    (cluster / "postmaster.pid").write_text(text)
    (cluster / ".s.PGSQL.5432.lock").write_text(text)
    assert not server.running
    engine.connect(server.url()).close()


def test_a_killed_initialisation_is_begun_anew(cluster: Path) -> None:
    half = cluster.with_name("pg.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    engine.connect(EmbeddedServer(cluster).url()).close()


def test_a_long_and_odd_path(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("it's 100% a folder, " + "x" * 90) / "pg")
    try:
        engine.connect(server.url()).close()
    finally:
        found = postmaster.read(server.cluster)
        server.stop()
    assert found is not None
    assert not Path(found.socket_dir).exists()


def test_a_server_that_cannot_start_says_why(cluster: Path) -> None:
    server = EmbeddedServer(cluster)
    server.start()
    server.stop()
    with (cluster / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnreachable, match=r"did not start.*FATAL.*DATABASE_URL"):
        server.url()


def test_only_dagster_may_lose_its_last_commits(cluster: Path) -> None:
    server = EmbeddedServer(cluster)
    found = {}
    for name in ("vantage", "dagster"):
        connection = engine.connect(server.url(name))
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('synchronous_commit'), current_setting('fsync')")
            found[name] = cursor.fetchone()
        connection.close()
    assert found == {"vantage": ("on", "on"), "dagster": ("off", "on")}


def test_made_up_and_real_data_have_servers_of_their_own(make_settings: Callable[..., Settings]) -> None:
    real = {"BUBBLE_API_BASE_URL": "https://app.example.com/api/1.1"}
    none, live, demo = make_settings(), make_settings(**real), make_settings(**real, sandbox=True)
    assert embedded.cluster_dir(none) == embedded.cluster_dir(demo) != embedded.cluster_dir(live)
