"""A: all cash flows into an empty table, again unchanged, again with 1 % and with 10 % changed."""

from __future__ import annotations

import dataclasses
import importlib

from bench.findings import Bound, Findings
from bench.jobs import Spent
from bench.runner import Bench, Scale, rotated
from bench.source import Source, Variant, serving

_RECORDS = {Scale.FULL: 137_862, Scale.QUICK: 20_000, Scale.TINY: 700}
_SIDES = ("ours", "load", "floor", "dlt")
_ONCE = ("singer", "frame")
"""Sides that take part in the first round alone, since they take by far the longest."""
_OURS = ("ours", "load")
_CASES = {"first": "plain", "unchanged": "plain", "1 % changed": "one", "10 % changed": "ten"}


def compare(bench: Bench) -> Findings:
    """Every side reads everything in every case, so that all do the same."""
    records = _RECORDS[bench.scale]
    found = Findings("A", f"{records:,} cash flows", base="floor")
    variants = {"plain": Variant(records), "one": Variant(records, 100, 1), "ten": Variant(records, 10, 2)}
    with serving(variants) as source:
        found.notes.append(
            f"The source gives {source.pages_a_second('plain'):.0f} pages a second to four clients that drop them."
        )
        for number in range(bench.rounds):
            _round(bench, source, found, number)
    _judge(found, records)
    return found


def _round(bench: Bench, source: Source, found: Findings, number: int) -> None:
    sides = bench.sides(*_SIDES, *(_ONCE if number == 0 else ()))
    urls = {side: bench.ground.fresh(f"bench_{side}", migrated=side in _OURS) for side in sides}
    folders = {side: str(bench.ground.folder()) for side in sides}
    for side in _OURS:
        for resource in ("accounts", "funds"):
            bench.perform("load", bench.job(source.address("plain"), urls[side], 0, resource=resource))
    for case, variant in _CASES.items():
        for side in rotated(sides, number):
            job = bench.job(source.address(variant), urls[side], source.variants[variant].pages(), folders[side])
            table = importlib.import_module(f"bench.sides.{side}").TABLE
            before, position = bench.ground.written(urls[side], table), bench.ground.log_position()
            spent = bench.perform(side, job, source)
            after = bench.ground.written(urls[side], table)
            facts = {
                "rows inserted": after["inserted"] - before["inserted"],
                "rows updated": after["updated"] - before["updated"],
                "dead rows": after["dead"],
                "WAL MiB": (bench.ground.log_position() - position) / 2**20,
                "requests": spent.facts["requests"],
            }
            found.add(case, side, number, dataclasses.replace(spent, facts=facts))
            bench.say(f"A {case}, {side}, round {number + 1}: {_told(spent)}")


def _told(spent: Spent) -> str:
    return f"{spent.seconds:.2f} s, {spent.cpu + spent.server_cpu:.2f} s of processor time"


def _judge(found: Findings, records: int) -> None:
    def times(case: str, side: str, other: str) -> float:
        return found.seconds(case, side) / found.seconds(case, other)

    found.bounds += [
        Bound("first load, times the floor", times("first", "ours", "floor"), 2.0),
        Bound("unchanged, times the floor", times("unchanged", "ours", "floor"), 1.5),
        Bound("unchanged, rows written", _written(found, "unchanged"), 0),
        Bound("unchanged, dead rows", found.fact("unchanged", "ours", "dead rows"), 0),
        Bound("1 % changed, rows written", _written(found, "1 % changed"), -(-records // 100)),
    ]
    if found.of("first", "dlt"):
        found.bounds.append(Bound("first load, dlt's time by ours", times("first", "dlt", "ours"), 4.0, at_least=True))


def _written(found: Findings, case: str) -> float:
    return found.fact(case, "ours", "rows inserted") + found.fact(case, "ours", "rows updated")
