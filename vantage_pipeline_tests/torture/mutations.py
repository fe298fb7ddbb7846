"""Changes of the code that a convergence suite must notice, each made for one block, in this process alone.

Each has the scene in which it does harm, and what happens there: histories of these alone show it soon.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import BubbleEndpoint, Dataset
from vantage_pipeline.errors import SourceProtocolError
from vantage_pipeline.orchestration import bubble_reading
from vantage_pipeline.orchestration.bubble_reading import BubbleReading
from vantage_pipeline.orchestration.config import Mode
from vantage_pipeline.orchestration.pump import Progress
from vantage_pipeline.orchestration.reading import Reading, VantageReading
from vantage_pipeline.records.model import Page
from vantage_pipeline.sources.bubble import BubbleClient
from vantage_pipeline.sources.windows import Window, within
from vantage_pipeline.warehouse import aliases, pending, quarantine, state
from vantage_pipeline.warehouse.crash_points import reached
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.merge import Merge
from vantage_pipeline.warehouse.session import Session
from vantage_pipeline_tests.torture.machine import POINTS
from vantage_pipeline_tests.torture.world import PAGE, World

_READINGS: tuple[type[Reading], ...] = (BubbleReading, VantageReading)


@contextmanager
def overlap_dropped(world: World) -> Iterator[None]:
    """The watermark is exactly when reading began."""
    before = dict(world.pipeline.changes)
    world.pipeline.changes = {**before, "overlap_seconds": 0}
    try:
        yield
    finally:
        world.pipeline.changes = before


@contextmanager
def watermark_at_the_end(_world: World) -> Iterator[None]:
    """The watermark is when reading ended, less the same overlap."""
    with ExitStack() as stack:
        for reading in _READINGS:
            stack.enter_context(patch.object(reading, "fill", _ending(reading.fill)))
        yield


def _ending(fill: Callable[..., datetime | None]) -> Callable[..., datetime | None]:
    def mutated(self: Reading, load: Load, progress: Progress | None) -> datetime | None:
        found = fill(self, load, progress)
        now: datetime = vars(bubble_reading)["datetime"].now(UTC)
        return None if found is None else now - timedelta(seconds=self.settings.overlap_seconds)

    return mutated


@contextmanager
def state_apart_from_data(_world: World) -> Iterator[None]:
    """The state is committed by a transaction of its own, and the data by another, right after."""
    transaction, commit = Session.transaction, Session.commit
    holding: set[int] = set()

    def held(self: Session) -> None:
        """What is written waits for the end, whatever is read in between."""
        if id(self) not in holding:
            commit(self)

    def mutated(self: Session, name: str, work: Callable[[Cursor], Any]) -> Any:
        if self.dry_run:
            return transaction(self, name, work)
        if name != "finish":
            holding.add(id(self))
            with self.connection.cursor() as cursor:
                result = work(cursor)
            reached(f"{name}.written")
            return result
        holding.discard(id(self))
        apart = self._connect()
        with apart.cursor() as cursor:
            result = work(cursor)
        apart.commit()
        apart.close()
        reached("finish.committed")
        self.connection.commit()
        return result

    with (
        patch.object(Session, "transaction", mutated),
        patch.object(Session, "commit", held),
        patch.object(state, "checkpoint", lambda *_arguments, **_named: None),
    ):
        yield


@contextmanager
def offset_paging(_world: World) -> Iterator[None]:
    """Bubble is read by a cursor that counts records."""

    def mutated(self: BubbleClient, dataset: Dataset, window: Window, **_named: Any) -> Iterator[Page]:
        endpoint = dataset.endpoint
        assert isinstance(endpoint, BubbleEndpoint)
        offset, remaining = 0, 1
        while remaining:
            params = {
                "limit": str(PAGE), "cursor": str(offset), "sort_field": window.field,
                "constraints": json.dumps(within(window)),
            }  # fmt: skip
            records, remaining = self.session.retrying(partial(_part, self, endpoint.type_name, params))
            offset += len(records)
            yield Page(dataset.table, records)

    with patch.object(BubbleClient, "read", mutated):
        yield


def _part(client: BubbleClient, type_name: str, params: dict[str, str]) -> tuple[list[Any], int]:
    value = client.session.get(f"/obj/{type_name}", params=params, what=type_name).decoded.value
    response = value.get("response") if isinstance(value, dict) else None
    if not isinstance(response, dict) or not isinstance(response.get("results"), list):
        raise client.session.transient(SourceProtocolError(f"{type_name}: no list of results"))
    return response["results"], response["remaining"]


@contextmanager
def all_columns_overwritten(_world: World) -> Iterator[None]:
    """A plain ON CONFLICT DO UPDATE that sets every column of the table."""

    def mutated(self: Merge) -> sql.Composable:
        columns = sql.SQL(", ").join(map(sql.Identifier, self._names))
        own = {self._table.key, "id", "created_at", "updated_at", "last_synced_at", "deleted_at"}
        every = [name for name in self._live if name not in own]
        return sql.SQL(
            "written AS (INSERT INTO {target} AS x ({columns}, created_at, updated_at, last_synced_at)"
            " SELECT {columns}, now(), now(), now() FROM changed ON CONFLICT ({key}) DO UPDATE SET {assignments},"
            " updated_at = now(), last_synced_at = now(), deleted_at = NULL RETURNING (xmax = 0) AS created)"
        ).format(
            target=self._target,
            columns=columns,
            key=self._key,
            assignments=sql.SQL(", ").join(sql.SQL("{c} = excluded.{c}").format(c=sql.Identifier(n)) for n in every),
        )

    with patch.object(Merge, "_written", mutated):
        yield


@contextmanager
def pending_links_ignored(_world: World) -> Iterator[None]:
    """A link whose parent is not there is left empty, and that is all."""
    with (
        patch.object(Merge, "note_pending", lambda *_arguments, **_named: None),
        patch.object(pending, "waiting_for", lambda *_arguments: []),
    ):
        yield


@contextmanager
def quarantine_ignored(_world: World) -> Iterator[None]:
    """A record that cannot be mapped is dropped."""
    with patch.object(quarantine, "put", lambda *_arguments, **_named: None):
        yield


@contextmanager
def deletion_after_an_increment(_world: World) -> Iterator[None]:
    """What an incremental reading does not see is marked as deleted."""
    with ExitStack() as stack:
        for reading in _READINGS:
            stack.enter_context(patch.object(reading, "fill", _deleting(reading.fill)))
        yield


def _deleting(fill: Callable[..., datetime | None]) -> Callable[..., datetime | None]:
    def mutated(self: Reading, load: Load, progress: Progress | None) -> datetime | None:
        found = fill(self, load, progress)
        if self.config.mode is Mode.INCREMENTAL:
            for dataset in self.resource.datasets:
                load.mark_deleted(dataset.table)
        return found

    return mutated


@contextmanager
def dry_run_commits(_world: World) -> Iterator[None]:
    """A dry run keeps what it wrote."""
    close = Load.close

    def mutated(self: Load) -> None:
        self.connection.commit()
        close(self)

    with patch.object(Load, "close", mutated):
        yield


@contextmanager
def owner_ignored(_world: World) -> Iterator[None]:
    """A row of another source that has the key of an account is taken for that account's."""
    written = Merge._written

    def mutated(self: Merge) -> sql.Composable:
        table = self._table
        self._table = dataclasses.replace(table, owner=None)
        try:
            return written(self)
        finally:
            self._table = table

    with patch.object(Merge, "of_another_owner", lambda *_arguments: []), patch.object(Merge, "_written", mutated):
        yield


@contextmanager
def aliases_not_followed(_world: World) -> Iterator[None]:
    """A link through a user stays with the agent that the user had when the record was written."""
    with patch.object(aliases, "follow", lambda *_arguments, **_named: 0):
        yield


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A change, and the histories in which it does harm: their scene, what they are made of, where syncs are cut off."""

    apply: Callable[[World], Any]
    scene: str
    rules: tuple[str, ...]
    points: tuple[str, ...] = tuple(POINTS)


MUTATIONS = {
    "the overlap dropped": Mutation(overlap_dropped, "people", ("edit", "sync", "sync_while_edited")),
    "the watermark taken at the end of the reading": Mutation(
        watermark_at_the_end, "agents", ("sync_while_edited", "pass_time")
    ),
    "state committed apart from data": Mutation(
        state_apart_from_data, "agents", ("edit", "sync_cut_off", "pass_time"), ("finish.written", "finish.committed")
    ),
    "offset paging": Mutation(offset_paging, "agents", ("sync_while_edited", "pass_time")),
    "a plain ON CONFLICT DO UPDATE of all columns": Mutation(
        all_columns_overwritten, "vantage", ("edit", "write_local_column", "sync")
    ),
    "pending links ignored": Mutation(pending_links_ignored, "vantage", ("edit", "sync")),
    "quarantine ignored": Mutation(quarantine_ignored, "vantage", ("edit", "sync")),
    "deletion after an incremental reading": Mutation(deletion_after_an_increment, "people", ("edit", "sync")),
    "a dry run that commits": Mutation(dry_run_commits, "vantage", ("edit", "dry_run_then_sync")),
    "rows of another owner overwritten": Mutation(
        owner_ignored, "accounts", ("edit", "edit_once", "insert_row_of_our_own", "quiet_sync")
    ),
    "links through a user not followed": Mutation(aliases_not_followed, "people", ("edit", "edit_once", "quiet_sync")),
}
