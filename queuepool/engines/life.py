"""One life of a slot: its lifecycle, and what the operating system knows it by; and the lives of an engine. What
happens to them is local.py's and supervisord.py's."""

from __future__ import annotations

from dataclasses import dataclass, field

from queuepool.domain import lifecycle
from queuepool.domain.desired import Revision
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import ProcessSpec
from queuepool.domain.reconcile import Observed, Seen
from queuepool.domain.states import State
from queuepool.engines.base import Judge
from queuepool.engines.board import Desk
from queuepool.engines.ear import Ear
from queuepool.engines.tapping import Tapped
from queuepool.system import procstat


@dataclass(slots=True, eq=False)
class Life:
    """A process, the ones that followed it after crashes, and those to come, until it is told to stop.

    number: unique, growing. fds, pipes: our ends of its FIFOs and their paths; stdout, and stderr where that goes
    elsewhere. attached: whether the pump reads from them. release: real path of the application it runs. started_at,
    changed_at: unix seconds. adopted: started by a former daemon. last_lines: of the last process that ended.
    desk: where it works, when it says what it does with which job. group: by Supervisor's names, as last known. ear: of
    an event listener. taps: of stdout (0) and stderr (1), where something of them goes to event listeners.
    cpu_before: (clock, processor seconds) of the last look. asked: when it was
    decided to make its process, by the engine's clock; 0: by a former daemon.
    """

    name: ProcessName
    number: int
    spec: ProcessSpec
    revision: Revision
    process: lifecycle.Process = field(default_factory=lifecycle.Process)
    attached: bool = False
    fds: tuple[int, ...] = ()
    pipes: tuple[str, ...] = ()
    pidfd: int = -1
    release: str | None = None
    started_at: float | None = None
    changed_at: float = 0.0
    adopted: bool = False
    paused: bool = False
    last_lines: tuple[bytes, ...] = ()
    desk: Desk | None = None
    group: str = ""
    ear: Ear | None = None
    taps: dict[int, Tapped] = field(default_factory=dict)
    cpu_before: tuple[float, float] = (0.0, 0.0)
    asked: float = 0.0

    @property
    def key(self) -> str:
        """Names the life in records, FIFOs and the pump."""
        return f"{self.name.pool}.{self.name.slot}.{self.number}"

    @property
    def over(self) -> bool:
        """Whether nothing of it lives and nothing is to come."""
        return not (self.process.state.has_process or self.process.wanted)

    def view(self, now: float, wall: float, judge: Judge, *, usage: bool) -> ProcessView:
        """The life as screens show it. now: of the engine's clock; wall: unix seconds; judge: see Engine.views; usage:
        with memory and processor time."""
        process, name = self.process, self.name
        state = process.state
        alive = process.pid is not None
        rss, cpu = self._usage(now) if usage else (None, None)
        queued = state is State.STARTING and not alive
        retiring = state is State.STOPPING and not process.wanted
        desk = self.desk if alive else None
        reason = process.reason or (self.ear.complaint(now) if self.ear else "")
        wanted, stale = (False, False) if retiring else judge(name, self.revision, self.release if alive else None)
        return ProcessView(
            name=f"{name.pool}:{name.slot}",
            display=self.spec.display,
            program=name.pool,
            slot=name.slot,
            state=state.name,
            statecode=state.value,
            pid=process.pid,
            started_at=self.started_at if alive else None,
            uptime=round(wall - self.started_at, 1) if alive and self.started_at else None,
            restarts=max(0, process.starts - 1),
            exit_code=process.code,
            reason="waiting for its turn to boot" if queued else reason,
            release=self.release,
            adopted=self.adopted,
            job=desk.job.to_json() if desk and desk.job else None,
            idle_since=round(desk.since, 3) if desk and not desk.busy else None,
            says=desk is not None,
            paused_queues=tuple(sorted(desk.paused)) if desk else (),
            rss=rss,
            cpu=cpu,
            paused=self.paused and alive,
            retiring=retiring,
            wanted=wanted,
            stale=stale and alive,
            log=self.spec.log,
            last_lines=tuple([line.decode("utf-8", "replace") for line in self.last_lines]),
            changed_at=self.changed_at,
        )

    def _usage(self, now: float) -> tuple[int | None, float | None]:
        pid = self.process.pid
        seen = procstat.usage(pid) if pid is not None else None
        if seen is None:
            return None, None
        before, seconds = self.cpu_before if self.cpu_before[0] > self.process.started else (self.process.started, 0.0)
        self.cpu_before = (now, seen.cpu)
        return seen.rss, round(max(0.0, seen.cpu - seconds) / max(now - before, 0.01), 3)


class Lives:
    """What every engine holds that keeps lives, and answers of them alike (base.py, Engine)."""

    def __init__(self) -> None:
        self.lives: dict[ProcessName, list[Life]] = {}
        self.slots: dict[str, dict[ProcessName, list[Life]]] = {}

    def observe(self, pool: str) -> Observed:
        """See Engine.observe."""
        return {name: self.seen(name) for name in self.slots.get(pool, ())}

    def seen(self, name: ProcessName) -> list[Seen]:
        """See Engine.seen."""
        return [
            Seen(life.number, life.revision, life.process.state, life.process.wanted, life.release)
            for life in self.lives.get(name, ())
        ]

    def find(self, name: ProcessName, number: int) -> Life | None:
        """See Engine.find."""
        return next((life for life in self.lives.get(name, ()) if life.number == number), None)

    def place(self, name: ProcessName) -> list[Life]:
        """The lives of a slot, oldest first; a place for them is made when there is none."""
        return self.lives.setdefault(name, self.slots.setdefault(name.pool, {}).setdefault(name, []))
