"""The sandbox finds addresses around an origin, by what is known of the Bubble Data API's constraint for it."""

from __future__ import annotations

import json
from decimal import Decimal

import requests

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.sandbox.bubble_api import TOKEN


def test_addresses_are_found_around_an_origin(sandbox: Sandbox) -> None:
    places = {
        "Kuala Lumpur": (Decimal("3.139"), Decimal("101.6869")),
        "Petaling Jaya": (Decimal("3.1073"), Decimal("101.6067")),
        "George Town": (Decimal("5.4141"), Decimal("100.3288")),
    }
    customers = list(sandbox.bubble.records["customer_profile"].values())
    for record, (address, (lat, lng)) in zip(customers, places.items(), strict=False):
        sandbox.bubble.put("customer_profile", {**record, "Place": {"address": address, "lat": lat, "lng": lng}})
    sandbox.bubble.put("customer_profile", {**customers[3], "Place": {"address": "nowhere known"}})

    def around(value: object) -> tuple[int, set[str]]:
        constraint = {"key": "Place", "constraint_type": "geographic_search", "value": value}
        answer = requests.get(
            f"{sandbox.environment()['BUBBLE_API_BASE_URL']}/obj/customer_profile",
            params={"constraints": json.dumps([constraint])},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=10,
        )
        found = answer.json().get("response", {}).get("results", [])
        return answer.status_code, {record["Place"]["address"] for record in found}

    assert around({"origin_address": "kuala lumpur", "range": 10}) == (200, {"Kuala Lumpur", "Petaling Jaya"})
    assert around({"origin_address": "5.4, 100.3", "range": "10"}) == (200, {"George Town"})
    assert around({"origin_address": "Kuala Lumpur", "range": 500}) == (200, set(places))
    assert around({"origin_address": "Nowhere known", "range": 1}) == (200, {"nowhere known"})
    for wrong in ("Kuala Lumpur", {"range": 10}, {"origin_address": "Kuala Lumpur", "range": "far"}):
        assert around(wrong) == (400, set())
