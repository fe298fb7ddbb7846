"""The Vantage IR client: pages of a collection, several in flight, checked against each other.

Facts (``docs/sources.md``): paging is 1-based; ``has_more_page`` tells whether to go on, but no single field is
trusted: repeated pages, empty pages with more promised and totals that change all occur. The changed-since
endpoint has day granularity and no zone. ``GetbyDate/19000101`` pages through everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from vantage_pipeline.catalog.model import Dataset, VantageEndpoint
from vantage_pipeline.errors import SettingsError, SourceProtocolError, SourceRefused
from vantage_pipeline.records.cells import shown
from vantage_pipeline.records.decode import encode_raw
from vantage_pipeline.records.model import Page, Record
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.http import Answer, ApiSession, Policy
from vantage_pipeline.sources.spans import Span, bounded, joined, overlapping

EVERYTHING = date(1900, 1, 1)
_CLIENT_HEADER = "X-com-vantageir-subscriptions-clientid"
_EMPTY_PAGES_BORNE = 3
_REPEATS_BORNE = 2
_AHEAD_BYTES = 16 * 2**20
"""Pages are fetched ahead up to about so many bytes; decoded they take several times as much."""


@dataclass
class Promise:
    """What the API said it had, to hold the reading against. None where it did not say."""

    total: int | None = None
    moved: bool = False
    """Whether records moved up while pages were read, past the cursor and unseen: the total went down, or the record
    that two neighbouring pages share was not the same in both."""

    def hear(self, total: object) -> None:
        if isinstance(total, int) and not isinstance(total, bool):
            self.moved = self.moved or (self.total is not None and total < self.total)
            self.total = total


class _OtherSize(Exception):
    """The API took another page size than it was asked for."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One page as received."""

    span: Span
    records: list[Record]
    clean: bool
    size: int
    """Bytes of the response."""
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

    def read(self, dataset: Dataset, *, since: datetime | None, limit: int | None = None) -> Iterator[Page]:
        """The collection's records changed since `since` (everything for None), page by page in order.

        The request goes back one day more than asked, because the API knows only days and no zone. With `limit`, no
        more than so many records are asked for; a fund's financials, which come all at once, are cut to it.

        Raises:
            SourceError: a page could not be had or the pages do not fit together.
        """
        endpoint = dataset.endpoint
        if not isinstance(endpoint, VantageEndpoint):
            raise TypeError(f"{dataset.table.name} is not read from Vantage")
        promise = self.promises.setdefault(dataset.table.name, Promise())
        if endpoint.style == "financials":
            yield from self._financials(dataset, endpoint, limit)
        elif limit is not None:
            yield from self._first(dataset, endpoint, _day_before(since), promise, limit)
        else:
            yield from self._walk(dataset, endpoint, _day_before(since), promise)

    def probe(self) -> str:
        """Ask for one account, to see that address and credentials are right; gives what came back."""
        sheet = self._sheet(VantageEndpoint(collection="Accounts", envelope="accounts"), EVERYTHING, Span(1, 1))
        return f"reachable, {sheet.total} accounts"

    def _walk(self, dataset: Dataset, endpoint: VantageEndpoint, day: date, promise: Promise) -> Iterator[Page]:
        """The collection's pages, overlapping where the API takes sizes that allow it.

        The first page is asked for in an odd size: an API that gives more has pages of its own size.
        """
        wanted = self._settings.page_size
        asked = max(1, wanted - 1)
        first = self._first_sheet(endpoint, day, asked)
        most = first.span.size
        if most <= asked:
            sure = most == asked
            spans = overlapping(wanted if sure else most, most)
            try:
                yield from self._pages(dataset, endpoint, day, promise, first, spans, sure=sure)
                return
            except _OtherSize:
                first = self._first_sheet(endpoint, day, wanted)
        yield from self._pages(dataset, endpoint, day, promise, first, joined(first.span.size), sure=True)

    def _first_sheet(self, endpoint: VantageEndpoint, day: date, size: int) -> _Sheet:
        """The first page, as large as the API makes it."""
        sheet = self._sheet(endpoint, day, Span(1, size))
        return replace(sheet, span=Span(1, sheet.per_page or len(sheet.records) or size))

    def _first(
        self, dataset: Dataset, endpoint: VantageEndpoint, day: date, promise: Promise, limit: int
    ) -> Iterator[Page]:
        """The first `limit` records, one page after another. An API with a page size of its own may send more."""
        spans = bounded(limit, self._settings.page_size)
        left, span = limit, next(spans, None)
        while span is not None and left > 0:
            sheet = self._sheet(endpoint, day, span)
            promise.hear(sheet.total)
            if sheet.per_page is not None and sheet.per_page != span.size and span.page == 1:
                span = Span(1, sheet.per_page)
                spans = islice(joined(sheet.per_page), 1, None)
            if not sheet.records or sheet.per_page not in (None, span.size):
                return
            yield Page(dataset.table, sheet.records[:left], sheet.clean, {"page": span.page}, sheet.size)
            left -= len(sheet.records)
            if not sheet.more and not (isinstance(sheet.total, int) and sheet.total > span.end):
                return
            span = next(spans, None)

    def _pages(
        self,
        dataset: Dataset,
        endpoint: VantageEndpoint,
        day: date,
        promise: Promise,
        first: _Sheet,
        spans: Iterator[Span],
        *,
        sure: bool,
    ) -> Iterator[Page]:
        """Pages in order while some are fetched ahead, once it is `sure` that the API takes their sizes.

        How far ahead is known from the promised total.
        """
        promise.hear(first.total)
        expected = first.total if isinstance(first.total, int) else 0
        seen: set[int] = set()
        empty_in_a_row = 0
        before: _Sheet | None = None
        sheet, asked = first, next(spans)
        pool = ThreadPoolExecutor(max_workers=self._settings.concurrency, thread_name_prefix="vantage-page")
        ahead: deque[Future[_Sheet]] = deque()
        try:
            while True:
                room = max(1, min(self._settings.concurrency, _AHEAD_BYTES // max(1, sheet.size))) if sure else 1
                while len(ahead) < room and asked.end < expected:
                    asked = next(spans)
                    ahead.append(pool.submit(self._sheet, endpoint, day, asked))
                if sheet.per_page is not None and sheet.per_page != sheet.span.size:
                    raise _OtherSize
                sure = sure or sheet is not first
                if sheet.records:
                    empty_in_a_row = 0
                    sheet = self._unrepeated(sheet, endpoint, day, seen)
                    records, position = _beyond(before, sheet, promise), {"page": sheet.span.page}
                    yield Page(dataset.table, records, sheet.clean, position, sheet.size)
                elif sheet.more:
                    empty_in_a_row += 1
                    if empty_in_a_row >= _EMPTY_PAGES_BORNE:
                        raise SourceProtocolError(
                            f"vantage: {endpoint.collection} promises more after {empty_in_a_row} empty pages in a "
                            f"row (page {sheet.span.page}); run the sync again later"
                        )
                if not ahead and asked.end >= expected and not sheet.more:
                    return
                before = sheet
                if ahead:
                    sheet = ahead.popleft().result()
                else:
                    asked = next(spans)
                    sheet = self._sheet(endpoint, day, asked)
                promise.hear(sheet.total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _unrepeated(self, sheet: _Sheet, endpoint: VantageEndpoint, day: date, seen: set[int]) -> _Sheet:
        """The page, asked for again where it is an earlier one once more."""
        mark = _fingerprint(sheet.records)
        for _ in range(_REPEATS_BORNE):
            if mark not in seen:
                break
            sheet = self._sheet(endpoint, day, sheet.span)
            mark = _fingerprint(sheet.records)
        if mark in seen:
            raise SourceProtocolError(
                f"vantage: {endpoint.collection} page {sheet.span.page} repeats an earlier page, so records may be "
                f"missing; nothing was marked as synced; run the sync again"
            )
        seen.add(mark)
        return sheet

    def _sheet(self, endpoint: VantageEndpoint, day: date, span: Span) -> _Sheet:
        path = f"/api/{endpoint.collection}/GetbyDate/{day:%Y%m%d}"
        query = {"page": str(span.page), "per_page": str(span.size)}
        what = f"{endpoint.collection} page {span.page} since {day}"

        def attempt() -> _Sheet:
            answer = self.session.get(path, params=query, what=what)
            records, context = self._open_envelope(answer, endpoint, what)
            if "page_context" in context or "has_more_page" in context:
                more, asked = context.get("has_more_page"), context.get("page")
            else:
                more, asked = False, None
            if isinstance(asked, int) and asked != span.page:
                raise self.session.transient(
                    SourceProtocolError(f"vantage: {what}: page {asked} came instead; run the sync again")
                )
            size = context.get("per_page")
            return _Sheet(
                span=span,
                records=records,
                clean=answer.decoded.clean,
                size=answer.size,
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
                SourceProtocolError(
                    f"vantage: {what}: expected an object, got a {type(envelope).__name__}; run the sync again later"
                )
            )
        code = envelope.get("code", 0)
        told = str(envelope.get("message", ""))[:200]
        if code in (401, "401"):
            raise SourceRefused(f"vantage: {what}: code 401 ({told}); {self.session.policy.refusal_hint}")
        if code not in (0, "0"):
            raise self.session.transient(
                SourceProtocolError(
                    f"vantage: {what}: the API answered code {code} ({told}) under HTTP 200; run the sync again later"
                )
            )
        records = envelope.get(endpoint.envelope)
        if records is None and endpoint.envelope in envelope:
            records = []
        if not isinstance(records, list):
            raise self.session.transient(
                SourceProtocolError(
                    f"vantage: {what}: the answer has no list {endpoint.envelope!r} "
                    f"(it has {', '.join(sorted(map(str, envelope)))[:200]}); run the sync again later"
                )
            )
        context = envelope.get("page_context")
        return records, context if isinstance(context, dict) else {}

    def _financials(self, dataset: Dataset, endpoint: VantageEndpoint, limit: int | None) -> Iterator[Page]:
        """Each fund's figures: this collection is read fund by fund and is not paged."""
        funds = VantageEndpoint(collection="Funds", envelope="funds")
        today = datetime.now(UTC).date()
        if limit is not None:
            yield from self._first_financials(dataset, endpoint, funds, today, limit)
            return
        ids: list[str] = []
        for page in self._walk(dataset, funds, EVERYTHING, Promise()):
            ids.extend(_fund_id(record) for record in page.records)
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

    def _first_financials(
        self, dataset: Dataset, endpoint: VantageEndpoint, funds: VantageEndpoint, today: date, limit: int
    ) -> Iterator[Page]:
        """The figures of one fund after another, of `limit` funds at most, until there are `limit` of them."""
        left = limit
        for page in self._first(dataset, funds, EVERYTHING, Promise(), limit):
            for fund_id in dict.fromkeys(map(_fund_id, page.records)):
                figures = self._financials_of(dataset, endpoint, fund_id, today)
                yield replace(figures, records=figures.records[:left])
                left -= len(figures.records)
                if left <= 0:
                    return

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
            return Page(dataset.table, records, answer.decoded.clean, {"fund_id": fund_id}, answer.size)

        return self.session.retrying(attempt)


def _day_before(since: datetime | None) -> date:
    """The day to ask for: one more than needed, and none before the first that the API knows."""
    if since is None or since.astimezone(UTC).date() <= EVERYTHING:
        return EVERYTHING
    return (since.astimezone(UTC) - timedelta(days=1)).date()


def _beyond(before: _Sheet | None, sheet: _Sheet, promise: Promise) -> list[Record]:
    """A page's records without those that the page before it had, too; all of them where the two do not fit."""
    if before is None or len(before.records) < before.span.size:
        return sheet.records
    shared = before.span.end - sheet.span.start
    if shared <= 0:
        return sheet.records
    if sheet.records[:shared] != before.records[-shared:]:
        promise.moved = True
        return sheet.records
    return sheet.records[shared:]


def _fund_id(record: object) -> str:
    """The id by which a fund's figures are asked for; a fund without one would be passed over in silence."""
    value = record.get("fund_id") if isinstance(record, dict) else None
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        raise SourceProtocolError(
            f"vantage: Funds has a record whose fund_id is {shown(value)}, so its financials cannot be asked for; "
            f"nothing was marked as synced; mend the fund in Vantage and run the sync again"
        )
    return str(value)


def _fingerprint(records: list[Record]) -> int:
    """Tells pages apart by all they hold."""
    return hash(encode_raw(records))
