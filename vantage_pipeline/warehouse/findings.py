"""What is not as it should be in the warehouse: links, keys, constraints, fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.warehouse import constraints, integrity


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found. `wrong`: it needs mending; otherwise it is only told."""

    kind: str
    where: str
    count: int
    example: str
    wrong: bool


_LOOKS: tuple[tuple[str, bool, str], ...] = (
    (
        "made by a migration and no longer there",
        True,
        "SELECT o.kind || ' ' || o.name, 1, 'put it back, or undo and redo the migration ' || o.created_by_migration"
        " FROM vantage_schema_objects o WHERE CASE o.kind"
        " WHEN 'table' THEN to_regclass(format('public.%I', o.name)) IS NULL"
        " WHEN 'index' THEN to_regclass(format('public.%I', o.name)) IS NULL"
        " WHEN 'function' THEN to_regprocedure(o.name) IS NULL"
        " WHEN 'type' THEN to_regtype(format('public.%I', o.name)) IS NULL"
        " WHEN 'column' THEN NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE NOT a.attisdropped"
        "  AND a.attrelid = to_regclass(format('public.%I', split_part(o.name, '.', 1)))"
        "  AND a.attname = substr(o.name, strpos(o.name, '.') + 1))"
        " WHEN 'constraint' THEN NOT EXISTS (SELECT 1 FROM pg_constraint c"
        "  WHERE c.conrelid = to_regclass(format('public.%I', split_part(o.name, '.', 1)))"
        "  AND c.conname = substr(o.name, strpos(o.name, '.') + 1))"
        " WHEN 'trigger' THEN NOT EXISTS (SELECT 1 FROM pg_trigger t"
        "  WHERE t.tgrelid = to_regclass(format('public.%I', split_part(o.name, '.', 1))) AND t.tgenabled <> 'D'"
        "  AND t.tgname = substr(o.name, strpos(o.name, '.') + 1))"
        " WHEN 'policy' THEN NOT EXISTS (SELECT 1 FROM pg_policies p WHERE p.schemaname = 'public'"
        "  AND p.tablename = split_part(o.name, '.', 1) AND p.policyname = substr(o.name, strpos(o.name, '.') + 1))"
        " ELSE false END ORDER BY 1",
    ),
    (
        "link waits for a record that the source does not have",
        False,
        "SELECT table_name || '.' || column_name, count(*), min(row_key || ' -> ' || parent_key)"
        " FROM vantage_pending_links"
        " WHERE reason <> 'not an id' GROUP BY 1 ORDER BY 1",
    ),
    (
        "link holds something that is no id",
        False,
        "SELECT table_name || '.' || column_name, count(*), min(row_key || ' -> ' || parent_key)"
        " FROM vantage_pending_links"
        " WHERE reason = 'not an id' GROUP BY 1 ORDER BY 1",
    ),
    (
        "records disagree about a link",
        True,
        "SELECT table_name || '.' || column_name, count(*), min(row_key || ': ' || current_value ||"
        " ' or ' || found_value)"
        " FROM vantage_link_conflicts GROUP BY 1 ORDER BY 1",
    ),
    (
        "record in quarantine",
        True,
        "SELECT resource, count(*), min(record_key || ': ' || message) FROM vantage_quarantine WHERE"
        " resolved_at IS NULL"
        " GROUP BY 1 ORDER BY 1",
    ),
    (
        "transaction type without a mapping",
        False,
        "SELECT transaction_type, count(*), min(external_id) FROM transactions WHERE transaction_type NOT IN"
        " ('CONTRIBUTION', 'DISTRIBUTION', 'REPURCHASE') AND deleted_at IS NULL GROUP BY 1 ORDER BY 1",
    ),
    (
        "field without a column (kept in extra)",
        False,
        "SELECT resource, count(*), string_agg(field, ', ' ORDER BY field) FROM"
        " vantage_field_sightings WHERE NOT mapped"
        " AND resource LIKE 'bubble%' GROUP BY 1 ORDER BY 1",
    ),
)


def look(connection: Connection, resources: Iterable[Resource] = ()) -> list[Finding]:
    """Everything found, or what concerns the given resources; what needs mending first."""
    names = {name for resource in resources for name in (resource.state, *resource.tables)}
    found = _found(connection)
    return [finding for finding in found if not names or subject(finding) in names]


def subject(finding: Finding) -> str:
    """The table or resource that a finding is about."""
    return finding.where.rpartition(" ")[2].partition(".")[0]


def _found(connection: Connection) -> list[Finding]:
    found = [*_broken_keys(connection), *_keys_and_links(connection)]
    with connection.cursor() as cursor:
        for kind, wrong, statement in _LOOKS:
            cursor.execute(statement)
            found.extend(Finding(kind, where, count, example, wrong) for where, count, example in cursor.fetchall())
        cursor.execute("SELECT table_name, array_agg(field) FROM vantage_field_sightings GROUP BY 1")
        seen = {table: set(fields) for table, fields in cursor.fetchall()}
    for table, fields in sorted(seen.items()):
        never = sorted(catalog.table(table).fields - fields)
        if never:
            found.append(Finding("field of the catalog never seen", table, len(never), ", ".join(never)[:200], False))
    return sorted(found, key=lambda finding: not finding.wrong)


def _broken_keys(connection: Connection) -> list[Finding]:
    """Foreign keys that hold for new rows only, as long as a row breaks them."""
    told = "NOT VALID: mend the rows; verify --repair and the next sync then validate it"
    others = "NOT VALID: mend the rows, then ALTER TABLE ... VALIDATE CONSTRAINT"
    return [
        Finding("foreign key broken by rows", key.place, rows, told if key.ours else others, True)
        for key in constraints.unvalidated(connection)
        if (rows := constraints.breaking_rows(connection, key))
    ]


def _keys_and_links(connection: Connection) -> list[Finding]:
    """Keys without a constraint, keys that occur twice, links without a constraint or with nothing at their end."""
    found: list[Finding] = []
    for table in (dataset.table for resource in catalog.RESOURCES for dataset in resource.datasets):
        if not integrity.has_unique_key(connection, table):
            told = "a sync cannot merge without it; put the UNIQUE constraint back"
            found.append(Finding("key without a unique constraint", f"{table.name}.{table.key}", 1, told, True))
            repeated = integrity.repeated_keys(connection, table)
            if repeated:
                told = "keep one row of each key"
                found.append(Finding("key occurs more than once", f"{table.name}.{table.key}", repeated, told, True))
        for column in integrity.lacking_foreign_keys(connection, table):
            parent = f"{column.link.table}.{column.link.ref}" if column.link else ""
            told = f"no foreign key to {parent}"
            found.append(Finding("link without a foreign key", f"{table.name}.{column.name}", 1, told, True))
        for name, count in integrity.orphans(connection, table).items():
            told = "rows point at rows that are not there"
            found.append(Finding("orphan", f"{table.name}.{name}", count, told, True))
        for name, count in integrity.forgotten_links(connection, table).items():
            told = "the record that they wait for is there; verify --repair fills them in"
            found.append(Finding("link not filled in", f"{table.name}.{name}", count, told, True))
        unkeyed = integrity.unkeyed(connection, table)
        if unkeyed:
            told = "rows of the database's own, which no source gave; never read or written"
            found.append(Finding("row without a key of the source", table.name, unkeyed, told, False))
    return found
