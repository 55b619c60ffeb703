"""What is wanted of each process in Supervisor against what is there: the next steps. PURE. Each step leaves a state
from which the same question gives the rest, so whoever asks may be killed between any two of them.

The file stands before everything: a section is changed only while supervisord has nothing of that name, so what it runs
is what its section says. Only `autostart` goes ahead: it is off before a process is told to stop, so that a supervisord
that starts anew leaves it, and so that one that was stopped by hand in Supervisor is told from one that we stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from enum import Enum

from queuepool.domain.names import ProcessName
from queuepool.domain.states import State
from queuepool.formats.supervisor_slots import Entry


class Rest(Enum):
    """What is wanted of a process that is not to run."""

    OFF = "off"
    """It keeps its place in Supervisor, stopped."""
    GONE = "gone"
    """Nothing of it stays there."""


Goal = Entry | Rest
ALIVE = frozenset({State.STARTING, State.RUNNING, State.BACKOFF})


@dataclass(frozen=True, slots=True)
class Steps:
    """To be done in this order, then looked again. file: what the file should hold. reload: supervisord has to read
    its files. The others are names of sections."""

    file: Mapping[str, Entry]
    stop: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    reload: bool = False
    add: tuple[str, ...] = ()
    start: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do beside writing the file."""
        return bool(self.stop or self.remove or self.reload or self.add or self.start)


def goals(wanted: Mapping[ProcessName, Entry], gone: Set[ProcessName], written: Mapping[str, Entry]) -> dict[str, Goal]:
    """What is wanted of each section. wanted: what is to run in a slot. gone: slots of which nothing is to stay.
    written: what the file holds. A section under which a slot was known before goes when the slot has another."""
    found: dict[str, Goal] = {
        section: Rest.GONE if made.name in gone or made.name in wanted else Rest.OFF
        for section, made in written.items()
    }
    return found | {made.section: made for made in wanted.values()}


def steps(
    goals: Mapping[str, Goal], written: Mapping[str, Entry], there: Mapping[str, State], start: frozenset[str]
) -> Steps:
    """The next steps. written: what the file holds. there: what supervisord has. start: sections whose process is to be
    started if it does not run by itself."""
    file = dict(written)
    stop, remove, add, starts = [], [], [], []
    reload = False
    for section, goal in goals.items():
        have, state = written.get(section), there.get(section)
        right = isinstance(goal, Entry) and goal.same(have)
        if state is None:
            if isinstance(goal, Entry):
                file[section] = goal
                add.append(section)
            elif goal is Rest.GONE and section in file:
                del file[section]
                reload = True
            elif have is not None:
                file[section] = replace(have, runs=False)
        elif right and state in ALIVE:
            file[section] = replace(file[section], runs=True)
        elif state in ALIVE or state is State.STOPPING:
            if have is not None:
                file[section] = replace(have, runs=False)
            if state in ALIVE:
                stop.append(section)
        elif right and have is not None and have.runs:
            if section in start:
                starts.append(section)
        elif goal is Rest.OFF:
            if have is not None:
                file[section] = replace(have, runs=False)
        else:
            remove.append(section)
    return Steps(file, tuple(stop), tuple(remove), reload or bool(add), tuple(add), tuple(starts))
