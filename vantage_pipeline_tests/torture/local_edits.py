"""Edits of the database by its own people: columns that no sync may touch, and rows that are not the sources'."""

from __future__ import annotations

from dataclasses import dataclass, field

from psycopg2 import sql

from vantage_pipeline.catalog.model import Table
from vantage_pipeline_tests.database import Database

LOCAL_COLUMNS = {
    "investors": "notes", "deals": "equity_to_raise", "agent": "banker", "customer": "notes", "user": "email",
    "invoice": "internal_notes", "payment": "log", "submitted_payment": "verified_by", "invoice_item": "voucher_remark",
    "seda_registration": "seda_status",
}  # fmt: skip


@dataclass
class LocalEdits:
    """What people wrote: local columns by table and row id, and whole rows that must never change."""

    database: Database
    written: dict[tuple[str, int], str] = field(default_factory=dict)
    foreign: dict[tuple[str, int], str] = field(default_factory=dict)
    """Each foreign row's system column ``xmin``: any write to the row would change it."""
    foreign_keys: set[str] = field(default_factory=set)
    """Keys of Vantage accounts that rows of another source have."""

    def write(self, table: Table, which: int, variant: int) -> bool:
        """Write the local column of a row; False where the table has no such column or no row."""
        column = LOCAL_COLUMNS.get(table.name)
        rows = self.database.rows(f'SELECT id FROM "{table.name}" WHERE "{table.key}" IS NOT NULL ORDER BY id')
        rows = [row for row in rows if (table.name, row[0]) not in self.foreign]
        if column is None or not rows:
            return False
        row_id, value = rows[which % len(rows)][0], str(variant)
        self.database.execute(f'UPDATE "{table.name}" SET "{column}" = %s WHERE id = %s', [value, row_id])
        self.written[table.name, row_id] = value
        return True

    def insert(self, table: Table, key: str | None) -> bool:
        """Insert a row of our own: in `investors` also one that has a key which a Vantage account has or may get."""
        if table.name == "investors":
            made = self.database.rows(
                "INSERT INTO investors (name, source_kind, external_id, notes) VALUES ('Ours', 'DISTRIBUTOR', %s, 'ours')"
                " ON CONFLICT DO NOTHING RETURNING id, xmin::text",
                [key],
            )
            if made and key is not None:
                self.foreign_keys.add(key)
        elif table.name == "deals":
            made = self.database.rows("INSERT INTO deals (name) VALUES ('Ours') RETURNING id, xmin::text")
        else:
            made = self.database.rows(f'INSERT INTO "{table.name}" DEFAULT VALUES RETURNING id, xmin::text')
        for row_id, version in made:
            self.foreign[table.name, row_id] = version
        return bool(made)

    def check(self, tables: list[Table]) -> None:
        """Assert that nobody else has changed any of it."""
        parts = [
            sql.SQL("SELECT {name}, id, xmin::text, {column}::text FROM {table}").format(
                name=sql.Literal(table.name),
                column=sql.Identifier(LOCAL_COLUMNS[table.name]) if table.name in LOCAL_COLUMNS else sql.SQL("NULL"),
                table=sql.Identifier(table.name),
            )
            for table in tables
        ]
        with self.database.cursor() as cursor:
            cursor.execute(sql.SQL(" UNION ALL ").join(parts))
            found = {(name, row_id): (version, value) for name, row_id, version, value in cursor.fetchall()}
        for place, version in self.foreign.items():
            assert place in found, f"the row {place} of another origin is gone"
            assert found[place][0] == version, f"the row {place} of another origin was written to"
        names = {table.name for table in tables}
        for place, (_version, value) in found.items():
            if place[0] in LOCAL_COLUMNS and place not in self.foreign:
                wanted = self.written.get(place)
                assert value == wanted, (
                    f"{place[0]}.{LOCAL_COLUMNS[place[0]]} of row {place[1]} is {value!r}, not {wanted!r}"
                )
        assert all(place in found for place in self.written if place[0] in names), "a row with a local value is gone"
