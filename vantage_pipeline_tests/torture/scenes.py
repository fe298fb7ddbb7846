"""What a history can be about: some types of one system, and what is derived from them."""

from __future__ import annotations

from dataclasses import dataclass

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource

_RESOURCE_OF = {
    "agent": "bubble/agent", "customer_profile": "bubble/customer", "user": "bubble/user", "invoice": "bubble/invoice",
    "payment": "bubble/payment", "submit_payment": "bubble/submitted_payment", "invoice_item": "bubble/invoice_item",
    "seda_registration": "bubble/seda_registration", "accounts": "vantage/accounts", "funds": "vantage/funds",
    "cashflows": "vantage/cashflows", "commitment": "vantage/commitments",
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """What a history is about: some types of one system, and what is derived from them."""

    system: str
    types: tuple[str, ...]
    derived: str = ""

    @property
    def resources(self) -> list[tuple[Resource, str]]:
        """(resource, type) in load order."""
        order = [resource.state for resource in catalog.RESOURCES]
        pairs = [(catalog.find(_RESOURCE_OF[name]), name) for name in self.types]
        return sorted(pairs, key=lambda pair: order.index(pair[0].state))

    @property
    def names(self) -> list[str]:
        """The assets of the history in load order, what is derived last."""
        return [resource.asset for resource, _ in self.resources] + [self.derived] * bool(self.derived)


SCENES = {
    "agents": Scene("bubble", ("agent",)),
    "accounts": Scene("vantage", ("accounts",)),
    "people": Scene("bubble", ("agent", "customer_profile", "user")),
    "payments": Scene("bubble", ("agent", "user", "invoice", "payment", "submit_payment"), "bubble/links"),
    "registrations": Scene(
        "bubble", ("customer_profile", "invoice", "invoice_item", "seda_registration"), "bubble/links"
    ),
    "bubble": Scene(
        "bubble",
        (
            "agent",
            "customer_profile",
            "user",
            "invoice",
            "payment",
            "submit_payment",
            "invoice_item",
            "seda_registration",
        ),
        "bubble/links",
    ),
    "vantage": Scene("vantage", ("accounts", "funds", "cashflows")),
    "positions": Scene("vantage", ("accounts", "funds", "cashflows", "commitment"), "vantage/investments"),
}

OFTEN = ["vantage", "people", "payments", "registrations", "positions"] * 2 + ["agents", "accounts", "bubble"]
"""The scenes by how often a history has them: all of Bubble takes twice as long as the others."""
