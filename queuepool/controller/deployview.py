"""A deploy as facts: what domain/rollout.py is to look at, which settings are in force, and the report for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queuepool.controller.controller import Controller
from queuepool.controller.deployplan import programs_json
from queuepool.controller.deploystate import Saved, Settings
from queuepool.domain.exits import meaning
from queuepool.domain.pool import PoolSpec
from queuepool.domain.rollout import (
    UNTOUCHED,
    Failure,
    Look,
    Outcome,
    Phase,
    PoolLook,
    Rollout,
    Worker,
    gone_back,
)
from queuepool.engines.life import Life
from queuepool.errors import ExitCode

EXIT_CODES = {
    Outcome.DONE: ExitCode.DONE,
    Outcome.ROLLED_BACK: ExitCode.FAILED,
    Outcome.ABORTED: ExitCode.FAILED,
    Outcome.TIMED_OUT: ExitCode.NOT_AS_WANTED,
    Outcome.FAILED: ExitCode.NOT_ROLLED_BACK,
}


def look_at(
    control: Controller,
    state: Rollout,
    excused: Mapping[int, int],
    hook: Failure | str | None,
    abort: Failure | None,
) -> Look:
    """What is seen of the programs of a deploy. excused: life -> crashes that were not its fault."""
    return Look({name: _pool(control, name, excused) for name in state.turns}, hook, abort)


def _pool(control: Controller, pool: str, excused: Mapping[int, int]) -> PoolLook:
    spec = control.pools.get(pool)
    slots = control.desire(spec).slots if spec is not None else {}
    workers: dict[int, Worker] = {}
    unfit = retiring = 0
    for name, seen in control.engine.observe(pool).items():
        for one in seen:
            if not one.wanted:
                retiring += one.state.has_process
            elif not one.meets(slots.get(name.slot)):
                unfit += 1
            elif (life := control.engine.find(name, one.life)) is not None:
                workers[name.slot] = _worker(life, excused.get(life.number, 0))
    return PoolLook(frozenset(slots), workers, unfit, retiring)


def _worker(life: Life, excused: int) -> Worker:
    process = life.process
    crashes = max(0, process.crashes - excused)
    return Worker(process.state, crashes, process.blocked, _failure(life) if crashes else None)


def _failure(life: Life) -> Failure:
    """The last crash of a process, in full."""
    process, name = life.process, life.spec.display
    texts = (line.decode("utf-8", "replace").rstrip() for line in life.last_lines[-20:])
    lines = tuple(text for text in texts if text)  # PHP frames its errors with blank lines
    if process.code is None:
        return Failure("start", f"{name} could not be started: {process.reason}", name, None, process.reason, lines)
    why = meaning(process.code, life.last_lines)
    gate = "start" if process.failures else "crash"
    return Failure(gate, f"{name} ended: {why}", name, process.code, why, lines)


def in_force(saved: Saved, settings: Settings, current: Mapping[str, PoolSpec]) -> dict[str, PoolSpec]:
    """The settings of all programs, as the deploy has it. current: those of the programs that it does not concern."""
    state = saved.state
    pools = dict(current)
    for name in saved.held - set(state.turns):  # left so by an earlier deploy that was rolled back
        if name in pools and name in settings.target:
            pools[name] = settings.target[name]
    if saved.ended is not None and not state.rolled_back:
        return pools
    back = gone_back(state) or state.phase in UNTOUCHED
    for name in state.turns:
        if saved.ended is not None and name not in saved.held:
            continue
        spec = (settings.former if back else settings.target).get(name)
        if spec is None and state.phase in (Phase.FIRST, Phase.CHECK, Phase.REST):
            spec = settings.former.get(name)  # is taken away when the others are well
        if spec is None:
            pools.pop(name, None)
        else:
            pools[name] = spec
    return pools


def report_of(saved: Saved, now: float) -> dict[str, Any]:
    """The object that `queuepool deploy --json` and `--status --json` print."""
    state = saved.state
    ended = saved.ended is not None
    result = state.outcome.value if ended and state.outcome else "running"
    started, restarted, stopped, kept = [], [], [], []
    for plan in saved.plans:
        turn = state.turns.get(plan.name)
        begun = set(turn.begun) if turn is not None and state.phase not in UNTOUCHED else set()

        def shown(slot: int, pool: str = plan.name) -> str:
            return saved.displays.get(f"{pool}:{slot}", f"{pool}:{slot}")

        done = state.outcome is Outcome.DONE
        if state.failure is None or not (state.rolled_back or gone_back(state)):
            started += [shown(slot) for slot in plan.started if slot in begun]
            restarted += [shown(slot) for slot, _ in plan.restarted if slot in begun]
            stopped += [shown(slot) for slot in plan.stopped if done]
        kept += [shown(slot) for slot in plan.kept]
    return {
        "id": saved.id,
        "result": result,
        "exit_code": int(EXIT_CODES[state.outcome]) if ended and state.outcome else None,
        "phase": state.phase.value,
        "begun_at": saved.begun,
        "seconds": round((saved.ended or now) - saved.begun, 3),
        "started": started,
        "restarted": restarted,
        "stopped": stopped,
        "kept": kept,
        "draining": list(saved.draining),
        "rolled_back": state.rolled_back and state.outcome is not Outcome.FAILED,
        "failure": _failure_json(state.failure, saved.displays),
        "trouble": _failure_json(state.trouble, saved.displays),
        "programs": [programs_json(plan, saved.displays) for plan in saved.plans],
    }


def nothing_done(kept: list[str], programs: list[dict[str, Any]]) -> dict[str, Any]:
    """The report of a deploy that found nothing to do."""
    return {
        "id": None, "result": "done", "exit_code": 0, "phase": "ended", "begun_at": None, "seconds": 0.0, "started": [],
        "restarted": [], "stopped": [], "kept": kept, "draining": [], "rolled_back": False, "failure": None,
        "trouble": None, "programs": programs,
    }  # fmt: skip


def _failure_json(failure: Failure | None, displays: Mapping[str, str]) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "gate": failure.gate,
        "message": failure.what,
        "process": displays.get(failure.process, failure.process) or None,
        "exit_code": failure.exit_code,
        "meaning": failure.meaning,
        "last_lines": list(failure.last_lines),
    }
