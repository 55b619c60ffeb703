"""The life of one process as a pure function: what happened and the time in, the next state and what to do out.
Performing the effects is engines/local.py's; how many processes there should be is reconcile.py's."""

from __future__ import annotations

from dataclasses import dataclass, replace

from queuepool.domain import backoff
from queuepool.domain.exits import meaning
from queuepool.domain.pool import Autorestart, Policy
from queuepool.domain.states import MOVES, State

KILL_AGAIN_SECONDS = 5.0
"""SIGKILL is sent again at this pace to a tree that is still not gone (a process in uninterruptible sleep)."""
LEADER_GONE = "its leader is gone, ending the rest of its process tree"
"""Why a process is STOPPING that nobody had asked to."""
LATE = "killed, since it had not ended in time"
"""Why a process was killed that had its stopwaitsecs."""
MEANWHILE = "ended meanwhile"
"""Why a process is gone that ended while no daemon ran."""


@dataclass(frozen=True, slots=True)
class Process:
    """One life after another of a slot. Times are seconds of a monotonic clock.

    wanted: whether it should run. pid: leader of the process tree, while there is one. started: when it was spawned.
    deadline: when the time comes to look again. failures: starts in a row that did not last startsecs. heat, heated:
    see backoff.warmed. code: exit of the last life (minus the signal). blocked: what it waits for, such as "redis at
    127.0.0.1:6379". crashes: ends and failed starts that nobody asked for and that are no recycle. leader_gone: the
    leader has ended but its tree has not. killed: SIGKILL was sent by us.
    """

    state: State = State.STOPPED
    wanted: bool = False
    pid: int | None = None
    started: float = 0.0
    deadline: float | None = None
    failures: int = 0
    heat: float = 0.0
    heated: float = 0.0
    starts: int = 0
    crashes: int = 0
    code: int | None = None
    reason: str = ""
    blocked: str = ""
    leader_gone: bool = False
    killed: bool = False


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """It should run. Forgets former failures."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It should not run any more. kill: SIGKILL at once. why: said in the reason and the journal."""

    why: str = "stopped"
    kill: bool = False


@dataclass(frozen=True, slots=True)
class Recycle:
    """End this life gracefully and begin the next, for the reason given (memory limit)."""

    why: str


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process exists. lived: seconds it had already run (adopted)."""

    pid: int
    lived: float = 0.0
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The process could not be made; why: in words."""

    why: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The leader `pid` ended with `code` (None: unknown). rest: other processes of its tree still live. oom: the kernel
    killed it for lack of memory."""

    pid: int
    code: int | None
    rest: bool = False
    last_lines: tuple[bytes, ...] = ()
    oom: bool = False


@dataclass(frozen=True, slots=True)
class TreeGone:
    """Nothing of the tree of `pid` lives any more."""

    pid: int


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time is `now`; what is due by its deadline happens."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """What it depends on is away: if it ends now, it waits."""

    what: str


@dataclass(frozen=True, slots=True)
class Unblocked:
    """What it depended on is back."""


Event = Start | Stop | Recycle | Spawned | SpawnFailed | Exited | TreeGone | Elapsed | Blocked | Unblocked


# --- effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Make the process; answer with Spawned or SpawnFailed."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send `signal` to the leader, or to its whole tree."""

    pid: int
    signal: int
    tree: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """The leader is gone: send `signal` to what is left of its tree and say TreeGone when nothing is."""

    pid: int
    signal: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Write into the journal: `kind` is a domain.events.Kind value."""

    kind: str
    facts: tuple[tuple[str, str | int | float | None], ...] = ()


Effect = Spawn | Send | Sweep | Tell
Result = tuple[Process, list[Effect]]


def step(process: Process, event: Event, now: float, policy: Policy, luck: float = 0.5) -> Result:
    """What `process` becomes through `event`, and what has to be done for it.

    now: seconds, the same clock as in `process`. luck: a random number in [0, 1) for jitter. An event about another
    life (a pid that is not this process's) changes nothing.
    """
    overdue = process.state is State.STARTING and process.deadline is not None and now >= process.deadline
    if overdue and isinstance(event, Exited) and event.pid == process.pid:
        # It ran long enough: that its end is heard of first, because the daemon was held up, is not its failure.
        process, told = step(process, Elapsed(), now, policy, luck)
        after, effects = step(process, event, now, policy, luck)
        return after, [*told, *effects]
    after, effects = _step(process, event, now, policy, luck)
    if after.state is not process.state and after.state not in MOVES[process.state]:
        raise AssertionError(f"{process.state.name} -> {after.state.name} by {event} is not in MOVES")
    return after, effects


def _step(p: Process, event: Event, now: float, policy: Policy, luck: float) -> Result:
    match event:
        case Start():
            return _start(p, now)
        case Stop(why, kill):
            return _stop(p, why, kill, now, policy)
        case Recycle(why):
            if p.state is not State.RUNNING or p.pid is None:
                return p, []
            after, effects = _signal(p, why, False, now, policy)
            return replace(after, wanted=True), effects
        case Spawned(pid, lived, adopted):
            return _spawned(p, pid, lived, adopted, now, policy)
        case SpawnFailed(why):
            return _failed(p, why, now, policy, luck, kind="spawn_failed")
        case Exited(pid, code, rest, lines, oom):
            known = pid == p.pid and not p.leader_gone
            return _exited(p, code, rest, meaning(code, lines, oom), now, policy, luck) if known else (p, [])
        case TreeGone(pid):
            return _gone(p, p.code, p.reason, now, policy, luck) if pid == p.pid and p.leader_gone else (p, [])
        case Elapsed():
            return _elapsed(p, now, policy) if p.deadline is not None and now >= p.deadline else (p, [])
        case Blocked(what):
            return _blocked(p, what)
        case Unblocked():
            waiting = p.blocked and p.state in (State.BACKOFF, State.FATAL) and p.wanted
            p = replace(p, blocked="")
            return _spawn(replace(p, failures=0), "") if waiting else (p, [])


def _spawn(p: Process, reason: str) -> Result:
    after = replace(
        p, state=State.STARTING, pid=None, deadline=None, leader_gone=False, killed=False, reason=reason, wanted=True
    )
    return after, [Spawn()]


def _start(p: Process, now: float) -> Result:
    if p.state in (State.STARTING, State.RUNNING):
        return replace(p, wanted=True), []
    if p.state is State.STOPPING:
        return replace(p, wanted=True), []
    if p.blocked:
        after = replace(p, state=State.BACKOFF, wanted=True, deadline=None, reason=f"waiting for {p.blocked}")
        return after, []
    return _spawn(replace(p, failures=0, heat=0.0), "")


def _stop(p: Process, why: str, kill: bool, now: float, policy: Policy) -> Result:
    p = replace(p, wanted=False)
    if p.state is State.STOPPING:
        return _kill(p, why, now) if kill else (p, [])
    if p.pid is None:
        if p.state is State.STOPPED:
            return p, []
        after = replace(p, state=State.STOPPED, deadline=None, reason=why)  # STARTING here is queued, never spawned
        return after, [Tell("stopped", (("reason", why),))]
    return _signal(p, why, kill, now, policy)


def _signal(p: Process, why: str, kill: bool, now: float, policy: Policy) -> Result:
    assert p.pid is not None
    stopping = replace(p, state=State.STOPPING, reason=why, deadline=now + policy.stop_seconds)
    told = Tell("stopping", (("reason", why), ("pid", p.pid)))
    if kill:
        after, effects = _kill(stopping, why, now)
        return after, [told, *effects]
    return stopping, [told, Send(p.pid, policy.stopsignal, policy.stopasgroup)]


def _kill(p: Process, why: str, now: float) -> Result:
    """why: such as `killed by ...`; it is said beside what the process was stopped for."""
    assert p.pid is not None
    reason = p.reason if p.killed or p.wanted or p.reason == why else f"{p.reason}; {why}"
    after = replace(p, killed=True, deadline=now + KILL_AGAIN_SECONDS, reason=reason)
    effects: list[Effect] = [Sweep(p.pid, 9) if p.leader_gone else Send(p.pid, 9, True)]
    if not p.killed:
        effects.append(Tell("killed", (("pid", p.pid), ("reason", why))))
    return after, effects


def _spawned(p: Process, pid: int, lived: float, adopted: bool, now: float, policy: Policy) -> Result:
    p = replace(p, pid=pid, started=now - lived, starts=p.starts + 1, deadline=now - lived + policy.startsecs)
    told = Tell("adopted" if adopted else "started", (("pid", pid),))
    if lived >= policy.startsecs:
        return _running(p), [told, Tell("running", (("pid", pid),))]
    return p, [told]


def _running(p: Process) -> Process:
    return replace(p, state=State.RUNNING, deadline=None, failures=0, reason="")


def _exited(p: Process, code: int | None, rest: bool, why: str, now: float, policy: Policy, luck: float) -> Result:
    pid = p.pid
    assert pid is not None
    if not rest:
        return _gone(p, code, why, now, policy, luck)
    # Children of the dead leader still live: a PHP worker under `sh -c`, the job of queue:listen. Nothing new starts
    # in this slot before they are gone, or jobs would be worked on twice.
    asked = p.state is State.STOPPING
    after = replace(
        p,
        state=State.STOPPING,
        leader_gone=True,
        code=code,
        deadline=p.deadline if asked else now + policy.stop_seconds,
        reason=p.reason if asked else why,
        started=p.started,
    )
    told = Tell("stopping", (("pid", pid), ("reason", LEADER_GONE)))
    return after, [*([] if asked else [told]), Sweep(pid, 9 if p.killed else policy.sweep_signal)]


def _gone(p: Process, code: int | None, why: str, now: float, policy: Policy, luck: float) -> Result:
    """The whole tree has ended; decide what follows."""
    lived, pid = now - p.started, p.pid
    brief = p.state is State.STARTING
    p = replace(p, pid=None, deadline=None, code=code)
    facts = (("pid", pid), ("code", code), ("reason", why), ("lived", round(lived, 3)))
    if not p.wanted:
        reason = p.reason if p.state is State.STOPPING else "stopped"
        facts = (("pid", pid), ("code", code), ("reason", reason), ("lived", round(lived, 3)))
        return replace(p, state=State.STOPPED, reason=reason, leader_gone=False), [Tell("stopped", facts)]
    if p.state is State.STOPPING and not p.leader_gone:  # a restart in place
        after, effects = _spawn(p, "")
        return after, [Tell("exited", facts), *effects]
    clean = code is not None and code in policy.recycle_codes
    expected = clean or (code is not None and code in policy.exitcodes)
    if not brief and (
        policy.autorestart is Autorestart.NEVER or (policy.autorestart is Autorestart.UNEXPECTED and expected)
    ):
        return replace(p, state=State.EXITED, reason=why, leader_gone=False), [Tell("exited", facts)]
    told = Tell("recycled" if clean else "exited", facts)
    if not expected and not brief and code is not None:
        p = replace(p, crashes=p.crashes + 1)
    if p.blocked:
        after = replace(p, state=State.BACKOFF, reason=f"waiting for {p.blocked}", leader_gone=False)
        return after, [told]
    if brief and not clean and code is not None:
        return _failed(p, why, now, policy, luck, kind="exited", pid=pid)
    heat = backoff.warmed(p.heat, now - p.heated, lived)
    p = replace(p, heat=heat, heated=now, failures=0)
    wait = backoff.restart_delay(heat, luck)
    if wait == 0.0:
        after, effects = _spawn(p, "")
        return after, [told, *effects]
    after = replace(
        p, state=State.BACKOFF, deadline=now + wait, leader_gone=False, reason=f"{why}; restarting too often, waits"
    )
    return after, [told, Tell("backoff", (("seconds", round(wait, 2)), ("reason", why)))]


def _failed(
    p: Process, why: str, now: float, policy: Policy, luck: float, *, kind: str, pid: int | None = None
) -> Result:
    """A start that did not last: wait and try again, or FATAL. pid: of the process that ended, where there was one."""
    p = replace(p, pid=None, leader_gone=False, crashes=p.crashes + 1)
    told = Tell(kind, (("pid", pid), ("code", p.code if kind == "exited" else None), ("reason", why)))
    if p.blocked:
        after = replace(p, state=State.BACKOFF, deadline=None, reason=f"waiting for {p.blocked} ({why})")
        return after, [told]
    failures = p.failures + 1
    if failures > policy.startretries:
        again = now + policy.fatal_retry_seconds * (0.9 + 0.2 * luck) if policy.fatal_retry_seconds else None
        after = replace(p, state=State.FATAL, failures=failures, deadline=again, reason=why)
        return after, [told, Tell("fatal", (("failures", failures), ("reason", why)))]
    wait = backoff.delay(failures, luck)
    after = replace(p, state=State.BACKOFF, failures=failures, deadline=now + wait, reason=why)
    return after, [told, Tell("backoff", (("seconds", round(wait, 2)), ("failures", failures), ("reason", why)))]


def _elapsed(p: Process, now: float, policy: Policy) -> Result:
    if p.state is State.STARTING and p.pid is not None:
        return replace(p, state=State.RUNNING, deadline=None, failures=0, reason=""), [
            Tell("running", (("pid", p.pid),))
        ]
    if p.state is State.STOPPING:
        if not policy.killasgroup and not p.killed and p.pid is not None and not p.leader_gone:
            after, effects = _kill(p, LATE, now)
            return after, [Send(p.pid, 9, False), *effects[1:]]
        return _kill(p, LATE, now)
    if p.state in (State.BACKOFF, State.FATAL):
        return _spawn(p, p.reason)
    return replace(p, deadline=None), []


def _blocked(p: Process, what: str) -> Result:
    p = replace(p, blocked=what)
    if p.state in (State.BACKOFF, State.FATAL) and p.wanted:
        return replace(p, state=State.BACKOFF, deadline=None, failures=0, reason=f"waiting for {what}"), []
    return p, []
