"""The sensor ``watch_health`` on a real instance: what Dagster's own records say is wrong, and each asset's health."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from vantage_pipeline.catalog import RESOURCES, by_state
from vantage_pipeline.definitions import defs
from vantage_pipeline.orchestration.health import freshness
from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.alert_channels import Inbox, mail_server, webhook
from vantage_pipeline_tests.database import Database

ACCOUNTS = dg.AssetKey(["vantage", "accounts"])


@dataclass
class Watcher:
    """The sensor with its cursor, on an instance, and the webhook and the mail server that it tells."""

    instance: dg.DagsterInstance
    hook: Inbox
    mail: Inbox
    cursor: str | None = None

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=defs.get_repository_def(),
            sensor_name="watch_health",
        )
        result = defs.resolve_sensor_def("watch_health")(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    @property
    def titles(self) -> list[str]:
        """What was told; both channels were told the same."""
        assert [title for title, _ in self.hook.told] == [title for title, _ in self.mail.told]
        return [title.removeprefix("vantage-pipeline") for title, _ in self.hook.told]


@pytest.fixture
def watcher(
    dagster_instance: dg.DagsterInstance, use_environment: Callable[[Mapping[str, str]], Settings]
) -> Iterator[Watcher]:
    with webhook() as hook, mail_server() as mail:
        use_environment({"ALERT_URLS": f"{hook.url} {mail.url}", "VANTAGE_API_BASE_URL": "http://127.0.0.1:9"})
        yield Watcher(dagster_instance, hook, mail)


def evaluated(instance: dg.DagsterInstance, *, passed: bool) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=ACCOUNTS, check_name="keys_unique", passed=passed, metadata={})
    )


def instigator(name: str, status: InstigatorStatus) -> InstigatorState:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="vantage_pipeline.definitions")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name="vantage_pipeline")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    return InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData())


def ticked(instance: dg.DagsterInstance, sensor: InstigatorState, status: TickStatus) -> None:
    error = SerializableErrorInfo("it broke", [], "ValueError") if status is TickStatus.FAILURE else None
    instance.create_tick(
        TickData(
            instigator_origin_id=sensor.instigator_origin_id,
            instigator_name=sensor.instigator_name,
            instigator_type=InstigatorType.SENSOR,
            status=status,
            timestamp=datetime.now(UTC).timestamp(),
            selector_id=sensor.selector_id,
            error=error,
        )
    )


def test_a_failed_check_is_told_until_it_passes(watcher: Watcher) -> None:
    evaluated(watcher.instance, passed=False)
    watcher.tick()
    watcher.tick()
    assert watcher.titles == [": vantage/accounts keys_unique check failed"]
    assert "/assets/vantage/accounts?view=checks" in watcher.hook.told[0][1]
    evaluated(watcher.instance, passed=True)
    watcher.tick()
    watcher.tick()
    assert watcher.titles[1:] == [", ended: vantage/accounts keys_unique check failed"]


def test_a_stopped_sensor_is_told_until_it_runs(watcher: Watcher) -> None:
    stopped = instigator("record_failed_runs", InstigatorStatus.STOPPED)
    watcher.instance.add_instigator_state(stopped)
    watcher.instance.add_instigator_state(instigator("of_another_project", InstigatorStatus.STOPPED))
    watcher.tick()
    watcher.tick()
    assert watcher.titles == [": record_failed_runs stopped"]
    watcher.instance.update_instigator_state(stopped.with_status(InstigatorStatus.RUNNING))
    watcher.tick()
    assert watcher.titles[1:] == [", ended: record_failed_runs stopped"]


def test_a_sensor_that_fails_twice_is_told_until_a_tick_is_well(watcher: Watcher) -> None:
    sensor = instigator("close_lost_runs", InstigatorStatus.RUNNING)
    watcher.instance.add_instigator_state(sensor)
    ticked(watcher.instance, sensor, TickStatus.FAILURE)
    watcher.tick()
    assert watcher.titles == []
    ticked(watcher.instance, sensor, TickStatus.FAILURE)
    watcher.tick()
    assert watcher.titles == [": close_lost_runs ticks failing"]
    assert "it broke" in watcher.hook.told[0][1]
    ticked(watcher.instance, sensor, TickStatus.SKIPPED)
    watcher.tick()
    assert watcher.titles[1:] == [", ended: close_lost_runs ticks failing"]


def test_a_silent_daemon_is_told_once_the_watcher_itself_has_been_up_for_a_while(watcher: Watcher) -> None:
    silent = datetime.now(UTC) - timedelta(minutes=10)
    watcher.instance.add_daemon_heartbeat(DaemonHeartbeat(silent.timestamp(), "SCHEDULER", "one", []))
    watcher.tick()
    assert watcher.titles == []
    memory = json.loads(watcher.cursor or "")
    watcher.cursor = json.dumps({**memory, "up_since": silent.timestamp()})
    watcher.tick()
    assert watcher.titles == [": scheduler daemon silent"]
    watcher.instance.add_daemon_heartbeat(DaemonHeartbeat(datetime.now(UTC).timestamp(), "SCHEDULER", "two", []))
    watcher.tick()
    assert watcher.titles[1:] == [", ended: scheduler daemon silent"]


def test_a_report_that_could_not_be_made_is_told_until_one_is(watcher: Watcher) -> None:
    job = defs.resolve_job_def("report")
    watcher.instance.report_run_failed(watcher.instance.create_run_for_job(job))
    watcher.tick()
    watcher.tick()
    assert watcher.titles == [": operations/report report failed"]
    assert job.execute_in_process(instance=watcher.instance).success
    watcher.tick()
    assert watcher.titles[1:] == [", ended: operations/report report failed"]


def test_a_verification_that_could_not_be_made_is_told_until_one_is(watcher: Watcher) -> None:
    job = defs.resolve_job_def("verification")
    watcher.instance.report_run_failed(watcher.instance.create_run_for_job(job))
    watcher.tick()
    watcher.tick()
    assert watcher.titles == [": operations/verification verification failed"]
    run = watcher.instance.create_run_for_job(job)
    ended = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job_name=job.name)
    watcher.instance.report_dagster_event(ended, run.run_id)
    watcher.tick()
    assert watcher.titles[1:] == [", ended: operations/verification verification failed"]


def test_the_check_healthy_is_reported_when_it_changes(watcher: Watcher, embedded: Database) -> None:
    first = {event.asset_key: event for event in watcher.tick().asset_events}
    assert len(first) == 7  # Vantage's; Bubble is not set up
    assert all(isinstance(event, dg.AssetCheckEvaluation) and event.passed for event in first.values())
    assert watcher.tick().asset_events == []
    embedded.execute("SELECT start_vantage_sync('accounts')")
    embedded.execute("""SELECT fail_vantage_sync('accounts', '[{"code": "X", "message": "m"}]')""")
    (event,) = watcher.tick().asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert (event.asset_key, event.check_name, event.passed) == (ACCOUNTS, "healthy", False)
    assert event.description == "the last sync failed"


def test_the_check_healthy_looks_when_asked(watcher: Watcher, embedded: Database) -> None:
    embedded.execute("SELECT start_vantage_sync('accounts')")
    embedded.execute("""SELECT fail_vantage_sync('accounts', '[{"code": "X", "message": "m"}]')""")
    job = dg.define_asset_job("look", selection=dg.AssetSelection.checks(dg.AssetCheckKey(ACCOUNTS, "healthy")))
    looking = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("look")
    result = looking.execute_in_process(instance=watcher.instance)
    assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [False]


@pytest.mark.usefixtures("embedded")
def test_a_channel_that_is_dead_fails_no_tick(
    watcher: Watcher, use_environment: Callable[[Mapping[str, str]], Settings]
) -> None:
    use_environment({"ALERT_URLS": watcher.hook.url})
    watcher.hook.refuses = True
    evaluated(watcher.instance, passed=False)
    assert "0 messages delivered" in str(watcher.tick().skip_reason)
    assert "2 conditions hold" in str(watcher.tick().skip_reason)
    watcher.hook.refuses = False
    watcher.tick()
    assert len(watcher.hook.told) == 2


def test_every_resource_has_a_check_and_a_freshness_policy(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(expected_hours={"cashflows": 6})
    graph = defs.resolve_asset_graph()
    for resource in RESOURCES:
        key = dg.AssetKey(resource.asset.split("/"))
        assert dg.AssetCheckKey(key, "healthy") in graph.asset_check_keys
        assert graph.get(key).freshness_policy == freshness(make_settings(), resource)
    policy = freshness(settings, by_state("cashflows"))
    assert policy == dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=6, minutes=30), warn_window=timedelta(hours=6, minutes=10)
    )
