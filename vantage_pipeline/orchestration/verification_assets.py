"""Each system's verification as an asset, with a check for each of its resources."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from vantage_pipeline.catalog import RESOURCES, find
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.orchestration.io_manager import trigger_of
from vantage_pipeline.orchestration.jobs import asset_key, verification_key
from vantage_pipeline.orchestration.verification import Verification, verify
from vantage_pipeline.settings import Settings, load_settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.findings import Finding, look, subject
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline.warehouse.verdict import Verdict

_COUNTS = ("records", "rows", "missing", "extra", "changed", "wrong_sums", "waiting", "quarantined", "pending")
_MISMATCH = ("table", "key", "kind", "field", "here", "source")
_SUM = ("table", "column", "per", "group", "here", "source")
_ACCOUNTED = ("table", "key", "why")
_FINDING = ("kind", "where", "count", "example", "wrong")
IN_ORDER = "warehouse_in_order"
"""The check of what is found in the tables by themselves."""


class VerificationConfig(dg.Config):
    """Options of a verification."""

    repair: bool = Field(default=False, description="sync just the records that differ, then compare again")


def build_verification(system: str) -> dg.AssetsDefinition:
    """The asset that holds a system's tables against its source; it writes nothing unless told to repair."""
    resources = [resource for resource in RESOURCES if resource.system == system]
    key = verification_key(system)

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(
                asset_key(resource), partition_mapping=dg.AllPartitionMapping() if resource.partitioned else None
            )
            for resource in resources
        ],
        group_name=system,
        description="Everything in the source against the tables, both ways: ids, fields, sums of money.",
        kinds={"python", "postgres"},
        check_specs=[
            dg.AssetCheckSpec(
                check_name(resource), asset=key, description=f"The rows of {resource.asset} are the source's records."
            )
            for resource in resources
        ]
        + [
            dg.AssetCheckSpec(
                IN_ORDER,
                asset=key,
                description="What the migrations made is there and valid; no doubles, no orphans.",
            )
        ],
    )
    def verification(context: dg.AssetExecutionContext, config: VerificationConfig) -> Iterator[Any]:
        run = Run(context.run_id, triggered_by=f"{trigger_of(context.run.tags)} (verification)")
        settings = load_settings()
        done = verify(settings, resources, mend=run if config.repair else None)
        yield dg.MaterializeResult(
            metadata=_metadata(done),
            check_results=[_match(verdict) for verdict in done.verdicts] + [_in_order(system, _looked(settings))],
        )

    return verification


def build_verifications() -> list[dg.AssetsDefinition]:
    """One asset a system."""
    return [build_verification(system) for system in ("vantage", "bubble")]


def check_name(resource: Resource) -> str:
    """The check that says whether a resource's rows are what its source has."""
    return f"{resource.name}_match_source"


def report_checks(
    instance: dg.DagsterInstance, verdicts: Sequence[Verdict], findings: Sequence[Finding] | None
) -> None:
    """Tell Dagster, without a run, what a comparison found, as the checks that a run of the verification evaluates.

    Args:
        verdicts: of the resources that were compared, after a repair those of the state after it; no other
            resource's check is told.
        findings: everything found in the warehouse itself; None where not all of it was looked at.
    """
    told = [(find(verdict.resource).system, _match(verdict)) for verdict in verdicts]
    if findings is not None:
        told += [(system, _in_order(system, findings)) for system in ("vantage", "bubble")]
    for system, result in told:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=verification_key(system),
                check_name=str(result.check_name),
                passed=result.passed,
                metadata=result.metadata,
            )
        )


def _match(verdict: Verdict) -> dg.AssetCheckResult:
    """What a comparison found of one resource."""
    return dg.AssetCheckResult(
        check_name=check_name(find(verdict.resource)), passed=verdict.equal, metadata=_details(verdict)
    )


def _looked(settings: Settings) -> list[Finding]:
    connection = engine.connect(engine.database_url(settings))
    try:
        return look(connection)
    finally:
        connection.close()


def _in_order(system: str, findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """What is found in the warehouse itself, by the same looks as ``verify``; links that wait are only told.

    What belongs to no resource (the state's tables, functions) is in each system's check.
    """
    others = {name for r in RESOURCES if r.system != system for name in (r.state, *r.tables)}
    found = [finding for finding in findings if subject(finding) not in others]
    return dg.AssetCheckResult(
        check_name=IN_ORDER,
        passed=not any(finding.wrong for finding in found),
        metadata={"findings": _table(_FINDING, found)} if found else {},
    )


def _metadata(done: Verification) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "equal": done.equal,
        "resources": _table(("resource", *_COUNTS), done.verdicts),
        "api_calls": done.api_calls,
        "seconds": round(done.seconds, 3),
    }
    if done.before:
        shown["before_repair"] = _table(("resource", *_COUNTS), done.before)
        shown["repaired"] = _table(("resource", "created", "updated", "deleted", "held_back"), done.repaired)
    return shown


def _details(verdict: Verdict) -> dict[str, Any]:
    shown: dict[str, Any] = {name: getattr(verdict, name) for name in _COUNTS}
    for name, fields, found in (
        ("differences", _MISMATCH, verdict.mismatches),
        ("sums", _SUM, verdict.sums),
        ("accounted_for", _ACCOUNTED, verdict.accounted),
    ):
        if found:
            shown[name] = _table(fields, found)
    return shown


def _table(fields: Sequence[str], rows: Sequence[object]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: _cell(getattr(row, name)) for name in fields}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, "int" if name in _COUNTS else "string") for name in fields]),
    )


def _cell(value: object) -> str | int:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return value
    return "; ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)[:500]
