"""What a deploy would do, program by program and slot by slot, and why. Doing it in the right order is rollout.py's."""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import dataclass

from queuepool.domain.changes import describe
from queuepool.domain.desired import DesiredPool
from queuepool.domain.reconcile import Observed, Seen
from queuepool.domain.states import State


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What becomes of one program. was, now: real path of the release before and after, None where there is none.
    changed: sentences about its settings. kept, started, stopped: slots; restarted: slot and why. forced: slots among
    the restarted of which nothing changed. added, removed: the program is new to the file, or no longer in it. canary:
    a worker of the new release does a job before any other is started."""

    name: str
    was: str | None = None
    now: str | None = None
    changed: tuple[str, ...] = ()
    kept: tuple[int, ...] = ()
    started: tuple[int, ...] = ()
    restarted: tuple[tuple[int, str], ...] = ()
    stopped: tuple[int, ...] = ()
    forced: frozenset[int] = frozenset()
    added: bool = False
    removed: bool = False
    canary: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.started or self.restarted or self.stopped or self.changed or self.added or self.removed)

    @property
    def turns(self) -> tuple[int, ...]:
        """The slots that get a new process, in the order in which they do: what is missing first."""
        return (*self.started, *(slot for slot, _ in self.restarted))


def plan_pool(
    before: DesiredPool | None, after: DesiredPool | None, seen: Observed, release: str | None, *, force: bool = False
) -> PoolPlan:
    """The plan for one program. before, after: what is wanted of it now and then, None where the file has it not.
    seen: what lives. release: the real path that a start would run then. force: restart what is fresh too."""
    some = after or before
    assert some is not None
    name = some.spec.name
    was = former_release(seen, release)
    live = {process.slot: [life for life in lives if life.wanted] for process, lives in seen.items()}
    if after is None:
        return PoolPlan(name, was, None, stopped=tuple(slot for slot, lives in live.items() if lives), removed=True)
    kept, started, restarted, forced = [], [], [], set()
    for slot in after.slots:
        lives = live.get(slot, [])
        if not lives:
            started.append(slot)
            continue
        why = _stale(before, after, slot, lives[-1], release)
        if not why and (force or not _well(lives[-1])):
            why = "forced" if force else f"does not run ({lives[-1].state.name})"
            forced.add(slot)
        if why:
            restarted.append((slot, why))
        else:
            kept.append(slot)
    return PoolPlan(
        name,
        was,
        release,
        changed=describe(before.spec, after.spec) if before else (),
        kept=tuple(kept),
        started=tuple(started),
        restarted=tuple(restarted),
        stopped=tuple(slot for slot, lives in live.items() if lives and slot not in after.slots),
        forced=frozenset(forced),
        added=before is None,
    )


def former_release(seen: Observed, release: str | None) -> str | None:
    """The release that is to be gone back to: the one most processes run beside the new one, or that."""
    running = [life.release for lives in seen.values() for life in lives if life.wanted and life.release]
    others = Counter(path for path in running if path != release)
    return others.most_common(1)[0][0] if others else release if running else None


def _well(life: Seen) -> bool:
    return life.state not in (State.BACKOFF, State.FATAL, State.UNKNOWN)


def _stale(before: DesiredPool | None, after: DesiredPool, slot: int, life: Seen, release: str | None) -> str:
    """Why this process is not what is to run in the slot, or ""."""
    want = after.slots[slot]
    if life.revision.fingerprint != want.fingerprint:
        old = before.spec.process(slot).launch if before else None
        if old is None or life.revision.fingerprint != old.fingerprint:
            return "older settings"
        return "; ".join(describe(before.spec, after.spec)) if before else "settings changed"
    if after.spec.app is not None and release is not None and life.release not in (None, release):
        return f"release {short(life.release)} -> {short(release)}"
    if life.revision.serial != want.serial:
        return "a restart was asked for"
    return ""


def short(release: str | None) -> str:
    """The last part of a release's path, as people name it."""
    return posixpath.basename((release or "").rstrip("/")) or "none"
