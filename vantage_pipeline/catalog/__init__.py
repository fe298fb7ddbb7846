"""What exists: every resource with its endpoints, fields, keys, tables and links. Data, not code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from vantage_pipeline.catalog.bubble import BUBBLE_RESOURCES
from vantage_pipeline.catalog.model import Column, Dataset, Link, Resource, Table
from vantage_pipeline.catalog.vantage import VANTAGE_RESOURCES
from vantage_pipeline.errors import UnknownResource

RESOURCES: tuple[Resource, ...] = (*VANTAGE_RESOURCES, *BUBBLE_RESOURCES)
"""Every resource, in load order."""

_BY_STATE = {resource.state: resource for resource in RESOURCES}


def by_state(state: str) -> Resource:
    """The resource whose row in ``vantage_sync_state`` is `state`."""
    return _BY_STATE[state]


def table(name: str) -> Table:
    """The synced table of that name; KeyError if no dataset feeds it."""
    return dataset_of(name).table


def dataset_of(table_name: str) -> Dataset:
    """The dataset that feeds a table; KeyError if none does."""
    for resource in RESOURCES:
        for dataset in resource.datasets:
            if dataset.table.name == table_name:
                return dataset
    raise KeyError(table_name)


def find(name: str) -> Resource:
    """The resource that a person means by `name`: ``accounts``, ``vantage/accounts`` or a state name.

    Raises:
        UnknownResource: nothing has that name, or two systems have it; the message lists what there is.
    """
    wanted = name.strip().lower()
    found = [r for r in RESOURCES if wanted in (r.asset, r.state, r.name)]
    if len(found) == 1:
        return found[0]
    known = [r.asset for r in RESOURCES]
    if found:
        raise UnknownResource(f"{name!r} is ambiguous: {', '.join(r.asset for r in found)}")
    names = [*known, *(r.name for r in RESOURCES)]
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownResource(f"unknown resource {name!r}; {hint}known: {', '.join(known)}")


def select(names: Iterable[str]) -> tuple[Resource, ...]:
    """The named resources in load order; all of them when no name is given."""
    wanted = {find(name).state for name in names}
    return tuple(r for r in RESOURCES if not wanted or r.state in wanted)


def links_to(table_name: str) -> tuple[tuple[Table, Column, Link], ...]:
    """Every (child table, column, link) that points at rows of `table_name`, directly or by an alias."""
    found = []
    for resource in RESOURCES:
        for dataset in resource.datasets:
            for column in dataset.table.links:
                link = column.link
                if link and (link.table == table_name or (link.alias and link.alias.table == table_name)):
                    found.append((dataset.table, column, link))
    return tuple(found)


__all__ = [
    "BUBBLE_RESOURCES", "RESOURCES", "VANTAGE_RESOURCES",
    "by_state", "dataset_of", "find", "links_to", "select", "table",
]  # fmt: skip
