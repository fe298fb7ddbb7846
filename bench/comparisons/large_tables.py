"""D: a batch of 10,000 changes into a table that already holds 100 thousand, 1 million and 10 million rows."""

from __future__ import annotations

import dataclasses
import re

from psycopg2 import sql

from bench.findings import Bound, Findings
from bench.jobs import Spent
from bench.runner import Bench, Scale, rotated
from bench.source import FIRST_ID, Source, Variant, serving
from vantage_pipeline.warehouse import engine

_ROWS = {
    Scale.FULL: (100_000, 1_000_000, 10_000_000),
    Scale.QUICK: (100_000, 1_000_000),
    Scale.TINY: (900, 1_800),
}
_CHANGES = {Scale.FULL: 10_000, Scale.QUICK: 10_000, Scale.TINY: 200}
_SLOW_MS = 20
"""Statements above this are listed with their time."""
_SIDES = ("ours", "load")
_FILL = """
INSERT INTO transactions (external_id, investor_id, deal_id, transaction_date, pay_date, amount, amount_usd,
                          transaction_type, notes, source_updated_at, extra, created_at, updated_at, last_synced_at)
SELECT (%(first)s + n)::text, i.ids[1 + n %% cardinality(i.ids)], d.ids[1 + n %% cardinality(d.ids)], day, day, n, n,
       'Distribution', NULL, now() - interval '1 day', NULL, now(), now(), now()
FROM generate_series(%(from)s, %(to)s - 1) AS n
CROSS JOIN (SELECT array_agg(id ORDER BY id) AS ids FROM investors) i
CROSS JOIN (SELECT array_agg(id ORDER BY id) AS ids FROM deals) d
CROSS JOIN LATERAL (SELECT date '2012-01-01' + n %% 5000 AS day) AS dated
"""


def compare(bench: Bench) -> Findings:
    """Nine in ten of the batch change rows that are there, spread evenly over the table; the rest is new."""
    sizes, changes = _ROWS[bench.scale], _CHANGES[bench.scale]
    found = Findings("D", f"{changes:,} changes into tables of different sizes", base=_case(sizes[-2]))
    batches = bench.rounds * len(_SIDES) + 1
    variants = {
        f"{rows}-{salt}": Variant(changes, 1, salt, spread_over=rows) for rows in sizes for salt in range(batches)
    }
    with serving(variants) as source:
        urls = {rows: _filled(bench, source, rows) for rows in sizes}
        for rows in sizes:  # the first batch finds a table that nothing has touched since it was filled
            _sync(bench, source, urls[rows], "load", rows, 0)
        slow: dict[str, list[float]] = {}
        for number in range(bench.rounds):
            for place, side in enumerate(_SIDES):
                salt = number * len(_SIDES) + place + 1
                for rows in rotated(sizes, number):
                    _measure(bench, source, found, urls[rows], side, rows, number, salt, slow)
    for rows in sizes:
        bench.ground.drop(f"bench_{rows}")
    _judge(found, sizes, slow)
    return found


def _measure(
    bench: Bench, source: Source, found: Findings, url: str, side: str, rows: int, number: int, salt: int,
    slow: dict[str, list[float]],
) -> None:  # fmt: skip
    ground = bench.ground
    before, size, position = (
        ground.written(url, "transactions"),
        ground.size(url, "transactions"),
        ground.log_position(),
    )
    log = ground.server.cluster / "log"
    told = log.stat().st_size if log.exists() else 0
    spent = _sync(bench, source, url, side, rows, salt)
    after = ground.written(url, "transactions")
    facts = {
        "rows inserted": after["inserted"] - before["inserted"],
        "rows updated": after["updated"] - before["updated"],
        "growth MiB": (ground.size(url, "transactions") - size) / 2**20,
        "WAL MiB": (ground.log_position() - position) / 2**20,
    }
    found.add(_case(rows), side, number, dataclasses.replace(spent, facts=facts))
    bench.say(f"D {_case(rows)}, {side}, round {number + 1}: {spent.seconds:.2f} s")
    if log.exists():
        with log.open(errors="replace") as lines:
            lines.seek(told)
            for milliseconds, statement in _slow_statements(lines.read()):
                slow.setdefault(f"{_case(rows)}: {statement}", []).append(milliseconds)


def _sync(bench: Bench, source: Source, url: str, side: str, rows: int, salt: int) -> Spent:
    variant = f"{rows}-{salt}"
    job = bench.job(source.address(variant), url, source.variants[variant].pages(), full=False)
    return bench.perform(side, job, source)


def _filled(bench: Bench, source: Source, rows: int) -> str:
    """A database with accounts, funds and so many transactions, as if synced a moment ago."""
    ground = bench.ground
    url = ground.fresh(f"bench_{rows}")
    for resource in ("accounts", "funds"):
        bench.perform("load", bench.job(source.address(f"{rows}-0"), url, 0, resource=resource))
    bench.say(f"D filling a table with {rows:,} rows")
    _fill(url, rows)
    with ground.administering() as connection, connection.cursor() as cursor:
        name, limit = sql.Identifier(f"bench_{rows}"), sql.Literal(_SLOW_MS)
        cursor.execute(sql.SQL("ALTER DATABASE {} SET log_min_duration_statement = {}").format(name, limit))
    return url


def _fill(url: str, rows: int) -> None:
    connection = engine.connect(url)
    with connection.cursor() as cursor:
        # links are right by construction, and indexes are made faster afterwards
        cursor.execute("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'")
        cursor.execute(
            "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE indrelid = 'transactions'::regclass AND NOT indisunique"
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        cursor.execute(_FILL, {"first": FIRST_ID, "from": 0, "to": rows})
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("SELECT start_vantage_sync('cashflows')")
        cursor.execute("SELECT complete_vantage_sync('cashflows', %s, %s, 0, now())", (rows, rows))
    connection.commit()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE transactions")
        cursor.execute("CHECKPOINT")
    connection.close()


def _slow_statements(log: str) -> list[tuple[float, str]]:
    found = re.findall(r"duration: ([\d.]+) ms  statement: (.*(?:\n(?!\d{4}-\d\d-\d\d ).*)*)", log)
    return [(float(milliseconds), " ".join(text.split())[:160]) for milliseconds, text in found]


def _judge(found: Findings, sizes: tuple[int, ...], slow: dict[str, list[float]]) -> None:
    large, middle = _case(sizes[-1]), _case(sizes[-2])
    for side in _SIDES:
        ratio = found.seconds(large, side) / found.seconds(middle, side)
        found.bounds.append(Bound(f"{large}, times {middle} ({side})", ratio, 1.3))
    worst = sorted(slow.items(), key=lambda item: -max(item[1]))[:12]
    found.notes += [
        f"{statement} ... took {max(times):.0f} ms at most, {len(times)} times above {_SLOW_MS} ms"
        for statement, times in worst
    ]


def _case(rows: int) -> str:
    return f"{rows:,} rows"
