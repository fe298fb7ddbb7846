"""The Vantage resources: which collection feeds which table, and how each column is made.

Facts: ``docs/sources.md``; the API's fields without a column here go to ``extra``.
"""

from __future__ import annotations

from vantage_pipeline.catalog.model import Column, Dataset, Kind, Link, Resource, Rule, Table, VantageEndpoint

_INVESTOR = Link(resource="accounts", table="investors", key="external_id", ref="id")
_DEAL = Link(resource="funds", table="deals", key="external_id", ref="id")
_CONTACT = Link(resource="investors", table="contacts", key="external_id", ref="id")


def _text(name: str, *fields: str, rule: Rule = Rule.AS_IS, max_length: int | None = None) -> Column:
    return Column(
        name=name, kind=Kind.TEXT, fields=fields or (name,), rule=rule, max_length=max_length,
        keep_raw=len(fields) > 1,
    )  # fmt: skip


def _column(name: str, kind: Kind, field: str, rule: Rule = Rule.AS_IS) -> Column:
    return Column(name=name, kind=kind, fields=(field,), rule=rule)


def _raw(name: str, rule: Rule, *fields: str) -> Column:
    return Column(name=name, kind=Kind.TEXT, fields=fields, rule=rule, keep_raw=True)


def _key(*fields: str) -> Column:
    rule = Rule.JOINED_KEY if len(fields) > 1 else Rule.AS_IS
    return Column(name="external_id", kind=Kind.TEXT, fields=fields, rule=rule, required=True)


def _name(field: str) -> Column:
    return Column(name="name", kind=Kind.TEXT, fields=(field,), rule=Rule.TRIMMED, required=True, max_length=500)


def _link(name: str, field: str, link: Link) -> Column:
    return Column(name=name, kind=Kind.BIGINT, fields=(field,), link=link)


_UPDATED = _column("source_updated_at", Kind.TIMESTAMP, "updated_time")

INVESTORS = Table(
    name="investors",
    key="external_id",
    modified="source_updated_at",
    owner=("source_kind", "vantage"),
    columns=(
        _key("investor_id"),
        _name("investor_name"),
        _raw("email", Rule.FIRST_EMAIL, "email", "contact_email"),
        _raw("phone", Rule.PHONE, "main_phone"),
        _raw("address", Rule.ADDRESS, "address1", "address2", "address3", "city", "state", "zipcode"),
        _text("country"),
        _text("tax_id", "investor_name_taxid_number"),
        _raw("currency", Rule.CURRENCY, "currency"),
        _raw("investor_type", Rule.INVESTOR_TYPE, "investor_type"),
        _column("is_gp", Kind.BOOLEAN, "general_partner"),
        _column("is_active", Kind.BOOLEAN, "inactive", Rule.INVERTED),
        Column(name="source_kind", kind=Kind.TEXT, fields=(), rule=Rule.CONSTANT, constant="vantage"),
        _UPDATED,
    ),
)

DEALS = Table(
    name="deals",
    key="external_id",
    modified="source_updated_at",
    columns=(
        _key("fund_id"),
        _name("fundname"),
        _text("code", "shortname", max_length=100),
        _text("status"),
        _column("inception_date", Kind.DATE, "inception_date"),
        _column("close_date", Kind.DATE, "exitdate"),
        _raw("currency", Rule.CURRENCY, "currency"),
        _text("fund_type"),
        _text("strategy"),
        _text("sector"),
        _text("region"),
        _raw("address", Rule.ADDRESS, "address", "city", "state", "zipcode"),
        _text("country"),
        _column("year_built", Kind.INTEGER, "year_built"),
        _column("units", Kind.INTEGER, "noofunits"),
        _column("sqft", Kind.NUMERIC, "sf"),
        _column("fund_size", Kind.NUMERIC, "fund_size"),
        _UPDATED,
    ),
)

TRANSACTIONS = Table(
    name="transactions",
    key="external_id",
    modified="source_updated_at",
    columns=(
        _key("cashflow_detailid"),
        _link("investor_id", "account_id", _INVESTOR),
        _link("deal_id", "fund_id", _DEAL),
        _column("transaction_date", Kind.DATE, "transaction_date"),
        _column("pay_date", Kind.DATE, "pay_date"),
        _column("amount", Kind.NUMERIC, "transaction_amount"),
        _column("amount_usd", Kind.NUMERIC, "transaction_amount_usd"),
        _raw("transaction_type", Rule.TRANSACTION_TYPE, "transaction_type"),
        _text("transaction_subtype"),
        _text("notes", "comments"),
        _UPDATED,
    ),
)

COMMITMENTS = Table(
    name="commitments",
    key="external_id",
    modified="source_updated_at",
    columns=(
        _key("fund_id", "account_id", "commitment_date"),
        _link("investor_id", "account_id", _INVESTOR),
        _link("deal_id", "fund_id", _DEAL),
        _column("commitment_date", Kind.DATE, "commitment_date"),
        _column("amount", Kind.NUMERIC, "commitment_amount"),
        _UPDATED,
    ),
)

CONTACTS = Table(
    name="contacts",
    key="external_id",
    modified="source_updated_at",
    columns=(
        _key("contact_id"),
        _text("full_name"),
        _text("first_name"),
        _text("last_name"),
        _raw("email", Rule.FIRST_EMAIL, "reporting_email"),
        Column(name="phone", kind=Kind.TEXT, fields=("address",), rule=Rule.DEFAULT_ADDRESS_PHONE),
        _text("company_name"),
        _text("contact_type"),
        _text("preferred_language"),
        _column("is_active", Kind.BOOLEAN, "inactive", Rule.INVERTED),
        _column("addresses", Kind.JSON, "address"),
        _UPDATED,
    ),
)

ACCOUNT_CONTACTS = Table(
    name="account_contacts",
    key="external_id",
    modified="source_updated_at",
    columns=(
        Column(
            name="external_id", kind=Kind.TEXT, fields=("contact_id", "account_id", "fund_id"),
            rule=Rule.JOINED_KEY, required=True,
        ),
        _link("contact_id", "contact_id", _CONTACT),
        _link("investor_id", "account_id", _INVESTOR),
        _link("deal_id", "fund_id", _DEAL),
        _column("is_primary", Kind.BOOLEAN, "is_primary"),
        _text("relationship"),
        _UPDATED,
    ),
)  # fmt: skip

VALUATIONS = Table(
    name="valuations",
    key="external_id",
    modified="source_updated_at",
    columns=(
        _key("fund_id", "report_date", "report_frequency"),
        _link("deal_id", "fund_id", _DEAL),
        _column("report_date", Kind.DATE, "report_date"),
        _text("report_frequency"),
        _column("nav", Kind.NUMERIC, "nav"),
        _raw("currency", Rule.CURRENCY, "currency"),
        _UPDATED,
    ),
)


def _dataset(table: Table, collection: str, envelope: str) -> Dataset:
    return Dataset(table=table, endpoint=VantageEndpoint(collection=collection, envelope=envelope))


def _resource(
    name: str, *datasets: Dataset, requires: tuple[str, ...] = (), description: str
) -> Resource:  # fmt: skip
    return Resource(
        system="vantage", name=name, state=name, datasets=datasets, requires=requires,
        tables=tuple(dataset.table.name for dataset in datasets), description=description,
    )  # fmt: skip


VANTAGE_RESOURCES: tuple[Resource, ...] = (
    _resource(
        "accounts",
        _dataset(INVESTORS, "Accounts", "accounts"),
        description="The investors' accounts. Rows of another source_kind are never touched.",
    ),
    _resource("funds", _dataset(DEALS, "Funds", "funds"), description="The funds, as deals."),
    _resource(
        "cashflows",
        _dataset(TRANSACTIONS, "CashFlows", "cashFlows"),
        requires=("accounts", "funds"),
        description="Contributions, distributions and repurchases of an account in a fund.",
    ),
    _resource(
        "commitments",
        _dataset(COMMITMENTS, "Commitment", "commitments"),
        requires=("accounts", "funds"),
        description="What an account committed to a fund, and when.",
    ),
    _resource(
        "investors",
        _dataset(CONTACTS, "Contacts", "contacts"),
        _dataset(ACCOUNT_CONTACTS, "AccountContactMap", "mappings"),
        requires=("accounts", "funds"),
        description="The people behind the accounts, and which account and fund each belongs to.",
    ),
    Resource(
        system="vantage",
        name="valuations",
        state="valuations",
        datasets=(
            Dataset(
                table=VALUATIONS,
                endpoint=VantageEndpoint(collection="Financials", envelope="financials", style="financials"),
            ),
        ),
        requires=("funds",),
        tables=("valuations",),
        description="Each fund's reported figures by quarter.",
    ),
    Resource(
        system="vantage",
        name="investments",
        state="investments",
        derivation="investments",
        requires=("cashflows", "commitments", "valuations"),
        tables=("investments",),
        description="The position of each account in each fund, derived from what the others loaded.",
    ),
)
