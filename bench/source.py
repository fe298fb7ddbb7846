"""A source of pages serialised beforehand, in a process of its own, so that it is never the bottleneck."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from urllib.parse import parse_qsl, urlsplit

import msgspec

from vantage_pipeline.sandbox.vantage_api import VantageStore

PAGE = 500


def _serve(pipe: Connection, records: int, delay: float) -> None:
    store = VantageStore(seed=7, accounts=2_097, funds=290, cash_flows=records)
    encode = msgspec.json.Encoder(decimal_format="number").encode
    bodies: dict[tuple[str, int], bytes] = {}
    for collection, name in (("cashflows", "cashFlows"), ("accounts", "accounts"), ("funds", "funds")):
        found = store.records[collection]
        pages = max(1, -(-len(found) // PAGE))
        for number in range(1, pages + 1):
            context = {
                "page": number, "per_page": PAGE, "has_more_page": number < pages,
                "total_available_Records": len(found),
            }  # fmt: skip
            part = found[(number - 1) * PAGE : number * PAGE]
            bodies[collection, number] = encode({"code": 0, name: part, "page_context": context})
    counter = multiprocessing.Value("i", 0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            number = int(dict(parse_qsl(parts.query)).get("page", "1"))
            body = bodies[parts.path.split("/")[2].lower(), number]
            with counter.get_lock():
                counter.value += 1
            time.sleep(delay)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Vantage-Sandbox", "1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    pipe.send(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def serving(records: int, delay: float = 0.0) -> Iterator[str]:
    """The address of a source with so many cash flows, `delay` seconds a request."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, records, delay), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
