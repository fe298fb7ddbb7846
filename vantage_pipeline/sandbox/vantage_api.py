"""The Vantage IR API as ``docs/sources.md`` describes it, over records in memory."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import Any

from vantage_pipeline.sandbox import vantage_data as data

Record = dict[str, Any]
TOKEN, CLIENT = "sandbox-vantage-token", "sandbox-client"
_KEYS = {
    "accounts": ("accounts", "investor_id"),
    "funds": ("funds", "fund_id"),
    "cashflows": ("cashFlows", "fund_id"),
    "commitment": ("commitments", "fund_id"),
    "contacts": ("contacts", "contact_id"),
    "accountcontactmap": ("mappings", "account_id"),
    "financials": ("financials", "fund_id"),
}
_DAY = re.compile(r"\d{8}\Z")


class VantageStore:
    """The records by collection (the path element in lower case). Tests edit `records` while it serves."""

    def __init__(self, *, seed: int, accounts: int, funds: int, cash_flows: int) -> None:
        chance = random.Random(seed)
        holders, deals = data.accounts(accounts, chance), data.funds(funds, chance)
        people = data.contacts(chance, holders)
        self.most_per_page = 500
        self.size_step = 1
        """Page sizes are rounded down to a multiple of it."""
        self.records: dict[str, list[Record]] = {
            "accounts": holders,
            "funds": deals,
            "cashflows": data.cash_flows(cash_flows, chance, holders, deals),
            "commitment": data.commitments(chance, holders, deals),
            "contacts": people,
            "accountcontactmap": data.mappings(chance, people, holders, deals),
            "financials": data.financials(chance, deals),
        }

    def change(self, collection: str, count: int, *, field: str, value: object) -> list[Record]:
        """Give `field` of the first `count` records a value, and touch them."""
        changed = self.records[collection][:count]
        for record in changed:
            record[field] = value
            record["updated_time"] = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        return changed

    def answer(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, dict[str, Any]]:
        """Status and body for a GET of `path`."""
        if headers.get("Authorization") != TOKEN or headers.get("X-com-vantageir-subscriptions-clientid") != CLIENT:
            return _refused()
        parts = [part for part in path.split("/") if part]
        if len(parts) < 3 or parts[0].lower() != "api" or parts[1].lower() not in _KEYS:
            return 404, {"code": 404, "message": "Not Found"}
        collection, verb, rest = parts[1].lower(), parts[2].lower(), parts[3] if len(parts) > 3 else ""
        envelope, key = _KEYS[collection]
        found = self.records[collection]
        if collection == "financials":
            found = [r for r in found if not query.get("fund_id") or r["fund_id"] == query["fund_id"]]
            return 200, {"code": 0, "message": "success", envelope: found}
        if verb == "getbydate":
            if not _DAY.match(rest):
                return _refused()
            since = f"{rest[:4]}-{rest[4:6]}-{rest[6:]}"
            changed = found if rest == "19000101" else [r for r in found if r["updated_time"] >= since]
            return self._page(envelope, changed, query.get("page", "1"), query.get("per_page", "100"))
        if verb == "get" and "&" in rest:
            first, second = rest.split("&", 1)
            if _DAY.match(first) and _DAY.match(second):
                field = "commitment_date" if collection == "commitment" else "transaction_date"
                inside = [r for r in found if first <= str(r.get(field, "")).replace("-", "")[:8] <= second]
                return 200, {"code": 0, "message": "success", envelope: inside}
            if collection in ("cashflows", "commitment"):
                return _refused()
            return self._page(envelope, found, first, second)
        if verb == "get":
            chosen = [r for r in found if str(r[key]) == rest] if rest else found
            return 200, {"code": 0, "message": "success", envelope: chosen}
        return 404, {"code": 404, "message": "Not Found"}

    def _page(self, envelope: str, found: list[Record], page: str, per_page: str) -> tuple[int, dict[str, Any]]:
        number, size = max(1, int(page)), min(max(1, int(per_page)), self.most_per_page)
        size = max(self.size_step, size - size % self.size_step)
        start = (number - 1) * size
        return 200, {
            "code": 0,
            "message": "success",
            envelope: found[start : start + size],
            "page_context": {
                "page": number,
                "per_page": size,
                "has_more_page": start + size < len(found),
                "total_available_Records": len(found),
            },
        }


def _refused() -> tuple[int, dict[str, Any]]:
    return 401, {"code": 401, "message": "Unauthorized Access"}
