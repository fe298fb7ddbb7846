"""C: Bubble through the command line: 100 invoices with all they link to, the whole app, a day without changes."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

from bench.findings import Bound, Findings
from bench.runner import Bench, Scale
from bench.sandbox import BubbleApp, bubble_app
from vantage_pipeline import catalog

_SCALE = {Scale.FULL: 1.0, Scale.QUICK: 0.2, Scale.TINY: 0.01}
_INVOICES = {Scale.FULL: 100, Scale.QUICK: 100, Scale.TINY: 20}
_BUDGET = {"VANTAGE_PIPELINE_BUBBLE_REQUESTS_PER_MINUTE": "1000000"}
"""No limit on the requests, so that the time is the program's own."""
_PAGE = 100
TYPES = [resource.asset for resource in catalog.BUBBLE_RESOURCES if resource.datasets]


def compare(bench: Bench) -> Findings:
    """The start of the program, some seconds of processor time, is part of each."""
    with bubble_app(_SCALE[bench.scale]) as app:
        records = sum(len(ids) for ids in app.ids.values())
        found = Findings("C", f"a Bubble app of {records:,} records")
        invoices = f"{_INVOICES[bench.scale]} invoices"
        for number in range(bench.rounds):
            chosen = app.ids["invoice"][number :: len(app.ids["invoice"]) // _INVOICES[bench.scale]]
            bench.ground.fresh("vantage")
            ids = chosen[: _INVOICES[bench.scale]]
            _measure(bench, app, found, invoices, number, "sync-invoice", *ids, "--json")
            bench.ground.fresh("vantage")
            _measure(bench, app, found, "whole app", number, "sync", *TYPES, "--full", "--json")
            _measure(bench, app, found, "quiet day", number, "sync", *TYPES, "--json")
    pages = sum(max(1, -(-len(ids) // _PAGE)) for ids in app.ids.values())
    found.notes.append(f"The whole app is {pages} pages of {_PAGE} records at most, type by type.")
    found.bounds += [
        Bound(f"{invoices}, requests", found.fact(invoices, "ours", "requests"), 30),
        Bound("quiet day, requests of the type asked most", found.fact("quiet day", "ours", "most of a type"), 1),
        Bound("whole app, requests by pages", found.fact("whole app", "ours", "requests") / pages, 1.1),
    ]
    return found


def _measure(bench: Bench, app: BubbleApp, found: Findings, case: str, number: int, *arguments: str) -> None:
    app.taken()
    spent, printed = bench.pipeline(*arguments, env={**app.environment, **_embedded(bench)})
    asked = Counter(path.split("/")[-1] for _, path in app.taken())
    rows = sum(item.get("created", 0) for item in json.loads(printed))
    facts = {"requests": sum(asked.values()), "most of a type": max(asked.values(), default=0)}
    url = bench.ground.server.url("vantage")
    counted = [bench.ground.count(url, table) for table in _tables()]
    facts |= {"rows created": rows, "rows in all": sum(counted)}
    found.add(case, "ours", number, dataclasses.replace(spent, facts=facts))
    bench.say(f"C {case}, round {number + 1}: {spent.seconds:.2f} s, {facts['requests']} requests {dict(asked)}")


def _tables() -> list[str]:
    return [table for resource in catalog.BUBBLE_RESOURCES if resource.datasets for table in resource.tables]


def _embedded(bench: Bench) -> dict[str, str]:
    """The sandbox feeds only the embedded server, which here is the benchmark's own."""
    marks = {"VANTAGE_PIPELINE_FULL_MARKS_DAYS": "1"} if bench.scale is Scale.TINY else {}
    return {**_BUDGET, **marks, "VANTAGE_PIPELINE_STATE_DIR": str(bench.ground.state)}
