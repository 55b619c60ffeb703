"""The course of a deploy as a pure function: what is seen and the time in, the next state and the hook to run out. What
is laid over the pools follows from the state alone (`lay`), so a daemon that dies in the middle goes on where it was.
Performing it is controller/deploys.py's; how one slot gets its new process is reconcile.py's.

    before -> canary -> first -> check -> rest -> verify -> recheck -> after -> drain -> ended
                  any failure up to recheck -> back -> on_failure -> ended
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from queuepool.domain.desired import Rolling
from queuepool.domain.plan import PoolPlan, short
from queuepool.domain.pool import Strategy
from queuepool.domain.states import State

LOOK_SECONDS = 1.0
"""How often a deploy looks when nothing seems to happen."""
BACK_SECONDS = 120.0
"""How long the former processes may take to run again before a deploy counts as not rolled back."""


class Phase(StrEnum):
    """Where a deploy is."""

    BEFORE = "before"
    CANARY = "canary"
    FIRST = "first"
    CHECK = "check"
    REST = "rest"
    VERIFY = "verify"
    RECHECK = "recheck"
    AFTER = "after"
    DRAIN = "drain"
    BACK = "back"
    ON_FAILURE = "on_failure"
    ENDED = "ended"


PHASES = {
    Phase.BEFORE: "commands before",
    Phase.CANARY: "canary",
    Phase.FIRST: "the first batch",
    Phase.CHECK: "check of the first batch",
    Phase.REST: "the other batches",
    Phase.VERIFY: "verifying",
    Phase.RECHECK: "check of all",
    Phase.AFTER: "commands after",
    Phase.DRAIN: "waiting for old processes",
    Phase.BACK: "rolling back",
    Phase.ON_FAILURE: "commands on failure",
}
"""Those on the way, in words."""


class Outcome(StrEnum):
    """How a deploy ended. ROLLED_BACK, TIMED_OUT, ABORTED: what ran before runs again (unless it only waited for old
    processes to end). FAILED: and it could not be rolled back, or no more."""

    DONE = "done"
    ROLLED_BACK = "rolled_back"
    TIMED_OUT = "timed_out"
    ABORTED = "aborted"
    FAILED = "failed"


FORWARD = (Phase.BEFORE, Phase.CANARY, Phase.FIRST, Phase.CHECK, Phase.REST, Phase.VERIFY, Phase.RECHECK)
"""Phases from which a deploy can still be rolled back."""
UNTOUCHED = (Phase.BEFORE, Phase.CANARY)
"""Phases in which what ran before is in force still."""
HOOKS = {Phase.BEFORE: "before", Phase.CANARY: "canary", Phase.CHECK: "check", Phase.RECHECK: "check",
         Phase.AFTER: "after", Phase.ON_FAILURE: "on_failure"}  # fmt: skip
"""Phases in which something is run beside the pools: commands, and canaries."""
NEXT = {Phase.BEFORE: Phase.CANARY, Phase.CANARY: Phase.FIRST, Phase.CHECK: Phase.REST, Phase.RECHECK: Phase.AFTER,
        Phase.AFTER: Phase.DRAIN, Phase.ON_FAILURE: Phase.ENDED}  # fmt: skip
"""What follows a hook that succeeded."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a deploy did not succeed. gate: before, canary, start, crash, check, after, timeout, abort, interrupted or
    rollback. what: a sentence. process: the worker that failed, exit_code, meaning and last_lines: of its end, or of a
    hook's."""

    gate: str
    what: str
    process: str = ""
    exit_code: int | None = None
    meaning: str = ""
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worker:
    """The process of a slot that is as the deploy wants it now. crashes: ends that nobody asked for. blocked: what it
    waits for, such as its Redis: then a crash is not its fault. failure: of its last crash."""

    state: State
    crashes: int = 0
    blocked: str = ""
    failure: Failure | None = None

    @property
    def up(self) -> bool:
        """Whether it runs, or has finished as it should."""
        return self.state in (State.RUNNING, State.EXITED)


@dataclass(frozen=True, slots=True)
class PoolLook:
    """One pool as seen. wanted: slots that should run. workers: of the slots that have what is wanted. unfit: processes
    of another kind that were not told to end yet. retiring: old ones that finish their job."""

    wanted: frozenset[int] = frozenset()
    workers: Mapping[int, Worker] = field(default_factory=dict)
    unfit: int = 0
    retiring: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that is seen at one moment. hook: how the running hook ended: None when it has not, "" when it
    succeeded. abort: somebody wants it to end, and why."""

    pools: Mapping[str, PoolLook]
    hook: Failure | str | None = None
    abort: Failure | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One program in a deploy. todo: slots whose turn has not come. slots: all that get a new process. batch: how many
    at a time. fresh: slots among them that nothing ran in. surplus: slots that are drained in the end. ran: slots that
    ran before, to be expected back after a roll back. ready_at: when the current batch was complete. was, now: release
    before and after. strategy: for this deploy alone."""

    slots: tuple[int, ...]
    todo: tuple[int, ...]
    batch: int
    pause: float = 0.0
    surplus: tuple[int, ...] = ()
    ran: frozenset[int] = frozenset()
    forced: frozenset[int] = frozenset()
    fresh: frozenset[int] = frozenset()
    ready_at: float | None = None
    was: str | None = None
    now: str | None = None
    strategy: Strategy | None = None

    @property
    def begun(self) -> tuple[int, ...]:
        """Slots whose turn has come."""
        return self.slots[: len(self.slots) - len(self.todo)]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A deploy. Times are unix seconds. hooks: those that there are. asked: the hook of this phase was started.
    attempts: how often the canaries were. since: when what is observed was first complete. late: more than one batch
    was needed. returned: what ran before runs again, so that the rest may go. serial: of forced restarts."""

    turns: Mapping[str, Turn]
    phase: Phase = Phase.BEFORE
    deadline: float = 0.0
    observe: float = 0.0
    hooks: frozenset[str] = frozenset()
    wait_drained: bool = False
    serial: int = 0
    asked: bool = False
    attempts: int = 0
    since: float | None = None
    late: bool = False
    returned: bool = False
    rolled_back: bool = False
    failure: Failure | None = None
    trouble: Failure | None = None
    outcome: Outcome | None = None


def turn_of(plan: PoolPlan, strategy: Strategy, ran: frozenset[int], override: Strategy | None = None) -> Turn:
    """The turn of a program as planned. override: a strategy for this deploy alone."""
    return Turn(
        slots=plan.turns,
        todo=plan.turns,
        batch=(override or strategy).batch_size(max(1, len(plan.turns) + len(plan.kept))),
        pause=(override or strategy).pause_between,
        surplus=plan.stopped,
        ran=ran,
        forced=plan.forced,
        fresh=frozenset(plan.started),
        was=plan.was,
        now=plan.now,
        strategy=override,
    )


def step(state: Rollout, look: Look, now: float) -> tuple[Rollout, str | None]:
    """What becomes of the deploy, and the hook to start for it, if any. It is to be called again until nothing
    changes, and then when something is seen differently or the time is `due`."""
    if state.phase is Phase.ENDED:
        return state, None
    if state.phase in FORWARD and (failure := _failed(state, look, now)) is not None:
        return _back(state, failure, now), None
    if state.phase in HOOKS:
        return _hook(state, look, now)
    return _MOVES[state.phase](state, look, now), None


def due(state: Rollout, now: float) -> float:
    """When to look again at the latest although nothing seems to have changed, in unix seconds."""
    times = [state.deadline, now + LOOK_SECONDS]
    if state.since is not None:
        times.append(state.since + state.observe)
    times += [turn.ready_at + turn.pause for turn in state.turns.values() if turn.ready_at is not None and turn.todo]
    return min(time for time in times if time > now)


def lay(state: Rollout, why: str = "") -> dict[str, Rolling]:
    """What the deploy lays over each pool in this state. why: said by `status`."""
    if state.phase is Phase.ENDED and not state.rolled_back:
        return {}
    laid = {}
    for name, turn in state.turns.items():
        if gone_back(state):
            # What the deploy added takes jobs until what it replaced is back.
            waiting = frozenset() if state.returned or state.rolled_back else turn.fresh
            laid[name] = Rolling(turn.was, waiting, strategy=turn.strategy, why=why)
            continue
        early = state.phase in (*UNTOUCHED, Phase.FIRST, Phase.CHECK, Phase.REST)
        waiting = frozenset((*turn.todo, *(turn.surplus if early else ())))
        release = turn.was if state.phase in UNTOUCHED else turn.now
        later = turn.fresh & set(turn.todo)
        laid[name] = Rolling(release, waiting, later, turn.forced, state.serial, turn.strategy, why)
    return laid


def gone_back(state: Rollout) -> bool:
    """Whether what ran before is in force again."""
    return state.phase is Phase.BACK or state.rolled_back


# --- pieces -----------------------------------------------------------------------------------------------------------


def _failed(state: Rollout, look: Look, now: float) -> Failure | None:
    if look.abort is not None:
        return look.abort
    for _, _, worker in _begun(state, look):
        if worker is not None and worker.crashes and not worker.blocked:
            return worker.failure or Failure("crash", "a new process ended")
    if now >= state.deadline:
        return Failure("timeout", f"it was not done in time: {waits_for(state, look)}")
    return None


def _begun(state: Rollout, look: Look) -> Iterator[tuple[str, int, Worker | None]]:
    """Every slot whose turn has come and that should run, with its new process."""
    for name, turn in state.turns.items():
        pool = look.pools.get(name, PoolLook())
        for slot in turn.begun:
            if slot in pool.wanted:
                yield name, slot, pool.workers.get(slot)


def waits_for(state: Rollout, look: Look) -> str:
    """What the deploy waits for, in words."""
    if state.phase is Phase.CANARY:
        return "a canary does a job"
    if HOOKS.get(state.phase) in state.hooks:
        return f"the hook `{HOOKS[state.phase]}` runs"
    blocked = [w.blocked for _, _, w in _begun(state, look) if w is not None and w.blocked]
    if blocked:
        return f"processes wait for {blocked[0]}"
    if state.phase is Phase.DRAIN:
        return f"old processes finish their jobs ({_retiring(look)} left)"
    missing = [f"{name}:{slot}" for name, slot, worker in _begun(state, look) if worker is None or not worker.up]
    if missing:
        return f"{', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''} not running yet"
    return "new processes are observed" if state.since is not None else "the next batch"


def _retiring(look: Look) -> int:
    return sum(pool.retiring for pool in look.pools.values())


def _back(state: Rollout, failure: Failure, now: float) -> Rollout:
    """Go back to what ran before. Before anything was changed there is nothing to wait for, but for the rest it is the
    same: what was in force stays in force."""
    state = replace(state, failure=failure, asked=False, since=None)
    turns = {name: replace(turn, todo=(), ready_at=None) for name, turn in state.turns.items()}
    return replace(state, phase=Phase.BACK, turns=turns, deadline=now + BACK_SECONDS)


def _hook(state: Rollout, look: Look, now: float) -> tuple[Rollout, str | None]:
    name = HOOKS[state.phase]
    if name not in state.hooks:
        return _after_hook(state), None
    if not state.asked:
        return replace(state, asked=True, attempts=state.attempts + (state.phase is Phase.CANARY)), name
    if look.hook is None:
        if state.phase is Phase.AFTER and (look.abort is not None or now >= state.deadline):
            failure = look.abort or Failure("timeout", f"it was not done in time: {waits_for(state, look)}")
            return replace(state, phase=Phase.ENDED, failure=failure, outcome=Outcome.FAILED), None
        return state, None
    if isinstance(look.hook, Failure):
        if state.phase in FORWARD:
            return _back(state, look.hook, now), None
        if state.phase is Phase.AFTER:  # the new release runs and is well; there is no reason to take it back
            return replace(state, phase=Phase.ENDED, failure=look.hook, outcome=Outcome.FAILED, asked=False), None
        state = replace(state, trouble=look.hook)
    return _after_hook(state), None


def _after_hook(state: Rollout) -> Rollout:
    after = replace(state, phase=NEXT[state.phase], asked=False, since=None)
    if after.phase is Phase.FIRST:
        return replace(after, turns={name: _next_batch(turn) for name, turn in state.turns.items()})
    return after


def _next_batch(turn: Turn) -> Turn:
    return replace(turn, todo=turn.todo[turn.batch :], ready_at=None)


def _complete(state: Rollout, look: Look, only: str | None = None) -> bool:
    return all(worker is not None and worker.up for name, _, worker in _begun(state, look) if only in (None, name))


def _observed(state: Rollout, look: Look, now: float) -> tuple[Rollout, bool]:
    """The state with the beginning of the observation in it, and whether it is over."""
    if not _complete(state, look):
        return state, False
    if state.since is None:
        state = replace(state, since=now)
    assert state.since is not None
    return state, now - state.since >= state.observe


def _first(state: Rollout, look: Look, now: float) -> Rollout:
    """Wait until the first batch of every program is well."""
    state, over = _observed(state, look, now)
    if not over:
        return state
    turns = {name: replace(turn, ready_at=now) for name, turn in state.turns.items()}
    return replace(state, phase=Phase.CHECK, turns=turns, since=None, late=any(turn.todo for turn in turns.values()))


def _rest(state: Rollout, look: Look, now: float) -> Rollout:
    """Batch after batch, each program at its own pace."""
    turns = dict(state.turns)
    for name, turn in state.turns.items():
        if not _complete(state, look, name):
            continue
        if turn.ready_at is None:
            turns[name] = turn = replace(turn, ready_at=now)
        if turn.todo and turn.ready_at is not None and now >= turn.ready_at + turn.pause:
            turns[name] = _next_batch(turn)
    if any(turn.todo or turn.ready_at is None for turn in turns.values()):
        return state if turns == state.turns else replace(state, turns=turns)
    return replace(state, phase=Phase.VERIFY, turns=turns, since=None)


def _verify(state: Rollout, look: Look, now: float) -> Rollout:
    """All together once more; what is no longer needed is told to end here."""
    if any(pool.unfit for pool in look.pools.values()):
        return state
    if state.late:
        state, over = _observed(state, look, now)
    else:
        over = _complete(state, look)
    if not over:
        return state
    return replace(state, phase=Phase.RECHECK if state.late else Phase.AFTER, since=None)


def _drain(state: Rollout, look: Look, now: float) -> Rollout:
    """The old processes finish their jobs; only --wait-drained waits for them."""
    done = replace(state, phase=Phase.ENDED, outcome=Outcome.DONE)
    if not state.wait_drained or not _retiring(look):
        return done
    if look.abort is not None:
        return replace(done, failure=look.abort, outcome=Outcome.ABORTED)
    if now >= state.deadline:
        failure = Failure("timeout", f"{waits_for(state, look)}; the new ones run")
        return replace(done, failure=failure, outcome=Outcome.TIMED_OUT)
    return state


def _returned(state: Rollout, look: Look, now: float) -> Rollout:
    """Wait until what ran before runs again."""
    missing = []
    for name, turn in state.turns.items():
        pool = look.pools.get(name, PoolLook())
        for slot in sorted(turn.ran & pool.wanted):
            worker = pool.workers.get(slot)
            if worker is None or not (worker.up or worker.blocked):
                missing.append((f"{name}:{slot}", worker))
    unfit = sum(pool.unfit for pool in look.pools.values())
    assert state.failure is not None
    if not missing and not state.returned:
        return replace(state, returned=True)
    if not missing and not unfit:
        gate = state.failure.gate
        outcome = {"timeout": Outcome.TIMED_OUT, "abort": Outcome.ABORTED}.get(gate, Outcome.ROLLED_BACK)
        return replace(state, phase=Phase.ON_FAILURE, rolled_back=True, outcome=outcome)
    if now >= state.deadline:
        name, worker = missing[0] if missing else ("a new process", None)
        last = worker.failure if worker is not None else None
        what = f"{name} does not run again" if missing else "new processes could not be ended"
        trouble = replace(last or Failure("rollback", what), gate="rollback", what=what)
        return replace(state, phase=Phase.ON_FAILURE, rolled_back=True, outcome=Outcome.FAILED, trouble=trouble)
    return state


_MOVES = {
    Phase.FIRST: _first,
    Phase.REST: _rest,
    Phase.VERIFY: _verify,
    Phase.DRAIN: _drain,
    Phase.BACK: _returned,
}


def why_held(turn: Turn) -> str:
    """For `status`, of a pool whose deploy was rolled back."""
    return f"held at release {short(turn.was)}: a deploy was rolled back" if turn.was else "a deploy was rolled back"
