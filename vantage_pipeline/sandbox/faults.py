"""What can go wrong with an answer: every kind by name, and which of them comes next.

`FAULT_KINDS` is data: the tests and the chaos mode go over it, so that a new kind is met everywhere by itself.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vantage_pipeline.sandbox.payload_faults import PAYLOADS

Family = Literal["transport", "protocol", "payload"]
End = Literal["passes", "fails", "judged"]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way in which an answer can be wrong, and what a sync is to make of it.

    ``passes``: another try, or another reading, gets over it, or it does no harm. ``fails``: the sync ends with an
    error that says what to do. ``judged``: the record goes into the table as it came, or into quarantine, alone.
    """

    name: str
    family: Family
    what: str
    once: End
    """What a sync makes of it when it happens once."""
    lasting: End
    """What a sync makes of it when it does not stop."""
    lasting_on_bubble: End | None = None
    """The same for Bubble, where it differs: its reading goes by the order, Vantage's by the page."""

    def ends(self, system: str, *, lasting: bool) -> End:
        """What a sync of `system` makes of it."""
        if not lasting:
            return self.once
        return self.lasting_on_bubble or self.lasting if system == "bubble" else self.lasting


_ROWS: tuple[FaultKind, ...] = (
    FaultKind("429", "transport", "429 without Retry-After", "passes", "fails"),
    FaultKind("429_seconds", "transport", "429 with Retry-After in seconds", "passes", "fails"),
    FaultKind("429_zero", "transport", "429 with Retry-After: 0", "passes", "fails"),
    FaultKind("429_date", "transport", "429 with Retry-After as a date", "passes", "fails"),
    FaultKind("429_hour", "transport", "429 with a Retry-After beyond our patience", "fails", "fails"),
    FaultKind("500", "transport", "HTTP 500", "passes", "fails"),
    FaultKind("502", "transport", "HTTP 502", "passes", "fails"),
    FaultKind("503", "transport", "HTTP 503", "passes", "fails"),
    FaultKind("401", "transport", "401 in the middle of a sync", "fails", "fails"),
    FaultKind("slow", "transport", "the first byte comes late, within the time limit", "passes", "passes"),
    FaultKind("drip", "transport", "the body comes a byte at a time", "passes", "fails"),
    FaultKind("drip_head", "transport", "the head comes a byte at a time", "passes", "fails"),
    FaultKind("hang", "transport", "no byte comes", "passes", "fails"),
    FaultKind("refused", "transport", "nobody listens for a while", "passes", "fails"),
    FaultKind("reset", "transport", "the connection is reset before the answer", "passes", "fails"),
    FaultKind("reset_within", "transport", "the connection is reset within the body", "passes", "fails"),
    FaultKind("reset_after", "transport", "the connection is reset after the body", "passes", "passes"),
    FaultKind("truncated", "transport", "half of the JSON, as if it were all", "passes", "fails"),
    FaultKind("malformed", "transport", "what is not JSON", "passes", "fails"),
    FaultKind("html", "transport", "HTML under 200", "passes", "fails"),
    FaultKind("gzip", "transport", "the body is compressed", "passes", "passes"),
    FaultKind("gzip_cut", "transport", "the compressed body is cut short", "passes", "fails"),
    FaultKind("wrong_length", "transport", "more bytes are promised than come", "passes", "fails"),
    FaultKind("clock_behind", "transport", "the API's clock is a day behind", "passes", "passes"),
    FaultKind("clock_ahead", "transport", "the API's clock is a day ahead", "passes", "passes"),
    FaultKind("clock_nonsense", "transport", "the API's clock tells the first day of year one", "passes", "passes"),
    FaultKind("wrong_code", "protocol", "an error within the envelope, under 200", "passes", "fails"),
    FaultKind("no_list", "protocol", "an envelope without its list", "passes", "fails"),
    FaultKind("not_an_object", "protocol", "a list in place of the envelope", "passes", "fails"),
    FaultKind("duplicate", "protocol", "a record twice in one page", "passes", "passes"),
    FaultKind("duplicate_across", "protocol", "a record of the page before it, too", "passes", "passes"),
    FaultKind("page_repeated", "protocol", "the page before it once more", "passes", "fails"),
    FaultKind("empty_page", "protocol", "an empty page with more promised", "passes", "fails"),
    FaultKind("total_up", "protocol", "a total larger than what there is", "passes", "fails"),
    FaultKind("total_down", "protocol", "a total smaller than what there is", "passes", "passes"),
    FaultKind("out_of_order", "protocol", "the records of a page in another order", "passes", "passes", "fails"),
)  # fmt: skip
FAULT_KINDS: Mapping[str, FaultKind] = {
    **{kind.name: kind for kind in _ROWS},
    **{name: FaultKind(name, "payload", what, "judged", "judged") for name, what in PAYLOADS.items()},
}
SLOW_KINDS = frozenset(("hang", "drip", "drip_head", "429_hour"))
"""Kinds that cost a time limit each."""


@dataclass
class Fault:
    """Spoils the next `times` answers to requests whose path and query contain `match`.

    `kind` is a name of `FAULT_KINDS` or any status code. `retry_after` goes with a status, `seconds` is how long
    ``refused`` and ``slow`` last.
    """

    kind: str
    match: str = ""
    times: int = 1
    retry_after: str | None = None
    after: int = 0
    """Matching answers left alone first."""
    seconds: float = 0.05


@dataclass
class FaultPlan:
    """Chaos: spoils a share of all answers. What befalls the nth request for a path depends on the seed alone."""

    rate: float
    seed: int = 0
    kinds: tuple[str, ...] = tuple(
        kind.name for kind in FAULT_KINDS.values() if kind.once == "passes" and kind.name not in SLOW_KINDS
    )
    _asked: Counter[str] = field(default_factory=Counter)

    def draw(self, path: str) -> Fault | None:
        self._asked[path] += 1
        chance = random.Random(f"{self.seed} {path} {self._asked[path]}")
        return Fault(chance.choice(self.kinds)) if chance.random() < self.rate else None


@dataclass
class Faults:
    """What goes wrong next, and what went wrong. Safe between threads."""

    planned: list[Fault] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    plan: FaultPlan | None = None
    seed: int = 0
    """Decides which record of an answer is spoiled, and how."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Plan a fault. ValueError for a kind that there is not."""
        if fault.kind not in FAULT_KINDS and not fault.kind.isdigit():
            raise ValueError(f"no such fault: {fault.kind}; there are {', '.join(FAULT_KINDS)} and any status code")
        with self._lock:
            self.planned.append(fault)

    def clear(self) -> None:
        """Plan nothing any more; what was injected stays counted."""
        with self._lock:
            self.planned.clear()
            self.plan = None

    def next_for(self, path: str) -> Fault | None:
        """The fault that is due for a request, counted as injected."""
        with self._lock:
            chosen = self._due(path)
            if chosen is not None:
                self.injected[chosen.kind] += 1
            return chosen

    def give_back(self, fault: Fault) -> None:
        """The answer did not lend itself to the fault: it is due again."""
        with self._lock:
            fault.times += 1
            self.injected[fault.kind] -= 1

    def _due(self, path: str) -> Fault | None:
        for fault in self.planned:
            if fault.match in path and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return self.plan.draw(path) if self.plan is not None else None
