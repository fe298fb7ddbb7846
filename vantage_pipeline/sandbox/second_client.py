"""Somebody else who works in the source while a sync reads it: edits, inserts, deletes and moves, by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import BubbleEndpoint, Kind
from vantage_pipeline.sandbox.bubble_data import iso
from vantage_pipeline.sandbox.server import Sandbox

Action = Literal["edit", "insert", "delete", "move"]
ACTIONS: tuple[Action, ...] = ("edit", "insert", "delete", "move")
_TEXTS = {
    "accounts": "notes",
    "funds": "region",
    "cashflows": "comments",
    "contacts": "company_name",
    "accountcontactmap": "relationship",
}
_AMOUNTS = {"commitment": "commitment_amount", "financials": "nav"}
_MOVES = ("submit_payment", "payment")
_FEWEST = 2
"""Records that a collection keeps."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change that was made to the source. `key` is the record's, `moved_to` the type that it went to."""

    action: Action
    collection: str
    key: str
    moved_to: str = ""


class SecondClient:
    """Changes the sandbox's records under its lock.

    Put into ``sandbox.on_request``, it acts before a share of the answers; `act` makes one change at once.

    Args:
        collections: Vantage's path elements in lower case, Bubble's type names.
        rate: share of the requests before which it acts.
        most: changes after which it rests.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        collections: Sequence[str],
        *,
        seed: int = 0,
        rate: float = 1.0,
        actions: Sequence[Action] = ACTIONS,
        most: int = 1_000_000,
    ) -> None:
        self._sandbox = sandbox
        self._collections = tuple(collections)
        self._actions = tuple(actions)
        self._chance = random.Random(seed)
        self._rate, self._most = rate, most
        self._made = 0
        self.edits: list[Edit] = []

    def __call__(self, _path: str) -> None:
        with self._sandbox.lock:
            if len(self.edits) < self._most and self._chance.random() < self._rate:
                self.act()

    def act(self) -> Edit | None:
        """One change; None where the chosen collection did not lend itself to the chosen action."""
        with self._sandbox.lock:
            collection, action = self._chance.choice(self._collections), self._chance.choice(self._actions)
            known = collection in self._sandbox.vantage.records
            done = self._vantage(collection, action) if known else self._bubble(collection, action)
            if done is not None:
                self.edits.append(done)
            return done

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _vantage(self, collection: str, action: Action) -> Edit | None:
        records = self._sandbox.vantage.records[collection]
        if action == "move" or not records or (action == "delete" and len(records) <= _FEWEST):
            return None
        position = self._chance.randrange(len(records))
        if action == "delete":
            return Edit(action, collection, _vantage_key(collection, records.pop(position)))
        record: dict[str, Any] = records[position]
        if action == "insert":
            record = self._new_vantage(collection, record)
            records.append(record)
        if collection in _AMOUNTS:
            record[_AMOUNTS[collection]] = Decimal(self._chance.randrange(100, 10_000_000)) / 100
        else:
            record[_TEXTS[collection]] = f"changed {self._number()}"
        record["updated_time"] = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        return Edit(action, collection, _vantage_key(collection, record))

    def _new_vantage(self, collection: str, like: dict[str, Any]) -> dict[str, Any]:
        """A copy with a key of its own, dated late where the key has a date."""
        number = self._number()
        day = f"{datetime(2030, 1, 1) + timedelta(days=number):%Y-%m-%dT00:00:00}"
        own: dict[str, dict[str, Any]] = {
            "accounts": {"investor_id": str(90_000_000 + number)},
            "funds": {"fund_id": str(90_000_000 + number)},
            "cashflows": {"cashflow_detailid": 90_000_000 + number},
            "contacts": {"contact_id": str(90_000_000 + number)},
            "accountcontactmap": {"fund_id": str(90_000_000 + number)},
            "commitment": {"commitment_date": day},
            "financials": {"report_date": day},
        }
        return {**like, **own[collection]}

    def _bubble(self, type_name: str, action: Action) -> Edit | None:
        store = self._sandbox.bubble
        records = store.records[type_name]
        if not records or (action in ("delete", "move") and len(records) <= _FEWEST):
            return None
        key = self._chance.choice(sorted(records))
        if action == "delete":
            store.remove(type_name, key)
            return Edit(action, type_name, key)
        if action == "move":
            if type_name not in _MOVES:
                return None
            target = _MOVES[1 - _MOVES.index(type_name)]
            moved = store.put(target, {**store.remove(type_name, key), "_id": self._bubble_id()})
            store.changed(target)
            return Edit(action, type_name, moved["_id"], moved_to=target)
        record = dict(records[key])
        if action == "insert":
            record["_id"] = self._bubble_id()
            record["Created Date"] = iso(datetime.now(UTC))
        record[_bubble_text(type_name)] = f"changed {self._number()}"
        store.put(type_name, record)
        store.changed(type_name)
        return Edit(action, type_name, record["_id"])

    def _bubble_id(self) -> str:
        return f"{1_800_000_000_000 + self._number()}x{self._chance.randrange(10**17, 10**18)}"


def _vantage_key(collection: str, record: dict[str, Any]) -> str:
    fields = {
        "accounts": ("investor_id",),
        "funds": ("fund_id",),
        "cashflows": ("cashflow_detailid",),
        "contacts": ("contact_id",),
        "accountcontactmap": ("contact_id", "account_id", "fund_id"),
        "commitment": ("fund_id", "account_id", "commitment_date"),
        "financials": ("fund_id", "report_date", "report_frequency"),
    }[collection]
    return ":".join(str(record.get(name, "")) for name in fields)


def _bubble_text(type_name: str) -> str:
    """A plain text field of the type."""
    for resource in catalog.BUBBLE_RESOURCES:
        for dataset in resource.datasets:
            if isinstance(dataset.endpoint, BubbleEndpoint) and dataset.endpoint.type_name == type_name:
                return next(
                    column.fields[0]
                    for column in dataset.table.columns
                    if column.kind is Kind.TEXT
                    and column.link is None
                    and column.name != dataset.table.key
                    and column.fields[0] not in ("_id", "Created By", "Slug")
                )
    raise KeyError(type_name)
