from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from vantage_pipeline.sandbox import FAULT_KINDS, Fault, FaultPlan, Sandbox, SecondClient
from vantage_pipeline.sandbox.payload_faults import PAYLOADS
from vantage_pipeline.sandbox.protocol_faults import PROTOCOL
from vantage_pipeline.sandbox.transport_faults import STATUSES, TRANSPORT
from vantage_pipeline.sandbox.vantage_api import CLIENT, TOKEN

VANTAGE = {"Authorization": TOKEN, "X-com-vantageir-subscriptions-clientid": CLIENT}
BUBBLE = {"Authorization": "Bearer sandbox-bubble-token"}


def accounts(sandbox: Sandbox, page: int = 1, collection: str = "Accounts") -> requests.Response:
    query = {"page": str(page), "per_page": "10"}
    return requests.get(f"{sandbox.address}/api/{collection}/GetbyDate/19000101", query, headers=VANTAGE, timeout=5)


def flows(sandbox: Sandbox) -> requests.Response:
    return accounts(sandbox, collection="CashFlows")


def invoices(sandbox: Sandbox) -> requests.Response:
    return requests.get(f"{sandbox.address}/api/1.1/obj/invoice", headers=BUBBLE, timeout=5)


def test_each_kind_of_the_registry_has_something_that_does_it() -> None:
    done = {*TRANSPORT, *PROTOCOL, *PAYLOADS, *STATUSES}
    assert {name for name in FAULT_KINDS if not name.isdigit()} == done
    assert {kind.family for kind in FAULT_KINDS.values()} == {"transport", "protocol", "payload"}


@pytest.mark.parametrize("kind", [*PROTOCOL, *PAYLOADS])
def test_a_spoiled_body_differs_and_the_source_stays_as_it_is(sandbox: Sandbox, kind: str) -> None:
    accounts(sandbox, 2)
    asks: tuple[Callable[[Sandbox], requests.Response], ...] = (accounts, flows, invoices)
    whole = [ask(sandbox).content for ask in asks]
    accounts(sandbox, 2)
    sandbox.faults.add(Fault(kind, times=3))
    spoiled = [ask(sandbox).content for ask in asks]
    assert spoiled != whole
    sandbox.faults.clear()
    assert sandbox.faults.injected[kind] == sum(a != b for a, b in zip(whole, spoiled, strict=True))
    assert [ask(sandbox).content for ask in asks] == whole


def test_the_same_seed_spoils_the_same(make_sandbox: Callable[..., Sandbox]) -> None:
    def told(seed: int) -> list[bytes]:
        sandbox = make_sandbox(seed=seed)
        sandbox.faults.add(Fault("field_gone", times=5))
        return [accounts(sandbox).content for _ in range(5)]

    first = told(3)
    assert told(3) == first
    assert told(4) != first


def test_nobody_listens_and_then_somebody_does(sandbox: Sandbox) -> None:
    sandbox.go_away(3600)
    with pytest.raises(requests.ConnectionError):
        accounts(sandbox)
    sandbox.come_back()
    assert accounts(sandbox).status_code == 200


def test_chaos_spoils_a_share_by_seed(sandbox: Sandbox) -> None:
    plans = [FaultPlan(0.5, seed=1), FaultPlan(0.5, seed=1), FaultPlan(0.5, seed=2)]
    drawn = [[fault and fault.kind for fault in map(plan.draw, ["/a", "/b"] * 100)] for plan in plans]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 60 < sum(kind is not None for kind in drawn[0]) < 140
    sandbox.faults.plan = FaultPlan(1.0, kinds=("500",))
    assert accounts(sandbox).status_code == 500


def test_an_unknown_kind_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no such fault: flood"):
        sandbox.faults.add(Fault("flood"))


def test_a_second_client_works_in_both_systems_by_seed(make_sandbox: Callable[..., Sandbox]) -> None:
    every = ("accounts", "funds", "cashflows", "commitment", "contacts", "accountcontactmap", "financials",
             "agent", "invoice", "payment", "submit_payment")  # fmt: skip

    def work(seed: int) -> list[Any]:
        other = SecondClient(make_sandbox(), every, seed=seed)
        for _ in range(300):
            other.act()
        assert {edit.action for edit in other.edits} == {"edit", "insert", "delete", "move"}
        assert {edit.collection for edit in other.edits} == set(every)
        keys = [(edit.collection, edit.key) for edit in other.edits if edit.action == "insert"]
        assert len(set(keys)) == len(keys)
        return [(edit.action, edit.collection) for edit in other.edits]

    assert work(5) == work(5) != work(6)


def test_a_second_client_acts_between_requests(sandbox: Sandbox) -> None:
    other = SecondClient(sandbox, ["accounts"], most=3)
    sandbox.on_request.append(other)
    before = len(sandbox.vantage.records["accounts"])
    for _ in range(8):
        accounts(sandbox)
    changes = [{"insert": 1, "delete": -1}.get(edit.action, 0) for edit in other.edits]
    assert len(other.edits) == 3
    assert len(sandbox.vantage.records["accounts"]) == before + sum(changes)


def test_the_port_stays_the_sandboxes(sandbox: Sandbox) -> None:
    address = sandbox.address
    sandbox.faults.add(Fault("refused", seconds=0))
    with pytest.raises(requests.ConnectionError):
        accounts(sandbox)
    sandbox.come_back()
    assert sandbox.address == address
    socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=5).close()
