"""``python -m bench [A B C ...]``: the comparisons, in one go."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench import plots, report
from bench.comparisons import LETTERS, compare
from bench.findings import Findings, aligned
from bench.ground import ROOT, temporary_ground
from bench.runner import Bench, Scale

_RESULTS = ROOT / "bench" / "results" / "latest.json"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Compare this project with the alternatives.")
    parser.add_argument("letters", nargs="*", metavar="LETTER", help=f"of {', '.join(LETTERS)}; none means all")
    parser.add_argument("--rounds", type=int, help="how often each side does each job (3, or 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a look, not a result")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the results there and nowhere else")
    parser.add_argument("--render", action="store_true", help="only write page and pictures from what was saved")
    options = parser.parse_args()
    if wrong := [letter for letter in options.letters if letter.upper() not in LETTERS]:
        parser.error(f"there is no comparison {', '.join(wrong)}; choose from {', '.join(LETTERS)}")
    return options


def _publish(file: Path) -> None:
    """The page and its pictures."""
    report.render(file)
    plots.draw(report.load(file), report.PAGE.parent)


def main() -> None:
    """Run the comparisons, print their tables, save the results. A quick look is saved only where --json says so."""
    options = _arguments()
    if options.render:
        _publish(options.json or _RESULTS)
        return
    scale = Scale.QUICK if options.quick else Scale.FULL
    file = options.json or (None if options.quick else _RESULTS)
    rounds = options.rounds or (1 if options.quick else 3)
    findings: dict[str, Findings] = {}
    with temporary_ground() as ground:
        about = report.machine(ground)
        _say(", ".join(f"{name} {value}" for name, value in about.items()))
        bench = Bench(ground, scale, rounds, say=_say)
        for letter in [letter.upper() for letter in options.letters] or list(LETTERS):
            began = time.monotonic()
            found = findings[letter] = compare(letter, bench)
            _say(f"\n{letter}: {found.title} ({time.monotonic() - began:.0f} s, load average {found.load})")
            _say(aligned(found.table()))
            if found.bounds:
                _say(f"\n{aligned(found.bounds_table())}")
            for note in found.notes:
                _say(note)
            _say("")
            if file is not None:
                report.save(file, about, {letter: found})
    if file == _RESULTS:
        _publish(file)


if __name__ == "__main__":
    main()
