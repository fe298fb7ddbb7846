"""The Bubble Data API client: reading by key, never by offset, and relations in slices of ids.

Facts (``docs/sources.md``): 100 records a response; nothing comes back past 50,000 records behind one query; an
edit or a deletion while one pages by offset shifts records past the cursor. Reading by key asks for what lies
strictly after the last value seen less one millisecond, and drops what it has seen, so nothing is shifted out.
There is no "greater or equal". Several records, even more than a page of them, can carry the same millisecond.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote, urlsplit

from vantage_pipeline.catalog.model import BubbleEndpoint, Dataset
from vantage_pipeline.errors import SettingsError, SourceNotFound, SourceProtocolError
from vantage_pipeline.records.model import Page, Record
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.bubble_pages import moments, strangers, trouble
from vantage_pipeline.sources.budget import RequestBudget
from vantage_pipeline.sources.http import ApiSession, Policy
from vantage_pipeline.sources.versions import Seen, Version, version_of
from vantage_pipeline.sources.windows import MILLISECOND, MODIFIED, Constraint, Window, halves, narrowed, shown, within

PAGE = 100
"""Records a response, at most."""
_URL_BUDGET = 1_900
"""Characters of a request line we keep under, the base URL included."""
_SPLIT_ABOVE = 1_000
"""A window with more left than this is shared with a free worker."""


@dataclass(frozen=True, slots=True)
class _Answer:
    records: list[Record]
    remaining: int
    clean: bool
    size: int
    """Bytes of the response, the largest where there were several."""


class BubbleClient:
    """Reads types. Safe to use from one thread; it runs several of its own."""

    def __init__(self, settings: Settings) -> None:
        settings.require("bubble")
        token, base = settings.bubble_api_token, settings.bubble_api_base_url
        if token is None or base is None:
            raise SettingsError("bubble: settings missing")
        policy = Policy(
            system="bubble",
            base_url=base,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            refusal_hint="check BUBBLE_API_TOKEN, and that the app's privacy rules let it read this type",
        )
        # all of an app's versions, live and test, share its plan
        budget = RequestBudget(
            settings.state_folder / "budget",
            urlsplit(base).netloc,
            settings.bubble_requests_per_minute * settings.bubble_budget_share,
        )
        self.session = ApiSession(policy, settings, budget)
        self.promised: dict[str, int] = {}
        """How many records the first answer about a table said there are; later ones may say something else."""
        self._settings = settings
        self._base = base

    def close(self) -> None:
        self.session.close()

    def probe(self) -> str:
        """Ask for one agent, to see that address and token are right; gives what came back."""
        answer = self._list("agent", [], limit=1)
        return f"reachable, {len(answer.records) + answer.remaining} agents"

    def read(self, dataset: Dataset, window: Window, *, limit: int | None = None) -> Iterator[Page]:
        """Every record of the type in the window, each at least once and, per reading, as good as never twice.

        Large windows are split in time and read side by side. With `limit`, only the first so many are read, one page
        after another.

        Raises:
            SourceError: the type is unknown, hidden, or could not be read to its end.
        """
        endpoint = _endpoint(dataset)
        self.promised.pop(dataset.table.name, None)
        if limit is not None:
            yield from self._first(dataset, endpoint, window, limit)
            return
        windows: deque[_Place] = deque([_Place(window)])
        running: set[Future[tuple[Page, list[_Place]]]] = set()
        workers = self._settings.concurrency
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="bubble-window") as pool:
            try:
                while windows or running:
                    while windows and len(running) < workers:
                        free = workers - len(running) - len(windows)
                        running.add(pool.submit(self._step, dataset, endpoint, windows.popleft(), free > 0))
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        page, left = future.result()
                        windows.extendleft(left[:1])
                        windows.extend(left[1:])
                        if page.records:
                            yield page
            finally:
                for future in running:
                    future.cancel()

    def count(self, dataset: Dataset, window: Window) -> int:
        """How many records the API says lie in the window, up to the 50,000 that it counts to."""
        answer = self._list(_endpoint(dataset).type_name, within(window), window=window, limit=1)
        return len(answer.records) + answer.remaining

    def by_ids(self, dataset: Dataset, ids: Sequence[str]) -> Iterator[Page]:
        """The records with these ids that exist, in slices of ids; the order is the API's."""
        yield from self._slices(dataset, _endpoint(dataset), "_id", dict.fromkeys(ids, 1))

    def linked_to(self, dataset: Dataset, field: str, expected: Mapping[str, int]) -> Iterator[Page]:
        """The records whose link `field` is one of the ids in `expected`, which tells how many each may have.

        A slice of ids holds as many as are expected to fill a page; where more come, there are more pages.
        """
        yield from self._slices(dataset, _endpoint(dataset), field, expected)

    def one(self, dataset: Dataset, record_id: str) -> Record | None:
        """One record by its id; None if there is none."""
        endpoint = _endpoint(dataset)
        try:
            answer = self.session.get(
                f"/obj/{endpoint.type_name}/{quote(record_id, safe='')}", what=f"{endpoint.type_name} {record_id}"
            )
        except SourceNotFound as error:
            if "MISSING_DATA" in str(error) or "Missing object" in str(error):
                return None
            raise
        response = answer.decoded.value.get("response") if isinstance(answer.decoded.value, dict) else None
        if not isinstance(response, dict):
            raise SourceProtocolError(f"bubble: {endpoint.type_name} {record_id}: the answer holds no record")
        return response

    def _first(self, dataset: Dataset, endpoint: BubbleEndpoint, window: Window, limit: int) -> Iterator[Page]:
        left, places = limit, [_Place(window)]
        while places and left > 0:
            page, places = self._step(dataset, endpoint, places[0], share=False, most=left)
            if page.records:
                yield replace(page, records=page.records[:left])
            left -= len(page.records)

    def _step(
        self, dataset: Dataset, endpoint: BubbleEndpoint, place: _Place, share: bool, most: int | None = None
    ) -> tuple[Page, list[_Place]]:
        """One page of a window; what is left of the window, and the part of it given away, if any.

        No more than `most` records are asked for, beside one that the page before it had, too.
        """
        window = place.window
        asked = PAGE if most is None else min(PAGE, most + bool(place.given))
        answer = self._list(endpoint.type_name, within(window), sort_field=window.field, window=window, limit=asked)
        self.promised.setdefault(dataset.table.name, len(answer.records) + answer.remaining)
        seen = Seen(place.given)
        fresh = seen.add(answer.records)
        position = {"field": window.field, "window": shown(window)}
        page = Page(dataset.table, fresh, answer.clean, position, answer.size)
        if most is not None and len(fresh) >= most:
            return page, []
        # a full page may have others behind it, whatever `remaining` says; a watermark does not rest on its word alone
        if not answer.remaining and (len(answer.records) < asked or window.field != MODIFIED):
            return page, []
        times = moments(answer.records, window.field, endpoint)
        first, last = times[0], times[-1]
        if first == last:
            ties = self._ties(endpoint, window.field, last, seen)
            size = max(answer.size, ties.size)
            merged = Page(dataset.table, [*fresh, *ties.records], page.clean and ties.clean, page.position, size)
            beyond = narrowed(window, last + MILLISECOND)
            return merged, [_Place(beyond)] if beyond else []
        rest = narrowed(window, last)
        if rest is None:
            return page, []
        # the next page begins with what carries the last moment of this one
        given = [version_of(record) for record in answer.records if isinstance(record, dict)]
        if not share or answer.remaining <= _SPLIT_ABOVE:
            return page, [_Place(rest, given)]
        near, far = halves(rest)
        return page, [_Place(near, given), *map(_Place, far)]

    def _ties(self, endpoint: BubbleEndpoint, field: str, moment: datetime, seen: Seen) -> _Answer:
        """All records of one millisecond, by their ids: there are more of them than a page holds."""
        window = Window(field, moment, moment + MILLISECOND)
        found: list[Record] = []
        clean, after, size = True, "", 0
        while True:
            beyond = [{"key": "_id", "constraint_type": "greater than", "value": after}] if after else []
            answer = self._list(endpoint.type_name, [*within(window), *beyond], sort_field="_id", window=window)
            clean, size = clean and answer.clean, max(size, answer.size)
            found.extend(seen.add(answer.records))
            if not answer.remaining and len(answer.records) < PAGE:
                return _Answer(found, 0, clean, size)
            ids = [str(record.get("_id", "")) for record in answer.records]
            if not ids or max(ids) <= after:
                raise SourceProtocolError(
                    f"bubble: {endpoint.type_name}: {answer.remaining} records of the same millisecond "
                    f"({moment.isoformat()}) cannot be told apart by _id, so some would be missed; "
                    f"nothing was marked as synced"
                )
            after = max(ids)

    def _slices(self, dataset: Dataset, endpoint: BubbleEndpoint, key: str, ids: Mapping[str, int]) -> Iterator[Page]:
        seen = Seen()
        slices = list(_sliced(ids, self._slice_room(endpoint, key)))
        with ThreadPoolExecutor(max_workers=self._settings.concurrency, thread_name_prefix="bubble-ids") as pool:
            for answer in pool.map(lambda part: self._slice(endpoint, key, part), slices):
                fresh = seen.add(answer.records)
                if fresh:
                    yield Page(dataset.table, fresh, answer.clean, {"ids": len(ids)}, answer.size)

    def _slice(self, endpoint: BubbleEndpoint, key: str, part: Sequence[str]) -> _Answer:
        """All records of one slice; those found through a link may fill several pages, read by `_id`."""
        base: list[Constraint] = [{"key": key, "constraint_type": "in", "value": list(part)}]
        found: list[Record] = []
        clean, after, size = True, "", 0
        while True:
            beyond = [{"key": "_id", "constraint_type": "greater than", "value": after}] if after else []
            asked = frozenset(part) if key == "_id" else None
            answer = self._list(endpoint.type_name, [*base, *beyond], sort_field="_id", ids=asked)
            found.extend(answer.records)
            clean, size = clean and answer.clean, max(size, answer.size)
            ids = [str(record.get("_id", "")) for record in answer.records]
            if not answer.remaining or not ids:
                return _Answer(found, 0, clean, size)
            if max(ids) <= after:
                raise SourceProtocolError(f"bubble: {endpoint.type_name}: reading by _id does not advance")
            after = max(ids)

    def _slice_room(self, endpoint: BubbleEndpoint, key: str) -> int:
        """Characters that a slice's ids may take in the URL."""
        frame = [{"key": key, "constraint_type": "in", "value": []}]
        beyond = {"key": "_id", "constraint_type": "greater than", "value": "0" * 32}
        fixed = quote(json.dumps([*frame, beyond], separators=(",", ":")))
        return _URL_BUDGET - len(self._base) - len(endpoint.type_name) - len(fixed) - 80

    def _list(
        self,
        type_name: str,
        constraints: Sequence[Constraint],
        *,
        sort_field: str | None = None,
        window: Window | None = None,
        ids: Collection[str] | None = None,
        limit: int = PAGE,
    ) -> _Answer:
        """A page; asked for again where its records cannot be the ones asked for: of `window`, with these `ids`."""
        params = {"limit": str(limit)}
        if constraints:
            params["constraints"] = json.dumps(list(constraints), separators=(",", ":"), ensure_ascii=False)
        if sort_field is not None:
            params["sort_field"] = sort_field
            params["descending"] = "false"
        what = f"{type_name} records"

        def attempt() -> _Answer:
            answer = self.session.get(f"/obj/{type_name}", params=params, what=what)
            value = answer.decoded.value
            response = value.get("response") if isinstance(value, dict) else None
            results = response.get("results") if isinstance(response, dict) else None
            if not isinstance(response, dict) or not isinstance(results, list):
                raise self.session.transient(
                    SourceProtocolError(f"bubble: {what}: the answer holds no list of results; try again later")
                )
            told = response.get("remaining", 0)
            remaining = int(told) if isinstance(told, int) else 0
            wrong = trouble(results, remaining, sort_field, window) or strangers(results, ids)
            if wrong is not None:
                raise self.session.transient(
                    SourceProtocolError(
                        f"bubble: {what}: {wrong}, so records may be missing; nothing was marked as synced; run the "
                        f"sync again later"
                    )
                )
            return _Answer(results, remaining, answer.decoded.clean, answer.size)

        return self.session.retrying(attempt)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reading of a window stands; `given` are the versions of records that its first page may repeat."""

    window: Window
    given: Collection[Version] = ()


def _endpoint(dataset: Dataset) -> BubbleEndpoint:
    if not isinstance(dataset.endpoint, BubbleEndpoint):
        raise TypeError(f"{dataset.table.name} is not read from Bubble")
    return dataset.endpoint


def _sliced(ids: Mapping[str, int], room: int) -> Iterator[list[str]]:
    """Slices of ids that take at most `room` characters in a URL, and at most a page of records, as `ids` tells."""
    part: list[str] = []
    used = records = 0
    for item, expected in ids.items():
        cost = len(quote(json.dumps(item))) + 3
        if part and (used + cost > room or records + expected > PAGE):
            yield part
            part, used, records = [], 0, 0
        part.append(item)
        used += cost
        records += expected
    if part:
        yield part
