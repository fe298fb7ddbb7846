"""B: the same first load where each request takes 50 or 200 ms: requests, and time against what waiting alone takes."""

from __future__ import annotations

import dataclasses

from bench.findings import Bound, Findings
from bench.runner import Bench, Scale, rotated
from bench.source import Source, Variant, serving

_RECORDS = {Scale.FULL: 137_862, Scale.QUICK: 20_000, Scale.TINY: 700}
_DELAYS = {Scale.FULL: (50, 200), Scale.QUICK: (50, 200), Scale.TINY: (5,)}
_SIDES = ("ours", "load", "floor")
_CONCURRENCY = 4
"""Requests in flight at once, of this project by default and of the floor."""


def compare(bench: Bench) -> Findings:
    """The alternatives, which ask for one page after the other, take part in the first round alone."""
    records = _RECORDS[bench.scale]
    found = Findings("B", f"{records:,} cash flows, each request delayed")
    with serving({"plain": Variant(records)}) as source:
        for number in range(bench.rounds):
            for delay in _DELAYS[bench.scale]:
                sides = rotated(_SIDES, number)
                if number == 0 and bench.scale is not Scale.TINY:
                    sides += bench.sides("dlt")
                for side in sides:
                    _measure(bench, source, found, side, delay, number)
    pages = source.variants["plain"].pages()
    for delay in _DELAYS[bench.scale]:
        case = f"{delay} ms"
        found.bounds += [
            Bound(f"{case}, requests beyond the {pages} pages", found.fact(case, "ours", "requests") - pages, 2),
            Bound(f"{case}, times requests x delay / {_CONCURRENCY}", found.fact(case, "ours", "x waiting"), 1.15),
        ]
    return found


def _measure(bench: Bench, source: Source, found: Findings, side: str, delay: int, number: int) -> None:
    url = bench.ground.fresh(f"bench_{side}", migrated=side in ("ours", "load"))
    if side in ("ours", "load"):
        for resource in ("accounts", "funds"):
            bench.perform("load", bench.job(source.address("plain"), url, 0, resource=resource))
    spent = bench.perform(
        side, bench.job(source.address("plain", delay), url, source.variants["plain"].pages()), source
    )
    requests = spent.facts["requests"]
    waiting = requests * delay / 1000 / _CONCURRENCY
    facts = {"requests": requests, "waiting s": waiting, "x waiting": spent.seconds / waiting}
    found.add(f"{delay} ms", side, number, dataclasses.replace(spent, facts=facts))
    bench.say(f"B {delay} ms, {side}, round {number + 1}: {spent.seconds:.2f} s, {requests} requests")
