"""Alerts through Apprise: one message to every URL of ``ALERT_URLS``. A channel that fails never fails a sync."""

from __future__ import annotations

from collections.abc import Sequence

from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine

_ERRORS_SHOWN = 3


def notify(settings: Settings, title: str, body: str) -> str:
    """Send a message; gives what went wrong, empty when nothing did. No secret is in it."""
    if settings.alert_urls is None:
        return ""
    import apprise

    sender = apprise.Apprise()
    refused = 0
    urls = settings.alert_urls.get_secret_value().split()
    for address in urls:
        refused += not sender.add(address)
    delivered = sender.notify(title=settings.mask(title), body=settings.mask(body)) if len(sender) else False
    if refused:
        return f"{refused} of {len(urls)} addresses in ALERT_URLS are not Apprise URLs"
    return "" if delivered else "a channel of ALERT_URLS did not take the alert"


def failure_message(settings: Settings, run_id: str, resources: Sequence[str]) -> tuple[str, str]:
    """Title and body about a failed run: the resources that failed, their first errors, a link to the run."""
    connection = engine.connect(engine.database_url(settings))
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT resource, errors FROM vantage_sync_history WHERE run_id = %s"
                " AND status IN ('failed', 'cancelled') ORDER BY resource",
                (run_id,),
            )
            failed = cursor.fetchall()
    finally:
        connection.close()
    lines = []
    for resource, errors in failed:
        lines.append(f"{resource}:")
        lines.extend(f"  {error.get('code')}: {error.get('message')}" for error in errors[:_ERRORS_SHOWN])
    names = [resource for resource, _ in failed] or list(resources)
    lines.append(f"{settings.ui_url.rstrip('/')}/runs/{run_id}")
    return f"sync failed: {', '.join(names)}", "\n".join(lines)
