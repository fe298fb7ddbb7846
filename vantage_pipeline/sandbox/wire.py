"""The HTTP side of the sandbox: requests in, answers out, spoiled on the way where a fault is due."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from vantage_pipeline.sandbox import payload_faults, protocol_faults, transport_faults
from vantage_pipeline.sandbox.exchange import Exchange, encode
from vantage_pipeline.sandbox.faults import FAULT_KINDS, Fault, Faults
from vantage_pipeline.sandbox.transport_faults import Spoiled

HEADER = "X-Vantage-Sandbox"


class Served(Protocol):
    """The part of the sandbox that answers."""

    faults: Faults
    delay: float
    closing: threading.Event

    def answer(self, path: str, query: dict[str, str], headers: Any, *, own: bool) -> tuple[int, Exchange]: ...
    def refuse(self, path: str, query: dict[str, str], status: int) -> None: ...
    def go_away(self, seconds: float) -> None: ...


class Listener(ThreadingHTTPServer):
    """One thread a connection; who goes away is nothing to report."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are nothing to report."""


def handler(sandbox: Served) -> type[BaseHTTPRequestHandler]:
    """The handler class of one sandbox."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        closing = sandbox.closing

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            if sandbox.delay:
                time.sleep(sandbox.delay)
            fault = sandbox.faults.next_for(self.path)
            told = transport_faults.status_of(fault.kind, fault.retry_after) if fault is not None else None
            if told is not None:
                sandbox.refuse(parts.path, query, told[0])
                self.send(told[0], encode({"code": told[0], "message": "made-up fault"}), told[1])
                return
            status, exchange = sandbox.answer(parts.path, query, self.headers, own=fault is not None)
            if fault is None or not _spoiled(fault, status, exchange, sandbox.faults):
                self.send(status, encode(exchange.body))
                return
            spoil = transport_faults.TRANSPORT.get(fault.kind)
            if spoil is None:
                self.send(status, encode(exchange.body))
            else:
                spoil(self, Spoiled(status, encode(exchange.body), fault.seconds))

        def head(
            self, status: int, length: int, extra: Mapping[str, str] | None = None, date: datetime | None = None
        ) -> None:
            self.send_response_only(status)
            self.send_header("Date", format_datetime(date or datetime.now(UTC), usegmt=True))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(length))
            self.send_header(HEADER, "1")
            for name, value in (extra or {}).items():
                self.send_header(name, value)
            self.end_headers()

        def write(self, data: bytes) -> None:
            self.wfile.write(data)

        def send(self, status: int, body: bytes, extra: Mapping[str, str] | None = None) -> None:
            self.head(status, len(body), extra)
            self.write(body)

        def go_away(self, seconds: float) -> None:
            sandbox.go_away(seconds)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are kept in `Sandbox.requests`."""

    return Handler


def _spoiled(fault: Fault, status: int, exchange: Exchange, faults: Faults) -> bool:
    """Spoil the body where the fault is one of the body; False where it could not be, which gives the fault back."""
    family = FAULT_KINDS[fault.kind].family
    if family == "transport":
        return True
    could = False
    if status == 200:
        exchange.chance = random.Random(f"{faults.seed} {exchange.path} {faults.injected[fault.kind]}")
        change = protocol_faults.PROTOCOL.get(fault.kind)
        could = change(exchange) if change is not None else payload_faults.spoil(fault.kind, exchange)
    if not could:
        faults.give_back(fault)
    return could
