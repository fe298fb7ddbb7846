"""The shapes of the catalog: what a resource, a table, a column and a link are. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

System = Literal["vantage", "bubble"]


class Kind(StrEnum):
    """A column's type in the warehouse."""

    TEXT = "text"
    INTEGER = "integer"
    BIGINT = "bigint"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamptz"
    JSON = "jsonb"
    TEXT_ARRAY = "text[]"


class Rule(StrEnum):
    """How a column's value is made from the record's fields; `records.rules` has one function for each."""

    AS_IS = "as_is"
    """The first of the fields that is there."""
    TRIMMED = "trimmed"
    """Text without surrounding space; nothing but space is none."""
    FIRST_EMAIL = "first_email"
    PHONE = "phone"
    ADDRESS = "address"
    CURRENCY = "currency"
    INVERTED = "inverted"
    TRANSACTION_TYPE = "transaction_type"
    INVESTOR_TYPE = "investor_type"
    CONSTANT = "constant"
    JOINED_KEY = "joined_key"
    """Fields joined by a colon, dates as yyyy-mm-dd."""
    DEFAULT_ADDRESS_PHONE = "default_address_phone"
    FILE_URL = "file_url"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """Another place where a link's value may be found: ``table.match`` = value gives ``table.value``."""

    table: str
    match: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A column that points at a row of another table.

    The record holds the parent's `key`; the column holds the parent's `ref` (Vantage: its ``id``, Bubble: the
    key itself). `many` is a list of keys: no foreign key, but the parents are read all the same.
    """

    resource: str
    """State name of the resource that the parent comes from."""
    table: str
    key: str
    ref: str
    many: bool = False
    alias: Alias | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One mapped column. `fields` are the record's fields it is made of, in the order of preference."""

    name: str
    kind: Kind
    fields: tuple[str, ...]
    rule: Rule = Rule.AS_IS
    required: bool = False
    max_length: int | None = None
    link: Link | None = None
    constant: str | None = None
    keep_raw: bool = False
    """Keep the raw fields in ``extra`` too, because the rule or the link loses something of them."""
    repaired: bool = False
    """`bubble/links` may fill this column where the source gives nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One synced table: its key column, its mapped columns, and the columns that only the database has."""

    name: str
    key: str
    columns: tuple[Column, ...]
    owner: tuple[str, str] | None = None
    """(column, value): rows with another value come from elsewhere and are never touched."""
    modified: str
    """The column that holds the record's last change in the source."""

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def links(self) -> tuple[Column, ...]:
        """The columns with a link to one parent."""
        return tuple(c for c in self.columns if c.link is not None and not c.link.many)

    @property
    def fields(self) -> frozenset[str]:
        """Every field of the record that has a column."""
        return frozenset(name for column in self.columns for name in column.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class VantageEndpoint:
    """Where a Vantage collection is read (docs: ``docs/sources.md``)."""

    collection: str
    """Path element, as in ``/api/{collection}/GetbyDate/...``."""
    envelope: str
    """The envelope's key for the list of records."""
    style: Literal["changed_since", "financials"] = "changed_since"


@dataclass(frozen=True, slots=True, kw_only=True)
class BubbleEndpoint:
    """Which Bubble type a table is read from."""

    type_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One collection read from a source into one table."""

    table: Table
    endpoint: VantageEndpoint | BubbleEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One asset and one row of ``vantage_sync_state``.

    `datasets` is empty for what is derived in SQL; `derivation` then names the statement.
    """

    system: System
    name: str
    state: str
    datasets: tuple[Dataset, ...] = ()
    derivation: str | None = None
    requires: tuple[str, ...] = ()
    """State names of the resources loaded before this one."""
    partitioned: bool = False
    description: str = ""
    tables: tuple[str, ...] = field(default=())

    @property
    def asset(self) -> str:
        """The asset's name, as in ``vantage/accounts``."""
        return f"{self.system}/{self.name}"
