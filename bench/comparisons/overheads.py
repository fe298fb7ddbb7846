"""F: what there is to wait for before anything is read: imports, definitions, help, an empty sync, a run in the UI."""

from __future__ import annotations

from bench.comparisons import ui_run
from bench.findings import Bound, Findings
from bench.jobs import Spent
from bench.runner import Bench, Scale
from bench.source import Variant, serving

_EMPTY = "empty sync of accounts"
_LOAD = "from vantage_pipeline.definitions import defs; defs.resolve_implicit_global_asset_job_def()"


def compare(bench: Bench) -> Findings:
    """Whole processes from start to end, the processor time of all their children included."""
    found = Findings("F", "overheads")
    with serving({"none": Variant(1)}) as source:
        bench.ground.fresh("vantage")
        environment = {
            "VANTAGE_API_BASE_URL": source.address("none"),
            "VANTAGE_AUTH_TOKEN": "bench",
            "VANTAGE_CLIENT_ID": "bench",
        }
        sync = ("-m", "vantage_pipeline", "sync", "accounts", "--json")
        bench.command(*sync, env=environment)
        commands = {
            "python, doing nothing": ("-c", "pass"),
            "import dagster": ("-c", "import dagster"),
            "definitions": ("-c", _LOAD),
            "vantage-pipeline --help": ("-m", "vantage_pipeline", "--help"),
            _EMPTY: sync,
        }
        for number in range(bench.rounds):
            for case, arguments in commands.items():
                spent, _ = bench.command(*arguments, env=environment)
                found.add(case, "ours", number, spent)
                bench.say(f"F {case}, round {number + 1}: {spent.seconds:.2f} s, {spent.cpu:.2f} s of processor time")
        if bench.scale is Scale.TINY:
            found.notes.append("The run in the UI is left out at this size.")
        elif reason := ui_run.lacking():
            found.notes.append(f"The run in the UI is left out: {reason}.")
        else:
            for number, seconds in enumerate(ui_run.runs(bench, environment)):
                case = "UI, from click to the run's end"
                found.add(case, "ours", number, Spent(seconds, 0.0, 0.0, 0.0, {}))
                bench.say(f"F {case}, round {number + 1}: {seconds:.2f} s")
    found.bounds += [
        Bound("--help, seconds", found.seconds("vantage-pipeline --help", "ours"), 0.5),
        Bound("empty sync, processor seconds with the server's", found.processor(_EMPTY, "ours"), 3.0),
    ]
    return found
