"""What people are told: one message for all that began, one for all that ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse.alerts import Alert
from vantage_pipeline.warehouse.history import Success

ADVICE: Mapping[str, str] = {
    "failed": "look at the run; the next sync reads what this one did not",
    "cancelled": "start it again if that was not meant",
    "lost": "nothing: the next sync completes; if it happens again, look at the machine's memory and restarts",
    "failing_repeatedly": "look at the first error; it will not mend by itself",
    "stuck": "look at the run; cancel it if it does not go on",
    "stale": "see that the daemon runs and its schedule is on, or start a sync",
    "slow": "see in the report whether it grows; the API, the network or the database is slow",
    "slower_than_usual": "nothing at once; see in the report whether it lasts",
    "held_back": "if it is meant, run again with the option that the run's error names",
    "check_failed": "look at the check in the UI; vantage-pipeline verify lists what is wrong",
    "stopped": "start it again on the UI's Automation page, unless that was meant",
    "ticks_failing": "look at its last ticks on the UI's Automation page",
    "daemon_silent": "restart the daemon",
    "report_failed": "look at the run; vantage-pipeline report makes it by hand",
    "verification_failed": "look at the run; vantage-pipeline verify makes it by hand",
    "channel_failing": "mend the channel; what it missed is kept and sent when it is back",
}
"""Every kind of condition, with the first thing to do; ``docs/operations.md`` says more."""

_NAMED = 4


def compose(settings: Settings, edge: str, alerts: Sequence[Alert]) -> tuple[str, str]:
    """Title and body of the message about alerts that ``began`` or ``ended``. Secrets are masked."""
    blocks = [_began(settings, alert) if edge == "began" else _ended(alert) for alert in alerts]
    return settings.mask(_title(edge, alerts)), settings.mask("\n\n".join(blocks))


def compose_done(settings: Settings, done: Sequence[Success]) -> tuple[str, str]:
    """Title and body of the message about syncs that succeeded. Secrets are masked."""
    lines = [
        f"{item.resource}: {item.synced} records{' (a part)' if item.partial else ''} in {item.seconds:.1f} s, "
        f"{item.created} created, {item.updated} updated, {item.deleted} deleted, {item.quarantined} in quarantine"
        for item in done
    ]
    names = list(dict.fromkeys(item.resource for item in done))
    return settings.mask(f"vantage-pipeline: synced {_listed(names)}"), settings.mask("\n".join(lines))


def label(kind: str) -> str:
    """A kind of condition in words."""
    return kind.replace("_", " ")


def _title(edge: str, alerts: Sequence[Alert]) -> str:
    names = [f"{alert.resource} {label(alert.kind)}" for alert in alerts]
    return f"vantage-pipeline: {_listed(names)}" if edge == "began" else f"vantage-pipeline, ended: {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _began(settings: Settings, alert: Alert) -> str:
    details = alert.details
    since = f", since {_moment(datetime.fromisoformat(details['since']))}" if details.get("since") else ""
    lines = [f"{alert.resource} {label(alert.kind)}: {details.get('what', '')}{since}"]
    lines.extend(f"  {error.get('code')}: {error.get('message')}" for error in details.get("errors", ()))
    lines.append(f"  To do: {ADVICE[alert.kind]}")
    if details.get("link"):
        lines.append(f"  {settings.ui_url.rstrip('/')}{details['link']}")
    return "\n".join(lines)


def _ended(alert: Alert) -> str:
    minutes = ((alert.ended_at or datetime.now(UTC)) - alert.began_at).total_seconds() / 60
    lasted = f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{minutes:.0f} minutes"
    return f"{alert.resource} {label(alert.kind)}: ended after {lasted} (began {_moment(alert.began_at)})"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
