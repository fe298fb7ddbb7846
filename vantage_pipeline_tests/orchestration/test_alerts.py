from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from vantage_pipeline.orchestration.alerts import notify
from vantage_pipeline.settings import Settings


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback, as an Apprise URL, and what it was told."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"json://127.0.0.1:{server.server_address[1]}/", told
    server.shutdown()
    server.server_close()


def test_an_alert_arrives_without_secrets(
    webhook: tuple[str, list[dict[str, Any]]], make_settings: Callable[..., Settings]
) -> None:
    address, told = webhook
    settings = make_settings(ALERT_URLS=address, VANTAGE_AUTH_TOKEN="recognisable-token")
    assert notify(settings, "sync failed: accounts", "with recognisable-token inside") == ""
    assert [(t["title"], t["message"]) for t in told] == [("sync failed: accounts", "with *** inside")]


def test_a_failing_channel_is_told_and_raises_nothing(make_settings: Callable[..., Settings]) -> None:
    assert "did not take" in notify(make_settings(ALERT_URLS="json://127.0.0.1:9/"), "t", "b")
    assert "not Apprise URLs" in notify(make_settings(ALERT_URLS="nonsense"), "t", "b")
    assert notify(make_settings(), "t", "b") == ""
