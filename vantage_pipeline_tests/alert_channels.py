"""Where alerts arrive in the tests: a webhook and a mail server, both real, both on loopback."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Inbox:
    """A channel's Apprise URL, and what it was told: title and text."""

    url: str
    told: list[tuple[str, str]] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def webhook() -> Iterator[Inbox]:
    """A webhook that answers 503 while it refuses."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not inbox.refuses:
                inbox.told.append((said["title"], said["message"]))
            self.send_response(503 if inbox.refuses else 200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    inbox = Inbox(f"json://someone:hook-password-1@127.0.0.1:{server.server_address[1]}/tok3n-in-the-path")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def mail_server() -> Iterator[Inbox]:
    """A mail server that refuses every message while it refuses."""

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 aiosmtpd's name
            if inbox.refuses:
                return "451 not now"
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            body = message.get_body(("plain", "html"))
            inbox.told.append((str(message["Subject"]), body.get_content() if body else ""))
            return "250 OK"

    with socket.socket() as free:  # the controller cannot say which port it was given, so it is given one
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    inbox = Inbox(f"mailto://127.0.0.1:{port}/?from=pipeline@example.com&to=duty@example.com")
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()
