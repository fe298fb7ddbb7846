"""The Bubble Data API as ``docs/sources.md`` describes it, over records in memory."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, overload
from urllib.parse import unquote

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import BubbleEndpoint
from vantage_pipeline.sandbox import bubble_data, geography

Record = dict[str, Any]
TOKEN = "sandbox-bubble-token"
_MOST = 100
_BEHIND_ONE_QUERY = 50_000
_BUILT_IN = {"_id", "Created Date", "Modified Date", "Created By", "Slug"}


class _Refusal(Exception):
    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status, self.body = status, body


def _error(code: int, status: str, message: str) -> _Refusal:
    return _Refusal(code, {"statusCode": code, "body": {"status": status, "message": message}})


def _number(value: Any) -> Decimal | None:
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Decimal(value)
    return Decimal(str(value)) if isinstance(value, float) else None


def _ordered(left: Any, right: Any) -> int | None:
    """-1, 0, 1, or None where the two cannot be compared."""
    numbers = _number(left), _number(right)
    if numbers[0] is not None and numbers[1] is None and isinstance(right, str):
        numbers = numbers[0], _written_number(right)
    if numbers[0] is not None and numbers[1] is not None:
        left, right = numbers
    if type(left) is not type(right) or left is None:
        return None
    return int(left > right) - int(left < right)


def _written_number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right) or (_number(left) is not None and _ordered(left, right) == 0)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": _equal,
    "not equal": lambda a, b: not _equal(a, b),
    "is_empty": lambda a, _: a in (None, "", []),
    "is_not_empty": lambda a, _: a not in (None, "", []),
    "empty": lambda a, _: a in (None, []),
    "not empty": lambda a, _: a not in (None, []),
    "text contains": lambda a, b: isinstance(a, str) and str(b).lower() in a.lower(),
    "not text contains": lambda a, b: not (isinstance(a, str) and str(b).lower() in a.lower()),
    "greater than": lambda a, b: _ordered(a, b) == 1,
    "less than": lambda a, b: _ordered(a, b) == -1,
    "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
    "contains": lambda a, b: isinstance(a, list) and b in a,
    "not contains": lambda a, b: not (isinstance(a, list) and b in a),
    "geographic_search": geography.within,
}


class _View(Sequence[Record]):
    """Part of a sorted type, of which only what is looked at is gathered: a page of a large type stays cheap."""

    def __init__(self, records: dict[str, Record], order: list[tuple[Any, str]], low: int, high: int) -> None:
        self._records, self._order, self._low, self._high = records, order, low, high

    def __len__(self) -> int:
        return self._high - self._low

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        chosen = range(self._low, self._high)[index]
        if isinstance(chosen, int):
            return self._records[self._order[chosen][1]]
        return [self._records[self._order[position][1]] for position in chosen]


def _holds(record: Record, constraints: list[tuple[str, str, Any]]) -> bool:
    return all(_TESTS[kind](record.get(key), value) for key, kind, value in constraints)


class BubbleStore:
    """The records by type and id. Tests edit them through `put` and `remove` while it serves."""

    def __init__(self, *, seed: int, scale: float) -> None:
        self.records = bubble_data.make(seed, scale)
        self.hidden: set[tuple[str, str]] = set()
        """(type, field) that a privacy rule hides."""
        self.denied: set[str] = set()
        """Types that the token may not read."""
        self.most_per_page = _MOST
        self._sorted: dict[tuple[str, str], list[tuple[Any, str]]] = {}
        self._fields: dict[str, set[str]] = {}

    def put(self, type_name: str, record: Record, *, touch: bool = True) -> Record:
        """Add or replace a record; its Modified Date becomes now unless told otherwise."""
        if touch:
            record["Modified Date"] = bubble_data.iso(datetime.now(UTC))
        record.setdefault("Created Date", record["Modified Date"])
        self.records[type_name][record["_id"]] = record
        self.changed(type_name)
        return record

    def remove(self, type_name: str, record_id: str) -> Record:
        self.changed(type_name)
        return self.records[type_name].pop(record_id)

    def changed(self, type_name: str) -> None:
        """Forget what was sorted of a type; call it after editing records in place."""
        for key in [key for key in self._sorted if key[0] == type_name]:
            del self._sorted[key]
        self._fields.pop(type_name, None)

    def answer(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, dict[str, Any]]:
        """Status and body for a GET of `path`, which begins behind ``/api/1.1``."""
        try:
            return 200, self._answer(path, query, headers)
        except _Refusal as refusal:
            return refusal.status, refusal.body

    def _answer(self, path: str, query: Mapping[str, str], headers: Any) -> dict[str, Any]:
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _error(401, "NOT_AUTHORIZED", "Invalid token")
        parts = [unquote(part) for part in path.split("/") if part]
        name = parts[1].lower() if len(parts) > 1 else ""
        if not parts or parts[0] != "obj" or name not in self.records:
            raise _error(404, "NOT_FOUND", f"Type not found {name}")
        if name in self.denied:
            body: dict[str, Any] = {
                "error_class": "Unauthorized",
                "args": {},
                "message": None,
                "translation": "Permission denied",
            }
            raise _Refusal(401, body)
        if len(parts) > 2:
            record = self.records[name].get(parts[2])
            if record is None:
                raise _error(
                    404, "MISSING_DATA", f"Missing object of type {name}: object with id {parts[2]} does not exist"
                )
            return {"response": self._shown(name, record)}
        return {"response": self._list(name, query)}

    def _list(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        known = {_folded(field): field for field in self._known_fields(name)}
        constraints = self._origins(name, _constraints(query.get("constraints"), known))
        sort_field = known.get(_folded(query.get("sort_field", "Created Date")), "")
        descending = query.get("descending", "false").lower() in ("true", "yes")
        if not sort_field:
            raise _error(400, "ERROR", f"Sort field not found {query['sort_field']}")
        found: Sequence[Record] = self._matching(name, constraints, sort_field)
        if "additional_sort_fields" in query:
            ordered = list(found)
            for extra in reversed(json.loads(query["additional_sort_fields"])):
                field = known.get(_folded(extra["sort_field"]), extra["sort_field"])
                ordered.sort(key=lambda r: _sort_key(r.get(field)), reverse=bool(extra.get("descending")))
            ordered.sort(key=lambda r: _sort_key(r.get(sort_field)), reverse=descending)
            found = ordered
        elif descending:
            found = list(found)[::-1]
        cursor = max(0, int(query.get("cursor", "0")))
        limit = min(max(0, int(query.get("limit", "100"))), self.most_per_page)
        reachable = min(len(found), _BEHIND_ONE_QUERY)
        page = [self._shown(name, record) for record in found[cursor : min(cursor + limit, reachable)]]
        body: dict[str, Any] = {"cursor": cursor, "results": page, "count": len(page)}
        if query.get("exclude_remaining", "false").lower() != "true":
            body["remaining"] = max(0, reachable - cursor - len(page))
        return body

    def _matching(self, name: str, constraints: list[tuple[str, str, Any]], sort_field: str) -> Sequence[Record]:
        records = self.records[name]
        chosen = next((value for key, kind, value in constraints if key == "_id" and kind == "in"), None)
        if chosen is not None:
            some = [records[item] for item in dict.fromkeys(chosen) if item in records]
            some.sort(key=lambda r: (_sort_key(r.get(sort_field)), r["_id"]))
            return [r for r in some if _holds(r, constraints)]
        inside = self._range(name, constraints, sort_field)
        others = [c for c in constraints if c[0] != sort_field or c[1] not in ("greater than", "less than")]
        return [r for r in inside if _holds(r, constraints)] if others else inside

    def _range(self, name: str, constraints: list[tuple[str, str, Any]], sort_field: str) -> _View:
        """Records in the order of a field, cut to the constraints on that field."""
        key = (name, sort_field)
        if key not in self._sorted:
            self._sorted[key] = sorted((_sort_key(r.get(sort_field)), r["_id"]) for r in self.records[name].values())
        order = self._sorted[key]
        low, high = 0, len(order)
        for field, kind, value in constraints:
            if field == sort_field and kind == "greater than":
                low = max(low, bisect.bisect_right(order, (_sort_key(value), "\uffff")))
            elif field == sort_field and kind == "less than":
                high = min(high, bisect.bisect_left(order, (_sort_key(value), "")))
        return _View(self.records[name], order, low, max(low, high))

    def _known_fields(self, name: str) -> set[str]:
        """The mapped fields, and any that some record of the type has."""
        if name not in self._fields:
            self._fields[name] = _mapped_fields(name).union(_BUILT_IN, *self.records[name].values())
        return self._fields[name]

    def _origins(self, name: str, constraints: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
        """The constraints with the places that geographic ones search around."""
        found = []
        for key, kind, value in constraints:
            if kind == "geographic_search":
                value = geography.origin(value, (record.get(key) for record in self.records[name].values()))
                if value is None:
                    raise _error(400, "ERROR", f"Field {key}: expected a range and an origin_address")
            found.append((key, kind, value))
        return found

    def _shown(self, name: str, record: Record) -> Record:
        return {
            field: value for field, value in record.items() if value is not None and (name, field) not in self.hidden
        }


def _mapped_fields(name: str) -> set[str]:
    for resource in catalog.BUBBLE_RESOURCES:
        for dataset in resource.datasets:
            if isinstance(dataset.endpoint, BubbleEndpoint) and dataset.endpoint.type_name == name:
                return set(dataset.table.fields)
    return set()


def _sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, "")
    number = _number(value)
    return (1, number) if number is not None else (2, str(value))


def _folded(field: str) -> str:
    """A field's name as requests may write it: case is not significant, and clients leave spaces out."""
    return field.lower().replace(" ", "")


def _constraints(text: str | None, known: Mapping[str, str]) -> list[tuple[str, str, Any]]:
    if not text:
        return []
    try:
        listed = json.loads(text)
        found = [(item["key"], item["constraint_type"], item.get("value")) for item in listed]
    except (ValueError, KeyError, TypeError):
        raise _error(400, "ERROR", "Invalid JSON in constraints") from None
    for key, kind, _ in found:
        if kind not in _TESTS:
            raise _error(404, "NOT_FOUND", f"Constraint type not found {kind}")
        if _folded(key) not in known:
            raise _error(400, "ERROR", f"Field not found {key}")
    return [(known[_folded(key)], kind, value) for key, kind, value in found]
