"""The person on duty: a database, what watches it, and a webhook and a mail server where the messages arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vantage_pipeline.orchestration.alerting.watch import Watched, watch
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import state
from vantage_pipeline.warehouse.lost import close_dead
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline_tests.alert_channels import Inbox
from vantage_pipeline_tests.database import Database

TOKEN = "recognisable-token"
NO_ANSWER = {"code": "API_UNREACHABLE", "message": f"no answer to {TOKEN}"}


@dataclass
class Duty:
    """A database, what watches it, and where the watcher's messages arrive."""

    database: Database
    settings: Settings
    hook: Inbox
    mail: Inbox
    runs: int = 0

    def look(self) -> Watched:
        connection = self.database.connect()
        try:
            watched = watch(self.settings, connection)
        finally:
            connection.close()
        assert watched is not None
        return watched

    def sync(self, *errors: dict[str, str], cancelled: bool = False, **options: Any) -> None:
        """A sync of the accounts, through the functions that runs use."""
        self.runs += 1
        run = Run(f"run-{self.runs}", options=options)
        connection = self.database.connect()
        with connection.cursor() as cursor:
            state.announce(cursor, run, {"status": "cancelled"} if cancelled else None)
            state.start(cursor, "accounts")
            if errors:
                state.fail(cursor, "accounts", errors)
            else:
                state.complete(cursor, "accounts", synced=1, created=1, updated=0, watermark=None)
        connection.commit()
        connection.close()

    def die(self) -> None:
        """A sync whose process is gone, found by whoever looks for its lock."""
        connection = self.database.connect()
        with connection.cursor() as cursor:
            state.announce(cursor, Run("dead"))
            state.start(cursor, "accounts")
        connection.commit()
        assert close_dead(connection) == ["accounts"]
        connection.close()

    def past(self, seconds: float, **changes: str) -> None:
        """As if the last sync had begun so long ago, with other changes of the state row."""
        self.database.execute(
            "UPDATE vantage_sync_state SET started_at = now() - make_interval(secs => %s), last_sync_status = %s,"
            " completed_at = CASE WHEN %s = 'running' THEN NULL ELSE now() END, last_sync_time = now() - %s::interval"
            " WHERE resource = 'accounts'",
            (seconds, changes.get("status", "success"), changes.get("status"), changes.get("synced", "1 minute")),
        )

    @property
    def titles(self) -> list[str]:
        """What was told; both channels were told the same."""
        assert [title for title, _ in self.hook.told] == [title for title, _ in self.mail.told]
        return [title for title, _ in self.hook.told]
