"""One look: gather what is wrong, write down what began and what ended, and tell each channel what it has not heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.orchestration.alerting.channels import channels_of, send
from vantage_pipeline.orchestration.alerting.messages import compose, compose_done
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import alerts, conditions, history
from vantage_pipeline.warehouse.conditions import Condition, Expectation


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look found and did."""

    conditions: tuple[Condition, ...]
    began: int
    ended: int
    delivered: int
    failing: tuple[str, ...]
    """Channels that did not take what they were given."""


def watch(settings: Settings, connection: Connection, of_instance: Sequence[Condition] = ()) -> Watched | None:
    """Look, write down and tell; None when another watcher is at it.

    Args:
        of_instance: what Dagster's own records say is wrong.
    """
    with connection.cursor() as cursor:
        if not alerts.watch_alone(cursor):
            return None
    watched = _watch(settings, connection, of_instance)
    alerts.watch_no_more(connection)
    return watched


def _watch(settings: Settings, connection: Connection, of_instance: Sequence[Condition]) -> Watched:
    channels = channels_of(settings)
    names = [channel.name for channel in channels]
    with connection.cursor() as cursor:
        _forget(cursor, settings)
        alerts.note_look(cursor)
        _expect(cursor, settings)
        conditions.release_held_back(cursor)
        alerts.forget(cursor, channels=names)
        found = [*conditions.of_resources(connection, watched_states(settings)), *of_instance, *_channels(cursor)]
        changes = alerts.reconcile(cursor, found)
        if changes.began:
            alerts.queue(cursor, "began", changes.began, *compose(settings, "began", changes.began), channels=names)
        if changes.ended:
            alerts.queue(cursor, "ended", changes.ended, *compose(settings, "ended", changes.ended), channels=names)
        if settings.notify_success and (done := history.untold_successes(cursor, watched_states(settings))):
            alerts.queue(cursor, "done", (), *compose_done(settings, done), channels=names)
    connection.commit()
    delivered = 0
    for channel in channels:
        delivered += alerts.deliver(connection, channel.name, partial(send, channel, settings))
    with connection.cursor() as cursor:
        failing = tuple(item.channel for item in alerts.failing_channels(cursor))
    connection.commit()
    return Watched(tuple(found), len(changes.began), len(changes.ended), delivered, failing)


def watched_states(settings: Settings) -> list[str]:
    """The state names of the resources whose system is set up: nobody waits for the others."""
    return [resource.state for resource in RESOURCES if resource.system in settings.configured_systems]


def _forget(cursor: Cursor, settings: Settings) -> None:
    """With the first look of a day, remove from the history what the settings keep no longer."""
    before = alerts.last_look(cursor)
    if settings.history_days is not None and (before is None or before.date() < datetime.now(UTC).date()):
        history.forget(cursor, settings.history_days)


def _expect(cursor: Cursor, settings: Settings) -> None:
    systems, named = settings.configured_systems, settings.expected_hours.keys()
    conditions.expect(
        cursor,
        [
            Expectation(
                resource.state,
                settings.expected_every(resource.asset, resource.state),
                named=bool({resource.asset, resource.state} & named),
                watched=resource.system in systems,
            )
            for resource in RESOURCES
        ],
    )


def _channels(cursor: Cursor) -> list[Condition]:
    return [
        Condition(
            kind="channel_failing",
            resource=failing.channel,
            what=f"the alert channel does not take messages: {failing.error}",
            since=failing.since,
        )
        for failing in alerts.failing_channels(cursor)
    ]
