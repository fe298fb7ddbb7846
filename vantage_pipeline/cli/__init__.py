"""The command line: a thin skin over the same assets that Dagster runs."""

from __future__ import annotations

import sys
import warnings


def main() -> None:
    """Run the command. A known error is one line and an exit status; ``--traceback`` shows where it came from."""
    from vantage_pipeline.cli.app import app
    from vantage_pipeline.errors import PipelineError

    # Dagster says at every start that features this project uses on purpose are in beta
    warnings.filterwarnings("ignore", message=".*is currently in (beta|preview).*")
    try:
        app()
    except PipelineError as error:
        if "--traceback" in sys.argv:
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
