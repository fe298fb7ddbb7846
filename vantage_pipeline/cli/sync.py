"""``sync``, ``sync-invoice`` and ``backfill``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.cli.running import Done, configured, prepare, run
from vantage_pipeline.cli.tables import print_done
from vantage_pipeline.errors import UsageError
from vantage_pipeline.orchestration.bubble_reading import parse_day, period_of
from vantage_pipeline.orchestration.catchup import DaysDue, Due, all_days, days_due
from vantage_pipeline.orchestration.config import By, Mode, SyncConfig
from vantage_pipeline.orchestration.io_manager import WarehouseIOManager
from vantage_pipeline.settings import Settings, load_settings


def sync(
    names: Sequence[str],
    *,
    full: bool,
    dry_run: bool,
    limit: int | None,
    allow_clear: Sequence[str],
    allow_delete: bool,
    diff: str | None,
    as_json: bool,
) -> int:
    """Sync the named resources, or all; gives the exit status."""
    settings = load_settings()
    resources = _with_repairs(configured(settings, names))
    prepare(settings, resources)
    config = SyncConfig(
        mode=Mode.FULL if full else Mode.INCREMENTAL,
        dry_run=dry_run,
        limit=limit,
        allow_clear=list(allow_clear),
        allow_delete=allow_delete,
        diff_file=_diff_file(diff, dry_run=dry_run),
    )
    tags: dict[str, str] = {}
    whole: tuple[Resource, ...] = ()
    if any(resource.partitioned for resource in resources):
        today = datetime.now(UTC).date()
        due = Due(all_days(settings, last=today)) if full else days_due(settings, resources, last=today)
        tags, whole = due.days.tags(), due.whole
    done = run(settings, resources, config, tags=tags, whole=whole)
    return print_done(done, title=_title("Sync", dry_run=dry_run), as_json=as_json)


def sync_invoice(ids: Sequence[str], *, force: bool, dry_run: bool, diff: str | None, as_json: bool) -> int:
    """Sync invoices by id with all they link to, then the repairs; gives the exit status."""
    config = SyncConfig(ids=list(ids), force=force, dry_run=dry_run, diff_file=_diff_file(diff, dry_run=dry_run))
    done = _repaired(load_settings(), catalog.by_state("bubble_invoice"), config)
    return print_done(done, title=_title("Invoices", dry_run=dry_run), as_json=as_json)


def backfill(
    name: str, first: str, last: str, *, by: str, dry_run: bool, limit: int | None, diff: str | None, as_json: bool
) -> int:
    """Read days of a partitioned resource again, in one run; gives the exit status."""
    settings = load_settings()
    resource = catalog.find(name)
    if not resource.partitioned:
        days = ", ".join(r.name for r in catalog.RESOURCES if r.partitioned)
        raise UsageError(
            f"{resource.asset} is not kept by days, so it has no backfill; use sync --full (by days: {days})"
        )
    begin, end = parse_day(first, "--from"), parse_day(last, "--to")
    if begin is None or end is None or begin > end:
        raise UsageError(f"--from {first} is after --to {last}; swap them")
    kinds = {"modified": By.MODIFIED, "created": By.CREATED, "invoice-date": By.INVOICE_DATE}
    if by not in kinds:
        raise UsageError(f"--by {by}: expected one of {', '.join(kinds)}")
    config = SyncConfig(dry_run=dry_run, limit=limit, diff_file=_diff_file(diff, dry_run=dry_run))
    if kinds[by] is By.MODIFIED:
        if begin < settings.bubble_start_date:
            raise UsageError(
                f"--from {first} is before the first partition, {settings.bubble_start_date}; set "
                f"VANTAGE_PIPELINE_BUBBLE_START_DATE earlier, or read everything with sync --full"
            )
        done = _repaired(settings, resource, config, DaysDue(begin, end).tags())
    else:
        period = config.model_copy(update={"by": kinds[by], "from_date": first, "to_date": last})
        # refused before anything begins
        period_of(resource, period)
        done = _repaired(settings, resource, period)
    return print_done(done, title=_title(f"Backfill {first} to {last}", dry_run=dry_run), as_json=as_json)


def _repaired(
    settings: Settings, resource: Resource, config: SyncConfig, tags: Mapping[str, str] | None = None
) -> list[Done]:
    """Run one resource, and the repairs of the links after it, whatever became of it."""
    repairs = SyncConfig(dry_run=config.dry_run, diff_file=config.diff_file)
    with closing(WarehouseIOManager()) as warehouse:
        done = run(settings, [resource], config, tags=tags, warehouse=warehouse)
        return done + run(settings, [catalog.by_state("bubble_links")], repairs, warehouse=warehouse)


def _with_repairs(resources: tuple[Resource, ...]) -> tuple[Resource, ...]:
    """The resources, and the repairs of the links between them after them."""
    links = catalog.by_state("bubble_links")
    mended = any(resource.partitioned for resource in resources)
    return (*resources, links) if mended and links not in resources else resources


def _title(title: str, *, dry_run: bool) -> str:
    return f"{title}, dry run: nothing was written" if dry_run else title


def _diff_file(diff: str | None, *, dry_run: bool) -> str | None:
    if diff is None:
        return None
    if not dry_run:
        raise UsageError("--diff goes with --dry-run")
    if Path(diff).suffix not in (".csv", ".json"):
        raise UsageError(f"--diff {diff}: expected a name that ends in .csv or .json")
    return str(Path(diff).resolve())
