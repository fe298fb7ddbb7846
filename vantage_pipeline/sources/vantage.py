"""The Vantage IR client: pages of a collection, several in flight, checked against each other.

Facts (``docs/sources.md``): paging is 1-based; ``has_more_page`` tells whether to go on, but no single field is
trusted: repeated pages, empty pages with more promised and totals that change all occur. The changed-since
endpoint has day granularity and no zone. ``GetbyDate/19000101`` pages through everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from vantage_pipeline.catalog.model import Dataset, VantageEndpoint
from vantage_pipeline.errors import SettingsError, SourceProtocolError, SourceRefused
from vantage_pipeline.records.model import Page, Record
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.http import Answer, ApiSession, Policy

EVERYTHING = date(1900, 1, 1)
_CLIENT_HEADER = "X-com-vantageir-subscriptions-clientid"
_EMPTY_PAGES_BORNE = 3
_REPEATS_BORNE = 2


@dataclass
class Promise:
    """What the API said it had, to hold the reading against. None where it did not say."""

    total: int | None = None
    shrank: bool = False
    """Whether the total went down while pages were read: what lies behind the cursor then moved up unseen."""

    def hear(self, total: object) -> None:
        if isinstance(total, int) and not isinstance(total, bool):
            self.shrank = self.shrank or (self.total is not None and total < self.total)
            self.total = total


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One page as received."""

    number: int
    records: list[Record]
    clean: bool
    more: bool
    per_page: int | None
    total: object


class VantageClient:
    """Reads collections. `promises` tells, for each table read, what the API said it had."""

    def __init__(self, settings: Settings) -> None:
        settings.require("vantage")
        token, client = settings.vantage_auth_token, settings.vantage_client_id
        if token is None or client is None or settings.vantage_api_base_url is None:
            raise SettingsError("vantage: settings missing")
        policy = Policy(
            system="vantage",
            base_url=settings.vantage_api_base_url,
            headers={"Authorization": token.get_secret_value(), _CLIENT_HEADER: client.get_secret_value()},
            refusal_hint="check VANTAGE_AUTH_TOKEN (the raw token, no prefix) and VANTAGE_CLIENT_ID",
        )
        self.session = ApiSession(policy, settings)
        self.promises: dict[str, Promise] = {}
        self._settings = settings

    def close(self) -> None:
        self.session.close()

    def read(self, dataset: Dataset, *, since: datetime | None) -> Iterator[Page]:
        """The collection's records changed since `since` (everything for None), page by page in order.

        The request goes back one day more than asked, because the API knows only days and no zone.

        Raises:
            SourceError: a page could not be had or the pages do not fit together.
        """
        endpoint = dataset.endpoint
        if not isinstance(endpoint, VantageEndpoint):
            raise TypeError(f"{dataset.table.name} is not read from Vantage")
        promise = self.promises.setdefault(dataset.table.name, Promise())
        if endpoint.style == "financials":
            yield from self._financials(dataset, endpoint)
            return
        day = EVERYTHING if since is None else (since.astimezone(UTC) - timedelta(days=1)).date()
        yield from self._walk(dataset, endpoint, day, promise)

    def probe(self) -> str:
        """Ask for one account, to see that address and credentials are right; gives what came back."""
        sheet = self._sheet(VantageEndpoint(collection="Accounts", envelope="accounts"), EVERYTHING, 1, per_page=1)
        return f"reachable, {sheet.total} accounts"

    def _walk(self, dataset: Dataset, endpoint: VantageEndpoint, day: date, promise: Promise) -> Iterator[Page]:
        """Pages in order while some are fetched ahead. How far ahead is known from the promised total."""
        first = self._sheet(endpoint, day, 1)
        promise.hear(first.total)
        size = first.per_page or len(first.records) or self._settings.page_size
        expected = -(-first.total // size) if isinstance(first.total, int) and first.total > 0 else 1
        seen: set[str] = set()
        empty_in_a_row = 0
        sheet, number = first, 1
        pool = ThreadPoolExecutor(max_workers=self._settings.concurrency, thread_name_prefix="vantage-page")
        ahead: deque[Future[_Sheet]] = deque()
        asked = 1
        try:
            while True:
                while len(ahead) < self._settings.concurrency and asked < expected:
                    asked += 1
                    ahead.append(pool.submit(self._sheet, endpoint, day, asked, size))
                if sheet.records:
                    empty_in_a_row = 0
                    mark = _fingerprint(sheet.records)
                    for _ in range(_REPEATS_BORNE):
                        if mark not in seen:
                            break
                        sheet = self._sheet(endpoint, day, number, size)
                        mark = _fingerprint(sheet.records)
                    if mark in seen:
                        raise SourceProtocolError(
                            f"vantage: {endpoint.collection} page {number} repeats an earlier page, so records may be "
                            f"missing; nothing was marked as synced; run the sync again"
                        )
                    seen.add(mark)
                    yield Page(dataset.table, sheet.records, sheet.clean, {"page": number})
                elif sheet.more:
                    empty_in_a_row += 1
                    if empty_in_a_row >= _EMPTY_PAGES_BORNE:
                        raise SourceProtocolError(
                            f"vantage: {endpoint.collection} promises more after {empty_in_a_row} empty pages in a "
                            f"row (page {number}); run the sync again later"
                        )
                if not sheet.more and not ahead and asked >= expected:
                    return
                number += 1
                if ahead:
                    sheet = ahead.popleft().result()
                else:
                    asked = number
                    sheet = self._sheet(endpoint, day, number, size)
                promise.hear(sheet.total)
                if not sheet.records and not sheet.more and number >= expected:
                    return
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _sheet(self, endpoint: VantageEndpoint, day: date, number: int, per_page: int | None = None) -> _Sheet:
        path = f"/api/{endpoint.collection}/GetbyDate/{day:%Y%m%d}"
        query = {"page": str(number), "per_page": str(per_page or self._settings.page_size)}
        what = f"{endpoint.collection} page {number} since {day}"

        def attempt() -> _Sheet:
            answer = self.session.get(path, params=query, what=what)
            records, context = self._open_envelope(answer, endpoint, what)
            if "page_context" in context or "has_more_page" in context:
                more, asked = context.get("has_more_page"), context.get("page")
            else:
                more, asked = False, None
            if isinstance(asked, int) and asked != number:
                raise self.session.transient(
                    SourceProtocolError(f"vantage: {what}: page {asked} came instead; run the sync again")
                )
            size = context.get("per_page")
            return _Sheet(
                number=number,
                records=records,
                clean=answer.decoded.clean,
                more=more is True or str(more).lower() == "true",
                per_page=size if isinstance(size, int) and size > 0 else None,
                total=context.get("total_available_Records"),
            )

        return self.session.retrying(attempt)

    def _open_envelope(
        self, answer: Answer, endpoint: VantageEndpoint, what: str
    ) -> tuple[list[Record], Mapping[str, Any]]:
        """The records and the page context; an error inside the envelope is raised whatever HTTP said."""
        envelope = answer.decoded.value
        if not isinstance(envelope, dict):
            raise self.session.transient(
                SourceProtocolError(f"vantage: {what}: expected an object, got {type(envelope).__name__}")
            )
        code = envelope.get("code", 0)
        told = str(envelope.get("message", ""))[:200]
        if code in (401, "401"):
            raise SourceRefused(f"vantage: {what}: code 401 ({told}); {self.session.policy.refusal_hint}")
        if code not in (0, "0"):
            raise self.session.transient(
                SourceProtocolError(f"vantage: {what}: the API answered code {code} ({told}) under HTTP 200")
            )
        records = envelope.get(endpoint.envelope)
        if records is None and endpoint.envelope in envelope:
            records = []
        if not isinstance(records, list):
            raise self.session.transient(
                SourceProtocolError(
                    f"vantage: {what}: the answer has no list {endpoint.envelope!r} "
                    f"(it has {', '.join(sorted(map(str, envelope)))[:200]})"
                )
            )
        context = envelope.get("page_context")
        return records, context if isinstance(context, dict) else {}

    def _financials(self, dataset: Dataset, endpoint: VantageEndpoint) -> Iterator[Page]:
        """Each fund's figures: this collection is read fund by fund and is not paged."""
        funds = VantageEndpoint(collection="Funds", envelope="funds")
        ids: list[str] = []
        for page in self._walk(dataset, funds, EVERYTHING, Promise()):
            ids.extend(str(record["fund_id"]) for record in page.records if record.get("fund_id") is not None)
        today = datetime.now(UTC).date()
        distinct = sorted(set(ids))
        pool = ThreadPoolExecutor(max_workers=self._settings.concurrency, thread_name_prefix="vantage-fund")
        ahead: deque[Future[Page]] = deque()
        try:
            for fund_id in distinct:
                ahead.append(pool.submit(self._financials_of, dataset, endpoint, fund_id, today))
                if len(ahead) > 2 * self._settings.concurrency:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _financials_of(self, dataset: Dataset, endpoint: VantageEndpoint, fund_id: str, today: date) -> Page:
        what = f"financials of fund {fund_id}"
        query = {
            "fund_id": fund_id,
            "startdate": f"{EVERYTHING:%Y%m%d}",
            "enddate": f"{today:%Y%m%d}",
            "report_frequency": "Quarterly",
        }

        def attempt() -> Page:
            answer = self.session.get(f"/api/{endpoint.collection}/Get", params=query, what=what)
            records, _ = self._open_envelope(answer, endpoint, what)
            return Page(dataset.table, records, answer.decoded.clean, {"fund_id": fund_id})

        return self.session.retrying(attempt)


def _fingerprint(records: list[Record]) -> str:
    """Tells pages apart by all they hold."""
    return str(hash(repr(records)))
