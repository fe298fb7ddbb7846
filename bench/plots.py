"""Pictures of the results, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.findings import Findings
from bench.sides import ALL

_COLOURS = {
    "ours": "#1f6f8b", "load": "#7fb7c9", "floor": "#8a8a8a", "dlt": "#d1495b", "singer": "#edae49", "frame": "#66506b",
}  # fmt: skip


def draw(findings: Mapping[str, Findings], folder: Path) -> list[Path]:
    """One picture a comparison that has something to show; gives the files."""
    import matplotlib as mpl

    mpl.use("svg")
    # the same results give the same file
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    made = []
    for letter, found in findings.items():
        if letter in _PICTURES:
            file = folder / f"performance-{letter.lower()}.svg"
            _PICTURES[letter](found, file)
            made.append(file)
    return made


def _bars(found: Findings, file: Path) -> None:
    """Median seconds, a group of bars a case."""
    from matplotlib import pyplot as plt

    cases = list(dict.fromkeys(case for case, _ in found.pairs()))
    sides = [side for side in ALL if any(s == side for _, s in found.pairs())]
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    width = 0.8 / len(sides)
    for place, side in enumerate(sides):
        at = [index + (place - (len(sides) - 1) / 2) * width for index in range(len(cases))]
        heights = [found.seconds(case, side) for case in cases]
        drawn = axes.bar(at, heights, width * 0.95, label=ALL[side], color=_COLOURS[side])
        axes.bar_label(drawn, fmt="%.1f", fontsize=7)
    axes.set_xticks(range(len(cases)), cases)
    axes.set_ylabel("seconds, median")
    axes.legend(frameon=False, fontsize=8)
    _finish(found, figure, axes, file)


def _line(value: Callable[[Findings, str, str], float], label: str) -> Callable[[Findings, Path], None]:
    """A value over the sizes that the cases name, from nought."""

    def picture(found: Findings, file: Path) -> None:
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
        for side in dict.fromkeys(side for _, side in found.pairs()):
            cases = [case for case, s in found.pairs() if s == side]
            sizes = [int(case.split()[0].replace(",", "")) for case in cases]
            heights = [value(found, case, side) for case in cases]
            axes.plot(sizes, heights, marker="o", label=ALL[side], color=_COLOURS[side])
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(cases[0].split()[1])
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=8)
        _finish(found, figure, axes, file)

    return picture


def _finish(found: Findings, figure: Any, axes: Any, file: Path) -> None:
    from matplotlib import pyplot as plt

    axes.set_title(f"{found.letter}: {found.title}", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


_PICTURES: Mapping[str, Callable[[Findings, Path], None]] = {
    "A": _bars,
    "B": _bars,
    "C": _bars,
    "D": _line(Findings.seconds, "seconds, median"),
    "E": _line(Findings.peak, "peak memory, MiB"),
    "G": _bars,
}
