"""Versions of records: what neighbouring pages repeat is dropped, and only that has to be remembered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vantage_pipeline.records.model import Record

Version = tuple[str, str]
"""A record's id and when it was last changed."""


def version_of(record: Record) -> Version:
    """The version of a Bubble record, whatever its fields hold."""
    return str(record.get("_id")), str(record.get("Modified Date"))


class Seen:
    """Drops records that were given already in the same version."""

    def __init__(self, given: Iterable[Version] = ()) -> None:
        self._versions: set[Version] = set(given)

    def add(self, records: Sequence[Any]) -> list[Record]:
        """Those of the records that are new; they count as given from now on."""
        fresh: list[Record] = []
        for record in records:
            if not isinstance(record, dict):
                fresh.append(record)
                continue
            version = version_of(record)
            if version not in self._versions:
                self._versions.add(version)
                fresh.append(record)
        return fresh
