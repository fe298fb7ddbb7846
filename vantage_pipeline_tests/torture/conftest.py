from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.torture import servers
from vantage_pipeline_tests.torture.world import World


@pytest.fixture(scope="module")
def world(postgres: EmbeddedServer, migrated_template: str, state_dir: Path) -> Iterator[World]:
    """The histories' servers, on the session's PostgreSQL."""
    with servers.world(postgres, state_dir, 0, migrated_template) as made:
        yield made
