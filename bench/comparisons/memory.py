"""E: the most memory that a sync holds, by how many records it reads."""

from __future__ import annotations

import dataclasses

from bench.findings import Bound, Findings
from bench.runner import Bench, Scale
from bench.source import Variant, serving

_RECORDS = {
    Scale.FULL: (100_000, 1_000_000, 5_000_000),
    Scale.QUICK: (100_000, 300_000),
    Scale.TINY: (500, 1_500),
}


def compare(bench: Bench) -> Findings:
    """A full first load in a process of its own, Dagster and all imports included."""
    sizes = _RECORDS[bench.scale]
    found = Findings("E", "peak memory of the process that syncs", base=_case(sizes[0]))
    with serving({str(size): Variant(size) for size in sizes}) as source:
        for size in sizes:
            url = bench.ground.fresh("bench_memory")
            for resource in ("accounts", "funds"):
                bench.perform("load", bench.job(source.address(str(size)), url, 0, resource=resource))
            spent = bench.perform("ours", bench.job(source.address(str(size)), url, 0), source)
            facts = {
                "rows": bench.ground.count(url, "transactions"),
                "requests": spent.facts["requests"],
                "records a second": size / spent.seconds,
            }
            found.add(_case(size), "ours", 0, dataclasses.replace(spent, facts=facts))
            bench.say(f"E {_case(size)}: {spent.peak_mib:.0f} MiB, {spent.seconds:.1f} s")
        bench.ground.drop("bench_memory")
    most, least = found.peak(_case(sizes[-1]), "ours"), found.peak(_case(sizes[0]), "ours")
    found.bounds += [
        Bound(f"{_case(sizes[-1])}, times {_case(sizes[0])}", most / least, 1.2),
        Bound(f"{_case(sizes[-1])}, MiB", most, 500),
    ]
    return found


def _case(size: int) -> str:
    return f"{size:,} records"
