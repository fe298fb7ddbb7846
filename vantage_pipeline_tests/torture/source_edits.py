"""Edits of the source by its users: one small operation each, the same for the same arguments and state.

An `Edit` is drawn by Hypothesis. Where its type or record is not there, it does the next sensible thing or
nothing, so that any sequence of edits is possible and a failing one shrinks well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline_tests.torture import bubble_records, vantage_records
from vantage_pipeline_tests.torture.clock import Clock

Record = dict[str, Any]
KINDS = ("insert", "change", "link", "link", "bad", "mend", "delete", "move", "bulk")
SMALLEST_STEP = 0.001
LATEST = 240.0
"""Seconds by which a record's stamp may lie before the moment it is seen: less than the overlap."""


@dataclass(frozen=True)
class Edit:
    """`kind` of change to record number `which` of type number `type_number`; `variant` chooses the values."""

    kind: str
    type_number: int = 0
    which: int = 0
    variant: int = 0
    late: bool = False
    """The change becomes visible with a stamp of some minutes ago, as after a step of the source's clock."""


class Source(Protocol):
    """One system's records, as its users edit them."""

    types: tuple[str, ...]

    def keys(self, type_name: str) -> list[str]: ...
    def get(self, type_name: str, key: str) -> Record: ...
    def make(self, type_name: str, which: int, variant: int) -> Record: ...
    def key(self, type_name: str, which: int) -> str: ...
    def change(self, type_name: str, record: Record, variant: int) -> None: ...
    def link(self, type_name: str, record: Record, which: int, variant: int) -> None: ...
    def spoil(self, type_name: str, record: Record, variant: int) -> None: ...
    def mend(self, type_name: str, record: Record) -> bool: ...
    def put(self, type_name: str, record: Record, stamp: datetime) -> None: ...
    def remove(self, type_name: str, key: str) -> Record: ...
    def moved(self, type_name: str, record: Record) -> tuple[str, Record] | None: ...


class Editor:
    """Applies edits to a source under the sandbox's lock, with stamps from the clock."""

    def __init__(self, sandbox: Sandbox, source: Source, clock: Clock) -> None:
        self._sandbox, self.source, self._clock = sandbox, source, clock

    def apply(self, edit: Edit) -> str:
        """Do the edit; gives what was done, "nothing" where nothing could be."""
        with self._sandbox.lock:
            stamp = self._clock.tick(SMALLEST_STEP)
            if edit.late:
                stamp -= timedelta(seconds=LATEST)
            return self._apply(edit, stamp)

    def mend_all(self) -> None:
        """Make every refused record a good one."""
        with self._sandbox.lock:
            for type_name in self.source.types:
                for key in self.source.keys(type_name):
                    record = self.source.get(type_name, key)
                    if self.source.mend(type_name, record):
                        self.source.put(type_name, record, self._clock.tick(SMALLEST_STEP))

    def _apply(self, edit: Edit, stamp: datetime) -> str:
        source = self.source
        type_name = source.types[edit.type_number % len(source.types)]
        there = source.keys(type_name)
        if edit.kind == "bulk":
            for key in there:
                record = source.get(type_name, key)
                source.change(type_name, record, edit.variant)
                source.put(type_name, record, stamp)
            return "bulk" if there else "nothing"
        if edit.kind == "insert" or not there:
            made = source.make(type_name, edit.which, edit.variant)
            source.put(type_name, made, stamp)
            return "insert"
        key = source.key(type_name, edit.which)
        if key not in there:
            key = there[edit.which % len(there)]
        if edit.kind == "delete":
            source.remove(type_name, key)
            return "delete"
        record = source.get(type_name, key)
        if edit.kind == "move":
            moved = source.moved(type_name, record)
            if moved is None:
                source.remove(type_name, key)
                return "delete"
            source.remove(type_name, key)
            source.put(*moved, stamp)
            return "move"
        if edit.kind == "bad":
            source.spoil(type_name, record, edit.variant)
        elif edit.kind == "mend":
            source.mend(type_name, record)
        elif edit.kind == "link":
            source.link(type_name, record, edit.which, edit.variant)
        else:
            source.change(type_name, record, edit.variant)
        source.put(type_name, record, stamp)
        return edit.kind


def source_of(system: str, sandbox: Sandbox, types: tuple[str, ...]) -> Source:
    """The source of a system, limited to some of its types."""
    if system == "bubble":
        return bubble_records.BubbleSource(sandbox.bubble, types)
    return vantage_records.VantageSource(sandbox.vantage, types)
