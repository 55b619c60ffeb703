"""What /metrics tells, as plain values of one moment: gathered in the loop, so that the text can be made beside it.
Which numbers come of them, and what each means, stands in metrics_table.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queuepool import __version__
from queuepool.controller.usage import ProgramUsage, UsageMeter
from queuepool.domain.histogram import Histogram
from queuepool.domain.queues import QueueView
from queuepool.domain.states import State
from queuepool.domain.tally import ProgramTally, Tally

if TYPE_CHECKING:
    from queuepool.controller.controller import Controller
    from queuepool.controller.deploys import Deploys
    from queuepool.controller.insight import Insight, Pings
    from queuepool.logs.pump import Pump
    from queuepool.logs.rotating import FileStats


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """One program. kind: "" when it is no longer in the file. states: how many of its processes are in each state that
    any is in. says: whether it tells of its jobs. busy: those being done. done, failed, released: so far. jobs: (class,
    done, failed, released). lengths: of the jobs' runtimes; None before the first one."""

    name: str
    kind: str
    numprocs: int
    wanted: int
    states: Mapping[State, int]
    says: bool
    busy: int
    done: int
    failed: int
    released: int
    jobs: tuple[tuple[str, int, int, int], ...]
    lengths: Histogram | None
    tally: ProgramTally
    usage: ProgramUsage


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. started_at: unix seconds. redis: address -> (whether it serves, seconds of a PING)."""

    version: str
    started_at: float
    problems: int
    programs: tuple[ProgramFacts, ...]
    queues: tuple[QueueView, ...]
    redis: Pings
    logs: tuple[FileStats, ...]
    tally: Tally
    deploying: bool


@dataclass(slots=True)
class Sources:
    """The parts of the daemon that know. started_at: when it began, unix seconds."""

    controller: Controller
    insight: Insight
    deploys: Deploys
    pump: Pump
    tally: Tally
    started_at: float
    usage: UsageMeter = field(init=False)

    def __post_init__(self) -> None:
        self.usage = UsageMeter(self._processes)

    def _processes(self) -> dict[int, str]:
        lives = (life for found in self.controller.engine.lives.values() for life in found)
        return {life.process.pid: life.name.pool for life in lives if life.process.pid is not None}


_UNUSED = ProgramUsage(0.0, 0)


SLICE = 50
"""Programs that are looked at in one turn of the loop."""


async def look(sources: Sources, usage: Mapping[str, ProgramUsage], redis: Pings) -> Facts:
    """The facts of this moment; those of hundreds of programs take some turns of the loop. usage, redis: what takes
    longer to ask, and was asked before."""
    control, tally = sources.controller, sources.tally
    leaving = [name for name, lives in control.engine.slots.items() if lives and name not in control.pools]
    programs: list[ProgramFacts] = []
    for number, name in enumerate((*control.pools, *leaving), 1):
        programs.append(_program(control, name, tally.program(name), usage.get(name, _UNUSED)))
        if not number % SLICE:
            await asyncio.sleep(0)
    return Facts(
        version=__version__,
        started_at=sources.started_at,
        problems=len(control.loaded.problems),
        programs=tuple(programs),
        queues=tuple(sources.insight.monitor.views()),
        redis=redis,
        logs=sources.pump.stats,
        tally=tally.copy(),
        deploying=sources.deploys.under_way,
    )


def _program(control: Controller, name: str, tally: ProgramTally, usage: ProgramUsage) -> ProgramFacts:
    spec, slots = control.pools.get(name), control.engine.slots.get(name, {})
    want = control.desire(spec) if spec is not None else None
    lives = [life for found in slots.values() for life in found]
    states: dict[State, int] = {}
    for life in lives:
        states[life.process.state] = states.get(life.process.state, 0) + 1
    if want is not None and (absent := want.size - sum(bool(found) for found in slots.values())) > 0:
        states[State.STOPPED] = states.get(State.STOPPED, 0) + absent
    work = control.engine.counted(name)
    return ProgramFacts(
        name=name,
        kind=spec.kind if spec else "",
        numprocs=spec.numprocs if spec else 0,
        wanted=want.wanted if want else 0,
        states=states,
        says=spec.says if spec else False,
        busy=sum(life.desk.busy for life in lives if life.desk is not None),
        done=work.all.done if work else 0,
        failed=work.all.failed if work else 0,
        released=work.all.released if work else 0,
        jobs=tuple(work.classes()) if work else (),
        lengths=work.lengths.copy() if work else None,
        tally=tally,
        usage=usage,
    )
