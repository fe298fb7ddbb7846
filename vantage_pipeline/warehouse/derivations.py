"""What is derived in SQL from what the sources loaded. One statement each, which tells what it changed."""

from __future__ import annotations

from collections.abc import Callable

from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.warehouse.merge import MergeCounts
from vantage_pipeline.warehouse.repairs import repair_links

_INVESTMENTS = """
WITH moved AS (
    SELECT investor_id, deal_id,
           sum(amount) FILTER (WHERE transaction_type = 'CONTRIBUTION') AS contributed,
           sum(amount) FILTER (WHERE transaction_type = 'DISTRIBUTION') AS distributed,
           sum(amount) FILTER (WHERE transaction_type = 'REPURCHASE') AS repurchased,
           min(transaction_date) AS first_transaction_date,
           max(transaction_date) AS last_transaction_date
    FROM transactions
    WHERE deleted_at IS NULL AND investor_id IS NOT NULL AND deal_id IS NOT NULL
    GROUP BY investor_id, deal_id
), promised AS (
    SELECT investor_id, deal_id, sum(amount) AS committed
    FROM commitments
    WHERE deleted_at IS NULL AND investor_id IS NOT NULL AND deal_id IS NOT NULL
    GROUP BY investor_id, deal_id
), valued AS (
    SELECT DISTINCT ON (deal_id) deal_id, nav AS latest_nav, report_date AS latest_nav_date
    FROM valuations
    WHERE deleted_at IS NULL AND deal_id IS NOT NULL AND nav IS NOT NULL
    ORDER BY deal_id, report_date DESC, external_id
), position AS (
    SELECT investor_id, deal_id,
           coalesce(committed, 0) AS committed,
           coalesce(contributed, 0) AS contributed,
           coalesce(distributed, 0) AS distributed,
           coalesce(repurchased, 0) AS repurchased,
           coalesce(committed, 0) - coalesce(contributed, 0) AS uncalled,
           first_transaction_date, last_transaction_date, latest_nav, latest_nav_date
    FROM moved FULL JOIN promised USING (investor_id, deal_id) LEFT JOIN valued USING (deal_id)
), changed AS (
    SELECT p.* FROM position p LEFT JOIN investments t USING (investor_id, deal_id)
    WHERE t.investor_id IS NULL OR t.deleted_at IS NOT NULL
       OR ROW(t.committed, t.contributed, t.distributed, t.repurchased, t.uncalled, t.first_transaction_date,
              t.last_transaction_date, t.latest_nav, t.latest_nav_date)
          IS DISTINCT FROM
          ROW(p.committed, p.contributed, p.distributed, p.repurchased, p.uncalled, p.first_transaction_date,
              p.last_transaction_date, p.latest_nav, p.latest_nav_date)
), written AS (
    INSERT INTO investments AS x
        (investor_id, deal_id, committed, contributed, distributed, repurchased, uncalled,
         first_transaction_date, last_transaction_date, latest_nav, latest_nav_date,
         created_at, updated_at, last_synced_at)
    SELECT *, now(), now(), now() FROM changed
    ON CONFLICT (investor_id, deal_id) DO UPDATE SET
        committed = excluded.committed, contributed = excluded.contributed, distributed = excluded.distributed,
        repurchased = excluded.repurchased, uncalled = excluded.uncalled,
        first_transaction_date = excluded.first_transaction_date,
        last_transaction_date = excluded.last_transaction_date,
        latest_nav = excluded.latest_nav, latest_nav_date = excluded.latest_nav_date,
        updated_at = now(), last_synced_at = now(), deleted_at = NULL
    RETURNING (xmax = 0) AS created
), gone AS (
    UPDATE investments t SET deleted_at = now(), updated_at = now(), last_synced_at = now()
    WHERE t.deleted_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM position p WHERE p.investor_id = t.investor_id AND p.deal_id = t.deal_id)
    RETURNING 1
)
SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created),
       (SELECT count(*) FROM position), (SELECT count(*) FROM gone)
FROM written
"""


def investments(cursor: Cursor) -> MergeCounts:
    """Positions per account and fund: commitments, sums of transactions by type, the fund's latest value.

    Positions that nothing supports any more are marked deleted.
    """
    cursor.execute(_INVESTMENTS)
    row = cursor.fetchone() or (0, 0, 0, 0)
    created, updated, all_positions, gone = row
    return MergeCounts(created, updated, all_positions - created - updated, deleted=gone)


DERIVATIONS: dict[str, Callable[[Cursor], MergeCounts]] = {
    "investments": investments,
    "bubble_links": repair_links,
}
"""Each derivation by the name that the catalog gives it."""
