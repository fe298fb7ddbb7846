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
