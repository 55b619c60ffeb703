"""What is counted of events: the numbers of /metrics that no other part keeps already. They begin with the daemon. What
is a number at the moment of asking (processes, queues) is not here, jobs are counted by work.py."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from queuepool.domain.events import Event, Kind
from queuepool.domain.exits import OOM, SIGKILLED
from queuepool.domain.histogram import Histogram
from queuepool.domain.lifecycle import LEADER_GONE, MEANWHILE

SPAWN_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
START_BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
DEPLOY_BOUNDS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Cause(StrEnum):
    """Why a process ended; each end has one. RECYCLED: by itself, with exit code 0: max_jobs, max_time, queue:restart.
    WORKER_MEMORY: by itself, above its own `--memory`. MEMORY_LIMIT: asked to, above queuepool's `memory_limit`.
    CRASHED: with another exit code, or of a signal. OOM: killed by the kernel when memory ran out. KILLED: of another
    SIGKILL that was not queuepool's: a job's timeout, or somebody. REPLACED: for a restart, or other settings. DEPLOY:
    for a deploy. SCALED: there should be fewer. STOPPED: it should not run, or the daemon ends. UNKNOWN: a former
    daemon had started it, and the kernel does not tell."""

    RECYCLED = "recycled"
    WORKER_MEMORY = "worker_memory"
    MEMORY_LIMIT = "memory_limit"
    CRASHED = "crashed"
    OOM = "oom"
    KILLED = "killed"
    REPLACED = "replaced"
    DEPLOY = "deploy"
    SCALED = "scaled"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


_ENDS = frozenset({Kind.EXITED, Kind.RECYCLED, Kind.STOPPED})


def cause_by_itself(kind: Kind, code: int | None) -> Cause:
    """Why a process ended that nobody had asked to. code: exit status, or minus the signal; None: not known."""
    if kind is Kind.STOPPED:
        return Cause.STOPPED
    if code is None:
        return Cause.UNKNOWN
    if kind is Kind.RECYCLED:
        return Cause.WORKER_MEMORY if code == 12 else Cause.RECYCLED
    if code in SIGKILLED:
        return Cause.KILLED
    return Cause.RECYCLED if code == 0 else Cause.CRASHED


@dataclass(slots=True)
class ProgramTally:
    """Of one program. failures: starts that made no process. kills: processes that we had to SIGKILL. requeued, left:
    jobs of workers that died: given back to their queue, or left to retry_after. up: seconds from the decision to
    start a process until it was RUNNING."""

    starts: int = 0
    failures: int = 0
    ends: dict[Cause, int] = field(default_factory=dict)
    kills: int = 0
    requeued: int = 0
    left: int = 0
    up: Histogram = field(default_factory=lambda: Histogram(START_BOUNDS))

    def copy(self) -> ProgramTally:
        """As it is now."""
        return replace(self, ends=self.ends.copy(), up=self.up.copy())


class Tally:
    """A listener of the journal that counts, and what else is counted when it happens.

    events: by kind. programs: by name. deploys: ended ones, by outcome (rollout.Outcome). deploy_seconds: how long
    those took. spawned: seconds from the decision to start a process until it exists. lag: seconds that the loop came
    too late.
    """

    def __init__(self) -> None:
        self.events: dict[Kind, int] = {}
        self.programs: dict[str, ProgramTally] = {}
        self.deploys: dict[str, int] = {}
        self.deploy_seconds = Histogram(DEPLOY_BOUNDS)
        self.spawned = Histogram(SPAWN_BOUNDS)
        self.lag = Histogram(LAG_BOUNDS)
        self._asked: dict[int, Cause] = {}
        self._deploying: frozenset[str] | None = frozenset()  # None: every program may be meant

    def copy(self) -> Tally:
        """The numbers as they are now, but for those of programs, for somebody who reads them beside the loop."""
        other = Tally()
        other.events = self.events.copy()
        other.deploys = self.deploys.copy()
        other.deploy_seconds, other.spawned = self.deploy_seconds.copy(), self.spawned.copy()
        other.lag = self.lag.copy()
        return other

    def came_up(self, program: str, running: bool, seconds: float) -> None:
        """A process was made, or is RUNNING, so long after it was decided to start it. Starts are counted here: where
        the daemon's code was replaced there are events of starts that were none."""
        tally = self._of(program)
        if running:
            tally.up.add(seconds)
        else:
            tally.starts += 1
            self.spawned.add(seconds)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        kind = event.kind
        self.events[kind] = self.events.get(kind, 0) + 1
        if event.subject:
            self._count(kind, event.subject.rpartition(":")[0] or event.subject, event)
        elif kind is Kind.DEPLOY_STARTED:
            self._deploying = frozenset(str(event.fields.get("programs") or "").split())
        elif kind is Kind.DEPLOY and event.fields.get("resumed"):
            self._deploying = None
        elif kind is Kind.DEPLOY_ENDED:
            self._deploy_ended(event)

    def _count(self, kind: Kind, program: str, event: Event) -> None:
        if kind in _ENDS:
            self._ended(kind, program, event)
        elif kind is Kind.SPAWN_FAILED:
            self._of(program).failures += 1
        elif kind is Kind.KILLED:
            self._of(program).kills += 1
        elif kind is Kind.REQUEUED:
            self._of(program).requeued += 1
        elif kind is Kind.JOB_LEFT:
            self._of(program).left += 1
        elif kind is Kind.LIMIT:
            self._ask(event, Cause.MEMORY_LIMIT)
        elif kind is Kind.STOPPING and event.fields.get("reason") != LEADER_GONE:
            self._ask(event, self._why_asked(program, str(event.fields.get("reason"))))

    def _why_asked(self, program: str, reason: str) -> Cause:
        if reason == "replaced":
            return Cause.DEPLOY if self._deploying is None or program in self._deploying else Cause.REPLACED
        return Cause.SCALED if reason == "scaled down" else Cause.STOPPED

    def _ask(self, event: Event, cause: Cause) -> None:
        pid = event.fields.get("pid")
        if isinstance(pid, int):
            self._asked.setdefault(pid, cause)  # of the memory limit there are two events; the first one tells more

    def _ended(self, kind: Kind, program: str, event: Event) -> None:
        pid, code = event.fields.get("pid"), event.fields.get("code")
        if not isinstance(pid, int):
            return  # there was no process: it waited for its turn, or to be tried again
        if event.fields.get("reason") == MEANWHILE:
            kind = Kind.EXITED
        cause = self._asked.pop(pid, None) or cause_by_itself(kind, code if isinstance(code, int) else None)
        if cause is Cause.KILLED and str(event.fields.get("reason")).startswith(OOM):
            cause = Cause.OOM
        ends = self._of(program).ends
        ends[cause] = ends.get(cause, 0) + 1

    def _deploy_ended(self, event: Event) -> None:
        self._deploying = frozenset()
        outcome, seconds = str(event.fields.get("result")), event.fields.get("seconds")
        self.deploys[outcome] = self.deploys.get(outcome, 0) + 1
        if isinstance(seconds, int | float):
            self.deploy_seconds.add(seconds)

    def program(self, name: str) -> ProgramTally:
        """The numbers of a program as they are now."""
        found = self.programs.get(name)
        return found.copy() if found else ProgramTally()

    def _of(self, program: str) -> ProgramTally:
        found = self.programs.get(program)
        if found is None:
            found = self.programs[program] = ProgramTally()
        return found
