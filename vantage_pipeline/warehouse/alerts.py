"""Alerts as rows: which conditions are open, what people were told of them, and which channel took which message.

A message and its deliveries are written in the transaction that opens or closes the alerts. Sending comes after, one
delivery at a time, so that a channel that is down loses nothing and one that is up is told nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.warehouse.conditions import Condition

_SPACE = 0x414C5254
_ERRORS_KEPT = 3
_KEPT_DAYS = 30
"""Messages older than this are forgotten, delivered or not."""

Edge = Literal["began", "ended", "done"]
"""What a message is about: conditions that began or ended, or syncs that are done."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that people are told of, from when it was first seen until it was no longer."""

    kind: str
    resource: str
    began_at: datetime
    ended_at: datetime | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """What began and what ended since the last look."""

    began: tuple[Alert, ...]
    ended: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class FailingChannel:
    """A channel that has not taken what it was given."""

    channel: str
    since: datetime
    waiting: int
    error: str


def watch_alone(cursor: Cursor) -> bool:
    """Take the watchers' lock for this transaction's connection; False when another watcher has it."""
    cursor.execute("SELECT pg_try_advisory_lock(%s, 0)", (_SPACE,))
    row = cursor.fetchone()
    return bool(row and row[0])


def watch_no_more(connection: Connection) -> None:
    """Let the next watcher in: a session's end reaches the server only some time after the connection is closed."""
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s, 0)", (_SPACE,))
    connection.commit()


def open_alerts(cursor: Cursor) -> list[Alert]:
    """The alerts whose condition still holds, the newest first."""
    cursor.execute(
        "SELECT condition, resource, began_at, ended_at, coalesce(details, '{}') FROM vantage_alerts"
        " WHERE ended_at IS NULL ORDER BY began_at DESC, condition, resource"
    )
    return [Alert(*row) for row in cursor.fetchall()]


def reconcile(cursor: Cursor, now: Sequence[Condition]) -> Changes:
    """Open an alert for each condition that is new, close those of conditions that are gone."""
    before = {(alert.kind, alert.resource): alert for alert in open_alerts(cursor)}
    found = {condition.name: condition for condition in now}
    began = [_open(cursor, condition) for name, condition in found.items() if name not in before]
    ended = [_close(cursor, alert) for name, alert in before.items() if name not in found]
    return Changes(tuple(began), tuple(ended))


def queue(
    cursor: Cursor, edge: Edge, alerts: Sequence[Alert], title: str, body: str, *, channels: Sequence[str]
) -> None:
    """One message about these alerts, to be delivered to each of the channels."""
    cursor.execute(
        "INSERT INTO vantage_alert_messages (edge, title, body) VALUES (%s, %s, %s) RETURNING id", (edge, title, body)
    )
    row = cursor.fetchone()
    number = int(row[0]) if row else 0
    for channel in channels:
        cursor.execute("INSERT INTO vantage_alert_deliveries (message_id, channel) VALUES (%s, %s)", (number, channel))
    column = "began_message" if edge == "began" else "ended_message"
    for alert in alerts:
        cursor.execute(
            sql.SQL(
                "UPDATE vantage_alerts SET {} = %s WHERE condition = %s AND resource = %s AND began_at = %s"
            ).format(sql.Identifier(column)),
            (number, alert.kind, alert.resource, alert.began_at),
        )


def forget(cursor: Cursor, *, channels: Sequence[str]) -> None:
    """Drop what waits for channels that are no longer set, and messages past their time."""
    cursor.execute(
        "DELETE FROM vantage_alert_deliveries WHERE delivered_at IS NULL AND channel <> ALL(%s)", (list(channels),)
    )
    cursor.execute(
        "DELETE FROM vantage_alert_messages WHERE composed_at < now() - make_interval(days => %s)", (_KEPT_DAYS,)
    )


def deliver(connection: Connection, channel: str, send: Callable[[str, str], str]) -> int:
    """Give the channel what waits for it, in order, until it refuses one; gives how many it took.

    Args:
        send: sends a title and a body; gives what went wrong, empty when nothing did.
    """
    taken = 0
    for number, title, body in _waiting(connection, channel):
        error = send(title, body)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE vantage_alert_deliveries SET tries = tries + 1, last_error = %s,"
                " delivered_at = CASE WHEN %s THEN now() END WHERE message_id = %s AND channel = %s",
                (error or None, not error, number, channel),
            )
            if not error:
                cursor.execute(
                    "UPDATE vantage_alerts SET notified_at = now() WHERE began_message = %s AND notified_at IS NULL",
                    (number,),
                )
        connection.commit()
        if error:
            break
        taken += 1
    return taken


def failing_channels(cursor: Cursor) -> list[FailingChannel]:
    """The channels that did not take the last message they were given."""
    cursor.execute(
        "SELECT channel, min(m.composed_at), count(*), max(last_error) FROM vantage_alert_deliveries d"
        " JOIN vantage_alert_messages m ON m.id = d.message_id WHERE delivered_at IS NULL"
        " GROUP BY channel HAVING max(tries) > 0 ORDER BY channel"
    )
    return [FailingChannel(*row) for row in cursor.fetchall()]


def note_look(cursor: Cursor) -> None:
    """Write down that somebody looked, for whoever watches the watcher."""
    cursor.execute(
        "INSERT INTO vantage_last_look (looked_at) VALUES (now())"
        " ON CONFLICT (one) DO UPDATE SET looked_at = excluded.looked_at"
    )


def last_look(cursor: Cursor) -> datetime | None:
    """When somebody last looked; None if nobody ever did."""
    cursor.execute("SELECT looked_at FROM vantage_last_look")
    row = cursor.fetchone()
    return row[0] if row else None


def _waiting(connection: Connection, channel: str) -> list[tuple[int, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT m.id, m.title, m.body FROM vantage_alert_messages m JOIN vantage_alert_deliveries d"
            " ON d.message_id = m.id WHERE d.channel = %s AND d.delivered_at IS NULL ORDER BY m.id",
            (channel,),
        )
        return cursor.fetchall()


def _open(cursor: Cursor, condition: Condition) -> Alert:
    details = {
        "what": condition.what,
        "severity": condition.severity,
        "since": condition.since.isoformat() if condition.since else None,
        "link": condition.link,
        "errors": [dict(error) for error in condition.errors[:_ERRORS_KEPT]],
    }
    cursor.execute(
        "INSERT INTO vantage_alerts (condition, resource, details) VALUES (%s, %s, %s) RETURNING began_at",
        (condition.kind, condition.resource, json.dumps(details, default=str)),
    )
    row = cursor.fetchone()
    if row is None:
        raise LookupError(condition.name)
    return Alert(condition.kind, condition.resource, row[0], None, details)


def _close(cursor: Cursor, alert: Alert) -> Alert:
    cursor.execute(
        "UPDATE vantage_alerts SET ended_at = now() WHERE condition = %s AND resource = %s AND ended_at IS NULL"
        " RETURNING ended_at",
        (alert.kind, alert.resource),
    )
    row = cursor.fetchone()
    return Alert(alert.kind, alert.resource, alert.began_at, row[0] if row else None, alert.details)
