"""Faults of the envelope and of the paging: JSON that is well formed and not what the API is known to give.

Each takes an exchange, changes its body, and tells whether it could; `False` leaves the fault for a later answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vantage_pipeline.sandbox.exchange import Exchange


def _wrong_code(exchange: Exchange) -> bool:
    if exchange.system == "vantage":
        exchange.body = {"code": 500, "message": "made-up fault"}
    else:
        exchange.body = {"statusCode": 500, "body": {"status": "ERROR", "message": "made-up fault"}}
    return True


def _no_list(exchange: Exchange) -> bool:
    if exchange.place is None:
        return False
    holder, name = exchange.place
    del holder[name]
    return True


def _not_an_object(exchange: Exchange) -> bool:
    exchange.body = [exchange.body]
    return True


def _duplicate(exchange: Exchange) -> bool:
    records = exchange.records
    if not records:
        return False
    position = exchange.chance.randrange(len(records))
    records.insert(position, records[position])
    return True


def _duplicate_across(exchange: Exchange) -> bool:
    if exchange.place is None or not exchange.previous:
        return False
    exchange.records.insert(0, exchange.previous[-1])
    return True


def _page_repeated(exchange: Exchange) -> bool:
    if not exchange.records or not exchange.previous or exchange.previous == exchange.records:
        return False
    exchange.records[:] = exchange.previous
    return True


def _empty_page(exchange: Exchange) -> bool:
    records = exchange.records
    if not records:
        return False
    more = len(records)
    records.clear()
    if exchange.system == "bubble":
        response = exchange.body["response"]
        response["remaining"] = response.get("remaining", 0) + more
    else:
        exchange.body.get("page_context", {})["has_more_page"] = True
    return True


def _total(change: int) -> Callable[[Exchange], bool]:
    def told(exchange: Exchange) -> bool:
        holder, name = (
            (exchange.body.get("response", {}), "remaining")
            if exchange.system == "bubble"
            else (exchange.body.get("page_context", {}), "total_available_Records")
        )
        if name not in holder or (change < 0 and not holder[name]):
            return False
        holder[name] = max(0, holder[name] + change)
        return True

    return told


def _out_of_order(exchange: Exchange) -> bool:
    if len(exchange.records) < 2:
        return False
    exchange.records.reverse()
    return True


PROTOCOL: Mapping[str, Callable[[Exchange], bool]] = {
    "wrong_code": _wrong_code,
    "no_list": _no_list,
    "not_an_object": _not_an_object,
    "duplicate": _duplicate,
    "duplicate_across": _duplicate_across,
    "page_repeated": _page_repeated,
    "empty_page": _empty_page,
    "total_up": _total(7),
    "total_down": _total(-7),
    "out_of_order": _out_of_order,
}
