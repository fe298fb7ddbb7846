"""``python -m vantage_pipeline``: the same as the command ``vantage-pipeline``."""

from vantage_pipeline.cli import main

main()
