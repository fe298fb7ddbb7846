"""Syncs in processes of their own, which are killed at a crash point as a machine would be: without a word.

The processes are forked from a server that has imported everything, so that one takes a moment and not seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, cast

from vantage_pipeline.errors import PipelineError
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.warehouse import crash_points
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

FAILED = 3
"""Exit status of a sync that ended with an error of ours."""


@dataclass(frozen=True)
class Doom:
    """Where the process ends: at the `nth` time that it reaches `point`."""

    point: str
    nth: int = 1


@dataclass(frozen=True)
class _Elsewhere:
    """A sandbox in another process, as far as the settings need it."""

    variables: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        return dict(self.variables)


def start(
    sandbox: Sandbox, url: str, resource: str, doom: Doom | None, changes: Mapping[str, Any], **options: Any
) -> BaseProcess:
    """A process that syncs `resource` in full into the database at `url`. Its exit code tells how it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vantage_pipeline_tests.doomed"])
    arguments = (sandbox.environment(), url, resource, doom, dict(changes), options)
    process = context.Process(target=_sync, args=arguments, daemon=True)
    process.start()
    return process


def _sync(
    variables: Mapping[str, str],
    url: str,
    resource: str,
    doom: Doom | None,
    changes: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    database = Database(url)
    pipeline = Pipeline(cast(Sandbox, _Elsewhere(variables)), database)
    pipeline.changes = dict(changes)
    pipeline._runs = os.getpid()
    with crash_points.armed(_killing(doom)):
        try:
            pipeline.sync(resource, full=True, options=LoadOptions(**options))
        except PipelineError:
            os._exit(FAILED)


def _killing(doom: Doom | None) -> Any:
    left = doom.nth if doom is not None else 0

    def act(name: str) -> None:
        nonlocal left
        if doom is not None and name == doom.point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return act
