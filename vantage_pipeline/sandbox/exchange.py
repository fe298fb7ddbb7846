"""One request and the answer that is due: what a fault has to work with."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import BubbleEndpoint, Table, VantageEndpoint

System = Literal["vantage", "bubble"]
Record = dict[str, Any]
LONE_SURROGATE = "\ue000"
"""Stands for a lone surrogate in a body: no encoder writes one."""
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass
class Exchange:
    """A request that was answered well; `body` is the fault's own copy."""

    system: System
    path: str
    body: Any
    previous: list[Any] | None = None
    """The records of the answer before it to the same collection."""
    chance: random.Random = field(default_factory=random.Random)

    @property
    def collection(self) -> str:
        """The collection or type that was asked for, in lower case."""
        parts = [part for part in self.path.split("/") if part]
        return parts[parts.index("obj") + 1].lower() if self.system == "bubble" else parts[1].lower()

    @property
    def place(self) -> tuple[dict[str, Any], str] | None:
        """The object and the name under which the list of records is; None where the answer has no list."""
        holder = self.body.get("response") if self.system == "bubble" else self.body
        if not isinstance(holder, dict):
            return None
        name = next((name for name, value in holder.items() if isinstance(value, list)), None)
        return None if name is None or "_id" in holder else (holder, name)

    @property
    def records(self) -> list[Any]:
        """The answer's list of records; empty where it has none."""
        place = self.place
        return place[0][place[1]] if place else []

    @property
    def table(self) -> Table | None:
        """The table that the records go to."""
        for resource in catalog.RESOURCES:
            for dataset in resource.datasets:
                end = dataset.endpoint
                name = (
                    end.type_name
                    if isinstance(end, BubbleEndpoint)
                    else end.collection
                    if isinstance(end, VantageEndpoint)
                    else ""
                )
                if resource.system == self.system and name.lower() == self.collection:
                    return dataset.table
        return None


def private(body: Any) -> Any:
    """A copy that a fault may change."""
    return copy.deepcopy(body)


def encode(body: Any) -> bytes:
    """The body as JSON, decimals with all their digits."""
    return _encoder.encode(body).replace(LONE_SURROGATE.encode(), b"\\ud800")
