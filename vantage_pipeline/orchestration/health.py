"""Each resource's health where Dagster shows it: a check ``healthy`` on each asset, and a freshness policy.

The checks say what the view ``sync_conditions`` says. The sensor ``watch_health`` reports them whenever they change,
without a run; executing one in the UI looks now.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import dagster as dg

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.orchestration.checks import HEALTHY
from vantage_pipeline.orchestration.jobs import asset_key
from vantage_pipeline.settings import Settings, load_settings
from vantage_pipeline.warehouse import conditions, engine
from vantage_pipeline.warehouse.conditions import Condition

_GRACE = timedelta(minutes=30)


def freshness(settings: Settings, resource: Resource) -> dg.FreshnessPolicy:
    """Fails when the resource is late, and warns a little before that: see ``stale`` in ``sync_conditions``."""
    every = settings.expected_every(resource.asset, resource.state)
    return dg.FreshnessPolicy.time_window(fail_window=every + _GRACE, warn_window=every + _GRACE / 3)


def build_health_checks() -> list[dg.AssetChecksDefinition]:
    """A check for each resource. The sync jobs leave them out: their sensor reports them anyway."""
    return [_build(resource) for resource in RESOURCES]


def evaluations(
    found: Iterable[Condition], states: Sequence[str], *, told: dict[str, str]
) -> list[dg.AssetCheckEvaluation]:
    """The checks of the resources whose conditions are not those that were told last; `told` then says what is."""
    changed = []
    by_state = {state: [c for c in found if c.resource == state] for state in states}
    for resource in RESOURCES:
        if resource.state not in by_state:
            continue
        holding = by_state[resource.state]
        kinds = ",".join(sorted(condition.kind for condition in holding))
        if told.get(resource.state) == kinds:
            continue
        told[resource.state] = kinds
        result = _result(holding)
        changed.append(
            dg.AssetCheckEvaluation(
                asset_key=asset_key(resource),
                check_name=HEALTHY.name,
                passed=result.passed,
                severity=result.severity,
                description=result.description,
                metadata=result.metadata,
            )
        )
    return changed


def _build(resource: Resource) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset_key(resource), name=HEALTHY.name, description=HEALTHY.description)
    def healthy() -> dg.AssetCheckResult:
        connection = engine.connect(engine.database_url(load_settings()))
        try:
            return _result(conditions.of_resources(connection, [resource.state]))
        finally:
            connection.close()

    return healthy


def _result(holding: Sequence[Condition]) -> dg.AssetCheckResult:
    red = any(condition.severity == "red" for condition in holding)
    return dg.AssetCheckResult(
        passed=not holding,
        severity=dg.AssetCheckSeverity.ERROR if red else dg.AssetCheckSeverity.WARN,
        description="; ".join(condition.what for condition in holding) or "nothing is wrong",
        metadata={condition.kind: _in_full(condition) for condition in holding},
    )


def _in_full(condition: Condition) -> str:
    since = f", since {condition.since:%Y-%m-%d %H:%M} UTC" if condition.since else ""
    errors = "".join(f"; {error.get('code')}: {error.get('message')}" for error in condition.errors[:1])
    return f"{condition.what}{since}{errors}"
