"""What is wrong now, as the view ``sync_conditions`` tells it, and how often each resource is expected to sync."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline import catalog

_BY_HAND = "manual-"
_ABOUT_A_RUN = frozenset(
    ("failed", "cancelled", "lost", "failing_repeatedly", "stuck", "slow", "slower_than_usual", "held_back")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that is wrong: one at a time for each kind and resource."""

    kind: str
    resource: str
    """The state's name, or what else is concerned: a check, a sensor, an alert channel."""
    what: str
    severity: str = "red"
    since: datetime | None = None
    link: str = ""
    """Path below the address of the UI."""
    errors: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> tuple[str, str]:
        """What makes it the same condition as before."""
        return self.kind, self.resource


def of_resources(connection: Connection, states: Collection[str]) -> list[Condition]:
    """The conditions of the resources with these state names."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT resource, condition, severity, since, what, run_id, errors FROM sync_conditions"
            " WHERE resource = ANY(%s) ORDER BY severity, resource, condition",
            (sorted(states),),
        )
        found = cursor.fetchall()
    return [
        Condition(
            kind=kind,
            resource=resource,
            what=what,
            severity=severity,
            since=since,
            link=_link(kind, resource, run_id),
            errors=tuple(errors),
        )
        for resource, kind, severity, since, what, run_id, errors in found
    ]


def expect(cursor: Cursor, every: Mapping[str, timedelta]) -> None:
    """Put the settings' expected frequencies, by state name, where the views read them."""
    for resource, interval in every.items():
        cursor.execute(
            "INSERT INTO vantage_sync_expectation AS e (resource, expected_every) VALUES (%s, %s)"
            " ON CONFLICT (resource) DO UPDATE SET expected_every = excluded.expected_every, updated_at = now()"
            " WHERE e.expected_every <> excluded.expected_every",
            (resource, interval),
        )


def release_held_back(cursor: Cursor) -> None:
    """Close what was held back and no longer is, as the view sees it."""
    cursor.execute(
        "UPDATE vantage_held_back SET released_at = now() WHERE released_at IS NULL AND resource NOT IN"
        " (SELECT resource FROM sync_conditions WHERE condition = 'held_back')"
    )


def _link(kind: str, state: str, run_id: str | None) -> str:
    if kind in _ABOUT_A_RUN and run_id and not run_id.startswith(_BY_HAND):
        return f"/runs/{run_id}"
    return f"/assets/{catalog.by_state(state).asset}"
