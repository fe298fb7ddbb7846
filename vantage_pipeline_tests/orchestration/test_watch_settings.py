"""What the settings ask of the watcher: expected frequencies, word of successes, and how long the history is kept."""

from __future__ import annotations

from datetime import timedelta

from vantage_pipeline_tests.duty import Duty


def test_an_expected_frequency_goes_with_its_setting_and_one_set_by_hand_stays(duty: Duty) -> None:
    every = "SELECT resource, expected_every FROM vantage_sync_expectation WHERE expected_every <> '24 hours'"
    duty.database.execute("UPDATE vantage_sync_expectation SET expected_every = '2 hours' WHERE resource = 'funds'")
    plain = duty.settings
    duty.settings = plain.model_copy(update={"expected_hours": {"accounts": 6.0}})
    duty.look()
    assert dict(duty.database.rows(every)) == {"funds": timedelta(hours=2), "accounts": timedelta(hours=6)}
    duty.settings = plain
    duty.look()
    assert dict(duty.database.rows(every)) == {"funds": timedelta(hours=2)}


def test_a_success_is_told_once_where_that_is_wanted(duty: Duty) -> None:
    duty.sync()
    duty.look()
    assert duty.titles == []
    duty.settings = duty.settings.model_copy(update={"notify_success": True})
    duty.sync(limit=5)
    for _ in range(2):
        duty.look()
    assert duty.titles == ["vantage-pipeline: synced accounts"]
    assert duty.hook.told[0][1].count("accounts: 1 records in 0.") == 2
    assert "1 created, 0 updated, 0 deleted, 0 in quarantine" in duty.mail.told[0][1]


def test_old_syncs_leave_the_history_where_the_settings_say_so(duty: Duty) -> None:
    duty.sync()
    duty.sync()
    duty.database.execute("UPDATE vantage_sync_history SET started_at = now() - interval '40 days'")
    count = "SELECT count(*) FROM vantage_sync_history"
    duty.look()
    assert duty.database.scalar(count) == 2
    duty.settings = duty.settings.model_copy(update={"history_days": 30})
    duty.look()
    assert duty.database.scalar(count) == 2, "once a day is enough"
    duty.database.execute("UPDATE vantage_last_look SET looked_at = looked_at - interval '1 day'")
    duty.look()
    assert duty.database.scalar(count) == 1
