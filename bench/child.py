"""One side doing one job, in a process of its own: ``python -m bench.child SIDE JOB``.

Counted is the work alone. Before it, the side imports what it needs and makes its settings; a connection that it
opens by itself counts. The last line on standard output is the result as JSON.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import time
from pathlib import Path

import psutil

from bench.jobs import Job, Spent


def perform(side: str, job: Job) -> Spent:
    """Have the side do the job in this process."""
    work = importlib.import_module(f"bench.sides.{side}").prepare(job)
    server = server_cpu(job.postmaster)
    cpu, began = _own_cpu(), time.perf_counter()
    facts = work()
    seconds = time.perf_counter() - began
    return Spent(
        seconds=seconds,
        cpu=_own_cpu() - cpu,
        server_cpu=server_cpu(job.postmaster) - server,
        peak_mib=_peak_mib(),
        facts=facts,
    )


def _own_cpu() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def server_cpu(postmaster: int) -> float:
    """Processor seconds of the server and its processes, the ended ones too."""
    try:
        server = psutil.Process(postmaster)
        own = server.cpu_times()
        total = own.user + own.system + getattr(own, "children_user", 0.0) + getattr(own, "children_system", 0.0)
        for child in server.children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    except psutil.Error:
        return 0.0
    return total


def _peak_mib() -> float:
    """The most memory this process held: Linux's own count, as ``ru_maxrss`` begins with the parent's at the fork."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM")), None)
        if line is not None:
            return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    done = perform(sys.argv[1], Job(**json.loads(sys.argv[2])))
    sys.stdout.write("\n" + json.dumps(dataclasses.asdict(done)) + "\n")
