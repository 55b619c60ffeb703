"""Supervisor's events, as its event listeners get them: every type with what it belongs to, and the bodies
(supervisor/events.py, 4.2.5 to 4.3.0). Which listener gets which is listener.py's matter."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.domain.states import State

TYPES: dict[str, str] = {
    "EVENT": "",
    "PROCESS_STATE": "EVENT",
    **{f"PROCESS_STATE_{state.name}": "PROCESS_STATE" for state in State},
    "PROCESS_COMMUNICATION": "EVENT",
    "PROCESS_COMMUNICATION_STDOUT": "PROCESS_COMMUNICATION",
    "PROCESS_COMMUNICATION_STDERR": "PROCESS_COMMUNICATION",
    "PROCESS_LOG": "EVENT",
    "PROCESS_LOG_STDOUT": "PROCESS_LOG",
    "PROCESS_LOG_STDERR": "PROCESS_LOG",
    "REMOTE_COMMUNICATION": "EVENT",
    "SUPERVISOR_STATE_CHANGE": "EVENT",
    "SUPERVISOR_STATE_CHANGE_RUNNING": "SUPERVISOR_STATE_CHANGE",
    "SUPERVISOR_STATE_CHANGE_STOPPING": "SUPERVISOR_STATE_CHANGE",
    "TICK": "EVENT",
    "TICK_5": "TICK",
    "TICK_60": "TICK",
    "TICK_3600": "TICK",
    "PROCESS_GROUP": "EVENT",
    "PROCESS_GROUP_ADDED": "PROCESS_GROUP",
    "PROCESS_GROUP_REMOVED": "PROCESS_GROUP",
}
"""Every type of event -> the one that it is a kind of."""

TICKS = {"TICK_5": 5, "TICK_60": 60, "TICK_3600": 3600}
"""Ticks -> seconds between two of them."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that listeners may want to hear of. name: its type."""

    name: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Who:
    """A process by Supervisor's names."""

    process: str
    group: str

    def __str__(self) -> str:
        return f"processname:{self.process} groupname:{self.group}"


def covered(names: frozenset[str]) -> frozenset[str]:
    """Every type that somebody hears of who asks for these: PROCESS_STATE brings all of its kinds."""
    found = set(names)
    for name, kind in TYPES.items():  # what it is a kind of stands before it
        if kind in found:
            found.add(name)
    return frozenset(found)


def state_notices(who: Who, steps: tuple[Step, ...]) -> list[Notice]:
    """What Supervisor says of these moves of a process."""
    return [Notice(f"PROCESS_STATE_{step.to.name}", f"{who} from_state:{step.frm.name}{_more(step)}") for step in steps]


@dataclass(frozen=True, slots=True)
class Step:
    """One move. tries: failed starts in a row. pid: of the process, 0 for none. expected: whether its end was no
    failure."""

    frm: State
    to: State
    tries: int = 0
    pid: int = 0
    expected: bool = True


def _more(step: Step) -> str:
    match step.to:
        case State.STARTING | State.BACKOFF:
            return f" tries:{step.tries}"
        case State.EXITED:
            return f" expected:{int(step.expected)} pid:{step.pid}"
        case State.RUNNING | State.STOPPING | State.STOPPED:
            return f" pid:{step.pid}"
        case _:
            return ""


def log_notice(who: Who, pid: int, channel: str, data: bytes) -> Notice:
    """A process printed something. channel: stdout or stderr."""
    return Notice(f"PROCESS_LOG_{channel.upper()}", f"{who} pid:{pid} channel:{channel}\n{_text(data)}")


def communication_notice(who: Who, pid: int, channel: str, data: bytes) -> Notice:
    """A process printed something between the marks of a communication."""
    return Notice(f"PROCESS_COMMUNICATION_{channel.upper()}", f"{who} pid:{pid}\n{_text(data)}")


def remote_notice(type_: str, data: str) -> Notice:
    """A client of the XML-RPC face has sent something. The body is as it is documented; Supervisor's own, under Python
    3, shows the quotes of `bytes` in it."""
    return Notice("REMOTE_COMMUNICATION", f"type:{type_}\n{data}")


def group_notice(name: str, *, added: bool) -> Notice:
    """A group has come or gone."""
    return Notice(f"PROCESS_GROUP_{'ADDED' if added else 'REMOVED'}", f"groupname:{name}\n")


def daemon_notice(*, stopping: bool) -> Notice:
    """The daemon has begun, or is about to end."""
    return Notice(f"SUPERVISOR_STATE_CHANGE_{'STOPPING' if stopping else 'RUNNING'}")


def tick_notices(before: float, now: float) -> list[Notice]:
    """The ticks between two times, in unix seconds; one of each at most, as after a suspended machine."""
    slices = ((name, int(now - now % period), int(before - before % period)) for name, period in TICKS.items())
    return [Notice(name, f"when:{this}") for name, this, last in slices if this != last]


def next_tick(names: frozenset[str], now: float) -> float | None:
    """Seconds until the next tick that these types hear of; None when they hear of none."""
    periods = [period for name, period in TICKS.items() if name in covered(names)]
    return min(periods) - now % min(periods) if periods else None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"Undecodable: {data!r}"
