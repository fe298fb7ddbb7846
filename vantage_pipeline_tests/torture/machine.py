"""The state machine: what a history is made of. One class; the world it runs in is set before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from vantage_pipeline import catalog
from vantage_pipeline.errors import SourceError, SourceNotFound
from vantage_pipeline.orchestration.partitions import day_start
from vantage_pipeline.sandbox.faults import FAULT_KINDS, SLOW_KINDS, Fault
from vantage_pipeline.warehouse import crash_points
from vantage_pipeline_tests.torture import equality, invariants
from vantage_pipeline_tests.torture.equality import Held
from vantage_pipeline_tests.torture.local_edits import LocalEdits
from vantage_pipeline_tests.torture.scenes import OFTEN, SCENES
from vantage_pipeline_tests.torture.source_edits import KINDS, Edit, Editor, source_of
from vantage_pipeline_tests.torture.vantage_records import ACCOUNTS, MOST, account_id
from vantage_pipeline_tests.torture.world import Meanwhile, Outcome, Trouble, World

STEPS = 20
LONGER_THAN_OVERLAP = 400.0
FAULTS = sorted(
    name
    for name, kind in FAULT_KINDS.items()
    if kind.family != "payload" and name not in (*SLOW_KINDS, "refused", "slow", "429_seconds")
)
"""The kinds that a history meets. Strange records are made by its edits; what costs a time limit each is tried elsewhere."""
POINTS = sorted(
    crash_points.POINTS * 2 + tuple(p for p in crash_points.POINTS if p.startswith(("batch", "finish"))) * 2
)
"""The points at which a sync is cut off, by how often: a commit has more to lose."""
numbers = st.integers(0, 11)
edits = st.builds(
    Edit, st.sampled_from(KINDS), type_number=st.integers(0, 7), which=numbers, variant=st.integers(0, 9),
    late=st.sampled_from([False, False, False, True]),
)  # fmt: skip
long_modes = st.sampled_from(["full", "full", "incremental", "incremental", "days", "limit", "single"])
modes = st.sampled_from(["incremental", "incremental", "incremental", "full", "days", "limit", "single"])


class Convergence(RuleBasedStateMachine):
    """A history of one scene."""

    world: ClassVar[World]
    scenes: ClassVar[Sequence[str]] = OFTEN
    points: ClassVar[Sequence[str]] = POINTS

    def __init__(self) -> None:
        super().__init__()
        self.world.reset()
        self.steps = 0
        self.scene = SCENES["people"]
        self.started = self.thorough = self.quiet = False

    # The scene

    @initialize(
        scene=st.integers(0, len(OFTEN) - 1), many=st.integers(0, 3), synced=st.booleans(), thorough=st.sampled_from([False] * 4 + [True])
    )  # fmt: skip
    def begin(self, scene: int, many: int, synced: bool, thorough: bool) -> None:
        """Choose what the history is about; there may be records, and they may have been synced."""
        world, self.thorough = self.world, thorough
        self.scene = SCENES[self.scenes[scene % len(self.scenes)]]
        self.source = source_of(self.scene.system, world.sandbox, self.scene.types)
        self.editor = Editor(world.sandbox, self.source, world.clock)
        self.resources = self.scene.resources
        self.tables = equality.tables_of(self.resources)
        self.local = LocalEdits(world.lived)
        for number in range(len(self.scene.types)):
            for which in range(3 * many):
                self.editor.apply(Edit("insert", number, which, (which + number) % 10))
        world.clock.tick(LONGER_THAN_OVERLAP)
        self.started = True
        if synced:
            self._sync_all(full=True)
        self._check()

    # What the source's users do

    @rule(listed=st.lists(edits, min_size=1, max_size=4), waits=st.booleans())
    def edit(self, listed: list[Edit], waits: bool) -> None:
        """Some edits; then, perhaps, more time passes than the overlap holds."""
        for one in listed:
            self.world.tally.edits[self.editor.apply(one)] += 1
        self.world.clock.tick(LONGER_THAN_OVERLAP * waits)
        self._step()

    @rule(one=edits, waits=st.booleans())
    def edit_once(self, one: Edit, waits: bool) -> None:
        self.edit([one], waits)

    @rule(seconds=st.sampled_from([1, 600, 5 * 3600, 30 * 3600]), skew=st.sampled_from([0, -7200, 7200, 30]))
    def pass_time(self, seconds: int, skew: int) -> None:
        """Time passes, and the syncs' clock is set wrong or right."""
        self.world.clock.tick(seconds)
        self.world.clock.skew = timedelta(seconds=skew)
        self._step()

    # What the database's people do

    @rule(number=numbers, which=numbers, variant=st.integers(1, 99))
    def write_local_column(self, number: int, which: int, variant: int) -> None:
        self.world.tally.hand_edits += self.local.write(self._table(number), which, variant)
        self._step()

    @rule(number=numbers, which=st.integers(0, 5))
    def insert_row_of_our_own(self, number: int, which: int) -> None:
        key = account_id(MOST + which % (ACCOUNTS - MOST)) if which < 5 else None
        self.world.tally.hand_edits += self.local.insert(self._table(number), key)
        self._step()

    # Syncs

    @rule(number=numbers, mode=modes, which=numbers, flag=st.booleans())
    def sync(self, number: int, mode: str, which: int, flag: bool) -> None:
        self._run(number, mode, which, flag)
        self._step(check=True)

    @rule(
        number=numbers, mode=long_modes, which=numbers, flag=st.booleans(),
        edited=st.dictionaries(st.integers(1, 4), st.lists(edits, min_size=1, max_size=2), min_size=1, max_size=2),
        last=st.lists(edits, max_size=2), seconds=st.sampled_from([0.0, 0.0, 1.0, 200.0]),
    )  # fmt: skip
    def sync_while_edited(
        self,
        number: int,
        mode: str,
        which: int,
        flag: bool,
        edited: dict[int, list[Edit]],
        last: list[Edit],
        seconds: float,
    ) -> None:
        """A second client edits between the requests of a sync, which may be a slow one."""
        outcome = self._run(number, mode, which, flag, meanwhile=Meanwhile(edited, last, seconds))
        assert outcome.status == "success" or isinstance(outcome.error, SourceError), outcome.error
        self._step(check=True)

    @rule(
        number=numbers, mode=modes, which=numbers, flag=st.booleans(), kind=st.sampled_from(FAULTS),
        after=st.integers(0, 5), passes=st.booleans(),
    )  # fmt: skip
    def sync_with_fault(
        self, number: int, mode: str, which: int, flag: bool, kind: str, after: int, passes: bool
    ) -> None:
        """The sync gets over a fault that passes, and fails clearly on one that does not, unless it ended before."""
        survives = passes and FAULT_KINDS[kind].once == "passes"
        fault = Fault(kind, after=after, times=1 if passes else 1_000)
        outcome = self._run(number, mode, which, flag, trouble=Trouble([fault]), may_fail=not survives)
        assert outcome.status == "success" or isinstance(outcome.error, SourceError), outcome.error
        self._step(check=True)

    @rule(
        number=numbers, mode=modes, which=numbers, flag=st.booleans(), at=st.integers(0, len(POINTS) - 1),
        passed=st.integers(0, 2), lost=st.sampled_from([False, False, True]),
    )  # fmt: skip
    def sync_cut_off(self, number: int, mode: str, which: int, flag: bool, at: int, passed: int, lost: bool) -> None:
        """The process is killed, or the connection is lost, at a named point."""
        point = self.points[at % len(self.points)]
        trouble = Trouble(point=point, number=passed if point.startswith("batch") else 0, lost=lost)
        if point.startswith("failure"):
            trouble.lost = False
            trouble.faults = [Fault("401", after=passed, times=1_000)]
        self._run(number, mode, which, flag, trouble=trouble, may_fail=True)
        self._step(check=True)

    @rule(number=numbers, mode=modes, which=numbers, flag=st.booleans())
    def dry_run_then_sync(self, number: int, mode: str, which: int, flag: bool) -> None:
        """A dry run changes nothing, and says exactly what the sync right after it does."""
        before = self.world.digest()
        dry = self._run(number, mode, which, flag, dry_run=True)
        assert self.world.digest() == before, "a dry run changed the database"
        real = self._run(number, mode, which, flag)
        self.world.tally.dry_runs += 1
        assert dry.status == real.status, (dry, real)
        if dry.report and real.report:
            told = [
                (r.fetched, r.counts, r.related, r.quarantined, r.deleted, r.links_filled, r.by_table)
                for r in (dry.report, real.report)
            ]
            assert told[0] == told[1], f"a dry run foretold {told[0]}, the sync did {told[1]}"
        self._step(check=True)

    @precondition(lambda self: self.steps >= STEPS // 2 and not self.quiet)
    @rule(full=st.booleans())
    def quiet_sync(self, full: bool) -> None:
        """All is synced while nothing else happens; then the tables are the source."""
        self.quiet = True
        self._converge(full=full)
        self._step()

    def teardown(self) -> None:
        """Whatever the history was, quiet syncs bring the tables to the source."""
        if not self.started:
            return
        world = self.world
        world.tally.steps += self.steps
        if self.steps >= STEPS:
            world.tally.histories += 1
        else:
            world.tally.short_histories += 1
        self._converge(full=False)
        if self.thorough:
            self.editor.mend_all()
            self._converge(full=True)
            self._equals_fresh()

    # How

    def _table(self, number: int) -> Any:
        return self.tables[number % len(self.tables)]

    def _run(
        self, number: int, mode: str, which: int, flag: bool, *, trouble: Trouble | None = None,
        meanwhile: Meanwhile | None = None, may_fail: bool = False, dry_run: bool = False,
    ) -> Outcome:  # fmt: skip
        """One sync, and what must hold of its end."""
        names = self.scene.names
        name = names[number % len(names)]
        how = self._how(name, mode, which, flag)
        state = catalog.find(name).state
        before = invariants.state_of(self.world.lived, state)
        outcome = self.world.sync(name, self.editor, trouble=trouble, meanwhile=meanwhile, dry_run=dry_run, **how)
        self.world.tally.syncs["dry run" if dry_run else mode] += 1
        if outcome.report is not None:
            invariants.counts_add_up(outcome.report)
        if not may_fail and meanwhile is None and outcome.status != "success":
            unknown = isinstance(outcome.error, SourceNotFound) and bool(how.get("ids"))
            assert unknown, f"{name} {mode}: {outcome.error}"
        invariants.state_is_right(self.world.lived, state, outcome, before, dry_run=dry_run)
        return outcome

    def _how(self, name: str, mode: str, which: int, flag: bool) -> dict[str, Any]:
        """The arguments of a sync of this mode, where the resource has it; else those of an incremental one."""
        resource = catalog.find(name)
        if mode == "full":
            return {"full": True}
        if mode == "limit" and resource.datasets:
            return {"limit": 1 + which}
        if mode == "days" and resource.partitioned:
            first = day_start((self.world.clock.now - timedelta(days=which % 4)).date())
            return {"window": (first, first + timedelta(days=1 + 3 * flag))}
        if mode == "single" and name == "bubble/invoice":
            return {"ids": [self.source.key("invoice", which)], "force": flag}
        return {}

    def _step(self, *, check: bool = False) -> None:
        self.steps += 1
        if check:
            self._check()

    def _check(self) -> None:
        lived = self.world.lived
        invariants.transitions_are_legal(lived)
        invariants.structure_is_sound(lived, self.tables)
        invariants.watermarks_are_not_late(lived, self.source, self.resources)
        self.local.check(self.tables)

    def _sync_all(self, *, full: bool) -> None:
        for position, name in enumerate(self.scene.names):
            later = frozenset(table.name for table in self.tables[position + 1 :])
            outcome = self.world.sync(name, self.editor, full=full, deferred=later)
            assert outcome.status == "success", f"a quiet sync of {name} ended with {outcome.error}"

    def _converge(self, *, full: bool) -> None:
        self._sync_all(full=full)
        self._check()
        held = Held(self.world.lived, self.tables)
        self.world.tally.rows_compared += equality.equal_to_source(
            held, self.source, self.resources, self.local.foreign_keys, complete=full
        )
        equality.nothing_is_orphaned(self.world.lived, self.tables)
        self.world.tally.equalities["after a full sync" if full else "after an incremental sync"] += 1

    def _equals_fresh(self) -> None:
        world = self.world
        world.reset_fresh()
        for table, key in [("investors", key) for key in sorted(self.local.foreign_keys)]:
            world.fresh.execute(
                f"INSERT INTO {table} (name, source_kind, external_id) VALUES ('Ours', 'DISTRIBUTOR', %s)", [key]
            )
        world.load_fresh(self.scene.names)
        lived, fresh = Held(world.lived, self.tables), Held(world.fresh, self.tables)
        world.tally.rows_compared += equality.equal_to_fresh(lived, fresh, self.tables)
        if self.scene.derived == "vantage/investments":
            assert equality.positions(world.lived) == equality.positions(world.fresh)
        world.tally.equalities["with a database loaded once"] += 1
