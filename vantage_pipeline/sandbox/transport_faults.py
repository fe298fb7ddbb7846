"""Faults of the connection, the status and the bytes: the answer is right, what arrives is not."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Protocol

_BYTE_SECONDS = 0.05
_HANG_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Spoiled:
    """The answer that is due, and what the fault was told."""

    status: int
    body: bytes
    seconds: float = 0.05
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Wire(Protocol):
    """The part of the server's handler that faults use."""

    connection: socket.socket
    close_connection: bool
    closing: threading.Event

    def head(
        self, status: int, length: int, extra: Mapping[str, str] | None = None, date: datetime | None = None
    ) -> None: ...
    def write(self, data: bytes) -> None: ...
    def go_away(self, seconds: float) -> None: ...


STATUSES: Mapping[str, tuple[int, Callable[[], str | None]]] = {
    "429_seconds": (429, lambda: "1"),
    "429_zero": (429, lambda: "0"),
    "429_date": (429, lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)),
    "429_hour": (429, lambda: "3600"),
}
"""Kinds that are a status with a ``Retry-After``. Any status code is a kind, too."""


def status_of(kind: str, retry_after: str | None) -> tuple[int, dict[str, str]] | None:
    """Status and headers of a kind that is a status and nothing else; None for the others."""
    if kind in STATUSES:
        status, told = STATUSES[kind]
        value = retry_after if retry_after is not None else told()
    elif kind.isdigit():
        status, value = int(kind), retry_after
    else:
        return None
    return status, {} if value is None else {"Retry-After": value}


def _reset(wire: Wire) -> None:
    wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close_connection = True
    wire.connection.close()


def _whole(wire: Wire, answer: Spoiled, body: bytes, extra: Mapping[str, str] | None = None) -> None:
    wire.head(answer.status, len(body), extra)
    wire.write(body)


def _reset_before(wire: Wire, _answer: Spoiled) -> None:
    _reset(wire)


def _reset_within(wire: Wire, answer: Spoiled) -> None:
    wire.head(answer.status, len(answer.body))
    wire.write(answer.body[: len(answer.body) // 2])
    _reset(wire)


def _reset_after(wire: Wire, answer: Spoiled) -> None:
    _whole(wire, answer, answer.body)
    _until_arrived(wire.connection)
    _reset(wire)


def _until_arrived(connection: socket.socket) -> None:
    """Wait for the peer's word that it has all, where the system can tell: a reset drops what is still on the way."""
    if sys.platform != "linux":
        return
    import fcntl
    import termios

    for _ in range(1_000):
        left = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
        if not left:
            return
        threading.Event().wait(0.001)


def _refused(wire: Wire, answer: Spoiled) -> None:
    wire.go_away(answer.seconds)
    _reset(wire)


def _hang(wire: Wire, _answer: Spoiled) -> None:
    wire.close_connection = True
    wire.closing.wait(_HANG_SECONDS)


def _slow(wire: Wire, answer: Spoiled) -> None:
    wire.closing.wait(answer.seconds)
    _whole(wire, answer, answer.body)


def _drip(wire: Wire, answer: Spoiled) -> None:
    wire.close_connection = True
    wire.head(answer.status, len(answer.body))
    _byte_by_byte(wire, answer.body)


def _drip_head(wire: Wire, answer: Spoiled) -> None:
    wire.close_connection = True
    _byte_by_byte(wire, f"HTTP/1.1 {answer.status} OK\r\nX-Slow: {'slow ' * 200}\r\n\r\n".encode())


def _byte_by_byte(wire: Wire, data: bytes) -> None:
    for byte in data:
        if wire.closing.wait(_BYTE_SECONDS):
            return
        wire.write(bytes((byte,)))


def _wrong_length(wire: Wire, answer: Spoiled) -> None:
    wire.close_connection = True
    wire.head(answer.status, len(answer.body) + 100)
    wire.write(answer.body)


def _truncated(wire: Wire, answer: Spoiled) -> None:
    _whole(wire, answer, answer.body[: len(answer.body) // 2])


def _malformed(wire: Wire, answer: Spoiled) -> None:
    _whole(wire, answer, b"{" + answer.body)


def _html(wire: Wire, answer: Spoiled) -> None:
    _whole(wire, answer, b"<html><body>made-up maintenance</body></html>")


def _gzip(wire: Wire, answer: Spoiled) -> None:
    _whole(wire, answer, gzip.compress(answer.body), {"Content-Encoding": "gzip"})


def _gzip_cut(wire: Wire, answer: Spoiled) -> None:
    packed = gzip.compress(answer.body)
    _whole(wire, answer, packed[: len(packed) // 2], {"Content-Encoding": "gzip"})


def _clock(moment: Callable[[], datetime]) -> Callable[[Wire, Spoiled], None]:
    def told(wire: Wire, answer: Spoiled) -> None:
        wire.head(answer.status, len(answer.body), date=moment())
        wire.write(answer.body)

    return told


TRANSPORT: Mapping[str, Callable[[Wire, Spoiled], None]] = {
    "refused": _refused,
    "reset": _reset_before,
    "reset_within": _reset_within,
    "reset_after": _reset_after,
    "hang": _hang,
    "slow": _slow,
    "drip": _drip,
    "drip_head": _drip_head,
    "truncated": _truncated,
    "malformed": _malformed,
    "html": _html,
    "gzip": _gzip,
    "gzip_cut": _gzip_cut,
    "wrong_length": _wrong_length,
    "clock_behind": _clock(lambda: datetime.now(UTC) - timedelta(days=1)),
    "clock_ahead": _clock(lambda: datetime.now(UTC) + timedelta(days=1)),
    "clock_nonsense": _clock(lambda: datetime(1, 1, 1, tzinfo=UTC)),
}
