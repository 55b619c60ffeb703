"""Looking at supervisord, and taking over what is seen into the lives of our processes. What it means is
formats/supervisor_sight.py's; what is done about it supervisord_rounds.py's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from queuepool.domain.desired import Revision
from queuepool.domain.events import Kind
from queuepool.domain.pool import Launch, LogPolicy, Policy, PoolSpec, ProcessSpec
from queuepool.domain.states import State
from queuepool.engines.life import Life
from queuepool.engines.supervisord_link import Link, Memory, Seen
from queuepool.engines.supervisord_lives import SupervisedLives
from queuepool.engines.supervisord_prints import Prints
from queuepool.engines.supervisord_strays import Strays
from queuepool.formats import supervisor_sight as sight
from queuepool.formats.supervisor_ends import Ending, endings
from queuepool.formats.supervisor_sight import FAILING, RESTED, Info
from queuepool.formats.supervisor_slots import Entry
from queuepool.system import procstat

Ends = Mapping[str, list[Ending]]
"""Section -> how its processes ended lately, by supervisord's log."""


class Looks:
    """pools(): those in force. clock(): seconds.

    written: what our file holds. states: of each section that supervisord has. strangers: names that it has and that
    are not ours. supervisord: its pid. lost: our file is gone. All as of the last look.
    """

    def __init__(
        self,
        link: Link,
        lives: SupervisedLives,
        strays: Strays,
        pools: Callable[[], Mapping[str, PoolSpec]],
        clock: Callable[[], float],
    ) -> None:
        self.written: dict[str, Entry] = {}
        self.states: dict[str, State] = {}
        self.strangers: frozenset[str] = frozenset()
        self.supervisord = 0
        self.lost = False
        self.prints = Prints()
        self._link, self._lives, self._strays = link, lives, strays
        self._pools, self._clock = pools, clock

    async def begin(self) -> None:
        """Look for the first time: there is a life for all that our file holds. Raises QueuepoolError where it cannot
        be looked."""
        found = await asyncio.to_thread(self._link.look)
        self._strays.look(self._link.memory, found, self._pools())
        failed = any(info.state in (*FAILING, State.STARTING) for info in found.infos.values())
        ends = await self._ends() if failed else {}
        for section, made in found.entries.items():
            self._adopt(section, made, found.infos.get(section))
        self._take(found)
        memory = self._link.memory
        for section, info in found.infos.items():
            self._settle(section, info, None, adopted=True)
            life = self._lives.at(section, self.written[section])
            if life is None:
                continue
            if info.pid is not None and section in memory.paused:
                life.paused = memory.pids.get(section) == (info.pid, procstat.birth(info.pid) or "")
            if life.process.state in FAILING:
                self._explain(life, section, info, ends)
            elif life.process.state is State.STARTING:
                death = self._death(life, section, info, ends)
                life.process = replace(life.process, reason=sight.tried_again(death, life.spec.policy))

    async def again(self) -> None:
        """Look, and take over what has changed. Raises QueuepoolError."""
        self._strays.forget_ended()
        found = await asyncio.to_thread(self._link.look)
        anew = found.supervisord != self.supervisord
        if anew:
            self._strays.look(self._link.memory, found, self._pools())
        self._take(found)
        ends = None
        if not anew and any(self._may_have_ended(section, info) for section, info in found.infos.items()):
            ends = await self._ends()
        for section, info in found.infos.items():
            self._settle(section, info, ends)
        for section in [section for section in self._lives.current if section not in found.infos]:
            self._vanished(section)

    async def _ends(self) -> Ends:
        return endings(await asyncio.to_thread(self._link.log))

    def memory(self) -> Memory:
        """What is there, for the next one who looks."""
        pids, paused = {}, set()
        for life in self._lives.all():
            if life.process.pid is not None and self._lives.is_current(life):
                section = self._lives.entries[life.number].section
                pids[section] = (life.process.pid, procstat.birth(life.process.pid) or "")
                if life.paused:
                    paused.add(section)
        supervisord = (self.supervisord, procstat.birth(self.supervisord) or "")
        return Memory(dict(self.written), pids, supervisord, frozenset(paused))

    def _adopt(self, section: str, made: Entry, info: Info | None) -> None:
        pool = self._pools().get(made.name.pool)
        spec = pool.process(made.name.slot) if pool is not None else _stub(made)
        revision = Revision(made.fingerprint, made.serial)
        life = self._lives.add(made.name, spec, revision, sight.found(info, made))
        life.release = made.release
        self._lives.entries[life.number] = made
        if info is not None:
            self._lives.current[section] = life.number

    def _take(self, found: Seen) -> None:
        self.supervisord, self.lost = found.supervisord, found.lost
        self.written = dict(found.entries)
        self.strangers = found.strangers
        self.states = {one: sight.state_of(info, found.entries.get(one)) for one, info in found.infos.items()}

    def _may_have_ended(self, section: str, info: Info) -> bool:
        life = self._lives.at(section, self.written[section])
        return life is not None and sight.may_have_ended(life.process, info, self.states[section])

    def _settle(self, section: str, info: Info, ends: Ends | None, *, adopted: bool = False) -> None:
        """What supervisord says of one process. ends: None where its log was not read."""
        life = self._lives.at(section, self.written[section])
        if life is None or life.number in self._lives.unstarted:
            return  # what is seen is what was before
        before, state = life.process, self.states[section]
        if before.state is State.STOPPED and not before.wanted and state in RESTED:
            return
        if info.pid is not None and info.pid != before.pid:
            life.started_at, life.paused = info.start, False
        death = None
        if ends is not None and sight.may_have_ended(before, info, state):
            death = self._death(life, section, info, ends)
        now = sight.seen(before, info, state, life.spec.policy, self._clock(), death, adopted=adopted)
        self._tell(life, now)
        self._lives.become(life, now.process)

    def _explain(self, life: Life, section: str, info: Info, ends: Ends) -> None:
        """One that failed before we looked for the first time: why it did, which does not count as a crash now."""
        now = sight.ended(life.process, info, self._death(life, section, info, ends), life.spec.policy)
        self._tell(life, now)
        life.process = replace(now.process, crashes=0)

    def _death(self, life: Life, section: str, info: Info, ends: Ends) -> sight.Death:
        """How it ended, with what it printed last where that tells why."""
        death = sight.death(info, self.states[section], ends.get(section, ()))
        if not death.unasked:
            return death
        life.last_lines = self.prints.take(life.spec.stdout.path)
        return replace(death, lines=life.last_lines)

    def _tell(self, life: Life, now: sight.Sight) -> None:
        for told in now.told:
            self._lives.publish(Kind(told.kind), str(life.name), dict(told.facts))

    def _vanished(self, section: str) -> None:
        """Supervisor has it no more: a file of ours was taken away, or it was removed there. It is put back when it is
        wanted."""
        number = self._lives.current.pop(section)
        life = next((one for one in self._lives.all() if one.number == number), None)
        if life is None:
            return
        if not life.process.wanted:
            self._lives.become(life, replace(life.process, state=State.STOPPED, pid=None))
        elif life.process.state is not State.FATAL or life.process.pid is not None:
            self._lives.unstarted.add(number)
            self._lives.become(life, replace(life.process, state=State.STARTING, pid=None, reason=""))


def _stub(made: Entry) -> ProcessSpec:
    """Of a program that no file has any more."""
    return ProcessSpec(made.name, made.section, Launch((), "/"), Policy(), LogPolicy(None))
