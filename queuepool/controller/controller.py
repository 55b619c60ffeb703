"""The one loop: observe, desire, reconcile, apply, publish. It says how many and which, for any engine; keeping one
process alive is the engine's, and what people may ask for is control/operations.py's matter."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from queuepool.controller.journal import Journal
from queuepool.controller.overrides import OverrideStore
from queuepool.domain.changes import Changes, compare
from queuepool.domain.desired import DesiredPool, Revision, Rolling, desired, size
from queuepool.domain.events import Kind
from queuepool.domain.names import ProcessName, UnknownName, select
from queuepool.domain.observed import ProcessView, ProgramView
from queuepool.domain.pool import Loaded, PoolSpec
from queuepool.domain.reconcile import End, held_up, is_calm, reconcile, settled, stands_still
from queuepool.domain.states import State
from queuepool.domain.supervisor_events import group_notice
from queuepool.domain.work import CountsView
from queuepool.engines.base import Engine
from queuepool.errors import ConfigError

LISTENERS_SECONDS = 3.0
"""How long event listeners get, when all else has stopped, to deal with what they were told of that."""


class Controller:
    """Brings the world to what the file and the overrides say, whenever something changed.

    engine, store, journal: what it works with. used: called when settings have come into force.
    """

    def __init__(
        self,
        engine: Engine,
        store: OverrideStore,
        journal: Journal,
        loaded: Loaded,
        *,
        used: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine = engine
        self.store = store
        self.journal = journal
        self.loaded = loaded
        self.pools: dict[str, PoolSpec] = {}
        self._used = used
        self.stopping = False
        self._stop_levels: list[frozenset[str]] | None = None
        self._leaving: dict[str, PoolSpec] = {}
        self._dirty: set[str] = set()
        self._calm: set[str] = set()
        self._desired: dict[str, tuple[tuple[object, ...], DesiredPool]] = {}
        """What follows from which spec and overrides: asked for each process of a pool, many times."""
        self._awaited: set[str] = set()
        self._turning = False
        self._changed = asyncio.Event()

    # --- the loop -----------------------------------------------------------------------------------------------------

    def use(self, loaded: Loaded, names: Iterable[str] | None = None) -> Changes:
        """Bring the settings in force to those of a file just read; names: only these programs. Programs of an included
        file that is broken now keep their former settings. Returns what changed."""
        self.loaded = loaded
        changes = self.impose(self.wanted(loaded, names))
        self.tidy()
        return changes

    def impose(self, wanted: Mapping[str, PoolSpec]) -> Changes:
        """Bring these settings of all programs in force, whatever the file says. Returns what changed."""
        changes, groups = compare(self.pools, wanted), self._group_names()
        for name in changes.removed:
            self._leaving[name] = self.pools[name]
        for name in wanted:
            self._leaving.pop(name, None)
        order = {name: index for index, name in enumerate(self.loaded.pools)}
        self.pools = dict(sorted(wanted.items(), key=lambda item: order.get(item[0], len(order))))
        self._desired.clear()
        self.engine.know(self.pools)
        for name in sorted(self._group_names() - groups, key=self._order_of_group):
            self.engine.tell(group_notice(name, added=True))
        self._used()
        self.poke(*self.pools, *changes.removed)
        return changes

    def tidy(self) -> None:
        """Drop the overrides of programs and slots that are gone: who brings one back does not expect it stopped."""
        self.store.forget({name: size(spec, self.store.value) for name, spec in self.pools.items()})

    def lay(self, rolling: Mapping[str, Rolling]) -> None:
        """Bring in force what a deploy says of pools, in place of what it said before."""
        before = self.store.value.rolling
        if before != rolling:
            self.store.roll(rolling)
            self.engine.pins = {name: laid.release for name, laid in rolling.items()}
            self.poke(*{*before, *rolling} & set(self.pools))

    def difference(self, loaded: Loaded, names: Iterable[str] | None = None) -> Changes:
        """What `use` would change."""
        return compare(self.pools, self.wanted(loaded, names))

    def wanted(self, loaded: Loaded, names: Iterable[str] | None = None) -> dict[str, PoolSpec]:
        """The settings of all programs that `use` would bring in force."""
        wanted = dict(loaded.pools)
        for name, spec in self.pools.items():
            if name not in wanted and spec.source.rpartition(":")[0] in loaded.broken:
                wanted[name] = spec
        if names is not None:
            chosen = set(names)
            kept = {name: spec for name, spec in self.pools.items() if name not in chosen or name in wanted}
            wanted = kept | {name: spec for name, spec in wanted.items() if name in chosen}
        return wanted

    def noticed(self, pool: str, number: bool) -> None:
        """The engine saw a change in a pool. number: of how many lives there are or should be. Where each slot has its
        one life of the right revision, nothing but that can call for anything: hundreds of processes that crash and
        start again are the engine's business alone."""
        if number or pool not in self._calm or pool in self._awaited:
            self.poke(pool)
        else:
            self._changed.set()

    def poke(self, *pools: str) -> None:
        """Look at these pools again, soon."""
        self._changed.set()
        self._dirty.update(pools)
        if not self._turning and self._dirty:
            self._turning = True
            asyncio.get_running_loop().call_soon(self.turn)

    def turn(self) -> None:
        """Look at every pool that may have changed and ask the engine for what is missing or too much."""
        self._turning = False
        dirty, self._dirty = self._dirty, set()
        waiting = {name for name, spec in self.pools.items() if not dirty.isdisjoint(spec.depends_on)}
        known = [spec for name, spec in self.pools.items() if name in dirty or name in waiting]
        for spec in sorted(known, key=lambda spec: spec.priority):
            self._bring(self.desire(spec), self.waits_for(spec))
        for name in dirty - set(self.pools):
            self._dissolve(name)

    def _bring(self, want: DesiredPool, blocked_by: str) -> None:
        spec = want.spec
        seen = self.engine.observe(spec.name)
        (self._calm.add if is_calm(want, seen) else self._calm.discard)(spec.name)
        if blocked_by:
            self._awaited.add(blocked_by)
        if actions := reconcile(want, seen, blocked_by):
            revisions = {ProcessName(spec.name, slot): revision for slot, revision in want.slots.items()}
            self.engine.apply(actions, revisions)
        if len(seen) > want.size:
            self.engine.prune(spec.name, want.size)

    def _dissolve(self, pool: str) -> None:
        """Drain what is left of a program that the file no longer has."""
        seen = self.engine.observe(pool)
        ends = [End(name, life.life, "removed") for name, lives in seen.items() for life in lives if life.wanted]
        self.engine.apply(ends, {})
        self.engine.prune(pool, 0)
        if not self.engine.observe(pool):
            gone = self._leaving.pop(pool, None)
            if gone is not None and gone.group not in self._group_names():
                self.engine.tell(group_notice(gone.group, added=False))

    def _group_names(self) -> set[str]:
        """Supervisor's groups: those of the programs there are, and of those that are not gone yet."""
        return {spec.group for spec in (*self.pools.values(), *self._leaving.values())}

    def _order_of_group(self, name: str) -> tuple[int, str]:
        return min(spec.priority for spec in self.pools.values() if spec.group == name), name

    def desire(self, spec: PoolSpec) -> DesiredPool:
        """What should run of a pool now."""
        because = (spec, self.store.value, self._stop_levels)
        known = self._desired.get(spec.name)
        if known is not None and all(one is other for one, other in zip(known[0], because, strict=True)):
            return known[1]
        want = desired(spec, self.store.value)
        if self._stop_levels is not None and not any(spec.name in level for level in self._stop_levels):
            want = replace(want, slots={}, waiting=frozenset(), why="the daemon is stopping")
        self._desired[spec.name] = (because, want)
        return want

    def waits_for(self, spec: PoolSpec) -> str:
        """The dependency that keeps a pool from starting, or ""."""
        return next((name for name in spec.depends_on if name in self.pools and not self.is_ready(name)), "")

    def stands_still(self, pool: str) -> bool:
        """Whether a pool is not as it should be, and will not become so without a person. Only where the engine leaves
        FATAL processes alone."""
        spec = self.pools.get(pool)
        if spec is None or self.engine.surges:
            return False
        return stands_still(self.desire(spec), self.engine.observe(pool), self.waits_for(spec))

    def held_up(self, pool: str) -> bool:
        """Whether what is still to be replaced in a pool waits for a process that fails at its start."""
        spec = self.pools.get(pool)
        return spec is not None and held_up(self.desire(spec), self.engine.observe(pool), self.waits_for(spec))

    def is_ready(self, pool: str) -> bool:
        """Whether each wanted process of a pool is RUNNING, or has finished as expected, and there is one."""
        want = self.desire(self.pools[pool])
        seen = self.engine.observe(pool)
        return bool(want.slots) and all(
            any(life.state in (State.RUNNING, State.EXITED) for life in seen.get(ProcessName(pool, slot), ()))
            for slot in want.slots
        )

    def is_settled(self, pools: Iterable[str]) -> bool:
        """Whether these pools are as they should be; one that is gone from the file: whether nothing of it is left."""
        for name in pools:
            seen = self.engine.observe(name)
            if name not in self.pools:
                if seen:
                    return False
            elif not settled(self.desire(self.pools[name]), seen):
                return False
        return True

    async def change(self) -> None:
        """Returns when something has changed since the last call of this, with a moment for more to come along."""
        await self._changed.wait()
        await asyncio.sleep(0.002)
        self._changed.clear()

    async def until(self, true: Callable[[], bool], seconds: float | None = None) -> bool:
        """Waits until `true()`; whether it became so within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
                    await asyncio.sleep(0.002)
        except TimeoutError:
            return true()
        return True

    async def drain(self) -> None:
        """Stop everything: pools of the same priority side by side, the last to start first, dependents before what
        they depend on. Returns when every process tree is gone."""
        self.stopping = True
        levels = stop_levels(self.pools)
        while levels:
            if any(self.pools[name].listening for name in levels[-1]):
                await self.engine.settle(LISTENERS_SECONDS)
            levels = levels[:-1]
            self._stop_levels = levels
            self.poke(*self.pools, *self._leaving, *(name.pool for name in self.engine.lives))
            await self.until(partial(self._is_down, frozenset(name for level in levels for name in level)))
        await self.until(self._is_down)

    def _is_down(self, keep: frozenset[str] = frozenset()) -> bool:
        return not self.alive(keep)

    def alive(self, keep: frozenset[str] = frozenset()) -> list[ProcessName]:
        """Slots with a living process tree, but for those of the pools in `keep`."""
        return [name for name in self.engine.lives if name.pool not in keep and self.alive_in(name)]

    def alive_in(self, name: ProcessName) -> bool:
        """Whether a process tree of this slot lives."""
        return any(life.process.state.has_process for life in self.engine.lives.get(name, ()))

    # --- names and views ----------------------------------------------------------------------------------------------

    def displays(self) -> dict[ProcessName, str]:
        """Every slot there is, with its name in Supervisor's form, in the order of the file."""
        found: dict[ProcessName, str] = {}
        for spec in self.pools.values():
            for name in self._slots(self.desire(spec)):
                found[name] = spec.process(name.slot).display
        for name, lives in self.engine.lives.items():
            if lives:
                found.setdefault(name, lives[-1].spec.display)
        return found

    def select(self, names: Iterable[str]) -> tuple[ProcessName, ...]:
        """The processes that selectors name. Raises UnknownName. A known program without processes is no error."""
        known = {name: (name,) for name in self.pools} | dict(self.loaded.groups)
        displays = self.displays()
        chosen: list[str] = []
        for name in names:
            empty = name.partition(":")[0] in known and ":" not in name.rstrip("*").rstrip(":")
            try:
                select([name], displays, known)
                chosen.append(name)
            except UnknownName:
                if not empty:
                    raise
        return select(chosen, displays, known)

    def views(self, *, usage: bool = False) -> tuple[list[ProgramView], list[ProcessView]]:
        """Every program and process as screens show them, in the order of the file."""
        wants = {name: self.desire(spec) for name, spec in self.pools.items()}
        releases = {app: os.path.realpath(app) for app in {spec.app for spec in self.pools.values()} if app}

        def judge(name: ProcessName, revision: Revision, release: str | None) -> tuple[bool, bool]:
            want = wants.get(name.pool)
            right = want.slots.get(name.slot) if want else None
            if want is None or right is None:
                return False, False
            if want.spec.app is not None and right.release is None:
                right = replace(right, release=releases[want.spec.app])
            return True, not right.is_met_by(revision, release)

        seen = self.engine.views(judge, usage=usage)
        programs: list[ProgramView] = []
        processes: list[ProcessView] = []
        for want in wants.values():
            began = len(processes)
            for name in self._slots(want):
                processes += seen.pop(name, []) or [self._absent(name, want)]
            done = self.engine.totals(want.spec.name)
            programs.append(_program(want, processes[began:], self.waits_for(want.spec), done))
        for views in seen.values():  # of programs that are no longer in the file
            processes += views
        return programs, processes

    def _slots(self, want: DesiredPool) -> list[ProcessName]:
        """Every slot of a pool there is: of its size, and beyond that what still lives."""
        names = [ProcessName(want.spec.name, slot) for slot in range(want.size)]
        lives = self.engine.slots.get(want.spec.name, {})
        return names + sorted(name for name, found in lives.items() if found and name.slot >= want.size)

    def _absent(self, name: ProcessName, want: DesiredPool) -> ProcessView:
        wanted = name.slot in want.slots
        reason = want.why if name.slot in want.waiting else want.why_ended(name.slot)
        if wanted:
            blocker = self.waits_for(want.spec)
            reason = f"waiting for {blocker}" if blocker else "not started yet"
        return ProcessView(
            name=str(name),
            display=want.spec.process(name.slot).display,
            program=name.pool,
            slot=name.slot,
            state=State.STOPPED.name,
            statecode=State.STOPPED.code,
            reason=reason,
            wanted=wanted,
        )


def stop_levels(pools: Mapping[str, PoolSpec]) -> list[frozenset[str]]:
    """Which pools stop together, the last of the list first: by priority, and dependents before what they need."""

    def depth(name: str, trail: frozenset[str] = frozenset()) -> int:
        needs = [need for need in pools[name].depends_on if need in pools and need not in trail]
        return 1 + max((depth(need, trail | {name}) for need in needs), default=0)

    keys = {name: (depth(name), spec.priority) for name, spec in pools.items()}
    return [frozenset(name for name, key in keys.items() if key == level) for level in sorted(set(keys.values()))]


def _program(want: DesiredPool, views: list[ProcessView], blocker: str, done: CountsView | None) -> ProgramView:
    spec = want.spec
    up = {view.slot for view in views if view.state == State.RUNNING.name and view.wanted}
    bad = Counter(view.reason for view in views if view.wanted and view.state in ("FATAL", "BACKOFF", "UNKNOWN"))
    problems = tuple(f"{count} of {want.wanted} cannot run: {reason}" for reason, count in bad.most_common(3))
    if blocker and len(up) < want.wanted:
        problems += (f"waiting for {blocker}",)
    return ProgramView(
        spec.name, spec.kind, spec.numprocs, want.wanted, len(up), want.why, problems, says=spec.says, work=done
    )


def announce(journal: Journal, changes: Changes, loaded: Loaded) -> None:
    """Journal that settings came into force, and what of the file did not."""
    journal.add(
        Kind.CONFIG_APPLIED,
        "",
        {
            "file": loaded.path,
            "added": " ".join(changes.added) or None,
            "changed": " ".join(name for name, _ in changes.changed) or None,
            "removed": " ".join(changes.removed) or None,
            "problems": len(loaded.problems) or None,
        },
    )
    for problem in loaded.problems:
        journal.add(Kind.CONFIG_APPLIED, "", {"problem": problem})


def announce_refusal(journal: Journal, error: ConfigError) -> None:
    """Journal that a file was not applied, and all that is wrong with it."""
    for problem in error.problems or (str(error),):
        journal.add(Kind.CONFIG_REFUSED, "", {"reason": problem})
