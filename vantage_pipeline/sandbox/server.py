"""The server of both APIs, on loopback, with a log of requests and faults on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from vantage_pipeline.sandbox import bubble_api, vantage_api
from vantage_pipeline.sandbox.bubble_api import BubbleStore
from vantage_pipeline.sandbox.vantage_api import VantageStore

HEADER = "X-Vantage-Sandbox"
_BUBBLE_ROOTS = ("/version-test/api/1.1", "/api/1.1")
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was answered."""

    path: str
    query: dict[str, str]
    status: int


@dataclass
class Fault:
    """Spoils the next `times` answers to paths that contain `match`.

    `kind` is a status code (``"429"``, ``"500"``, ``"401"``...) or one of ``reset``, ``truncated``, ``malformed``,
    ``html``, ``wrong_code``, ``wrong_length``, ``hang``, ``drip``.
    """

    kind: str
    match: str = ""
    times: int = 1
    retry_after: str | None = None
    after: int = 0
    """Matching answers left alone first."""


@dataclass
class Faults:
    """What goes wrong next, and what went wrong."""

    planned: list[Fault] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)

    def add(self, fault: Fault) -> None:
        self.planned.append(fault)

    def next_for(self, path: str) -> Fault | None:
        for fault in self.planned:
            if fault.match in path and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                self.injected[fault.kind] += 1
                return fault
        return None


class Sandbox:
    """Both APIs on one loopback port. Use `start`; edit `vantage` and `bubble` under `lock` while it serves."""

    def __init__(self, vantage: VantageStore, bubble: BubbleStore, port: int) -> None:
        self.vantage, self.bubble = vantage, bubble
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.faults = Faults()
        self.delay = 0.0
        self.on_request: list[Callable[[str], None]] = []
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @classmethod
    @contextlib.contextmanager
    def start(
        cls,
        *,
        port: int = 0,
        seed: int = 7,
        accounts: int = 2_097,
        funds: int = 290,
        cash_flows: int = 20_000,
        bubble_scale: float = 1.0,
    ) -> Iterator[Sandbox]:
        """Serve until the block ends. The data depends on the arguments alone."""
        vantage = VantageStore(seed=seed, accounts=accounts, funds=funds, cash_flows=cash_flows)
        sandbox = cls(vantage, BubbleStore(seed=seed, scale=bubble_scale), port)
        sandbox._thread.start()
        try:
            yield sandbox
        finally:
            sandbox.closing.set()
            sandbox._server.shutdown()
            sandbox._server.server_close()
            sandbox._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self) -> dict[str, str]:
        """The variables that point the pipeline here."""
        return {
            "VANTAGE_API_BASE_URL": self.address,
            "VANTAGE_AUTH_TOKEN": vantage_api.TOKEN,
            "VANTAGE_CLIENT_ID": vantage_api.CLIENT,
            "BUBBLE_API_BASE_URL": f"{self.address}/api/1.1",
            "BUBBLE_API_TOKEN": bubble_api.TOKEN,
        }

    def answer(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, bytes]:
        for hook in list(self.on_request):
            hook(path)
        with self.lock:
            for root in _BUBBLE_ROOTS:
                if path.startswith(f"{root}/"):
                    status, body = self.bubble.answer(path.removeprefix(root), query, headers)
                    break
            else:
                status, body = self.vantage.answer(path, query, headers)
            self.requests.append(Request(path, query, status))
            return status, _encode(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are nothing to report."""


def _handler(sandbox: Sandbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            if sandbox.delay:
                time.sleep(sandbox.delay)
            fault = sandbox.faults.next_for(self.path)
            if fault is not None and fault.kind.isdigit():
                extra = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
                body = {"code": int(fault.kind), "message": "made-up fault"}
                sandbox.requests.append(Request(parts.path, query, int(fault.kind)))
                self._send(int(fault.kind), _encode(body), extra)
                return
            status, body_bytes = sandbox.answer(parts.path, query, self.headers)
            if fault is None:
                self._send(status, body_bytes)
            else:
                self._spoil(fault.kind, status, body_bytes)

        def _spoil(self, kind: str, status: int, body: bytes) -> None:
            if kind == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            elif kind == "hang":
                self.close_connection = True
                sandbox.closing.wait(30)
            elif kind == "drip":
                self._head(status, len(body))
                for byte in body:
                    if sandbox.closing.wait(0.05):
                        break
                    self.wfile.write(bytes((byte,)))
            elif kind == "wrong_length":
                self.close_connection = True
                self._head(status, len(body) + 100)
                self.wfile.write(body)
            elif kind == "wrong_code":
                self._send(200, b'{"code": 500, "message": "made-up fault"}')
            elif kind == "html":
                self._send(200, b"<html><body>made-up maintenance</body></html>")
            else:
                self._send(status, body[: len(body) // 2] if kind == "truncated" else b"{" + body)

        def _head(self, status: int, length: int, extra: dict[str, str] | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(length))
            self.send_header(HEADER, "1")
            for name, value in (extra or {}).items():
                self.send_header(name, value)
            self.end_headers()

        def _send(self, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
            self._head(status, len(body), extra)
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are kept in `Sandbox.requests`."""

    return Handler
