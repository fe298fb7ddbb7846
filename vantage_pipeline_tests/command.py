"""The command line in a process that is made by forking one that has imported the project: a new one takes seconds.

Importing this module imports what the verbs import when they run, and reads no setting that a test could change.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster_postgres  # noqa: F401

import vantage_pipeline.cli.app
import vantage_pipeline.cli.inspect
import vantage_pipeline.cli.sync
import vantage_pipeline.cli.verify
import vantage_pipeline.definitions
import vantage_pipeline.sandbox  # noqa: F401
from vantage_pipeline.cli import main
from vantage_pipeline.settings import load_settings


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
