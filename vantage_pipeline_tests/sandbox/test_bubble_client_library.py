"""The sandbox answers a client library of the Bubble Data API that knows nothing of this project."""

from __future__ import annotations

import pytest
import requests
from bubble_api import BubbleClient, Constraint, Field

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.sandbox.bubble_api import TOKEN


@pytest.fixture
def client(sandbox: Sandbox) -> BubbleClient:
    return BubbleClient(base_url=sandbox.address, api_token=TOKEN, bubble_version="live")


def test_it_pages_counts_and_reads_one(sandbox: Sandbox, client: BubbleClient) -> None:
    customers = sandbox.bubble.records["customer_profile"]
    listed = client.get_objects("customer_profile", limit=7)
    assert {record["_id"] for record in listed} == set(customers)
    assert len(listed) == client.count_objects("customer_profile") == len(customers)
    created = [record["Created Date"] for record in listed]
    assert created == sorted(created)
    one = client.get("customer_profile", bubble_id=listed[0]["_id"])
    assert one == listed[0]


def test_it_sorts_in_both_directions(client: BubbleClient) -> None:
    changed = [r["Modified Date"] for r in client.get_objects("invoice", sort_field="Modified Date", descending=True)]
    assert changed == sorted(changed, reverse=True)


@pytest.mark.parametrize("written", ["Amount", "amount", "AMOUNT"])
def test_its_numbers_arrive_as_text_and_compare_as_numbers(
    sandbox: Sandbox, client: BubbleClient, written: str
) -> None:
    invoices = sandbox.bubble.records["invoice"].values()
    amounts = sorted(i["Amount"] for i in invoices if i.get("Amount") is not None)
    middle = amounts[len(amounts) // 2]
    found = client.get("invoice", constraints=[Constraint(written, "greater than", middle)])
    assert len(found) == sum(amount > middle for amount in amounts) > 0
    assert client.get("invoice", constraints=[Constraint(written, "equals", middle)])


def test_its_constraints_choose_what_they_say(sandbox: Sandbox, client: BubbleClient) -> None:
    invoices = sandbox.bubble.records["invoice"]
    ids = list(invoices)[:2]
    assert {r["_id"] for r in client.get("invoice", constraints=[Constraint("_id", "in", ids)])} == set(ids)
    paid = next(i for i in invoices.values() if i.get("Linked Payment"))
    holding = Constraint("Linked Payment", "contains", paid["Linked Payment"][0])
    assert [r["_id"] for r in client.get("invoice", constraints=[holding])] == [paid["_id"]]
    unpaid = client.get("invoice", constraints=[Field("Linked Payment").is_empty_list()])
    assert len(unpaid) == sum(not i.get("Linked Payment") for i in invoices.values())
    day = sorted(i["Created Date"] for i in invoices.values())[len(invoices) // 2]
    later = client.get("invoice", constraints=[Field("Created Date") > day])
    assert len(later) == sum(i["Created Date"] > day for i in invoices.values())


def test_any_field_that_some_record_has_can_be_constrained_and_sorted_by(
    sandbox: Sandbox, client: BubbleClient
) -> None:
    first, second, *_ = sandbox.bubble.records["customer_profile"].values()
    for record, value in ((first, "one"), (second, "two")):
        sandbox.bubble.put("customer_profile", {**record, "Nobody Mapped It": value})
    (found,) = client.get("customer_profile", constraints=[Constraint("Nobody Mapped It", "equals", "two")])
    assert found["_id"] == second["_id"]
    last = client.get("customer_profile", sort_field="Nobody Mapped It")[-1]
    assert last["_id"] == second["_id"]
    with pytest.raises(requests.HTTPError) as caught:
        client.get("customer_profile", constraints=[Constraint("No Record Has It", "equals", "two")])
    assert caught.value.response.status_code == 400


def test_its_errors_are_bubbles(sandbox: Sandbox, client: BubbleClient) -> None:
    for asked, message in (("invoice", "MISSING_DATA"), ("no_such_type", "NOT_FOUND")):
        with pytest.raises(requests.HTTPError) as caught:
            client.get(asked, bubble_id="1x1")
        assert caught.value.response.status_code == 404
        assert caught.value.response.json()["body"]["status"] == message
    stranger = BubbleClient(base_url=sandbox.address, api_token="made-up", bubble_version="live")
    with pytest.raises(requests.HTTPError) as caught:
        stranger.get("invoice")
    assert caught.value.response.status_code == 401


def test_the_development_branch_is_its_default(sandbox: Sandbox) -> None:
    client = BubbleClient(base_url=sandbox.address, api_token=TOKEN)
    assert client.count_objects("agent") == len(sandbox.bubble.records["agent"])
    assert {r.path for r in sandbox.requests} == {"/version-test/api/1.1/obj/agent"}
