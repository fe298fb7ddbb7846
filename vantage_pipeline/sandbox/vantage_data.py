"""Made-up Vantage records: the same for the same seed, dated on fixed days, with the dirt that real ones have."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

Record = dict[str, Any]

TWO_EMAILS = " / "
NO_PHONE = "_"
_EPOCH = datetime(2026, 1, 1)
_TYPES = ("INDIVIDUAL", "TRUST", "LLC", "ENTITY", "PARTNERSHIP", "CORPORATION", "FUND", "IRA")
_FLOWS = ("Contribution", "Paid In", "Capital Call", "Distribution", "Repurchase", "Recallable Distribution")
_CURRENCIES = ("USD", "usd", "Eur", "ILS")
_CITIES = (("Springfield", "IL", "62701"), ("Riverton", "WY", "82501"), ("Fairview", "TX", "75069"))


def _updated(chance: random.Random) -> str:
    return (_EPOCH + timedelta(seconds=chance.randrange(200 * 86_400))).isoformat()


def _day(chance: random.Random) -> str:
    """A date in one of the three forms in which dates come."""
    moment = datetime(2012, 1, 1) + timedelta(days=chance.randrange(5_000))
    return chance.choice((f"{moment:%Y-%m-%dT00:00:00}", f"{moment:%Y-%m-%d}", f"{moment:%Y%m%d}"))


def _money(chance: random.Random, most: int) -> Decimal:
    return Decimal(chance.randrange(100, most * 100)) / 100


def accounts(count: int, chance: random.Random) -> list[Record]:
    made = []
    for number in range(1, count + 1):
        city, state, zipcode = chance.choice(_CITIES)
        name = f"Example Holder {number % (count * 9 // 10 + 1):04d}"
        email = f"Holder{number}@example.com"
        record: Record = {
            "investor_id": str(10_000 + number),
            "investor_name": f" {name} " if number % 50 == 0 else name,
            "investor_type": chance.choice(_TYPES),
            "investor_name_taxid_number": f"00-{number:07d}",
            "short_name": f"H{number}",
            "general_partner": number % 97 == 0,
            "inactive": number % 31 == 0,
            "currency": chance.choice(_CURRENCIES),
            "email": f"{email}{TWO_EMAILS}second{number}@example.org" if number % 40 == 0 else email,
            "main_phone": NO_PHONE if number % 10 == 0 else f"+1 (555) 01{number % 100:02d}-{number % 10_000:04d}",
            "address1": f"{number} Example Street",
            "address2": "Suite 1\nRear" if number % 60 == 0 else None,
            "city": city,
            "state": state,
            "zipcode": zipcode,
            "country": "United States",
            "notes": "made up",
            "account_group": [{"acctGroupId": number % 7, "groupName": f"Group {number % 7}"}],
            "contacts": [{"contact_id": str(number), "contact_name": name, "contact_email": email}],
            "updated_time": _updated(chance),
            "record_type": "Account",
        }
        if number % 45 == 0:
            del record["email"]
            record["contact_email"] = email
        made.append(record)
    return made


def funds(count: int, chance: random.Random) -> list[Record]:
    return [
        {
            "fund_id": str(500 + number),
            "fundname": f"Example Fund {number % 200:03d}",
            "shortname": f"EF{number}",
            "status": chance.choice(("Open", "Closed")),
            "inception_date": _day(chance),
            "exitdate": _day(chance) if number % 3 == 0 else None,
            "currency": chance.choice(_CURRENCIES),
            "fund_type": "Real Estate",
            "strategy": chance.choice(("Core", "Value Add")),
            "sector": chance.choice(("Residential", "Office")),
            "region": "Made-up Region",
            "address": f"{number} Fund Road",
            "city": "Fairview",
            "state": "TX",
            "zipcode": "75069",
            "country": "United States",
            "year_built": 1950 + number % 70,
            "noofunits": number,
            "sf": Decimal(number * 1000) + Decimal("0.5"),
            "fund_size": _money(chance, 50_000_000),
            "targeted_investor_IRR": Decimal("0.1"),
            "updated_time": _updated(chance),
            "record_type": "Fund",
        }
        for number in range(1, count + 1)
    ]


def cash_flows(count: int, chance: random.Random, holders: list[Record], deals: list[Record]) -> list[Record]:
    made = []
    for number in range(1, count + 1):
        holder, deal = chance.choice(holders), chance.choice(deals)
        amount = _money(chance, 900_000)
        day = _day(chance)
        made.append(
            {
                "cashflow_detailid": 1_000_000 + number,
                "fund_id": deal["fund_id"],
                "fundshortname": deal["shortname"],
                "account_id": holder["investor_id"],
                "account_name": holder["investor_name"],
                "transaction_date": day,
                "pay_date": day,
                "transaction_amount": amount,
                "transaction_amount_usd": amount,
                "transaction_type": chance.choice(_FLOWS),
                "transaction_subtype": None,
                "comments": "made up" if number % 5 == 0 else None,
                "updated_time": _updated(chance),
                "record_type": "CashFlow",
            }
        )
    return made


def commitments(chance: random.Random, holders: list[Record], deals: list[Record]) -> list[Record]:
    made: dict[tuple[str, str, str], Record] = {}
    for holder in holders:
        deal = chance.choice(deals)
        day = f"{2012 + chance.randrange(12)}-{1 + chance.randrange(12):02d}-15"
        key = (deal["fund_id"], holder["investor_id"], day)
        made[key] = {
            "fund_id": deal["fund_id"],
            "fundshortname": deal["shortname"],
            "account_id": holder["investor_id"],
            "account_name": holder["investor_name"],
            "commitment_date": f"{day}T00:00:00",
            "commitment_amount": _money(chance, 2_000_000),
            "updated_time": _updated(chance),
            "record_type": "Commitment",
        }
    return list(made.values())


def contacts(chance: random.Random, holders: list[Record]) -> list[Record]:
    return [
        {
            "contact_id": str(number),
            "first_name": "Example",
            "last_name": f"Person{number:04d}",
            "full_name": f"Example Person{number:04d}",
            "reporting_email": f"person{number}@example.org",
            "contact_type": "Investor",
            "company_name": "Example Company" if number % 4 == 0 else None,
            "inactive": False,
            "preferred_language": chance.choice(("English", "Hebrew")),
            "address": [
                {"address_type": "Home", "main_phone": "555-010-0000", "set_as_default_address": False},
                {"address_type": "Work", "mobile": f"555-01{number % 100:02d}-{number % 10_000:04d}",
                 "set_as_default_address": True},
            ],
            "updated_time": _updated(chance),
            "record_type": "Contact",
        }
        for number, _ in enumerate(holders[: max(1, len(holders) // 2)], start=1)
    ]  # fmt: skip


def mappings(chance: random.Random, people: list[Record], holders: list[Record], deals: list[Record]) -> list[Record]:
    made = []
    for number, person in enumerate(people):
        holder = holders[number % len(holders)]
        record: Record = {
            "contact_id": person["contact_id"],
            "contact_name": person["full_name"],
            "account_id": holder["investor_id"],
            "account_name": holder["investor_name"],
            "is_primary": True,
            "relationship": "Owner",
            "updated_time": _updated(chance),
            "record_type": "AccountContactMap",
        }
        if number % 3:
            record["fund_id"] = chance.choice(deals)["fund_id"]
        made.append(record)
    return made


def financials(chance: random.Random, deals: list[Record]) -> list[Record]:
    return [
        {
            "fund_id": deal["fund_id"],
            "report_date": f"{year}-{month:02d}-28T00:00:00",
            "report_frequency": "Quarterly",
            "nav": _money(chance, 60_000_000),
            "currency": "USD",
            "gross_irr": Decimal("0.125"),
            "updated_time": _updated(chance),
        }
        for deal in deals
        for year in (2024, 2025)
        for month in (3, 6, 9, 12)
    ]
