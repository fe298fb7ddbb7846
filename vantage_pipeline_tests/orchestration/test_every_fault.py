"""Every kind of fault, once and without end, on a resource of each system.

The sync gets over it, or ends within its bounds with an error that says what to do; either way no local column
changes, the watermark vouches for no more than is there, and a quiet sync afterwards makes all equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Table
from vantage_pipeline.errors import SourceError
from vantage_pipeline.sandbox import FAULT_KINDS, Fault, FaultKind, Sandbox, SecondClient
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database, create, drop, fresh
from vantage_pipeline_tests.equality import differing
from vantage_pipeline_tests.pipeline import Pipeline

TEMPLATE = "template_synced"
SIZES: dict[str, Any] = {"accounts": 60, "funds": 4, "cash_flows": 60, "bubble_scale": 0.03}
QUICK: dict[str, Any] = {
    "page_size": 20, "concurrency": 1, "backoff_seconds": 0.05, "max_attempts": 6, "patience_seconds": 3,
    "read_timeout": 1, "response_timeout": 1,
}  # fmt: skip
ADVICE = re.compile(r"\b(check|again|mend|ask|raise|look)\b")
MOST_REQUESTS = 60
AFTER = {"total_down": 0}
"""Answers left alone first, so that there is a page before; the last page, though, has no total to lower."""


@dataclass(frozen=True)
class Subject:
    """What is synced: its name, its table, the collection in the sandbox, the path of its requests."""

    resource: str
    table: str
    collection: str
    path: str
    local: str
    word: str

    @property
    def system(self) -> str:
        return catalog.find(self.resource).system

    @property
    def columns(self) -> Table:
        return catalog.table(self.table)


FLOWS = Subject("cashflows", "transactions", "cashflows", "/api/CashFlows", "by_hand", "CashFlows")
ACCOUNTS = Subject("accounts", "investors", "accounts", "/api/Accounts", "by_hand", "Accounts")
INVOICES = Subject("bubble/invoice", "invoice", "invoice", "/obj/invoice?", "by_hand", "invoice")
SUBJECTS = {subject.resource: subject for subject in (FLOWS, ACCOUNTS, INVOICES)}


@dataclass
class Scene:
    """A synced database, a source that has moved on since, and what must stay as it is."""

    pipeline: Pipeline
    subject: Subject
    kept: list[tuple[Any, ...]]
    watermark: Any

    def sync(self, *, full: bool = True) -> Any:
        rest = frozenset(table for resource in catalog.RESOURCES for table in resource.tables) - {self.subject.table}
        return self.pipeline.sync(self.subject.resource, full=full, deferred=rest)

    def wrong(self) -> set[str]:
        sandbox, subject = self.pipeline.sandbox, self.subject
        records: Any = (
            sandbox.vantage.records[subject.collection]
            if subject.system == "vantage"
            else sandbox.bubble.records[subject.collection].values()
        )
        return differing(self.pipeline.database, subject.columns, records)

    def state(self) -> tuple[Any, ...]:
        state = catalog.find(self.subject.resource).state
        query = "SELECT last_sync_status, last_sync_time, errors FROM vantage_sync_state WHERE resource = %s"
        return self.pipeline.database.rows(query, state)[0]

    def local(self) -> list[tuple[Any, ...]]:
        return local_values(self.pipeline.database, self.subject)

    def quarantined(self) -> list[tuple[Any, ...]]:
        return self.pipeline.database.rows(
            "SELECT record_key, code, message FROM vantage_quarantine WHERE table_name = %s AND resolved_at IS NULL",
            self.subject.table,
        )


def local_values(database: Database, subject: Subject) -> list[tuple[Any, ...]]:
    return database.rows(f'SELECT "{subject.columns.key}", by_hand FROM "{subject.table}" WHERE by_hand > 0 ORDER BY 1')


def new_sandbox() -> Any:
    return Sandbox.start(**SIZES)


@pytest.fixture(scope="module")
def synced(postgres: EmbeddedServer, migrated_template: str) -> Iterator[str]:
    """The name of a database that holds the sandbox's records, and a column of someone's own, to copy from."""
    create(postgres, TEMPLATE, migrated_template)
    database = Database(postgres.url(TEMPLATE))
    with new_sandbox() as sandbox:
        for subject in SUBJECTS.values():
            Scene(Pipeline(sandbox, database), subject, [], None).sync()
            database.execute(f'ALTER TABLE "{subject.table}" ADD COLUMN by_hand int')
            database.execute(f'UPDATE "{subject.table}" SET by_hand = abs(hashtext("{subject.columns.key}"))')
    database.close()
    yield TEMPLATE
    drop(postgres, TEMPLATE)


@pytest.fixture
def scene(synced: str, postgres: EmbeddedServer) -> Iterator[Callable[[Subject], Scene]]:
    with fresh(postgres, synced) as database, new_sandbox() as sandbox:

        def make(subject: Subject) -> Scene:
            pipeline = Pipeline(sandbox, database)
            pipeline.changes = dict(QUICK)
            pipeline._runs = 100  # the names of the runs that filled the template are taken
            made = Scene(pipeline, subject, local_values(database, subject), None)
            made.watermark = made.state()[1]
            other = SecondClient(sandbox, [subject.collection], seed=1, actions=("edit", "insert"))
            for _ in range(6):
                other.act()
            assert made.kept
            assert made.wrong()
            return made

        yield make


def subject_of(kind: FaultKind, system: str) -> Subject:
    if system == "bubble":
        return INVOICES
    return ACCOUNTS if kind.name == "list_to_scalar" else FLOWS


def cases() -> list[Any]:
    return [
        pytest.param(kind, system, lasting, id=f"{kind.name}-{system}-{'lasting' if lasting else 'once'}")
        for kind in FAULT_KINDS.values()
        for system in ("vantage", "bubble")
        for lasting in (False, True)
        if kind.family != "payload" or not lasting
    ]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("kind", "system", "lasting"), cases())
def test_every_fault(scene: Callable[[Subject], Scene], kind: FaultKind, system: str, lasting: bool) -> None:
    subject = subject_of(kind, system)
    there = scene(subject)
    pipeline, faults = there.pipeline, there.pipeline.sandbox.faults
    faults.add(Fault(kind.name, subject.path, times=1_000 if lasting else 1, after=AFTER.get(kind.name, 1)))
    if lasting:
        pipeline.changes["max_attempts"] = 2
    end = kind.ends(system, lasting=lasting)

    if end == "fails":
        with pytest.raises(SourceError) as caught:
            there.sync()
        assert_clear_failure(there, caught.value)
    else:
        report = there.sync()
        assert faults.injected[kind.name] >= 1
        assert there.state()[0] == "success"
        if end == "passes":
            assert there.wrong() == set()
            assert report.quarantined == 0
        else:
            assert_judged_alone(there, faults.injected[kind.name])
    assert faults.injected[kind.name] >= 1
    assert len(pipeline.sandbox.requests) <= MOST_REQUESTS
    assert there.local() == there.kept

    faults.clear()
    pipeline.sandbox.come_back()
    pipeline.changes["max_attempts"] = 6
    there.sync(full=end != "fails" or system == "bubble")
    assert there.wrong() == set()
    assert there.quarantined() == []
    assert there.local() == there.kept
    assert there.state()[0] == "success"


def assert_clear_failure(there: Scene, error: SourceError) -> None:
    """It names the resource and says what to do, and nothing vouches for what did not come."""
    assert there.subject.word.lower() in str(error).lower()
    assert ADVICE.search(str(error)), str(error)
    status, watermark, errors = there.state()
    assert (status, watermark) == ("failed", there.watermark)
    assert [entry["code"] for entry in errors] == [error.code]


def assert_judged_alone(there: Scene, spoiled: int) -> None:
    """No more records differ, or wait in quarantine, than were spoiled; and each that waits says why."""
    waiting = there.quarantined()
    assert len(waiting) <= spoiled
    assert len(there.wrong()) <= spoiled
    assert all(code and message for _, code, message in waiting)
