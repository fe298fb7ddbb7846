"""Links from the assets in the UI to the code that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from vantage_pipeline.settings import load_settings


def with_code_references(assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets, with references to local files, or to the source tree's address where one is set."""
    referenced = dg.with_source_code_references(list(assets))
    address = load_settings().code_url
    if address:
        root = Path(__file__).resolve().parents[2]
        referenced = dg.link_code_references_to_git(
            referenced,
            git_url=address,
            git_branch="main",
            file_path_mapping=dg.AnchorBasedFilePathMapping(
                local_file_anchor=root / "pyproject.toml", file_anchor_path_in_repository="pyproject.toml"
            ),
        )
    return [asset for asset in referenced if isinstance(asset, dg.AssetsDefinition)]
