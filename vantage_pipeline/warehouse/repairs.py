"""Links that the Bubble app leaves out and its other records imply, filled in by set-based SQL.

What was filled in is kept in ``vantage_link_repairs``, so that a later merge of the same record, in which the
source still says nothing, does not clear it again, and so that it goes when nothing implies it any more. A link
that the source itself gives is never replaced: where it differs, that is kept in ``vantage_link_conflicts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline import catalog
from vantage_pipeline.warehouse.merge import MergeCounts


@dataclass(frozen=True, slots=True)
class _Repair:
    """`found` gives (row_key, value, rank): the value a row's link should have; the highest rank wins."""

    table: str
    column: str
    found: str


_INVOICE_TO_REGISTRATION = _Repair(
    "invoice",
    "linked_seda_registration",
    """SELECT listed.item AS row_key, r.bubble_id AS value, r.modified_date AS rank
       FROM seda_registration r CROSS JOIN LATERAL {registration_invoices} AS listed(item)
       WHERE r.deleted_at IS NULL""",
)
_REGISTRATION_TO_CUSTOMER = _Repair(
    "seda_registration",
    "linked_customer",
    """SELECT r.bubble_id AS row_key, i.linked_customer AS value, i.modified_date AS rank
       FROM seda_registration r CROSS JOIN LATERAL {registration_invoices} AS listed(item)
       JOIN invoice i ON i.bubble_id = listed.item
       WHERE i.linked_customer IS NOT NULL AND i.deleted_at IS NULL
       UNION ALL
       SELECT i.linked_seda_registration, i.linked_customer, i.modified_date FROM invoice i
       WHERE i.linked_seda_registration IS NOT NULL AND i.linked_customer IS NOT NULL AND i.deleted_at IS NULL""",
)
_ITEM_TO_INVOICE = _Repair(
    "invoice_item",
    "linked_invoice",
    """SELECT listed.item AS row_key, r.bubble_id AS value, r.modified_date AS rank
       FROM invoice r CROSS JOIN LATERAL {invoice_items} AS listed(item)
       WHERE r.deleted_at IS NULL""",
)

_TEMPLATE = """
WITH found AS MATERIALIZED (
    SELECT DISTINCT ON (row_key) row_key, value FROM ({found}) AS implied
    ORDER BY row_key, rank DESC NULLS LAST, value
), stale AS (
    DELETE FROM vantage_link_repairs q
    WHERE q.table_name = {table_name} AND q.column_name = {column_name}
      AND NOT EXISTS (SELECT 1 FROM found f WHERE f.row_key = q.row_key AND f.value = q.value)
    RETURNING q.row_key, q.value
), settled AS (
    SELECT t.{key} AS row_key, t.{column} AS current_value, f.value AS found_value,
           EXISTS (SELECT 1 FROM stale s WHERE s.row_key = t.{key} AND s.value = t.{column}) AS was_repair,
           EXISTS (SELECT 1 FROM vantage_pending_links p WHERE p.table_name = {table_name}
                   AND p.column_name = {column_name} AND p.row_key = t.{key}) AS named_elsewhere
    FROM {table} t LEFT JOIN found f ON f.row_key = t.{key}
    WHERE (f.row_key IS NOT NULL AND t.deleted_at IS NULL AND t.{column} IS DISTINCT FROM f.value)
       OR t.{key} IN (SELECT row_key FROM stale)
), wanted AS (
    SELECT row_key, found_value FROM settled
    WHERE (current_value IS NULL AND NOT named_elsewhere AND found_value IS NOT NULL) OR was_repair
), repaired AS (
    UPDATE {table} t SET {column} = w.found_value, updated_at = now(), last_synced_at = now()
    FROM wanted w WHERE t.{key} = w.row_key AND t.{column} IS DISTINCT FROM w.found_value RETURNING t.{key}
), told AS (
    INSERT INTO vantage_link_repairs AS q (table_name, row_key, column_name, value)
    SELECT {table_name}, row_key, {column_name}, found_value FROM wanted WHERE found_value IS NOT NULL
    ON CONFLICT (table_name, row_key, column_name) DO UPDATE SET value = excluded.value, repaired_at = now()
), disputed AS (
    SELECT row_key, current_value, found_value FROM settled
    WHERE current_value IS NOT NULL AND found_value IS NOT NULL AND current_value <> found_value AND NOT was_repair
), forgotten AS (
    DELETE FROM vantage_link_conflicts c
    WHERE c.table_name = {table_name} AND c.column_name = {column_name}
      AND NOT EXISTS (SELECT 1 FROM disputed d WHERE d.row_key = c.row_key
                      AND d.current_value = c.current_value AND d.found_value = c.found_value)
), reported AS (
    INSERT INTO vantage_link_conflicts (table_name, row_key, column_name, current_value, found_value)
    SELECT {table_name}, row_key, {column_name}, current_value, found_value FROM disputed
    ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM repaired), (SELECT count(*) FROM found)
"""

_TOTALS = """
UPDATE invoice SET total_amount = amount, updated_at = now(), last_synced_at = now()
WHERE total_amount IS NULL AND amount IS NOT NULL AND deleted_at IS NULL
"""

_BECAME_PAYMENT = """
WITH kept AS (
    SELECT bubble_id, became_payment FROM (
        SELECT bubble_id, became_payment,
               row_number() OVER (PARTITION BY became_payment ORDER BY created_date, bubble_id) AS turn
        FROM submitted_payment WHERE deleted_at IS NOT NULL AND became_payment IS NOT NULL
    ) AS named WHERE turn = 1
), gone AS (
    SELECT bubble_id, linked_invoice, amount, payment_date,
           row_number() OVER (PARTITION BY linked_invoice, amount, payment_date
                              ORDER BY created_date, bubble_id) AS turn
    FROM submitted_payment s
    WHERE deleted_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.bubble_id = s.bubble_id)
), paid AS (
    SELECT bubble_id, linked_invoice, amount, payment_date,
           row_number() OVER (PARTITION BY linked_invoice, amount, payment_date
                              ORDER BY created_date, bubble_id) AS turn
    FROM payment p
    WHERE deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.became_payment = p.bubble_id)
), paired AS (
    SELECT bubble_id, became_payment FROM kept
    UNION ALL
    SELECT g.bubble_id, p.bubble_id FROM gone g
    JOIN paid p ON p.linked_invoice = g.linked_invoice AND p.amount = g.amount
               AND p.payment_date IS NOT DISTINCT FROM g.payment_date AND p.turn = g.turn
), wanted AS (
    SELECT s.bubble_id, f.became_payment FROM submitted_payment s LEFT JOIN paired f ON f.bubble_id = s.bubble_id
)
UPDATE submitted_payment s SET became_payment = w.became_payment, updated_at = now(), last_synced_at = now()
FROM wanted w WHERE w.bubble_id = s.bubble_id AND s.became_payment IS DISTINCT FROM w.became_payment
"""
"""Each submission that is gone with a payment of its own, oldest first; one that is back has become none."""


def repair_links(cursor: Cursor) -> MergeCounts:
    """Run all repairs in the caller's transaction; `updated` counts the rows that changed."""
    lists = _list_expressions(cursor)
    changed = considered = 0
    for repair in (_INVOICE_TO_REGISTRATION, _REGISTRATION_TO_CUSTOMER, _ITEM_TO_INVOICE):
        key = catalog.table(repair.table).key
        found = sql.SQL(repair.found).format(**lists)
        statement = sql.SQL(_TEMPLATE).format(
            found=found,
            table=sql.Identifier(repair.table),
            table_name=sql.Literal(repair.table),
            column=sql.Identifier(repair.column),
            column_name=sql.Literal(repair.column),
            key=sql.Identifier(key),
        )
        cursor.execute(statement)
        row = cursor.fetchone() or (0, 0)
        changed += row[0]
        considered += row[1]
    for statement_text in (_TOTALS, _BECAME_PAYMENT):
        cursor.execute(statement_text)
        changed += cursor.rowcount
    return MergeCounts(created=0, updated=changed, unchanged=max(0, considered - changed))


def _list_expressions(cursor: Cursor) -> Mapping[str, sql.Composable]:
    """How a list column is unfolded: an array, or, in an older database, the ids in a text of whatever form."""
    expressions = {}
    for name, table, column in (
        ("registration_invoices", "seda_registration", "linked_invoice"),
        ("invoice_items", "invoice", "linked_invoice_item"),
    ):
        cursor.execute(
            "SELECT t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE a.attrelid = to_regclass(quote_ident(%s)) AND a.attname = %s",
            (table, column),
        )
        row = cursor.fetchone()
        qualified = sql.Identifier("r", column)
        if row and row[0] in ("_text", "_varchar"):
            unfolded = sql.SQL("unnest({})").format(qualified)
        else:
            unfolded = sql.SQL(
                r"(SELECT found[1] FROM regexp_matches({c}::text, '\m[0-9]+x[0-9]+\M', 'g') AS found)"
            ).format(c=qualified)
        expressions[name] = unfolded
    return expressions
