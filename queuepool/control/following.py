"""What becomes of processes that were asked to do something: a verdict on each as soon as there is one. Part of
operations.py; what they were asked is acting.py's and updating.py's matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from queuepool.controller.controller import Controller
from queuepool.domain.names import ProcessName
from queuepool.domain.reconcile import SETTLED, Seen
from queuepool.domain.states import State

Progress = Callable[[dict[str, Any]], None]
Reply = dict[str, Any]
Verdict = tuple[str, str]
"""The word for what became of a process, as messages.Start has it, and why; ("unchanged", "") is not worth a line."""
NOT_RUNNING: Verdict = ("failed", "not running")


async def follow(
    control: Controller,
    names: Iterable[ProcessName],
    verdict: Callable[[ProcessName], Verdict | None],
    progress: Progress,
    *,
    wait: bool,
    promise: str,
    displays: dict[ProcessName, str] | None = None,
) -> Reply:
    """Tell of each process as soon as there is a verdict on it; without `wait` promise it for the rest."""
    shown = dict(control.displays()) | (displays or {})
    pending = dict.fromkeys(names)
    results: dict[ProcessName, Reply] = {}

    def look() -> bool:
        for name in list(pending):
            if found := verdict(name):
                del pending[name]
                results[name] = _result(name, shown, *found)
                if found != ("unchanged", ""):
                    progress({"display": shown.get(name, str(name)), "state": found[0], "message": found[1]})
        return not pending

    if wait:
        await control.until(look)
    else:
        look()
    for name in pending:
        results[name] = _result(name, shown, promise or "unchanged", "under way")
    return {"results": [results[name] for name in sorted(results)]}


def results_of(control: Controller, names: Iterable[ProcessName], act: Callable[[ProcessName], Verdict]) -> Reply:
    """The reply of what is done at once."""
    displays = control.displays()
    return {"results": [_result(name, displays, *act(name)) for name in names]}


def _result(name: ProcessName, displays: dict[ProcessName, str], word: str, message: str) -> Reply:
    return {"name": str(name), "display": displays.get(name, str(name)), "result": word, "message": message}


# --- verdicts ---------------------------------------------------------------------------------------------------------


def wanted_lives(control: Controller, name: ProcessName) -> list[Seen]:
    """The lives of a slot that were not told to end."""
    return [life for life in control.engine.seen(name) if life.wanted]


def reason_of(control: Controller, name: ProcessName) -> str:
    """Why the last life of a slot is as it is."""
    lives = control.engine.lives.get(name, [])
    return lives[-1].process.reason if lives else ""


def came_up(control: Controller, name: ProcessName, word: str) -> Verdict | None:
    """What became of a process that was to start."""
    spec = control.pools.get(name.pool)
    lives = wanted_lives(control, name)
    if spec and not lives and (blocker := control.waits_for(spec)):
        return "unchanged", f"waiting for {blocker}"
    if not lives:
        return not_wanted(control, name)
    if lives[-1].state in (State.RUNNING, State.EXITED):
        return word, ""
    if lives[-1].state in (State.FATAL, State.BACKOFF):
        return "failed", reason_of(control, name)
    return None


def not_wanted(control: Controller, name: ProcessName) -> Verdict | None:
    """What to say of a process that is not to run, although it was just asked for: autostart is off, or somebody else
    stopped it meanwhile. None when it is to run, now or when its turn in a deploy comes."""
    if (spec := control.pools.get(name.pool)) is None:
        return "unchanged", "no longer in the file"
    want = control.desire(spec)
    return None if name.slot in want.slots or name.slot in want.waiting else ("unchanged", want.why_ended(name.slot))


def wanted_again(control: Controller, name: ProcessName) -> Verdict | None:
    """What to say of a process that was told to end, where somebody else has it run meanwhile. None while it is to
    end."""
    spec = control.pools.get(name.pool)
    again = spec is not None and name.slot in control.desire(spec).slots
    return ("failed", "told to run again meanwhile") if again else None


def settled(control: Controller, name: ProcessName) -> Verdict | None:
    """What became of a process through an update, once it is as the settings want it."""
    spec = control.pools.get(name.pool)
    want = control.desire(spec) if spec else None
    lives = wanted_lives(control, name)
    if want is None or name.slot not in want.slots:
        return None if lives or control.alive_in(name) else ("stopped", "")
    if not lives:
        return None
    if lives[-1].state in (State.FATAL, State.BACKOFF):
        return "failed", reason_of(control, name)
    done = len(lives) == 1 and lives[0].meets(want.slots[name.slot]) and lives[0].state in SETTLED
    return ("started", "") if done else None
