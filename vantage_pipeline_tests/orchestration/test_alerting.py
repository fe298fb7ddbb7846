"""Each condition of a resource, from the rows to a webhook and a mail server: it begins once and ends once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from vantage_pipeline.orchestration.alerting.messages import ADVICE, label
from vantage_pipeline.orchestration.alerting.watch import watch
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import alerts, locks, state
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline_tests.conftest import ROOT
from vantage_pipeline_tests.duty import NO_ANSWER, TOKEN, Duty


def slower(duty: Duty) -> None:
    duty.database.execute(
        "INSERT INTO vantage_sync_history (run_id, resource, status, started_at, completed_at, duration_ms)"
        " SELECT n::text, 'accounts', 'success', now() - n * interval '1 day', now() - n * interval '1 day', 1000"
        " FROM generate_series(0, 6) n"
    )
    duty.past(20)


def hold_back(duty: Duty) -> None:
    duty.database.execute(
        "INSERT INTO vantage_held_back (resource, table_name, kind, column_name, records, share, run_id)"
        " VALUES ('accounts', 'investors', 'clear', 'country', 60, 1, 'held')"
    )


BEGINS: dict[str, Callable[[Duty], None]] = {
    "failed": lambda duty: duty.sync(NO_ANSWER),
    "cancelled": lambda duty: duty.sync({"code": "CANCELLED", "message": "m"}, cancelled=True),
    "lost": Duty.die,
    "stuck": lambda duty: duty.past(31 * 60, status="running"),
    "stale": lambda duty: duty.past(1, synced="25 hours"),
    "slow": lambda duty: duty.past(6 * 60),
    "slower_than_usual": slower,
    "held_back": hold_back,
}
ENDS: dict[str, Callable[[Duty], None]] = {"held_back": lambda duty: duty.sync(mode="full")}


@pytest.mark.parametrize("kind", BEGINS)
def test_a_condition_begins_once_and_ends_once(duty: Duty, kind: str) -> None:
    duty.look()
    assert duty.titles == []
    BEGINS[kind](duty)
    for _ in range(2):
        duty.look()
    assert duty.titles == [f"vantage-pipeline: accounts {label(kind)}"]
    ENDS.get(kind, Duty.sync)(duty)
    for _ in range(2):
        duty.look()
    assert duty.titles[1:] == [f"vantage-pipeline, ended: accounts {label(kind)}"]
    assert duty.database.rows(
        "SELECT condition, notified_at >= began_at, ended_at > began_at FROM vantage_alerts"
    ) == [(kind, True, True)]  # fmt: skip


def test_a_message_says_what_happened_with_the_errors_and_a_link_and_without_secrets(duty: Duty) -> None:
    duty.sync(NO_ANSWER)
    duty.look()
    for _, body in (duty.hook.told[0], duty.mail.told[0]):
        assert "accounts failed: the last sync failed, since " in body
        assert "API_UNREACHABLE: no answer to ***" in body
        assert "http://127.0.0.1:3000/runs/run-1" in body
        assert ADVICE["failed"].split(";")[0] in body
    kept = duty.database.rows("SELECT title, body FROM vantage_alert_messages")
    assert TOKEN not in json.dumps([kept, duty.hook.told, duty.mail.told])


@pytest.mark.parametrize("run", ["manual-1", "verify-1", "replay-1"])
def test_a_run_that_dagster_does_not_know_has_no_link_of_its_own(duty: Duty, run: str) -> None:
    duty.sync(NO_ANSWER)
    duty.database.execute("UPDATE vantage_sync_history SET run_id = %s", (run,))
    duty.look()
    assert "http://127.0.0.1:3000/assets/vantage/accounts" in duty.hook.told[0][1]


def test_what_begins_together_is_one_message_and_a_failure_lasts_until_a_success(duty: Duty) -> None:
    for number in range(3):
        duty.sync(NO_ANSWER)
        if number == 0:
            duty.look()
    duty.database.execute(
        "UPDATE vantage_sync_state SET created_at = now() - interval '2 days' WHERE resource = 'funds'"
    )
    duty.look()
    first, second = duty.titles
    assert first == "vantage-pipeline: accounts failed"
    assert second == "vantage-pipeline: accounts failing repeatedly, funds stale"
    # the next try has begun: nothing is right again yet
    connection = duty.database.connect()
    locks.acquire(connection, "accounts")
    with connection.cursor() as cursor:
        state.announce(cursor, Run("next"))
        state.start(cursor, "accounts")
        connection.commit()
        duty.look()
        assert len(duty.titles) == 2
        state.complete(cursor, "accounts", synced=0, created=0, updated=0, watermark=None)
    connection.commit()
    connection.close()
    duty.look()
    assert duty.titles[2:] == ["vantage-pipeline, ended: accounts failing repeatedly, accounts failed"]


def test_a_dead_channel_loses_nothing_and_the_others_hear_nothing_twice(duty: Duty) -> None:
    duty.hook.refuses = True
    duty.sync(NO_ANSWER)
    assert duty.look().failing == ("json",)
    duty.look()
    duty.sync()
    duty.look()
    failed, channel, ended = (title for title, _ in duty.mail.told)
    assert (failed, ended) == ("vantage-pipeline: accounts failed", "vantage-pipeline, ended: accounts failed")
    assert channel == "vantage-pipeline: json channel failing"
    assert duty.hook.told == []
    connection = duty.database.connect()
    duty.hook.refuses = False
    assert duty.look().failing == ()
    assert [title for title, _ in duty.hook.told] == [failed, channel, ended]
    duty.look()
    assert duty.titles == [failed, channel, ended, "vantage-pipeline, ended: json channel failing"]
    connection.close()


def test_a_channel_that_is_taken_out_is_waited_for_no_more(duty: Duty, make_settings: Callable[..., Settings]) -> None:
    duty.hook.refuses = True
    duty.sync(NO_ANSWER)
    duty.look()
    duty.settings = duty.settings.model_copy(update={"alert_urls": make_settings(ALERT_URLS=duty.mail.url).alert_urls})
    assert duty.look().failing == ()
    assert duty.database.scalar("SELECT count(*) FROM vantage_alert_deliveries WHERE delivered_at IS NULL") == 0


def test_without_channels_alerts_are_written_down(duty: Duty) -> None:
    duty.settings = duty.settings.model_copy(update={"alert_urls": None})
    duty.sync(NO_ANSWER)
    duty.look()
    assert duty.database.rows("SELECT condition, notified_at FROM vantage_alerts") == [("failed", None)]


def test_runs_that_were_turned_away_are_no_failures(duty: Duty) -> None:
    connection = duty.database.connect()
    with connection.cursor() as cursor:
        state.announce(cursor, Run("first"))
        state.start(cursor, "accounts")
        connection.commit()
        for number in range(3):
            state.announce(cursor, Run(f"turned-away-{number}"))
            state.fail(cursor, "accounts", [{"code": "SYNC_ALREADY_RUNNING", "message": "wait"}])
            connection.commit()
        state.announce(cursor, Run("first"))
        state.complete(cursor, "accounts", synced=0, created=0, updated=0, watermark=None)
        state.announce(cursor, Run("second"))
        state.start(cursor, "accounts")
    connection.commit()
    connection.close()
    assert duty.look().conditions == ()
    assert duty.database.scalar("SELECT count(*) FROM vantage_sync_history WHERE status = 'failed'") == 3


def test_only_one_watches_at_a_time_and_who_is_done_keeps_nobody_out(duty: Duty) -> None:
    first, second = duty.database.connect(), duty.database.connect()
    with first.cursor() as cursor:
        assert alerts.watch_alone(cursor)
    assert watch(duty.settings, second) is None
    alerts.watch_no_more(first)
    assert watch(duty.settings, first) is not None
    assert watch(duty.settings, second) is not None, "while the first connection is still open"
    first.close()
    second.close()


def test_nobody_waits_for_a_system_that_is_not_set_up(duty: Duty) -> None:
    duty.database.execute(
        "UPDATE vantage_sync_state SET created_at = now() - interval '2 days' WHERE resource LIKE 'bubble%'"
    )
    duty.look()
    assert duty.titles == []
    assert duty.database.rows("SELECT resource FROM sync_conditions") == [], "what metrics and psql show"
    bubble = "SELECT DISTINCT health_indicator, conditions FROM sync_health WHERE resource LIKE 'bubble%'"
    assert duty.database.rows(bubble) == [("green", ["never_run"])]
    duty.settings = duty.settings.model_copy(update={"bubble_api_base_url": "http://127.0.0.1:9"})
    duty.look()
    assert duty.database.rows(bubble) == [("yellow", ["stale", "never_run"])]


def test_an_expected_frequency_of_its_own(duty: Duty) -> None:
    duty.settings = duty.settings.model_copy(update={"expected_hours": {"vantage/accounts": 6.0}})
    duty.past(1, synced="7 hours")
    duty.look()
    assert duty.titles == ["vantage-pipeline: accounts stale"]


def test_what_was_held_back_and_then_done_is_released(duty: Duty) -> None:
    hold_back(duty)
    duty.sync(allow_clear=["investors.email"])
    duty.look()
    assert len(duty.titles) == 1
    duty.sync(allow_clear=["investors.country"])
    duty.look()
    assert len(duty.titles) == 2
    assert duty.database.scalar("SELECT count(*) FROM vantage_held_back WHERE released_at IS NULL") == 0


def test_each_kind_of_condition_is_explained_to_the_person_on_duty() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    assert [kind for kind in ADVICE if f"| `{kind}` |" not in page] == []
