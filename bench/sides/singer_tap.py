"""The tap: cash flows page by page, on Meltano's Singer SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import PageNumberPaginator

from bench.source import PAGE

_TEXTS = (
    "fund_id", "fundshortname", "account_id", "account_name", "transaction_date", "pay_date", "transaction_type",
    "transaction_subtype", "comments", "updated_time", "record_type",
)  # fmt: skip


class _Pages(PageNumberPaginator):
    def has_more(self, response: Any) -> bool:
        return bool(response.json()["page_context"]["has_more_page"])


class CashFlows(RESTStream):
    name = "cash_flows"
    path = "/api/CashFlows/GetbyDate/19000101"
    primary_keys = ("cashflow_detailid",)
    records_jsonpath = "$.cashFlows[*]"
    schema = th.PropertiesList(
        th.Property("cashflow_detailid", th.IntegerType, required=True),
        th.Property("transaction_amount", th.NumberType),
        th.Property("transaction_amount_usd", th.NumberType),
        *(th.Property(name, th.StringType) for name in _TEXTS),
    ).to_dict()

    @property
    def url_base(self) -> str:
        return str(self.config["source"])

    def get_new_paginator(self) -> PageNumberPaginator:
        return _Pages(1)

    def get_url_params(self, context: Mapping[str, Any] | None, next_page_token: int | None) -> dict[str, Any]:  # noqa: ARG002
        return {"page": next_page_token or 1, "per_page": PAGE}


class BenchTap(Tap):
    name = "tap-bench"
    config_jsonschema = th.PropertiesList(
        th.Property("source", th.StringType, required=True), th.Property("pages", th.IntegerType)
    ).to_dict()

    def discover_streams(self) -> list[RESTStream]:
        return [CashFlows(self)]


if __name__ == "__main__":
    BenchTap.cli()
