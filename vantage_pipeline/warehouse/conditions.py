"""What is wrong now, as the view ``sync_conditions`` tells it, and how often each resource is expected to sync."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline import catalog

_UNKNOWN_TO_DAGSTER = ("manual-", "verify-", "replay-")
"""What the ids of runs begin with that Dagster has no page for: by hand in SQL, and repairs from the command line."""
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


@dataclass(frozen=True, slots=True)
class Expectation:
    """How often a resource is to sync, whether a setting names it, and whether anybody waits for its system."""

    resource: str
    every: timedelta
    named: bool
    watched: bool


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


def expect(cursor: Cursor, expected: Iterable[Expectation]) -> None:
    """Put what the settings say where the views read it. A frequency that no setting ever named is left as it is."""
    listed = list(expected)
    cursor.execute(
        "INSERT INTO vantage_sync_expectation AS e (resource, expected_every, from_settings, watched)"
        " SELECT * FROM unnest(%s::text[], %s::interval[], %s::boolean[], %s::boolean[])"
        " ON CONFLICT (resource) DO UPDATE SET from_settings = excluded.from_settings, watched = excluded.watched,"
        " updated_at = now(), expected_every = CASE WHEN excluded.from_settings OR e.from_settings"
        " THEN excluded.expected_every ELSE e.expected_every END"
        " WHERE (e.from_settings, e.watched) <> (excluded.from_settings, excluded.watched)"
        " OR (excluded.from_settings AND e.expected_every <> excluded.expected_every)",
        (
            [item.resource for item in listed],
            [item.every for item in listed],
            [item.named for item in listed],
            [item.watched for item in listed],
        ),
    )


def release_held_back(cursor: Cursor) -> None:
    """Close what was held back and no longer is, as the view sees it."""
    cursor.execute(
        "UPDATE vantage_held_back SET released_at = now() WHERE released_at IS NULL AND resource NOT IN"
        " (SELECT resource FROM sync_conditions WHERE condition = 'held_back')"
    )


def _link(kind: str, state: str, run_id: str | None) -> str:
    if kind in _ABOUT_A_RUN and run_id and not run_id.startswith(_UNKNOWN_TO_DAGSTER):
        return f"/runs/{run_id}"
    return f"/assets/{catalog.by_state(state).asset}"
