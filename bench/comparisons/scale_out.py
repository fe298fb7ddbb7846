"""G: several run workers at once read ranges of Bubble's days under one budget of requests."""

from __future__ import annotations

import bisect
import dataclasses
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from bench.child import server_cpu
from bench.findings import Bound, Findings
from bench.jobs import Spent
from bench.runner import Bench, Scale
from bench.sandbox import bubble_app

_SCALE = {Scale.FULL: 1.0, Scale.QUICK: 0.3, Scale.TINY: 0.01}
_WORKERS = {Scale.FULL: (1, 2, 4), Scale.QUICK: (1, 4), Scale.TINY: (2,)}
_DELAY = {Scale.FULL: 0.25, Scale.QUICK: 0.25, Scale.TINY: 0.0}
_PER_MINUTE = {Scale.FULL: 600, Scale.QUICK: 600, Scale.TINY: 6_000}
_TYPES = ("invoice_item", "invoice", "payment", "seda_registration")
_RANGES = {
    Scale.FULL: (("2026-01-01", "2026-05-15"), ("2026-05-16", "2026-09-30")),
    Scale.QUICK: (("2026-01-01", "2026-05-15"), ("2026-05-16", "2026-09-30")),
    Scale.TINY: (("2026-09-01", "2026-09-02"),),
}
_WINDOW = 10.0
"""Seconds over which requests are counted against the budget."""


def compare(bench: Bench) -> Findings:
    """Each worker is ``vantage-pipeline backfill`` in a process of its own and reads one window at a time."""
    per_minute, counts = _PER_MINUTE[bench.scale], _WORKERS[bench.scale]
    found = Findings(
        "G", f"backfills by several run workers, {per_minute} requests a minute in all", base=_case(counts[0])
    )
    with bubble_app(_SCALE[bench.scale]) as app:
        bench.ground.fresh("vantage")
        generous = {"VANTAGE_PIPELINE_BUBBLE_REQUESTS_PER_MINUTE": "1000000"}
        types = [f"bubble/{name}" for name in ("agent", "customer", "user", *_TYPES)]
        if bench.scale is Scale.TINY:
            types = types[:4]
            generous["VANTAGE_PIPELINE_FULL_MARKS_DAYS"] = "1"
        bench.pipeline("sync", *types, "--full", env={**app.environment, **generous})
        shared = {
            **app.environment,
            "VANTAGE_PIPELINE_BUBBLE_REQUESTS_PER_MINUTE": str(per_minute),
            "VANTAGE_PIPELINE_BUBBLE_BUDGET_SHARE": "1",
            "VANTAGE_PIPELINE_CONCURRENCY": "1",
            "VANTAGE_PIPELINE_LOCK_WAIT_SECONDS": "600",
        }
        app.delay(_DELAY[bench.scale])
        for workers in counts:
            app.taken()
            spent = _together(bench, workers, shared)
            asked = [at for at, _ in app.taken()]
            facts = {"requests": len(asked), f"most in {_WINDOW:.0f} s": _most_within(asked, _WINDOW)}
            found.add(_case(workers), "ours", 0, dataclasses.replace(spent, facts=facts))
            bench.say(f"G {_case(workers)}: {spent.seconds:.1f} s, {facts}")
    burst = max(1.0, per_minute / 60)
    for workers in counts:
        most = found.fact(_case(workers), "ours", f"most in {_WINDOW:.0f} s")
        what = f"{_case(workers)}, most requests in {_WINDOW:.0f} s (budget and one second's burst)"
        found.bounds.append(Bound(what, most, per_minute / 60 * _WINDOW + burst))
    return found


def _together(bench: Bench, workers: int, env: Mapping[str, str]) -> Spent:
    """All ranges of all types, so many at a time."""
    types = _TYPES[2:] if bench.scale is Scale.TINY else _TYPES
    jobs = [(name, *days) for days in _RANGES[bench.scale] for name in types]
    postmaster = bench.ground.postmaster
    server, before, began = server_cpu(postmaster), os.times(), time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda job: _backfill(bench, *job, env=env), jobs))
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(time.perf_counter() - began, cpu, server_cpu(postmaster) - server, 0.0, {})


def _backfill(bench: Bench, name: str, first: str, last: str, *, env: Mapping[str, str]) -> None:
    arguments = ("backfill", f"bubble/{name}", "--from", first, "--to", last, "--json")
    bench.command("-m", "vantage_pipeline", *arguments, env=env)


def _most_within(moments: list[float], seconds: float) -> int:
    """The most requests in any span of so many seconds."""
    ordered = sorted(moments)
    return max((bisect.bisect_left(ordered, at + seconds) - index for index, at in enumerate(ordered)), default=0)


def _case(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"
