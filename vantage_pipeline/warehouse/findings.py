"""What is not as it should be in the warehouse: links, keys, constraints, fields."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog


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
        "foreign key broken by rows",
        True,
        "SELECT conrelid::regclass || '.' || conname, 1, 'NOT VALID: mend the rows, then ALTER TABLE"
        " ... VALIDATE CONSTRAINT'"
        " FROM pg_constraint WHERE contype = 'f' AND NOT convalidated ORDER BY 1",
    ),
    (
        "link waits for a record that the source does not have",
        True,
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


def look(connection: Connection) -> list[Finding]:
    """Everything found, what needs mending first."""
    found: list[Finding] = []
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
