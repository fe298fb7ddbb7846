from __future__ import annotations

import pytest

from vantage_pipeline.errors import SourceError
from vantage_pipeline.sandbox import Fault
from vantage_pipeline.warehouse import crash_points
from vantage_pipeline_tests.pipeline import Pipeline


def test_syncs_come_by_every_point_in_order(pipeline: Pipeline) -> None:
    seen: list[str] = []
    with crash_points.armed(seen.append):
        pipeline.sync("accounts", full=True)
        pipeline.sync("investments")
        pipeline.sandbox.faults.add(Fault("401"))
        with pytest.raises(SourceError):
            pipeline.sync("accounts")
    assert set(seen) == set(crash_points.POINTS)
    assert seen[:10] == [point for point in crash_points.POINTS if point.split(".")[0] not in ("derivation", "failure")]


def test_nothing_is_armed_by_itself(pipeline: Pipeline) -> None:
    seen: list[str] = []
    with crash_points.armed(seen.append):
        pass
    pipeline.sync("funds")
    assert seen == []


def test_a_connection_that_is_lost_right_after_the_last_commit_fails_nothing(pipeline: Pipeline) -> None:
    def cut(point: str) -> None:
        if point == "finish.committed" and pipeline.load is not None:
            pid = pipeline.load.connection.info.backend_pid
            pipeline.database.rows("SELECT pg_terminate_backend(%s, 10000)", [pid])

    with crash_points.armed(cut):
        report = pipeline.sync("accounts")
    assert report.watermark_after is not None
    assert pipeline.database.rows(
        "SELECT last_sync_status, last_sync_time FROM vantage_sync_state WHERE resource = 'accounts'"
    ) == [("success", report.watermark_after)]
