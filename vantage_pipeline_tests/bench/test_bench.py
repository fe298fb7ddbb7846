"""Each comparison in its smallest size: what the sides write and ask for, never how long they take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import report, sides
from bench.comparisons import compare
from bench.findings import Bound, Findings
from bench.ground import Ground
from bench.runner import Bench, Scale
from bench.source import Variant, serving
from vantage_pipeline.settings import load_settings
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database


@pytest.fixture
def bench(
    postgres: EmbeddedServer,
    embedded: Database,  # noqa: ARG001
    state_dir: Path,
    home: Path,
    tmp_path: Path,
) -> Iterator[Bench]:
    """One round of the smallest size on the session's server, in this process where a side lets itself be called."""
    yield Bench(Ground(postgres, state_dir, home, tmp_path), Scale.TINY, rounds=1, fresh=False)
    load_settings.cache_clear()


def _bounds(found: Findings) -> dict[str, Bound]:
    """The bounds that are not about time."""
    return {bound.what: bound for bound in found.bounds}


def test_a_every_installed_side_writes_every_row_and_ours_only_what_changed(bench: Bench) -> None:
    found = compare("A", bench)
    installed = [side for side in sides.ALL if not sides.missing(side)]
    assert {side for _, side in found.pairs()} == set(installed)
    pages = 2
    for side in installed:
        assert found.fact("first", side, "rows inserted") == 700, side
        # ours asks for sizes that overlap first, which pages serialised beforehand cannot give
        assert pages <= found.fact("first", side, "requests") <= pages + (2 if side in ("ours", "load") else 0), side
    for side in ("ours", "load"):
        written = {case: found.fact(case, side, "rows updated") for case, s in found.pairs() if s == side}
        assert written == {"first": 0, "unchanged": 0, "1 % changed": 7, "10 % changed": 70}
        assert found.fact("unchanged", side, "dead rows") == 0
    assert found.fact("unchanged", "floor", "rows updated") == 700


def test_b_no_more_requests_than_pages(bench: Bench) -> None:
    found = compare("B", bench)
    assert found.fact("5 ms", "floor", "requests") == 2
    assert all(2 <= found.fact("5 ms", side, "requests") <= 2 + 2 for side in ("ours", "load"))


def test_c_bubble_in_few_requests(bench: Bench) -> None:
    found = compare("C", bench)
    assert found.fact("20 invoices", "ours", "requests") <= 30
    assert found.fact("quiet day", "ours", "most of a type") == 1
    # nine pages, and no more than one request to a type that shows there is nothing beyond them
    assert 9 <= found.fact("whole app", "ours", "requests") <= 9 + 8
    assert found.fact("whole app", "ours", "rows created") == found.fact("whole app", "ours", "rows in all") > 290
    assert found.fact("quiet day", "ours", "rows created") == 0
    assert found.fact("20 invoices", "ours", "rows in all") > 20


def test_d_a_batch_changes_nine_in_ten_and_adds_the_rest(bench: Bench) -> None:
    found = compare("D", bench)
    for case, side in found.pairs():
        assert (found.fact(case, side, "rows updated"), found.fact(case, side, "rows inserted")) == (180, 20)


def test_e_reads_every_record(bench: Bench) -> None:
    found = compare("E", bench)
    assert [found.fact(f"{size:,} records", "ours", "rows") for size in (500, 1_500)] == [500, 1_500]


def test_f_the_commands_run(bench: Bench) -> None:
    found = compare("F", bench)
    assert len(found.pairs()) == 5
    assert all(spent.cpu > 0 for case, side in found.pairs() for spent in found.of(case, side))


def test_g_workers_share_one_budget(bench: Bench) -> None:
    found = compare("G", bench)
    assert all(bound.held for bound in found.bounds), found.bounds
    assert found.fact("2 workers", "ours", "requests") >= 2


def test_a_side_in_a_process_of_its_own(bench: Bench) -> None:
    alone = Bench(bench.ground, bench.scale, bench.rounds)
    with serving({"plain": Variant(700)}) as source:
        url = bench.ground.fresh("bench_floor", migrated=False)
        spent = alone.perform("floor", alone.job(source.address("plain"), url, 2), source)
    assert spent.facts == {"written": 700, "requests": 2}
    assert spent.peak_mib > 0
    assert bench.ground.count(url, "floor") == 700


def test_results_saved_are_results_shown(bench: Bench, tmp_path: Path) -> None:
    found = compare("E", bench)
    file, page = tmp_path / "results.json", tmp_path / "page.md"
    page.write_text("before\n<!-- E -->\nold\n<!-- /E -->\nafter\n")
    report.save(file, {"machine": "made up"}, {"E": found})
    report.render(file, page)
    shown = page.read_text()
    assert "\nold\n" not in shown
    assert shown.startswith("before\n<!-- E -->\npeak memory")
    assert "| 1,500 records | ours |" in shown
    assert json.loads(file.read_text())["comparisons"]["E"]["about"] == {"machine": "made up"}
