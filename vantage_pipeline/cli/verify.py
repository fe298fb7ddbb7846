"""``verify``: the tables against their sources, and the warehouse by itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from uuid import uuid4

import dagster as dg
import typer

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.cli.progress import live_progress
from vantage_pipeline.cli.running import prepare, user
from vantage_pipeline.cli.tables import print_json, print_rows
from vantage_pipeline.errors import UsageError
from vantage_pipeline.orchestration.repair import Repaired
from vantage_pipeline.orchestration.verification import SHOWN, Verification
from vantage_pipeline.orchestration.verification import verify as compare
from vantage_pipeline.orchestration.verification_assets import report_checks
from vantage_pipeline.settings import Settings, load_settings, project_root
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.findings import Finding, look
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline.warehouse.verdict import Verdict

_SHOWN = 50
_COUNTS = ("records", "rows", "missing", "extra", "changed", "wrong_sums", "waiting", "quarantined", "pending")


def verify(names: Sequence[str], *, repair: bool, warehouse_only: bool, as_json: bool) -> int:
    """Compare and look; gives the exit status: 1 where something differs or needs mending.

    Dagster is told too, as the checks of what was compared, so that an alert ends with what a repair mended.
    """
    if repair and warehouse_only:
        raise UsageError("--repair takes what differs from the source, so it does not go with --warehouse-only")
    settings = load_settings()
    named = catalog.select(names) if names else ()
    chosen = [r for r in named or catalog.RESOURCES if named or r.system in settings.configured_systems]
    prepare(settings, [] if warehouse_only else chosen)
    done = [] if warehouse_only else _by_system(settings, chosen, repair=repair)
    connection = engine.connect(engine.database_url(settings))
    try:
        findings = look(connection, named)
    finally:
        connection.close()
    verdicts = [verdict for verification in done for verdict in verification.verdicts]
    repaired = [item for verification in done for item in verification.repaired]
    equal = all(verdict.equal for verdict in verdicts) and not any(finding.wrong for finding in findings)
    if as_json:
        print_json(_as_json(done, repaired, findings, equal=equal))
    else:
        _print(done, repaired, findings, compared=bool(verdicts))
    os.environ.setdefault("DAGSTER_HOME", str(project_root()))
    with dg.DagsterInstance.get() as instance:
        report_checks(instance, verdicts, None if named else findings)
    return 0 if equal else 1


def _by_system(settings: Settings, chosen: Sequence[Resource], *, repair: bool) -> list[Verification]:
    run = Run(f"verify-{uuid4()}", triggered_by=f"command line: {user()} (verify --repair)") if repair else None
    with live_progress():
        return [
            compare(settings, resources, mend=run)
            for system in ("vantage", "bubble")
            if (resources := [resource for resource in chosen if resource.system == system])
        ]


def _as_json(
    done: Sequence[Verification], repaired: Sequence[Repaired], findings: Sequence[Finding], *, equal: bool
) -> dict[str, object]:
    return {
        "equal": equal,
        "resources": [{"equal": v.equal, **asdict(v)} for item in done for v in item.verdicts],
        "before_repair": [{"equal": v.equal, **asdict(v)} for item in done for v in item.before],
        "repaired": [asdict(item) for item in repaired],
        "findings": [asdict(finding) for finding in findings],
        "api_calls": sum(item.api_calls for item in done),
        "seconds": round(sum(item.seconds for item in done), 3),
    }


def _print(
    done: Sequence[Verification], repaired: Sequence[Repaired], findings: Sequence[Finding], *, compared: bool
) -> None:
    before = [verdict for item in done for verdict in item.before]
    if before:
        _print_verdicts("Before the repair", before)
    if repaired:
        rows = [[r.resource, r.created, r.updated, r.deleted, "; ".join(r.held_back)] for r in repaired]
        print_rows("Repaired", ["resource", "created", "updated", "deleted", "held back"], rows)
    if compared:
        title = "After the repair" if before else "Against the sources"
        _print_verdicts(title, [verdict for item in done for verdict in item.verdicts])
    else:
        typer.echo("Compared with no source.")
    if findings:
        rows = [["yes" if f.wrong else "", f.kind, f.where, f.count, f.example] for f in findings]
        print_rows("In the warehouse", ["to mend", "finding", "where", "count", "example"], rows)
    else:
        typer.echo("In the warehouse: nothing found.")


def _print_verdicts(title: str, verdicts: Sequence[Verdict]) -> None:
    print_rows(
        title,
        ["resource", "equal", *(name.replace("_", " ") for name in _COUNTS)],
        [[v.resource, "yes" if v.equal else "NO", *(getattr(v, name) for name in _COUNTS)] for v in verdicts],
    )
    mismatches = [(v, m) for v in verdicts for m in v.mismatches]
    if mismatches:
        rows = [[m.table, m.key, m.kind.value, m.field, m.here, m.source] for _, m in mismatches[:_SHOWN]]
        shown, all_of_them = len(rows), sum(v.differing for v in verdicts)
        print_rows(
            f"Differences ({all_of_them} records; {shown} lines shown, up to {SHOWN} a resource with --json)",
            ["table", "record", "kind", "field", "here", "source"],
            rows,
        )
    wrong = [s for v in verdicts for s in v.sums]
    if wrong:
        print_rows(
            f"Sums that differ ({sum(v.wrong_sums for v in verdicts)})",
            ["table", "sum of", "per", "which", "here", "source"],
            [[s.table, s.column, s.per, s.group, s.here, s.source] for s in wrong[:_SHOWN]],
        )
    accounted = [a for v in verdicts for a in v.accounted]
    if accounted:
        rows = [[a.table, a.key, a.why] for a in accounted[:_SHOWN]]
        print_rows(
            f"Accounted for ({sum(v.quarantined + v.pending for v in verdicts)})",
            ["table", "record", "why it is not compared, or its link empty"],
            rows,
        )
