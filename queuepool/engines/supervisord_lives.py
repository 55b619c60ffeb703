"""The lives of `engine: supervisord`: what is wanted or was wanted in each slot, and which of them a section of
Supervisor is. What becomes of them there is supervisord_rounds.py's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from queuepool.domain import lifecycle
from queuepool.domain.desired import Revision
from queuepool.domain.events import Kind
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import ProcessSpec
from queuepool.domain.states import State
from queuepool.engines.life import Life, Lives
from queuepool.formats.supervisor_sight import FAILING
from queuepool.formats.supervisor_slots import Entry

Publish = Callable[[Kind, str, Mapping[str, str | int | float | bool | None]], object]


class SupervisedLives(Lives):
    """publish, changed, failed: as of LocalEngine.

    entries: number of a life -> what is, or is to be, written for it. current: section -> the life that it is now.
    unstarted: lives that have still to be started there. gone: slots of which nothing is to stay there.
    """

    def __init__(self, publish: Publish, changed: Callable[[str, bool], None], failed: Callable[[str], None]) -> None:
        super().__init__()
        self.entries: dict[int, Entry] = {}
        self.current: dict[str, int] = {}
        self.unstarted: set[int] = set()
        self.gone: set[ProcessName] = set()
        self.publish, self.changed, self.failed = publish, changed, failed
        self._next_number = 1

    def all(self) -> Iterator[Life]:
        """Each life of each slot."""
        for lives in self.lives.values():
            yield from lives

    def add(self, name: ProcessName, spec: ProcessSpec, revision: Revision, process: lifecycle.Process) -> Life:
        """A new life in a slot, beside what is there."""
        life = Life(name, self._next_number, spec, revision, process, changed_at=time.time())
        self._next_number += 1
        self.place(name).append(life)
        return life

    def become(self, life: Life, process: lifecycle.Process) -> None:
        """The life is in another state now: tell who wants to know."""
        before, life.process = life.process, process
        if process == before:
            return
        if process.state is not before.state or process.wanted is not before.wanted:
            life.changed_at = time.time()
        if process.state is State.STOPPED and not process.wanted:
            self._forget(life)
        if process.state in FAILING and before.state not in FAILING:
            self.failed(life.name.pool)
        self.changed(life.name.pool, process.state is State.STOPPED or process.wanted is not before.wanted)

    def _forget(self, life: Life) -> None:
        self.unstarted.discard(life.number)
        lives = self.lives.get(life.name, [])
        if len(lives) > 1 and life in lives:
            lives.remove(life)

    def lose(self, life: Life, why: str) -> None:
        """Its process cannot be made."""
        self.unstarted.discard(life.number)
        self.publish(Kind.SPAWN_FAILED, str(life.name), {"reason": why})
        crashes, failures = life.process.crashes + 1, life.process.failures + 1
        process = replace(life.process, state=State.FATAL, crashes=crashes, failures=failures, reason=why, code=None)
        self.become(life, process)

    def is_current(self, life: Life) -> bool:
        """Whether it has its place in Supervisor."""
        made = self.entries.get(life.number)
        return made is not None and self.current.get(made.section) == life.number

    def at(self, section: str, made: Entry) -> Life | None:
        """The life that a section is."""
        return self.find(made.name, self.current.get(section, 0))

    def waits(self, life: Life) -> bool:
        """Whether it has still to be given its place in Supervisor."""
        return life.process.wanted and life.number in self.unstarted

    def unwritten(self) -> list[Life]:
        """Those that wait, and of which is not known yet what is to be written."""
        return [life for life in self.all() if self.waits(life) and life.number not in self.entries]

    def is_queued(self, name: ProcessName) -> bool:
        """Whether a process of the slot has still to be given its place in Supervisor."""
        return any(self.waits(life) for life in self.lives.get(name, ()))

    def wanted(self) -> dict[ProcessName, Life]:
        """Slot -> the life that is wanted there, of those that can be written."""
        found = {}
        for life in self.all():
            if life.process.wanted and life.number in self.entries:
                found[life.name] = life  # the last one: a slot has the former one before it
        return found

    def to_start(self) -> frozenset[str]:
        """Sections whose process is to be started even if Supervisor does not do it by itself."""
        return frozenset(self.entries[number].section for number in self.unstarted if number in self.entries)

    def tidy(self, written: Mapping[str, Entry]) -> None:
        """Drop what concerns lives that are over, and slots of which nothing is written any more."""
        self.gone &= {made.name for made in written.values()}
        known = {life.number for life in self.all()}
        self.entries = {number: made for number, made in self.entries.items() if number in known}
