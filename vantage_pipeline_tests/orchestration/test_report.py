"""The report: one page that says what is wrong and needs nothing from elsewhere, and its asset."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import dagster as dg
import pytest

from vantage_pipeline.definitions import defs
from vantage_pipeline.orchestration.report.asset import REPORT
from vantage_pipeline.orchestration.report.page import facts_for, render, write
from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.database import Database

STAGED = """
INSERT INTO vantage_sync_history (run_id, resource, status, started_at, completed_at, duration_ms, records_created, errors)
SELECT n::text, 'accounts', CASE WHEN n = 3 THEN 'failed' ELSE 'success' END, now() - n * interval '1 day',
    now() - n * interval '1 day' + interval '2 s', 2000 + 100 * n, 10 * n,
    CASE WHEN n = 3 THEN '[{"code": "API_PROTOCOL", "message": "<script>alert(1)</script>"}]'::jsonb ELSE '[]' END
FROM generate_series(0, 9) n;
UPDATE vantage_sync_state SET last_sync_status = 'failed', last_sync_time = now() - interval '3 days',
    started_at = now() - interval '2 s', completed_at = now(),
    errors = '[{"code": "API_UNREACHABLE", "message": "no answer to recognisable-token"}]' WHERE resource = 'accounts';
INSERT INTO vantage_quarantine (resource, table_name, record_key, code, field, message, record, run_id)
    VALUES ('funds', 'deals', 'key-7', 'NOT_A_DATE', 'f', '<b>not a date</b>', '{}', 'r');
INSERT INTO vantage_held_back (resource, table_name, kind, column_name, records, share, run_id)
    VALUES ('funds', 'deals', 'clear', 'sector', 20, 0.95, 'r');
INSERT INTO vantage_pending_links VALUES ('transactions', 't1', 'investor_id', 'investors', '9', 'cashflows', 'not there', 'r');
INSERT INTO vantage_alerts (condition, resource, details) VALUES ('stopped', 'close_lost_runs', '{"what": "it has been stopped"}');
"""


@pytest.fixture
def settings(database: Database, make_settings: Callable[..., Settings]) -> Settings:
    database.execute(STAGED)
    return make_settings(
        DATABASE_URL=database.url, VANTAGE_API_BASE_URL="http://127.0.0.1:9", VANTAGE_AUTH_TOKEN="recognisable-token"
    )


def test_the_page_says_what_is_wrong_and_loads_nothing(settings: Settings) -> None:
    page = render(settings, facts_for(settings))
    for said in ("API_UNREACHABLE: no answer to ***", "failed", "stale", "key-7", "deals.sector", "transactions.investor_id",
                 "close_lost_runs stopped", "95 %"):  # fmt: skip
        assert said in page, said
    assert "recognisable-token" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page and "&lt;b&gt;not a date" in page
    loaded = re.findall(r"""(?:src|srcset|href|url)\s*[=(]\s*["']?([^"')>\s]+)""", page)
    assert {address.partition(":")[0] for address in loaded} == {"data", "http"}
    assert all(a.startswith(("data:", f"{settings.ui_url}/")) for a in loaded)
    assert "bubble_" not in page  # not set up


def test_each_resource_with_runs_has_a_picture_of_them(settings: Settings) -> None:
    page = render(settings, facts_for(settings))
    (picture,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    drawn = ElementTree.fromstring(base64.b64decode(picture))
    titles = {"".join(text.itertext()).strip() for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"duration, s", "rows changed", "errors", "hours since a success"} <= titles


def test_only_the_last_days_are_shown(settings: Settings) -> None:
    facts = {r.resource: r for r in facts_for(settings, days=5).resources}
    assert [run.run_id for run in facts["accounts"].runs] == ["4", "3", "2", "1", "0"]
    assert facts["funds"].runs == ()


def test_a_file_is_written_whole(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write(settings, facts_for(settings), path)
    assert path.read_text().rstrip().endswith("</html>")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_the_asset_holds_the_file_and_the_pictures(
    dagster_instance: dg.DagsterInstance,
    embedded: Database,
    use_environment: Callable[[Mapping[str, str]], Settings],
) -> None:
    use_environment({"VANTAGE_API_BASE_URL": "http://127.0.0.1:9"})
    embedded.execute(STAGED)
    result = defs.resolve_job_def(REPORT.name).execute_in_process(instance=dagster_instance)
    (materialization,) = result.asset_materializations_for_node("operations__report")
    metadata = materialization.metadata
    path = Path(str(metadata["report"].value))
    assert path.read_text().startswith("<!doctype html>")
    assert "![vantage](data:image/svg+xml;base64," in str(metadata["vantage_runs"].value)
    assert metadata["open_conditions"].value == 2
    assert "| accounts | red | failed |" in str(metadata["health"].value)


@pytest.mark.parametrize("how", ["failure", "cancel"])
def test_a_daily_run_has_the_report_made_however_it_ended(dagster_instance: dg.DagsterInstance, how: str) -> None:
    job = defs.resolve_job_def("vantage_incremental")
    run = dagster_instance.create_run_for_job(job)
    kind = dg.DagsterEventType.RUN_FAILURE if how == "failure" else dg.DagsterEventType.RUN_CANCELED
    (dagster_instance.report_run_failed if how == "failure" else dagster_instance.report_run_canceled)(run)
    (entry,) = dagster_instance.all_logs(run.run_id, of_type=kind)
    sensor = f"report_after_{how}"
    context = dg.build_run_status_sensor_context(sensor, entry.get_dagster_event(), dagster_instance, run)
    request = defs.resolve_sensor_def(sensor)(context)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == run.run_id
