"""The command line in a process that is made by forking one that has imported the project: a new one takes seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vantage_pipeline.cli import main
from vantage_pipeline.settings import load_settings

IMPORTED = [
    __name__, "dagster_postgres", "vantage_pipeline.definitions", "vantage_pipeline.sandbox",
    *(f"vantage_pipeline.cli.{name}" for name in ("app", "inspect", "sync", "verify")),
]  # fmt: skip
"""What the forked process is to have imported: what the verbs import when they run."""


def run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: Path, err: Path) -> None:
    """Become ``vantage-pipeline ARGUMENTS`` in `folder`, with its output in two files."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8", buffering=1) for number in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["vantage-pipeline", *arguments]
    load_settings.cache_clear()
    main()
