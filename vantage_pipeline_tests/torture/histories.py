"""Runs histories in this process, by a seed: the same ones for the same seed, whatever ran before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from vantage_pipeline_tests.torture.machine import POINTS, STEPS, Convergence
from vantage_pipeline_tests.torture.scenes import OFTEN
from vantage_pipeline_tests.torture.world import World

RULES = sorted(rule.function.__name__ for rule in Convergence.setup_state().rules)


def run(
    world: World,
    *,
    number: int,
    histories: int,
    scenes: Sequence[str] = OFTEN,
    rules: Collection[str] = RULES,
    points: Sequence[str] = POINTS,
    shrink: bool = True,
) -> None:
    """Run `histories` histories of seed `number`, made of `rules`, with syncs cut off at `points`.

    Raises:
        AssertionError: something did not hold; its notes tell the history, as short as it could be made.
    """
    left_out: dict[str, Any] = dict.fromkeys(set(RULES) - set(rules))
    machine = type("Convergence", (Convergence,), {"world": world, "scenes": scenes, "points": points, **left_out})
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=histories,
            stateful_step_count=STEPS + 2,
            deadline=None,
            database=None,
            derandomize=False,
            phases=phases,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
        _min_steps=STEPS + 1,
    )
