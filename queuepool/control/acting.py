"""What a person may do to processes: start, stop, restart, signal, pause, continue, scale. Part of operations.py. What
changes nothing is answered, and not journalled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuepool.control import messages
from queuepool.control.choosing import choose, note, refuse_while_stopping
from queuepool.control.following import (
    NOT_RUNNING,
    Progress,
    Reply,
    Verdict,
    came_up,
    follow,
    not_wanted,
    reason_of,
    results_of,
    wanted_again,
    wanted_lives,
)
from queuepool.controller.controller import Controller
from queuepool.domain.desired import size
from queuepool.domain.events import Kind
from queuepool.domain.exits import signal_name
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import PoolSpec
from queuepool.domain.states import State
from queuepool.domain.units import signal_number
from queuepool.errors import UsageError

if TYPE_CHECKING:
    from queuepool.control.operations import Operator

MOST_PROCESSES = 10_000
"""More processes in one pool are taken for a slip of the finger."""


async def start(operator: Operator, request: messages.Start, progress: Progress) -> Reply:
    """See messages.Start."""
    control = operator.controller
    names = choose(operator, request.names)
    manual = [name for name in names if name.pool in control.pools and not control.pools[name.pool].autostart]
    before = {name: _up(control, name) for name in names}
    if not all(before.values()):
        note(operator, "start", request.names)
    control.store.release(names, manual=manual)
    control.poke(*{name.pool for name in names})
    control.turn()
    for name in names:
        control.engine.retry(name)

    def verdict(name: ProcessName) -> Verdict | None:
        if before[name]:
            return "unchanged", "already running"
        return came_up(control, name, "started")

    return await follow(control, names, verdict, progress, wait=request.wait, promise="started")


def _up(control: Controller, name: ProcessName) -> bool:
    return any(life.state is State.RUNNING for life in wanted_lives(control, name))


async def stop(operator: Operator, request: messages.Stop, progress: Progress) -> Reply:
    """See messages.Stop."""
    control = operator.controller
    names = choose(operator, request.names)
    before = {name: any(life.process.wanted for life in control.engine.lives.get(name, ())) for name in names}
    hold = {name for name in names if name.pool in control.pools}
    if not hold <= control.store.value.held or any(before[name] or control.alive_in(name) for name in names):
        note(operator, "stop", request.names)
    control.store.hold(hold)
    control.poke(*{name.pool for name in names})
    control.turn()
    if request.kill:
        for name in names:
            control.engine.kill(name, "killed by `stop --kill`")

    def verdict(name: ProcessName) -> Verdict | None:
        if control.alive_in(name):
            return wanted_again(control, name)
        return ("stopped", "") if before[name] else ("unchanged", "not running")

    return await follow(control, names, verdict, progress, wait=request.wait, promise="stopped")


async def restart(operator: Operator, request: messages.Restart, progress: Progress) -> Reply:
    """See messages.Restart. When the new process of a slot does not come up, the old one goes on working."""
    control = operator.controller
    names = choose(operator, request.names)
    if request.stale:
        _, views = control.views()
        stale = {view.name for view in views if view.stale}
        names = tuple(name for name in names if str(name) in stale)
    names = tuple(name for name in names if name.pool in control.pools)
    if names:
        note(operator, "restart", request.names)
    manual = [name for name in names if not control.pools[name.pool].autostart]
    control.store.release(names, manual=manual)
    serial = control.store.restart(names)
    control.poke(*{name.pool for name in names})

    def verdict(name: ProcessName) -> Verdict | None:
        lives = wanted_lives(control, name)
        if not lives:
            return not_wanted(control, name)
        if lives[-1].revision.serial < serial:
            return ("failed", _why_kept(control, name.pool)) if control.stands_still(name.pool) else None
        newest = lives[-1]
        if newest.state is State.RUNNING and len(lives) == 1:
            return "restarted", ""
        if newest.state in (State.FATAL, State.BACKOFF, State.EXITED):
            kept = "; the former process goes on" if len(lives) > 1 else ""
            return ("restarted", "") if newest.state is State.EXITED else ("failed", reason_of(control, name) + kept)
        return None

    return await follow(control, names, verdict, progress, wait=request.wait, promise="restarted")


def _why_kept(control: Controller, pool: str) -> str:
    """Why no process of a pool is replaced any more."""
    dead = [
        str(name)
        for name in control.engine.slots.get(pool, {})
        if any(life.wanted and life.state is State.FATAL for life in control.engine.seen(name))
    ]
    return f"it keeps its place while {', '.join(dead)} is FATAL: `queuepool start {' '.join(dead)}` first"


async def signal(operator: Operator, request: messages.Signal, progress: Progress) -> Reply:
    """See messages.Signal."""
    try:
        number = signal_number(request.signal)
    except ValueError:
        raise UsageError(
            f"cannot send {request.signal}: it is not a signal", "use a name such as TERM, USR2 or HUP, or a number"
        ) from None
    control = operator.controller
    names = choose(operator, request.names)
    if any(map(control.alive_in, names)):
        note(operator, f"signal {signal_name(number)}", request.names)

    def act(name: ProcessName) -> Verdict:
        return ("signalled", "") if control.engine.signal(name, number) else NOT_RUNNING

    return results_of(control, names, act)


async def pause(operator: Operator, request: messages.Pause, progress: Progress) -> Reply:
    """See messages.Pause."""
    return await _pause(operator, request.names, paused=True)


async def resume(operator: Operator, request: messages.Continue, progress: Progress) -> Reply:
    """See messages.Continue."""
    return await _pause(operator, request.names, paused=False)


async def _pause(operator: Operator, selectors: tuple[str, ...], *, paused: bool) -> Reply:
    control = operator.controller
    names = choose(operator, selectors)
    deaf = {name for name in names if name.pool in control.pools and not control.pools[name.pool].artisan}
    if deaf and deaf.issuperset(names):
        word, stop = ("pause", "stop") if paused else ("continue", "start")
        raise UsageError(
            f"cannot {word} {names[0]}: only Laravel workers and Horizon know how to pause",
            f"{stop} it with `queuepool {stop} {names[0]}`",
        )
    able = [name for name in names if name not in deaf]
    changing = {name for name in able if control.alive_in(name) and not _is_so(control, name, paused=paused)}
    if changing:
        note(operator, "pause" if paused else "continue", selectors)

    def act(name: ProcessName) -> Verdict:
        if name in deaf:
            return "unchanged", "it cannot pause"
        if not control.engine.pause(name, paused):  # also where it is so: a signal by hand may have changed it
            return NOT_RUNNING
        if name not in changing:
            return "unchanged", "already paused" if paused else "not paused"
        control.journal.add(Kind.PAUSED if paused else Kind.CONTINUED, str(name))
        return ("paused" if paused else "continued"), ""

    return results_of(control, names, act)


def _is_so(control: Controller, name: ProcessName, *, paused: bool) -> bool:
    """Whether all workers of a slot are paused, or none is. Horizon's own `horizon:continue` is not known here."""
    spec = control.pools.get(name.pool)
    if not paused and spec is not None and spec.kind == "horizon":
        return False
    return all(life.paused is paused for life in control.engine.lives.get(name, ()) if life.process.wanted)


async def scale(operator: Operator, request: messages.Scale, progress: Progress) -> Reply:
    """See messages.Scale. Starts the missing, drains the surplus, touches nothing else."""
    control = operator.controller
    refuse_while_stopping(control)
    spec = control.pools.get(request.name)
    if spec is None:
        group = control.loaded.groups.get(request.name)
        known = f"the programs {'of it' if group else 'are'}: {', '.join(group or control.pools) or 'none'}"
        what = "it is a group, and programs are scaled" if group else "there is no such program"
        raise UsageError(f"cannot scale {request.name}: {what}", known)
    if request.reset == (request.count is not None):
        raise UsageError("cannot scale: give either a number or --reset", f"queuepool scale {request.name} 4")
    if request.count is not None and not 0 <= request.count <= MOST_PROCESSES:
        raise UsageError(
            f"cannot scale {request.name} to {request.count}: the number must be from 0 to {MOST_PROCESSES}",
            f"queuepool scale {request.name} {spec.numprocs}",
        )
    if spec.kind == "horizon" and (request.count or 0) > 1:
        raise UsageError(
            f"cannot scale {request.name} to {request.count}: Horizon has one master and scales its own workers",
            "change maxProcesses in config/horizon.php",
        )
    was = size(spec, control.store.value)
    now = spec.numprocs if request.count is None else request.count
    if now != was:
        note(operator, f"scale {'--reset' if request.count is None else now}", (request.name,))
        control.journal.add(Kind.SCALED, spec.name, {"was": was, "wanted": now, "numprocs": spec.numprocs})
    control.store.scale(request.name, now if now != spec.numprocs else None)
    added = tuple(ProcessName(spec.name, slot) for slot in range(was, now))
    surplus = tuple(ProcessName(spec.name, slot) for slot in range(now, was))
    control.store.release(added)
    shown = {name: spec.process(name.slot).display for name in (*added, *surplus)}
    control.poke(spec.name)
    control.turn()

    def verdict(name: ProcessName) -> Verdict | None:
        if name.slot < now:
            return came_up(control, name, "started")
        return wanted_again(control, name) if control.alive_in(name) else ("stopped", "")

    done = await follow(control, (*added, *surplus), verdict, progress, wait=request.wait, promise="", displays=shown)
    results = done["results"]
    failed = [result for result in results if result["result"] == "failed"]
    return {
        "name": spec.name,
        "was": was,
        "wanted": now,
        "numprocs": spec.numprocs,
        "started": [r["display"] for r in results if r["result"] == "started"],
        "stopped": [r["display"] for r in results if r["result"] == "stopped"],
        "failed": failed,
        "message": _scaled(spec, was, now),
    }


def _scaled(spec: PoolSpec, was: int, now: int) -> str:
    """What a scale did, in words."""
    says = f" (the file says {spec.numprocs})" if now != spec.numprocs else ""
    if was == now:
        return f"{spec.name} is already {now}{says or ', as the file says'}"
    return f"{spec.name}: {was} -> {now}{says}"
