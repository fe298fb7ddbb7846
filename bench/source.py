"""A source of pages serialised beforehand, in a process of its own, so that it is never the bottleneck.

An address names what it serves and how slowly: ``/<variant>/<milliseconds>``. Variants differ in how many cash flows
there are, which ids these have and which of them differ from how they were made.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

PAGE = 500
FIRST_ID = 1_000_001
_BASE = 137_862
"""Different cash flows made; longer variants repeat them under other ids."""
_AHEAD = 300_000
"""Variants up to so many records are serialised before the first request."""
_CONTENTS = {"cashflows": "cashFlows", "accounts": "accounts", "funds": "funds"}
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Variant:
    """One state of the collection of cash flows.

    Args:
        records: how many there are.
        changed_every: every so manieth one differs; 0 for none.
        salt: by how much it differs (added to its amount), so that two salts never give the same row.
        spread_over: rows that a table is said to hold already: nine in ten ids are spread evenly over theirs, and the
            rest follows on them; 0 for consecutive ids.
    """

    records: int
    changed_every: int = 0
    salt: int = 0
    spread_over: int = 0

    def id_of(self, index: int) -> int:
        known = self.records * 9 // 10
        if not self.spread_over:
            return FIRST_ID + index
        if index < known:
            return FIRST_ID + index * (self.spread_over // known)
        return FIRST_ID + self.spread_over + self.salt * self.records + index

    def pages(self) -> int:
        """How many pages a complete reading has."""
        return max(1, -(-self.records // PAGE))


class _Pages:
    """Whole HTTP answers by variant, collection and page."""

    def __init__(self, variants: Mapping[str, Variant]) -> None:
        # made here, where it is slow and large: in the source's own process
        from vantage_pipeline.sandbox.vantage_api import VantageStore

        most = max(variant.records for variant in variants.values())
        store = VantageStore(seed=7, accounts=2_097, funds=290, cash_flows=min(most, _BASE))
        self._records = store.records
        self._variants = variants
        self._plain = [self._rest(record) for record in store.records["cashflows"]]
        self.answer = lru_cache(maxsize=4_000)(self._answer)
        for name, variant in variants.items():
            if variant.records <= _AHEAD:
                for number in range(1, variant.pages() + 1):
                    self.answer(name, "cashflows", number)

    @staticmethod
    def _rest(record: Mapping[str, Any]) -> bytes:
        """A record without its id, which comes first."""
        return b"," + _encode({key: value for key, value in record.items() if key != "cashflow_detailid"})[1:]

    def _cash_flow(self, variant: Variant, index: int) -> bytes:
        made = index % len(self._plain)
        rest = self._plain[made]
        if variant.changed_every and index % variant.changed_every == 0:
            record = dict(self._records["cashflows"][made])
            record["transaction_amount"] += variant.salt
            rest = self._rest(record)
        return b'{"cashflow_detailid":%d' % variant.id_of(index) + rest

    def _answer(self, name: str, collection: str, number: int) -> bytes:
        variant = self._variants[name]
        total = variant.records if collection == "cashflows" else len(self._records[collection])
        indexes = range((number - 1) * PAGE, min(number * PAGE, total))
        if collection == "cashflows":
            listed = b",".join(self._cash_flow(variant, index) for index in indexes)
        else:
            listed = b",".join(_encode(self._records[collection][index]) for index in indexes)
        context = {
            "page": number, "per_page": PAGE, "has_more_page": number * PAGE < total, "total_available_Records": total,
        }  # fmt: skip
        body = b'{"code":0,"%s":[%s],"page_context":%s}' % (
            _CONTENTS[collection].encode(), listed, _encode(context),
        )  # fmt: skip
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class _Http(asyncio.Protocol):
    """GETs over kept connections, and nothing else."""

    def __init__(self, pages: _Pages, counts: dict[str, int]) -> None:
        self._pages, self._counts, self._heard = pages, counts, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while (end := self._heard.find(b"\r\n\r\n")) >= 0:
            target = self._heard[:end].split(b" ", 2)[1].decode()
            self._heard = self._heard[end + 4 :]
            self._reply(target)

    def _reply(self, target: str) -> None:
        assert self._transport is not None
        parts = urlsplit(target)
        if parts.path == "/counted":
            body = str(self._counts["requests"]).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        _, variant, delay, _, collection, *_ = parts.path.split("/")
        self._counts["requests"] += 1
        number = int(dict(parse_qsl(parts.query)).get("page", "1"))
        answer = self._pages.answer(variant, collection.lower(), number)
        if delay == "0":
            self._transport.write(answer)
        else:
            asyncio.get_running_loop().call_later(int(delay) / 1000, self._transport.write, answer)


def _serve(pipe: Connection, variants: Mapping[str, Variant]) -> None:
    pages, counts = _Pages(variants), {"requests": 0}

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Http(pages, counts), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(forever())


@dataclass(frozen=True, slots=True)
class Source:
    """A source that serves."""

    port: int
    variants: Mapping[str, Variant]

    def address(self, variant: str, delay_ms: int = 0) -> str:
        """The base URL of one variant, each answer held back for `delay_ms` milliseconds."""
        return f"http://127.0.0.1:{self.port}/{variant}/{delay_ms}"

    def counted(self) -> int:
        """How many requests for pages came in so far."""
        return int(self._get("/counted"))

    def pages_a_second(self, variant: str) -> float:
        """How many pages four clients that do nothing with them can have in a second."""
        pages = range(1, self.variants[variant].pages() + 1)

        def fetch(part: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            for number in pages[part::4]:
                connection.request("GET", f"/{variant}/0/api/CashFlows/GetbyDate/19000101?page={number}")
                connection.getresponse().read()
            connection.close()

        began = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fetch, range(4)))
        return len(pages) / (time.perf_counter() - began)

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextlib.contextmanager
def serving(variants: Mapping[str, Variant]) -> Iterator[Source]:
    """Serve the variants until the block ends."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, variants), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Source(ours.recv(), variants)
    finally:
        process.terminate()
        process.join()
