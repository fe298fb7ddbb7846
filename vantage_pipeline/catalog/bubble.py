"""The Bubble resources, read from ``bubble_fields.csv``: one line a field, with its column, type and link.

The file says what the fields are; this module adds what it cannot say: key columns, load order, and the two
ways in which a link holds something other than its parent's key.
"""

from __future__ import annotations

import csv
from importlib import resources

from vantage_pipeline.catalog.model import (
    Alias,
    BubbleEndpoint,
    Column,
    Dataset,
    Kind,
    Link,
    Resource,
    Rule,
    Table,
)

_KINDS = {
    "text": Kind.TEXT,
    "integer": Kind.INTEGER,
    "numeric": Kind.NUMERIC,
    "boolean": Kind.BOOLEAN,
    "timestamptz": Kind.TIMESTAMP,
    "jsonb": Kind.JSON,
    "array": Kind.TEXT_ARRAY,
}
_KEYS = {"customer": "customer_id"}
_TABLES = {"customer_profile": "customer", "submit_payment": "submitted_payment"}

_AGENT_OF_USER = Alias(table="user", match="bubble_id", value="linked_agent_profile")
"""A link to an agent that holds the id of the agent's user leads to that user's agent."""

_REPAIRED = {
    ("invoice", "linked_seda_registration"),
    ("seda_registration", "linked_customer"),
    ("invoice_item", "linked_invoice"),
}

_FALLBACK_FIELDS = {("invoice", "total_amount"): ("Total Amount", "Amount")}

_FILES = {
    ("user", "profile_picture"),
    ("payment", "attachment"),
    ("submitted_payment", "attachment"),
    *(
        ("seda_registration", name)
        for name in (
            "roof_images", "site_images", "customer_signature", "ic_copy_front", "ic_copy_back",
            "tnb_bill_1", "tnb_bill_2", "tnb_bill_3", "tnb_meter", "nem_cert", "mykad_pdf",
            "property_ownership_prove", "drawing_pdf_system", "drawing_system_actual",
            "drawing_engineering_seda_pdf", "drawing_system_submitted", "e_contact_mykad",
        )
    ),
}  # fmt: skip
"""Columns that hold file addresses, where ``//`` alone means none."""

_ORDER: tuple[tuple[str, tuple[str, ...], bool, str], ...] = (
    ("agent", (), False, "The sales agents."),
    ("customer", ("agent",), False, "The customers' profiles."),
    ("user", ("agent",), False, "The app's users."),
    ("invoice", ("agent", "customer", "user"), True, "The invoices, by the day they last changed."),
    ("payment", ("invoice", "customer", "agent", "user"), True, "The verified payments."),
    ("submitted_payment", ("invoice", "customer", "agent", "user"), True, "Payments awaiting verification."),
    ("invoice_item", ("invoice", "user"), True, "The lines of the invoices."),
    ("seda_registration", ("invoice", "customer", "agent"), True, "The SEDA registrations."),
)


def table_of(type_name: str) -> str:
    """The table that holds a Bubble type."""
    return _TABLES.get(type_name, type_name)


def _key_of(table: str) -> str:
    return _KEYS.get(table, "bubble_id")


def _link(kind: Kind, links_to: str) -> Link | None:
    if not links_to:
        return None
    parent = table_of(links_to)
    key = _key_of(parent)
    alias = _AGENT_OF_USER if parent == "agent" else None
    return Link(
        resource=f"bubble_{parent}", table=parent, key=key, ref=key, many=kind is Kind.TEXT_ARRAY,
        alias=None if kind is Kind.TEXT_ARRAY else alias,
    )  # fmt: skip


def _column(line: dict[str, str]) -> Column:
    table, name, kind = line["table"], line["column"], _KINDS[line["type"]]
    link = _link(kind, line["links_to"])
    if table == "user":
        # a user's agent is the agent itself, never the user again
        link = link and Link(resource=link.resource, table=link.table, key=link.key, ref=link.ref)
    fields = _FALLBACK_FIELDS.get((table, name), (line["field"],))
    return Column(
        name=name,
        kind=kind,
        fields=fields,
        rule=Rule.FILE_URL if (table, name) in _FILES else Rule.AS_IS,
        required=name == _key_of(table),
        link=link,
        keep_raw=len(fields) > 1 or (link is not None and (link.alias is not None or name == "created_by")),
        repaired=(table, name) in _REPAIRED,
    )


def _read_columns() -> tuple[dict[str, list[Column]], dict[str, str]]:
    columns: dict[str, list[Column]] = {}
    types: dict[str, str] = {}
    text = resources.files(__package__).joinpath("bubble_fields.csv").read_text(encoding="utf-8")
    for line in csv.DictReader(text.splitlines()):
        columns.setdefault(line["table"], []).append(_column(line))
        types[line["table"]] = line["bubble_type"]
    return columns, types


def _resources() -> tuple[Resource, ...]:
    columns, types = _read_columns()
    built = [
        Resource(
            system="bubble",
            name=name,
            state=f"bubble_{name}",
            datasets=(
                Dataset(
                    table=Table(name=name, key=_key_of(name), columns=tuple(columns[name]), modified="modified_date"),
                    endpoint=BubbleEndpoint(type_name=types[name]),
                ),
            ),
            requires=tuple(f"bubble_{parent}" for parent in requires),
            partitioned=partitioned,
            tables=(name,),
            description=description,
        )
        for name, requires, partitioned, description in _ORDER
    ]
    links = Resource(
        system="bubble",
        name="links",
        state="bubble_links",
        derivation="bubble_links",
        requires=tuple(resource.state for resource in built),
        tables=("invoice", "seda_registration", "invoice_item"),
        description="Links that the app leaves out and its other records imply, filled in after a sync.",
    )
    return (*built, links)


BUBBLE_RESOURCES: tuple[Resource, ...] = _resources()
