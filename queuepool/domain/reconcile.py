"""Desired against observed: the next actions, and nothing about how they are done. It compares whole states, so a
missed event costs a moment and not correctness; it is called again whenever something changed, and what it does not
ask for now (because of surge and unavailability limits, or of a dependency) it asks for later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from queuepool.domain.desired import DesiredPool, Revision
from queuepool.domain.names import ProcessName
from queuepool.domain.states import State


@dataclass(frozen=True, slots=True)
class Seen:
    """One life of a slot, oldest first in a sequence. life: the engine's number for it. retiring: told to stop.
    wanted: it is meant to run (also while it waits in BACKOFF). release: real path of what it runs, None before it was
    first made."""

    life: int
    revision: Revision
    state: State
    wanted: bool
    release: str | None = None

    @property
    def serving(self) -> bool:
        """Whether it takes jobs, or will without further ado."""
        return self.wanted and self.state in (State.RUNNING, State.STARTING)

    def meets(self, revision: Revision | None) -> bool:
        """Whether it is what is wanted in its slot."""
        return revision is not None and revision.is_met_by(self.revision, self.release)


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a new life in the slot, beside what is there."""

    name: ProcessName


@dataclass(frozen=True, slots=True)
class End:
    """Drain this life of the slot. why: said to people."""

    name: ProcessName
    life: int
    why: str


SETTLED = frozenset({State.RUNNING, State.EXITED})
FAILING = frozenset({State.BACKOFF, State.FATAL})

_RESTING = frozenset({State.RUNNING, State.FATAL, State.STOPPED})
"""States that last. EXITED does not where the tool that keeps the process starts it again."""
Action = Begin | End
Observed = Mapping[ProcessName, Sequence[Seen]]


def reconcile(pool: DesiredPool, seen: Observed, blocked_by: str = "") -> list[Action]:
    """What to do now for one pool.

    seen: every life of every slot of this pool. blocked_by: the dependency that is not ready yet, if any: then nothing
    is begun. While a replacement is under way no more than `surge` slots have two lives that take jobs, and no
    slot is given up before another takes its place, except for `unavailable` of them (strategy of the pool).
    """
    name = pool.spec.name
    actions: list[Action] = []
    for process, lives in seen.items():
        if process.slot not in pool.slots and process.slot not in pool.waiting:
            actions += [End(process, life.life, pool.why_ended(process.slot)) for life in lives if life.wanted]
    ready, surging, resting = 0, 0, 0
    stale: list[tuple[ProcessName, Seen]] = []
    for slot, revision in pool.slots.items():
        process = ProcessName(name, slot)
        lives = [life for life in seen.get(process, ()) if life.wanted]
        if not lives:
            if not blocked_by and not _stopping_in_place(seen.get(process, ()), pool):
                actions.append(Begin(process))
            continue
        ready += any(life.state is State.RUNNING for life in lives)
        # By hand, in the tool that keeps it: a wish of its own, not a process that is missing.
        resting += all(life.state is State.STOPPED for life in lives)
        if slot in pool.waiting:
            continue
        right = next((life for life in reversed(lives) if life.meets(revision)), None)
        if right is not None:
            others = [life for life in lives if life is not right]
            if others and right.state is State.RUNNING:
                actions += [End(process, life.life, "replaced") for life in others]
            elif others and right is not lives[-1]:  # its replacement is not wanted any more, and may not even come up
                actions += [End(process, life.life, "replaced") for life in others if not life.serving]
            elif others:
                surging += 1
        else:
            actions += [End(process, life.life, "replaced") for life in lives[1:]]  # a replacement overtaken by another
            stale.append((process, lives[0]))
    if stale and not blocked_by:
        actions += _replace(stale, pool, pool.wanted - resting, ready, surging)
    return actions


def _replace(
    stale: list[tuple[ProcessName, Seen]], pool: DesiredPool, wanted: int, ready: int, surging: int
) -> list[Action]:
    surge, unavailable = pool.spec.strategy.limits(pool.wanted)
    actions: list[Action] = []
    for process, old in stale:
        if not old.serving:  # takes no jobs: there is nothing to lose
            actions += [End(process, old.life, "replaced"), Begin(process)]
        elif surging < surge:
            surging += 1
            actions.append(Begin(process))
        elif ready > wanted - unavailable:
            ready -= 1
            actions.append(End(process, old.life, "replaced"))
    return actions


def _stopping_in_place(lives: Sequence[Seen], pool: DesiredPool) -> bool:
    """A slot restarted in place begins again only when its old life is gone, where two of them might do the same work
    twice: a scheduler, Horizon. A worker that was told to stop takes no further job, so its slot does not wait for a
    job of hours."""
    surge, _ = pool.spec.strategy.limits(pool.wanted)
    alone = not surge and pool.spec.kind not in ("worker", "listen")
    return alone and any(life.state.has_process for life in lives)


def is_calm(pool: DesiredPool, seen: Observed) -> bool:
    """Whether reconcile asks for nothing in whatever states these lives are: each wanted slot has one life, of the
    right revision, and no other slot has any."""
    return len(seen) == len(pool.slots) and all(
        len(lives) == 1 and lives[0].wanted and lives[0].meets(pool.slots.get(process.slot))
        for process, lives in seen.items()
    )


def stands_still(pool: DesiredPool, seen: Observed, blocked_by: str = "") -> bool:
    """Whether the pool is not as desired, and will not become so by itself: what may be missing is missing already, of
    processes that nobody starts again."""
    moving = any(life.state not in _RESTING for lives in seen.values() for life in lives)
    return not moving and not settled(pool, seen) and not reconcile(pool, seen, blocked_by)


def held_up(pool: DesiredPool, seen: Observed, blocked_by: str = "") -> bool:
    """Whether nothing of the pool goes on before a process that fails at its start comes up. It is tried again, but
    what is wrong with it may well be wrong until a person mends it."""
    wanted = {process.slot: [life.state for life in lives if life.wanted] for process, lives in seen.items()}
    states = {state for each in wanted.values() for state in each}
    if not states & FAILING or states - _RESTING - FAILING:
        return False
    missing = any(not wanted.get(slot) for slot in pool.slots)  # it begins as soon as its old life has ended
    return not missing and not reconcile(pool, seen, blocked_by)


def settled(pool: DesiredPool, seen: Observed) -> bool:
    """Whether the pool is as desired: each wanted slot has one life, of the right revision, RUNNING or finished for
    good, and no other slot has one that is not being drained."""
    for process, lives in seen.items():
        live = [life for life in lives if life.wanted]
        if process.slot in pool.slots:
            if len(live) != 1 or not live[0].meets(pool.slots[process.slot]) or live[0].state not in SETTLED:
                return False
        elif live:
            return False
    return all(ProcessName(pool.spec.name, slot) in seen for slot in pool.slots)
