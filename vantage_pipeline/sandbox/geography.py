"""The constraint `geographic_search`: addresses within a range of another one.

A geographic address is an object of `address`, `lat` and `lng`. The sandbox knows no map: it finds the place of an
origin that is written as coordinates (``3.14, 101.69``) or as the address of a record in the same field. That the
value holds `origin_address` and `range`, in miles, is Bubble's convention as far as it is known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

Place = tuple[float, float]
_RADIUS = 3_958.8
"""Of the earth, in miles."""
_COORDINATES = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*\Z", re.ASCII)


def origin(value: Any, known: Iterable[Any]) -> tuple[str, Place | None, float] | None:
    """Address, place (where it is known) and range of a constraint's value; None where it is no such value.

    Args:
        known: the addresses that the field holds, among which the origin's place may be.
    """
    if not isinstance(value, dict) or not isinstance(value.get("origin_address"), str):
        return None
    try:
        miles = float(str(value.get("range")))
    except ValueError:
        return None
    address = value["origin_address"]
    written = _COORDINATES.match(address)
    if written:
        return address, (float(written[1]), float(written[2])), miles
    places = (_place(item) for item in known if _address(item) == _folded(address))
    return address, next((place for place in places if place is not None), None), miles


def within(value: Any, sought: tuple[str, Place | None, float]) -> bool:
    """Whether an address is the origin itself, or no farther from it than the range."""
    address, place, miles = sought
    here = _place(value)
    if place is not None and here is not None:
        return _distance(place, here) <= miles
    return _address(value) == _folded(address)


def _place(value: Any) -> Place | None:
    if not isinstance(value, dict):
        return None
    lat, lng = value.get("lat"), value.get("lng")
    if not isinstance(lat, (int, float, Decimal)) or not isinstance(lng, (int, float, Decimal)):
        return None
    return float(lat), float(lng)


def _address(value: Any) -> str | None:
    text = value.get("address") if isinstance(value, dict) else value
    return _folded(text) if isinstance(text, str) else None


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _distance(one: Place, other: Place) -> float:
    """Miles along the earth's surface."""
    a, b = math.radians(one[0]), math.radians(other[0])
    across = math.radians(other[1] - one[1])
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(across / 2) ** 2
    return 2 * _RADIUS * math.asin(math.sqrt(min(1.0, half)))
