"""The verbs. Each imports what it needs when it runs, so that ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Keeps PostgreSQL in step with Vantage IR and Bubble.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
migrate = typer.Typer(help="Bring the database's tables up to date, or back.", no_args_is_help=True)
quarantine = typer.Typer(help="Records that could not become rows.", no_args_is_help=True)
app.add_typer(migrate, name="migrate")
app.add_typer(quarantine, name="quarantine")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[RESOURCE]...", help="None means all, in load order.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Do everything but the commit; show what would change.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Read no more than so many records.")]
Clear = Annotated[list[str] | None, typer.Option("--allow-clear", help="table.column that may be cleared at once.")]
Delete = Annotated[bool, typer.Option("--allow-delete", help="Mark any number of vanished rows as deleted.")]
Diff = Annotated[str | None, typer.Option("--diff", help="Write a dry run's differences to this .csv or .json file.")]

Repair = Annotated[bool, typer.Option("--repair", help="Sync just the records that differ, then compare again.")]
WarehouseOnly = Annotated[bool, typer.Option("--warehouse-only", help="Ask no API; look at the tables alone.")]


@app.callback()
def _options(
    _traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
) -> None:
    """`vantage_pipeline.cli.main` looks for the option itself, since errors end there."""


@app.command()
def demo(
    cash_flows: Annotated[int, typer.Option(help="Made-up cash flows to serve.")] = 20_000,
    json_: Json = False,
) -> None:
    """Sync everything from a sandbox of both APIs into the embedded PostgreSQL."""
    from vantage_pipeline.cli import demo as verb

    raise typer.Exit(verb.demo(cash_flows=cash_flows, as_json=json_))


@app.command()
def dev(port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000) -> None:
    """Start the Dagster UI and daemon; without any API set, on the sandbox."""
    from vantage_pipeline.cli import demo as verb

    raise typer.Exit(verb.dev(port=port))


@app.command()
def sync(
    resources: Names = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything, not only what changed.")] = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    allow_clear: Clear = None,
    allow_delete: Delete = False,
    diff: Diff = None,
    json_: Json = False,
) -> None:
    """Sync resources now."""
    from vantage_pipeline.cli import sync as verb

    raise typer.Exit(
        verb.sync(
            resources or [], full=full, dry_run=dry_run, limit=limit, allow_clear=allow_clear or [],
            allow_delete=allow_delete, diff=diff, as_json=json_,
        )
    )  # fmt: skip


@app.command("sync-invoice")
def sync_invoice(
    ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    force: Annotated[bool, typer.Option("--force", help="Also when the invoice is not newer.")] = False,
    dry_run: DryRun = False,
    diff: Diff = None,
    json_: Json = False,
) -> None:
    """Sync invoices by id, with everything they link to."""
    from vantage_pipeline.cli import sync as verb

    raise typer.Exit(verb.sync_invoice(ids, force=force, dry_run=dry_run, diff=diff, as_json=json_))


@app.command()
def backfill(
    resource: Annotated[str, typer.Argument()],
    from_: Annotated[str, typer.Option("--from", help="First day, yyyy-mm-dd.")],
    to: Annotated[str, typer.Option("--to", help="Last day, yyyy-mm-dd.")],
    by: Annotated[str, typer.Option("--by", help="modified, created or invoice-date.")] = "modified",
    dry_run: DryRun = False,
    limit: Limit = None,
    diff: Diff = None,
    json_: Json = False,
) -> None:
    """Read a range of days of a Bubble resource again, in one run."""
    from vantage_pipeline.cli import sync as verb

    raise typer.Exit(verb.backfill(resource, from_, to, by=by, dry_run=dry_run, limit=limit, diff=diff, as_json=json_))


@app.command()
def status(json_: Json = False) -> None:
    """When each resource last synced, how it went, and how healthy that is."""
    from vantage_pipeline.cli import inspect as verb

    raise typer.Exit(verb.status(as_json=json_))


@app.command()
def history(resource: Annotated[str, typer.Argument()], json_: Json = False) -> None:
    """The last runs of a resource, who asked for them, and what they did."""
    from vantage_pipeline.cli import inspect as verb

    raise typer.Exit(verb.history(resource, as_json=json_))


@app.command()
def verify(
    resources: Names = None, repair: Repair = False, warehouse_only: WarehouseOnly = False, json_: Json = False
) -> None:
    """Compare the tables with their sources, both ways, and look for what is not as it should be."""
    from vantage_pipeline.cli import verify as verb

    raise typer.Exit(verb.verify(resources or [], repair=repair, warehouse_only=warehouse_only, as_json=json_))


@app.command("as-of")
def as_of(
    table: Annotated[str, typer.Argument(help="A synced table, such as investors or invoice.")],
    time: Annotated[str, typer.Argument(help="2026-01-31, or 2026-01-31T12:00 with or without a zone.")],
    key: Annotated[str | None, typer.Option("--key", help="Only the row with this key of the source.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, every row.")] = False,
    json_: Json = False,
) -> None:
    """A table's rows as they were at a time, from the change history."""
    from vantage_pipeline.cli import as_of as verb

    raise typer.Exit(verb.as_of(table, time, key=key, as_csv=csv, as_json=json_))


@app.command()
def doctor(json_: Json = False) -> None:
    """Check settings, database, migrations and the APIs, and say what to do."""
    from vantage_pipeline.cli import inspect as verb

    raise typer.Exit(verb.doctor(as_json=json_))


@app.command()
def report(
    out: Annotated[Path | None, typer.Option("--out", help="The file; unset: one under .vantage/reports.")] = None,
    days: Annotated[int, typer.Option(min=1, help="How many days back the plots go.")] = 30,
) -> None:
    """Write each resource's health and plots of its last runs to one HTML file."""
    from vantage_pipeline.cli import operate as verb

    raise typer.Exit(verb.report(out=out, days=days))


@app.command()
def metrics(
    serve: Annotated[int | None, typer.Option("--serve", min=0, max=65535, help="Serve them on this port.")] = None,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
) -> None:
    """Print the metrics as Prometheus reads them, or serve them until interrupted."""
    from vantage_pipeline.cli import operate as verb

    raise typer.Exit(verb.metrics(serve=serve, host=host))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port on loopback.")] = 8765,
    cash_flows: Annotated[int, typer.Option(help="Made-up cash flows to serve.")] = 20_000,
    chaos: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that go wrong.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Which answers go wrong, and how.")] = 0,
) -> None:
    """Serve both APIs with made-up data until interrupted."""
    from vantage_pipeline.cli import demo as verb

    raise typer.Exit(verb.serve(port=port, cash_flows=cash_flows, chaos=chaos, seed=seed))


@app.command()
def stop() -> None:
    """Stop the embedded PostgreSQL."""
    from vantage_pipeline.settings import load_settings
    from vantage_pipeline.warehouse import embedded

    embedded.stop(load_settings())


@migrate.command("up")
def migrate_up() -> None:
    """Apply what is pending."""
    from vantage_pipeline.cli import inspect as verb

    verb.migrate_up()


@migrate.command("down")
def migrate_down(count: Annotated[int, typer.Option(min=1, help="How many to undo.")] = 1) -> None:
    """Undo the last migrations."""
    from vantage_pipeline.cli import inspect as verb

    verb.migrate_down(count)


@migrate.command("status")
def migrate_status(json_: Json = False) -> None:
    """Which migrations the database has."""
    from vantage_pipeline.cli import inspect as verb

    verb.migrate_status(as_json=json_)


@quarantine.command("list")
def quarantine_list(json_: Json = False) -> None:
    """The records in quarantine, with the reason."""
    from vantage_pipeline.cli import inspect as verb

    raise typer.Exit(verb.quarantine_list(as_json=json_))


@quarantine.command("show")
def quarantine_show(entry: Annotated[int, typer.Argument(help="The entry's number.")]) -> None:
    """One record in quarantine, whole."""
    from vantage_pipeline.cli import inspect as verb

    raise typer.Exit(verb.quarantine_show(entry))


@quarantine.command("replay")
def quarantine_replay(
    entries: Annotated[list[int] | None, typer.Argument(metavar="[ENTRY]...", help="None means all.")] = None,
    json_: Json = False,
) -> None:
    """Try records in quarantine again, as they were kept."""
    from vantage_pipeline.cli import inspect as verb

    raise typer.Exit(verb.quarantine_replay(entries or [], as_json=json_))
