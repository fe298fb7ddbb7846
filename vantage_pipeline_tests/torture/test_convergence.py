from __future__ import annotations

import pytest

from vantage_pipeline_tests.torture import histories
from vantage_pipeline_tests.torture.mutations import MUTATIONS
from vantage_pipeline_tests.torture.world import World

BUDGET = 30
BOUND = 300
"""Histories in which a change of the code must show. Nine of the eleven show in the first dozen, two in 43 and 67."""


@pytest.mark.timeout(900)
def test_whatever_happens_the_tables_converge_to_the_source(world: World) -> None:
    histories.run(world, number=5, histories=BUDGET)
    assert world.tally.histories >= BUDGET // 2
    assert world.tally.rows_compared > 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_suite_notices(world: World, name: str) -> None:
    mutation = MUTATIONS[name]
    with mutation.apply(world), pytest.raises(AssertionError):
        histories.run(
            world, number=1, histories=BOUND, scenes=(mutation.scene,), rules=mutation.rules, points=mutation.points,
            shrink=False,
        )  # fmt: skip
