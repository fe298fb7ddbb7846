"""Made-up Bubble records with every mapped field, related to each other, dated on fixed days of 2026."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import BubbleEndpoint, Column, Kind

Record = dict[str, Any]
_FIRST = datetime(2026, 1, 5, tzinfo=UTC)
_SPAN_MS = 268 * 86_400_000
SIZES = {
    "agent": 161, "customer_profile": 4_494, "user": 300, "invoice": 4_000, "invoice_item": 15_961,
    "payment": 2_578, "submit_payment": 12, "seda_registration": 2_500,
}  # fmt: skip


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Maker:
    def __init__(self, seed: int, scale: float) -> None:
        self.chance = random.Random(seed)
        self.sizes = {name: max(2, round(size * scale)) for name, size in SIZES.items()}
        self.ids = {name: [self._id(name, n) for n in range(size)] for name, size in self.sizes.items()}

    def _id(self, name: str, number: int) -> str:
        made = 1_767_571_200_000 + list(SIZES).index(name) * 1_000_000 + number
        return f"{made}x{self.chance.randrange(10**17, 10**18)}"

    def plain(self, type_name: str) -> Iterator[Record]:
        """Records with dates and plain fields; links come after."""
        dataset = next(
            d for r in catalog.BUBBLE_RESOURCES for d in r.datasets
            if isinstance(d.endpoint, BubbleEndpoint) and d.endpoint.type_name == type_name
        )  # fmt: skip
        for number, record_id in enumerate(self.ids[type_name]):
            modified = _FIRST + timedelta(milliseconds=self.chance.randrange(_SPAN_MS))
            created = modified - timedelta(seconds=self.chance.randrange(1, 86_400 * 3))
            record: Record = {"_id": record_id, "Created Date": iso(created), "Modified Date": iso(modified)}
            for column in dataset.table.columns:
                name = column.fields[0]
                if name not in record and column.link is None and name != "Created By" and self.chance.random() < 0.8:
                    record[name] = self.value(column, number)
            yield record

    def value(self, column: Column, number: int) -> Any:
        chance = self.chance
        if column.kind is Kind.NUMERIC:
            return Decimal(chance.randrange(100, 5_000_000)) / 100
        if column.kind is Kind.INTEGER:
            return chance.randrange(0, 5_000)
        if column.kind is Kind.BOOLEAN:
            return chance.random() < 0.5
        if column.kind is Kind.TIMESTAMP:
            return iso(_FIRST + timedelta(milliseconds=chance.randrange(_SPAN_MS)))
        if column.kind is Kind.TEXT_ARRAY:
            return [f"//files.example.com/{column.name}/{number}-{n}.pdf" for n in range(1 + number % 3)]
        if column.kind is Kind.JSON:
            return {"email": {"email": f"user{number}@example.com", "email_confirmed": True}}
        if number % 50 == 0:
            return f'two lines\nof "made-up" text, \u00e9\u4e2d {number}'
        return "" if number % 71 == 0 else f"made up {column.name} {number}"


def make(seed: int, scale: float) -> dict[str, dict[str, Record]]:
    """All records by type and id."""
    maker = _Maker(seed, scale)
    chance, ids = maker.chance, maker.ids
    made = {name: {record["_id"]: record for record in maker.plain(name)} for name in SIZES}
    agents, users = ids["agent"], ids["user"]
    for number, agent in enumerate(made["agent"].values()):
        user = users[number % len(users)]
        agent["Linked User Login"] = user
        made["user"][user]["Linked Agent Profile"] = agent["_id"]
    for customer in made["customer_profile"].values():
        customer["Linked Agent"] = chance.choice(agents)
        customer["Created By"] = chance.choice(users)
    _link_invoices(made, chance, ids)
    return made


def _link_invoices(made: dict[str, dict[str, Record]], chance: random.Random, ids: dict[str, list[str]]) -> None:
    invoices = list(made["invoice"].values())
    for number, invoice in enumerate(invoices):
        agent = chance.choice(ids["agent"])
        invoice["Linked Customer"] = chance.choice(ids["customer_profile"])
        invoice["Linked Agent"] = made["agent"][agent]["Linked User Login"] if number % 10 == 0 else agent
        invoice["Created By"] = "office@example.com" if number % 40 == 0 else chance.choice(ids["user"])
        invoice.setdefault("Amount", Decimal("100.00"))
        if number % 15 == 0:
            invoice.pop("Total Amount", None)
        if number % 25 == 0:
            invoice["Unmapped Field"] = f"kept in extra {number}"
    for number, item in enumerate(made["invoice_item"].values()):
        invoice = invoices[number % len(invoices)]
        invoice.setdefault("Linked Invoice Item", []).append(item["_id"])
        item["Created By"] = invoice["Created By"]
        if number % 9:
            item["Linked Invoice"] = invoice["_id"]
    for type_name in ("payment", "submit_payment"):
        for payment in made[type_name].values():
            invoice = chance.choice(invoices)
            payment["Linked Invoice"] = invoice["_id"]
            for name in ("Linked Agent", "Linked Customer", "Created By"):
                payment[name] = invoice[name]
            invoice.setdefault("Linked Payment", []).append(payment["_id"])
    for number, registration in enumerate(made["seda_registration"].values()):
        invoice = invoices[number % len(invoices)]
        registration["Agent"] = invoice["Linked Agent"]
        registration["Created By"] = invoice["Created By"]
        registration["Linked Invoice"] = [invoice["_id"]]
        if number % 7:
            registration["Linked Customer"] = invoice["Linked Customer"]
        if number % 5:
            invoice["Linked SEDA registration"] = registration["_id"]
