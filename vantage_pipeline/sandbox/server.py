"""The server of both APIs, on loopback, with a log of requests and faults on demand."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vantage_pipeline.sandbox import bubble_api, vantage_api
from vantage_pipeline.sandbox.bubble_api import BubbleStore
from vantage_pipeline.sandbox.exchange import Exchange, System, private
from vantage_pipeline.sandbox.faults import Faults
from vantage_pipeline.sandbox.vantage_api import VantageStore
from vantage_pipeline.sandbox.wire import Listener, handler

_BUBBLE_ROOTS = ("/version-test/api/1.1", "/api/1.1")


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was answered."""

    path: str
    query: dict[str, str]
    status: int


class Sandbox:
    """Both APIs on one loopback port. Use `start`; edit `vantage` and `bubble` under `lock` while it serves."""

    def __init__(self, vantage: VantageStore, bubble: BubbleStore, port: int) -> None:
        self.vantage, self.bubble = vantage, bubble
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.faults = Faults()
        self.delay = 0.0
        self.on_request: list[Callable[[str], None]] = []
        """Called with the path before each answer, outside `lock`: what a second client does in between."""
        self.closing = threading.Event()
        self._previous: dict[str, tuple[dict[str, str], list[Any] | None, list[Any] | None]] = {}
        self._listening = threading.RLock()
        self._back: threading.Timer | None = None
        self._server = Listener(("127.0.0.1", port), handler(self))
        self._thread: threading.Thread | None = None

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
        sandbox.faults.seed = seed
        sandbox._serve()
        try:
            yield sandbox
        finally:
            sandbox.closing.set()
            with sandbox._listening:
                sandbox._stop()
            sandbox._server.server_close()

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

    def answer(self, path: str, query: dict[str, str], headers: Any, *, own: bool) -> tuple[int, Exchange]:
        """Status and body for a GET of `path`, logged; with `own`, a body that the caller may change."""
        for hook in list(self.on_request):
            hook(path)
        with self.lock:
            for root in _BUBBLE_ROOTS:
                if path.startswith(f"{root}/"):
                    system: System = "bubble"
                    status, body = self.bubble.answer(path.removeprefix(root), query, headers)
                    break
            else:
                system = "vantage"
                status, body = self.vantage.answer(path, query, headers)
            self.requests.append(Request(path, query, status))
            exchange = Exchange(system, path, private(body) if own else body)
            if status == 200:
                exchange.previous = self._remember(exchange, query)
            return status, exchange

    def forget_pages(self) -> None:
        """Let no fault repeat a page that was served before now."""
        self._previous.clear()

    def _remember(self, exchange: Exchange, query: dict[str, str]) -> list[Any] | None:
        """The records of the last answer to another request for the same collection."""
        asked, records, before = self._previous.get(exchange.collection, (query, None, None))
        if asked != query:
            before = records
        self._previous[exchange.collection] = (query, list(exchange.records), before)
        return before

    def refuse(self, path: str, query: dict[str, str], status: int) -> None:
        """Log a request that a fault answers."""
        self.requests.append(Request(path, query, status))

    def go_away(self, seconds: float) -> None:
        """Stop listening, so that connections are refused, and come back after `seconds`, or on `come_back`."""
        with self._listening:
            if self.closing.is_set() or self._back is not None:
                return
            self._stop()
            self._server.socket.close()
            self._back = threading.Timer(seconds, self.come_back)
            self._back.daemon = True
            self._back.start()

    def come_back(self) -> None:
        """Listen again, on the same port; nothing happens where nobody went away."""
        with self._listening:
            if self._back is None or self.closing.is_set():
                return
            self._back.cancel()
            self._back = None
            self._server.socket = socket.socket(self._server.address_family, self._server.socket_type)
            self._server.server_bind()
            self._server.server_activate()
            self._serve()

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        if self._back is not None:
            self._back.cancel()
        elif self._thread is not None:
            self._server.shutdown()
            self._thread.join()
