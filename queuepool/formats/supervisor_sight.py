"""What supervisord says of a process of ours -> what that process is now, and what the journal is to be told. PURE. It
keeps neither codes nor reasons: how a process ended is what its log says (supervisor_ends.py) and what the process
printed last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from queuepool.domain.events import Kind
from queuepool.domain.exits import meaning, telling
from queuepool.domain.lifecycle import Process, Tell
from queuepool.domain.pool import Policy
from queuepool.domain.states import State
from queuepool.formats.supervisor_ends import Ending
from queuepool.formats.supervisor_slots import Entry
from queuepool.formats.supervisor_steps import ALIVE

BY_HAND = "stopped in Supervisor, not by queuepool; `queuepool start` lets it run again"
RESTED = frozenset({State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN})
"""States in which Supervisor does nothing more by itself."""
FAILING = frozenset({State.BACKOFF, State.FATAL})
_SPAWNED = frozenset({State.EXITED, State.RUNNING, State.STARTING})


@dataclass(frozen=True, slots=True)
class Info:
    """One process as supervisord tells of it. pid: None while there is none. start: when it was last spawned, in unix
    seconds; 0: never. now: its clock. code: of its exit, where it knows. trouble: why it could not be started."""

    group: str
    name: str
    state: State
    pid: int | None
    start: float
    now: float
    code: int | None
    trouble: str


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended. ending: by supervisord's log; None: it was not even made. lines: what it printed last."""

    ending: Ending | None
    lines: tuple[bytes, ...] = ()

    @property
    def unasked(self) -> bool:
        """Whether it ended by itself, so that what it printed last tells why."""
        return self.ending is not None and not self.ending.asked


@dataclass(frozen=True, slots=True)
class Sight:
    """process: what it is now. told: for the journal, in this order."""

    process: Process
    told: tuple[Tell, ...] = ()


def state_of(info: Info, made: Entry | None) -> State:
    """Its state; one that was just put there and is started by itself in a moment counts as STARTING."""
    if info.state is State.STOPPED and info.start == 0 and made is not None and made.runs:
        return State.STARTING
    return info.state


def found(info: Info | None, made: Entry) -> Process:
    """The process of a section when it is seen for the first time. info: None where supervisord does not have it: who
    wrote the section did not get to the next step."""
    state = State.STOPPED if info is None else state_of(info, made)
    by_hand = info is not None and made.runs and state in RESTED
    return Process(state, state in ALIVE or by_hand, reason=BY_HAND if by_hand and state is State.STOPPED else "")


def may_have_ended(before: Process, info: Info, state: State) -> bool:
    """Whether a process that is wanted may have ended by itself since it was `before`: the log is worth a look."""
    if not before.wanted:
        return False
    if state in FAILING or state is State.EXITED:
        return state is not before.state or info.pid != before.pid
    return before.pid is not None and info.pid != before.pid and state is not State.STOPPED


def death(info: Info, state: State, ends: Sequence[Ending]) -> Death:
    """How it ended, but for what it printed. ends: of this process, the last one last."""
    spawned = state in _SPAWNED or "too quickly" in info.trouble  # Supervisor's only word for all that ends at once
    if not spawned and info.trouble:
        return Death(None)
    return Death(ends[-1] if ends else Ending(info.code, asked=False))


def seen(
    before: Process,
    info: Info,
    state: State,
    policy: Policy,
    now: float,
    death: Death | None = None,
    *,
    adopted: bool = False,
) -> Sight:
    """The process, once it was looked at. now: of the clock that `started` counts by. death: see may_have_ended.
    adopted: whether it was there before we were."""
    process = replace(before, state=state, pid=info.pid)
    told: list[Tell] = []
    if info.pid is not None and info.pid != before.pid:
        process = replace(process, starts=before.starts + 1, started=now - max(0.0, info.now - info.start))
        told.append(_tell(Kind.ADOPTED if adopted else Kind.STARTED, pid=info.pid))
    if not before.wanted:
        if state in ALIVE:
            process = replace(process, state=State.STOPPING)
        elif state is not State.STOPPING:
            process = replace(process, state=State.STOPPED, pid=None)
            told.append(_tell(Kind.STOPPED, reason=before.reason or "stopped"))
    elif death is not None:
        after = ended(process, info, death, policy)
        return Sight(after.process, (*told, *after.told))
    elif state is State.RUNNING and before.state is not State.RUNNING:
        process = replace(process, reason="", failures=0)
        told.append(_tell(Kind.RUNNING, pid=info.pid))
    elif state is State.STOPPED:
        process = replace(process, reason=BY_HAND)
    elif state in FAILING and not process.reason:
        process = replace(process, reason=info.trouble)
    return Sight(process, tuple(told))


def ended(process: Process, info: Info, death: Death, policy: Policy) -> Sight:
    """The process, with how the one before it ended."""
    end, failing = death.ending, process.state in FAILING
    if end is None:
        process = replace(process, crashes=process.crashes + 1, failures=process.failures + 1, code=None)
        return Sight(replace(process, reason=info.trouble), (_tell(Kind.SPAWN_FAILED, reason=info.trouble),))
    if end.asked:
        return Sight(replace(process, reason="restarted in Supervisor, not by queuepool"))
    why = meaning(end.code, death.lines) if end.code is not None else _unknown(death.lines)
    recycled = not failing and _is_recycle(end, policy)
    kind = Kind.RECYCLED if recycled else Kind.FATAL if process.state is State.FATAL else Kind.EXITED
    told = _tell(kind, code=end.code, reason=why, failures=process.failures + 1)
    process = replace(process, code=end.code, reason="" if recycled else why)
    if not recycled:
        process = replace(process, crashes=process.crashes + 1, failures=process.failures + failing)
    return Sight(process, (told,))


def _unknown(lines: Sequence[bytes]) -> str:
    said = telling(lines)
    return "ended; Supervisor's log does not say how any more" + (f": {said}" if said else "")


def tried_again(death: Death, policy: Policy) -> str:
    """Why one that is starting had to be started again, by the end of the process before it; "" when that was asked
    for, or a recycle, or when there was none."""
    end = death.ending
    if end is None or end.asked or end.code is None or _is_recycle(end, policy):
        return ""
    return meaning(end.code, death.lines)


def _is_recycle(end: Ending, policy: Policy) -> bool:
    return end.code in policy.recycle_codes or end.code in policy.exitcodes


def _tell(kind: Kind, **facts: str | int | None) -> Tell:
    return Tell(kind.value, tuple(facts.items()))
