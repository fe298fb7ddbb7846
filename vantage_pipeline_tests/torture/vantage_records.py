"""Vantage's records as a history makes and edits them."""

from __future__ import annotations

import random
from datetime import datetime
from decimal import Decimal
from typing import Any

from vantage_pipeline.sandbox.vantage_api import VantageStore

Record = dict[str, Any]
MOST = 9
"""Accounts and funds that links name; there are more accounts, whose keys other sources' rows may have."""
ACCOUNTS = MOST + 3
_EMAILS = (
    "A@Example.com",
    "a@example.com / b@example.org",
    None,
    "_",
    "x@example.com,y@example.com",
    " c@example.com ",
)
_PHONES = ("+1 (555) 010-0000", "_", None, "5550100", "555.010.0001", "")
_DAYS = ("2020-01-31T00:00:00", "2020-02-29", "20200301", None, "2021-12-31T12:30:00", "")
_MONEY = (Decimal("10.50"), 7, "12.5", Decimal("12345678901234567890.123456789"), None, -3)
_FLOWS = ("Contribution", "Paid In", "capital  call", "Distribution", "Repurchase", "Something Else")
_TEXTS = ("plain", "two\nlines", "", None, 'say "so"', "\u00e9\u4e2d")

_FIELDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "accounts": {
        "investor_name": ("Holder", " Spaced ", "Same Name", "Same Name", "\u4e2d", "H"),
        "email": _EMAILS, "contact_email": _EMAILS[::-1], "main_phone": _PHONES, "address1": _TEXTS, "address2": _TEXTS[::-1],
        "city": ("Fairview", None, "", " Riverton ", "Town", "X"), "state": ("TX", None, "WY", "", "IL", "Y"),
        "zipcode": ("75069", 1234, None, "", "00001", "2"), "country": _TEXTS, "investor_name_taxid_number": _TEXTS,
        "currency": ("USD", "usd", "Eur", None, "", " ils "), "investor_type": ("INDIVIDUAL", "LLC", "family TRUST", None, "", "IRA"),
        "general_partner": (True, False, None, "yes", 0, "N"), "inactive": (True, False, None, "yes", 1, "N"),
        "notes": _TEXTS,
    },
    "funds": {
        "fundname": ("Fund", " Spaced ", "Same Name", "Same Name", "\u4e2d", "F"), "shortname": _TEXTS, "status": _TEXTS,
        "inception_date": _DAYS, "exitdate": _DAYS[::-1], "currency": ("USD", "usd", None, "", "Eur", "ILS"),
        "address": _TEXTS, "city": _TEXTS[::-1], "year_built": (1999, "2001", None, Decimal("1950.0"), "", 0),
        "noofunits": (1, 2, None, "7", 4, 5), "sf": _MONEY, "fund_size": _MONEY[::-1], "region": _TEXTS, "unknown_field": _TEXTS,
    },
    "cashflows": {
        "transaction_date": _DAYS, "pay_date": _DAYS[::-1], "transaction_amount": _MONEY, "transaction_amount_usd": _MONEY[::-1],
        "transaction_type": _FLOWS, "transaction_subtype": _TEXTS, "comments": _TEXTS[::-1],
    },
    "commitment": {"commitment_amount": _MONEY},
}  # fmt: skip
_BAD: dict[str, tuple[tuple[str, Any], ...]] = {
    "accounts": (("investor_name", None), ("main_phone", "12"), ("currency", "DOLLARS"), ("email", "not an address"),
                 ("country", "a NUL \x00 within"), ("general_partner", "perhaps")),
    "funds": (("fundname", " "), ("year_built", Decimal("1.5")), ("exitdate", "soon"), ("sf", "a lot"), ("shortname", "x" * 101)),
    "cashflows": (("transaction_date", "2021-02-30"), ("transaction_amount", "a lot"), ("comments", {"not": "text"})),
    "commitment": (("commitment_amount", "a lot"),),
}  # fmt: skip
KEYS = {"accounts": "investor_id", "funds": "fund_id", "cashflows": "cashflow_detailid"}
SPOILED = "spoiled"


def account_id(which: int) -> str:
    return str(10_001 + which % ACCOUNTS)


def fund_id(which: int) -> str:
    return str(501 + which % MOST)


def _commitment_key(record: Record) -> str:
    return f"{record['fund_id']}:{record['account_id']}:{record['commitment_date'][:10]}"


class VantageSource:
    """The collections of a history in the sandbox. New records go to the end, changed ones stay where they are."""

    def __init__(self, store: VantageStore, types: tuple[str, ...]) -> None:
        self._store, self.types = store, types

    def keys(self, type_name: str) -> list[str]:
        return [self._key_of(type_name, record) for record in self._store.records[type_name]]

    def get(self, type_name: str, key: str) -> Record:
        return dict(self._store.records[type_name][self.keys(type_name).index(key)])

    def key(self, type_name: str, which: int) -> str:
        if type_name == "commitment":
            return _commitment_key(self._links(type_name, which, which))
        return {"accounts": account_id, "funds": fund_id}.get(type_name, lambda n: str(1_000_001 + n % MOST))(which)

    def make(self, type_name: str, which: int, variant: int) -> Record:
        chance = random.Random(f"{type_name} {which} {variant}")
        record: Record = {
            name: chance.choice(values) for name, values in _FIELDS[type_name].items() if chance.random() < 0.6
        }
        if type_name in KEYS:
            key = self.key(type_name, which)
            record[KEYS[type_name]] = int(key) if type_name == "cashflows" else key
        if type_name in ("accounts", "funds"):
            name = "investor_name" if type_name == "accounts" else "fundname"
            record.setdefault(name, f"Made {which}")
        if type_name in ("cashflows", "commitment"):
            record |= self._links(type_name, which, which if type_name == "commitment" else variant)
        return record

    def change(self, type_name: str, record: Record, variant: int) -> None:
        names = [name for name in _FIELDS[type_name] if name != record.get(SPOILED)]
        for number in (variant, variant * 7 + 3) if names else ():
            name = names[number % len(names)]
            values = _FIELDS[type_name][name]
            record[name] = values[(number + len(str(record))) % len(values)]

    def link(self, type_name: str, record: Record, which: int, variant: int) -> None:
        if type_name == "cashflows":
            record |= self._links(type_name, which, variant)
            if variant == 9:
                record["fund_id"] = None
        else:
            self.change(type_name, record, variant)

    def spoil(self, type_name: str, record: Record, variant: int) -> None:
        self.mend(type_name, record)
        name, value = _BAD[type_name][variant % len(_BAD[type_name])]
        record[SPOILED], record[name] = name, value
        if name == "email":
            record.pop("contact_email", None)

    def mend(self, _type_name: str, record: Record) -> bool:
        spoiled = record.pop(SPOILED, None)
        if spoiled is not None:
            record[spoiled] = "Mended" if spoiled in ("investor_name", "fundname") else None
        return spoiled is not None

    def put(self, type_name: str, record: Record, stamp: datetime) -> None:
        record["updated_time"] = stamp.replace(tzinfo=None).isoformat(timespec="seconds")
        records, keys = self._store.records[type_name], self.keys(type_name)
        key = self._key_of(type_name, record)
        if key in keys:
            records[keys.index(key)] = record
        else:
            records.append(record)

    def remove(self, type_name: str, key: str) -> Record:
        return self._store.records[type_name].pop(self.keys(type_name).index(key))

    def moved(self, _type_name: str, _record: Record) -> tuple[str, Record] | None:
        return None

    def _key_of(self, type_name: str, record: Record) -> str:
        return _commitment_key(record) if type_name == "commitment" else str(record[KEYS[type_name]])

    def _links(self, type_name: str, which: int, variant: int) -> Record:
        links: Record = {"account_id": account_id((which + variant) % MOST), "fund_id": fund_id(variant)}
        if type_name == "commitment":
            links["commitment_date"] = f"2020-01-{1 + which % 28:02d}T00:00:00"
        return links
