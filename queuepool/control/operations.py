"""One function per thing a person may ask; the only caller of the controller. How a request arrives and how the answer
is shown is server.py's and the command line's matter. An operation answers once what was asked for is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

from queuepool.control import deploying, messages, visiting
from queuepool.controller.controller import Controller, announce
from queuepool.controller.deploys import Deploys
from queuepool.domain.desired import size
from queuepool.domain.events import Kind
from queuepool.domain.exits import signal_name
from queuepool.domain.names import ProcessName, UnknownName
from queuepool.domain.observed import ProcessView, ProgramView
from queuepool.domain.pool import Loaded
from queuepool.domain.reconcile import SETTLED, Seen
from queuepool.domain.states import State
from queuepool.domain.units import signal_number
from queuepool.errors import ConfigError, QueuepoolError, UsageError

Progress = Callable[[dict[str, Any]], None]
Reply = dict[str, Any]
MOST_PROCESSES = 10_000
"""More processes in one pool are taken for a slip of the finger."""


SECTIONS: dict[str, Callable[[Loaded], object]] = {
    "http": lambda loaded: loaded.http,
    "notifications": lambda loaded: loaded.notify,
    "deploy": lambda loaded: loaded.deploy,
}
"""What of the file concerns no program, by its key."""


class Look(Protocol):
    """What is known of queues and Redis (controller/insight.py)."""

    def queues(self, names: Sequence[str]) -> Reply:
        """See messages.Queues."""

    async def redis(self) -> Reply:
        """See messages.Redis."""


class Notices(Protocol):
    """What tells people (controller/notifier.py)."""

    def report(self) -> Reply:
        """See messages.Notify."""

    async def test(self, names: Sequence[str]) -> list[Reply]:
        """See messages.Notify. Raises UsageError."""


class Operator:
    """What operations work on: the controller, and what only the daemon can do.

    load: reads the file anew (in a thread, since thousands of programs take seconds). shutdown(hurry), upgrade(),
    reopen(): see messages. look: what is known of queues and Redis. deploys: the one deploy there may be. listen():
    what is wrong with `http:`, once it has been followed; "" for nothing. notices(): what tells people; None: nobody is
    told.
    """

    def __init__(
        self,
        controller: Controller,
        look: Look,
        *,
        load: Callable[[], Loaded],
        shutdown: Callable[[bool], Awaitable[None]],
        upgrade: Callable[[], Awaitable[Reply]],
        reopen: Callable[[], int],
        deploys: Deploys,
        listen: Callable[[], Awaitable[str]],
        notices: Callable[[], Notices | None] = lambda: None,
    ) -> None:
        self.controller = controller
        self.look = look
        self.load = load
        self.shutdown = shutdown
        self.upgrade = upgrade
        self.reopen = reopen
        self.deploys = deploys
        self.notices = notices
        self.listen = listen


async def start(operator: Operator, request: messages.Start, progress: Progress) -> Reply:
    """See messages.Start."""
    control = operator.controller
    names = _selected(operator, request.names)
    _note(operator, "start", request.names)
    manual = [name for name in names if name.pool in control.pools and not control.pools[name.pool].autostart]
    before = {name: _up(control, name) for name in names}
    control.store.release(names, manual=manual)
    control.poke(*{name.pool for name in names})
    control.turn()
    for name in names:
        control.engine.retry(name)

    def verdict(name: ProcessName) -> tuple[str, str] | None:
        if before[name]:
            return "unchanged", "already running"
        return _outcome(control, name, "started")

    return await _follow(operator, names, verdict, progress, wait=request.wait, promise="started")


async def stop(operator: Operator, request: messages.Stop, progress: Progress) -> Reply:
    """See messages.Stop."""
    control = operator.controller
    names = _selected(operator, request.names)
    _note(operator, "stop", request.names)
    before = {name: any(life.process.wanted for life in control.engine.lives.get(name, ())) for name in names}
    control.store.hold(name for name in names if name.pool in control.pools)
    control.poke(*{name.pool for name in names})
    control.turn()
    if request.kill:
        for name in names:
            control.engine.kill(name, "killed by an operator")

    def verdict(name: ProcessName) -> tuple[str, str] | None:
        if control.alive_in(name):
            return None
        return ("stopped", "") if before[name] else ("unchanged", "not running")

    return await _follow(operator, names, verdict, progress, wait=request.wait, promise="stopped")


async def restart(operator: Operator, request: messages.Restart, progress: Progress) -> Reply:
    """See messages.Restart. When the new process of a slot does not come up, the old one goes on working."""
    control = operator.controller
    names = _selected(operator, request.names)
    if request.stale:
        _, views = control.views()
        stale = {view.name for view in views if view.stale}
        names = tuple(name for name in names if str(name) in stale)
    names = tuple(name for name in names if name.pool in control.pools)
    _note(operator, "restart", request.names)
    manual = [name for name in names if not control.pools[name.pool].autostart]
    control.store.release(names, manual=manual)
    serial = control.store.restart(names)
    control.poke(*{name.pool for name in names})

    def verdict(name: ProcessName) -> tuple[str, str] | None:
        lives = [life for life in control.engine.seen(name) if life.wanted]
        if not lives or lives[-1].revision.serial < serial:
            return ("failed", _why_kept(control, name.pool)) if control.stands_still(name.pool) else None
        newest = lives[-1]
        if newest.state is State.RUNNING and len(lives) == 1:
            return "restarted", ""
        if newest.state in (State.FATAL, State.BACKOFF, State.EXITED):
            kept = "; the former process goes on" if len(lives) > 1 else ""
            return ("restarted", "") if newest.state is State.EXITED else ("failed", _reason(control, name) + kept)
        return None

    return await _follow(operator, names, verdict, progress, wait=request.wait, promise="restarted")


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
    names = _selected(operator, request.names)
    _note(operator, f"signal {signal_name(number)}", request.names)
    engine = operator.controller.engine
    return _results(operator, names, lambda name: "signalled" if engine.signal(name, number) else "")


async def pause(operator: Operator, request: messages.Pause, progress: Progress) -> Reply:
    """See messages.Pause."""
    return await _pause(operator, request.names, paused=True)


async def resume(operator: Operator, request: messages.Continue, progress: Progress) -> Reply:
    """See messages.Continue."""
    return await _pause(operator, request.names, paused=False)


async def _pause(operator: Operator, selectors: tuple[str, ...], *, paused: bool) -> Reply:
    control = operator.controller
    names = _selected(operator, selectors)
    for name in names:
        if name.pool in control.pools and not control.pools[name.pool].artisan:
            raise UsageError(
                f"cannot pause {name}: only Laravel workers and Horizon know how to pause",
                f"stop it with `queuepool stop {name}`",
            )
    _note(operator, "pause" if paused else "continue", selectors)
    word = "paused" if paused else "continued"

    def act(name: ProcessName) -> str:
        if not control.engine.pause(name, paused):
            return ""
        control.journal.add(Kind.PAUSED if paused else Kind.CONTINUED, str(name))
        return word

    return _results(operator, names, act)


async def scale(operator: Operator, request: messages.Scale, progress: Progress) -> Reply:
    """See messages.Scale. Starts the missing, drains the surplus, touches nothing else."""
    control = operator.controller
    spec = control.pools.get(request.name)
    if spec is None:
        known = ", ".join(control.pools) or "none"
        raise UsageError(f"cannot scale {request.name}: there is no such program", f"the programs are: {known}")
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
    _note(operator, f"scale {request.count if request.count is not None else 'reset'}", (request.name,))
    control.store.scale(request.name, request.count)
    now = size(spec, control.store.value)
    added = tuple(ProcessName(spec.name, slot) for slot in range(was, now))
    surplus = tuple(ProcessName(spec.name, slot) for slot in range(now, was))
    control.store.release(added)
    control.journal.add(Kind.SCALED, spec.name, {"was": was, "wanted": now, "numprocs": spec.numprocs})
    shown = {name: spec.process(name.slot).display for name in (*added, *surplus)}
    control.poke(spec.name)
    control.turn()

    def verdict(name: ProcessName) -> tuple[str, str] | None:
        if name.slot < now:
            return _outcome(control, name, "started")
        gone = not control.alive_in(name)
        return ("stopped", "") if gone else None

    done = await _follow(operator, (*added, *surplus), verdict, progress, wait=request.wait, promise="", displays=shown)
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
        "message": f"{spec.name}: {was} -> {now}" if was != now else f"{spec.name}: already {now}",
    }


async def reread(operator: Operator, request: messages.Reread, progress: Progress) -> Reply:
    """See messages.Reread."""
    loaded = await asyncio.to_thread(operator.load)
    return _changes(operator, loaded)


async def update(operator: Operator, request: messages.Update, progress: Progress) -> Reply:
    """See messages.Update. A pool whose numbers changed starts and drains the difference; one whose command changed is
    restarted in batches; all others are not touched. A file that does not validate changes nothing."""
    control = operator.controller
    operator.deploys.refuse_while_under_way("update")
    try:
        loaded = await asyncio.to_thread(operator.load)
    except ConfigError as error:
        control.journal.add(Kind.CONFIG_REFUSED, "", {"problems": len(error.problems), "reason": str(error)})
        raise
    unknown = set(request.names) - set(loaded.pools) - set(control.pools)
    if unknown:
        raise _no_such(control, sorted(unknown)[0])
    report = _changes(operator, loaded, request.names or None)
    _note(operator, "update", request.names)
    before = {name: _signature(control, name) for name in control.displays()}
    operator.deploys.lift(request.names)
    changes = control.use(loaded, request.names or None)
    announce(control.journal, changes, loaded)
    control.turn()
    touched = {*changes.added, *changes.removed, *(name for name, _ in changes.changed)}
    names = tuple(name for name in control.displays() if name.pool in touched)

    def verdict(name: ProcessName) -> tuple[str, str] | None:
        found = _settled(control, name)
        if found and found[0] == "started" and before.get(name) == _signature(control, name):
            return "unchanged", ""
        return found

    done = await _follow(operator, names, verdict, progress, wait=request.wait, promise="")
    if trouble := await operator.listen():
        report["problems"].append(trouble)
    return report | done


async def queues(operator: Operator, request: messages.Queues, progress: Progress) -> Reply:
    """See messages.Queues."""
    return operator.look.queues(request.names)


async def redis(operator: Operator, request: messages.Redis, progress: Progress) -> Reply:
    """See messages.Redis."""
    return await operator.look.redis()


async def wait(operator: Operator, request: messages.Await, progress: Progress) -> Reply:
    """See messages.Await."""
    control = operator.controller
    names = _selected(operator, request.names)

    def waiting() -> list[ProcessName]:
        return [name for name in names if (_settled(control, name) or ("failed", ""))[0] == "failed"]

    told: set[ProcessName] = set()

    def done() -> bool:
        left = waiting()
        for name in names:
            if name not in told and name not in left:
                told.add(name)
                progress({"display": control.displays().get(name, str(name)), "state": "RUNNING", "message": ""})
        return not left

    ready = await control.until(done, request.seconds)
    _, views = control.views()
    left = {str(name) for name in waiting()}
    keys = ("name", "display", "state", "reason")
    return {
        "ready": ready,
        "waiting": [{key: getattr(view, key) for key in keys} for view in views if view.name in left and view.wanted],
    }


async def shutdown(operator: Operator, request: messages.Shutdown, progress: Progress) -> Reply:
    """See messages.Shutdown."""
    control = operator.controller
    _note(operator, "shutdown", ())
    displays = control.displays()
    names = tuple(name for name in control.alive())
    drained = asyncio.ensure_future(operator.shutdown(request.hurry))
    await asyncio.sleep(0)

    def verdict(name: ProcessName) -> tuple[str, str] | None:
        gone = not control.alive_in(name)
        return ("stopped", "") if gone else None

    await _follow(operator, names, verdict, progress, wait=True, promise="stopped", displays=displays)
    await drained
    return {"stopped": [str(name) for name in names]}


async def upgrade(operator: Operator, request: messages.Upgrade, progress: Progress) -> Reply:
    """See messages.Upgrade."""
    operator.deploys.refuse_while_under_way("upgrade")
    _note(operator, "upgrade", ())
    return await operator.upgrade()


async def reopen(operator: Operator, request: messages.Reopen, progress: Progress) -> Reply:
    """See messages.Reopen."""
    _note(operator, "reopen", ())
    return {"reopened": operator.reopen()}


async def notify(operator: Operator, request: messages.Notify, progress: Progress) -> Reply:
    """See messages.Notify."""
    notices = operator.notices()
    if request.test:
        _note(operator, "notify --test", request.targets)
        if notices is None:
            raise UsageError(
                "cannot test notifications: the settings in force have none",
                "write `notifications: {slack: ...}` into the file, then `queuepool update`",
            )
    tests = await notices.test(request.targets) if notices and request.test else []
    found = notices.report() if notices else {"targets": [], "open": [], "ignored": 0}
    return {**found, "tests": tests}


Handler = Callable[[Operator, Any, Progress], Awaitable[Reply]]
OPERATIONS: dict[str, tuple[type[Any], Handler]] = {
    "start": (messages.Start, start),
    "stop": (messages.Stop, stop),
    "restart": (messages.Restart, restart),
    "signal": (messages.Signal, signal),
    "pause": (messages.Pause, pause),
    "continue": (messages.Continue, resume),
    "scale": (messages.Scale, scale),
    "reread": (messages.Reread, reread),
    "update": (messages.Update, update),
    "queues": (messages.Queues, queues),
    "redis": (messages.Redis, redis),
    "await": (messages.Await, wait),
    "shutdown": (messages.Shutdown, shutdown),
    "upgrade": (messages.Upgrade, upgrade),
    "reopen": (messages.Reopen, reopen),
    "notify": (messages.Notify, notify),
    **deploying.OPERATIONS,
}


# --- pieces -----------------------------------------------------------------------------------------------------------


def _selected(operator: Operator, selectors: Iterable[str]) -> tuple[ProcessName, ...]:
    if operator.controller.stopping:
        raise QueuepoolError("cannot do that: the daemon is stopping", "wait for it, then `queuepool up`")
    return selected(operator.controller, selectors)


def selected(control: Controller, selectors: Iterable[str]) -> tuple[ProcessName, ...]:
    """The processes that people name. Raises UsageError, with the nearest known name."""
    try:
        return control.select(selectors)
    except UnknownName as unknown:
        raise _no_such(control, unknown.text) from None


def chosen(
    control: Controller, names: Sequence[str], programs: Sequence[ProgramView], processes: Sequence[ProcessView]
) -> tuple[list[ProgramView], list[ProcessView]]:
    """Of all views those that these selectors concern. Raises UsageError."""
    found = set(map(str, selected(control, names)))
    kept = [process for process in processes if process.name in found]
    pools = {process.program for process in kept} | set(names)
    return [program for program in programs if program.name in pools], kept


def _no_such(control: Controller, text: str) -> UsageError:
    from difflib import get_close_matches

    known = [*control.pools, *control.loaded.groups, *control.displays().values()]
    near = get_close_matches(text, known, 1)
    hint = f"did you mean {near[0]}?" if near else "see the names with `queuepool status`"
    return UsageError(f"cannot find {text}: there is no such program, group or process", hint)


def _note(operator: Operator, what: str, names: Iterable[str]) -> None:
    facts = {"asked": what, "names": " ".join(names) or None, **visiting.facts()}
    operator.controller.journal.add(Kind.OPERATION, "", facts)


def _lives(control: Controller, name: ProcessName) -> list[Seen]:
    return [life for life in control.engine.seen(name) if life.wanted]


def _up(control: Controller, name: ProcessName) -> bool:
    return any(life.state is State.RUNNING for life in _lives(control, name))


def _reason(control: Controller, name: ProcessName) -> str:
    lives = control.engine.lives.get(name, [])
    return lives[-1].process.reason if lives else ""


def _signature(control: Controller, name: ProcessName) -> tuple[int, ...]:
    return tuple(life.life for life in _lives(control, name))


def _outcome(control: Controller, name: ProcessName, word: str) -> tuple[str, str] | None:
    """What became of a process that was to start."""
    spec = control.pools.get(name.pool)
    lives = _lives(control, name)
    if spec and not lives and (blocker := control.waits_for(spec)):
        return "unchanged", f"waiting for {blocker}"
    if not lives:
        return None
    if lives[-1].state in (State.RUNNING, State.EXITED):
        return word, ""
    if lives[-1].state in (State.FATAL, State.BACKOFF):
        return "failed", _reason(control, name)
    return None


def _settled(control: Controller, name: ProcessName) -> tuple[str, str] | None:
    """What became of a process through an update, once it is as the settings want it."""
    spec = control.pools.get(name.pool)
    want = control.desire(spec) if spec else None
    lives = _lives(control, name)
    if want is None or name.slot not in want.slots:
        return None if lives or control.alive_in(name) else ("stopped", "")
    if not lives:
        return None
    if lives[-1].state in (State.FATAL, State.BACKOFF):
        return "failed", _reason(control, name)
    done = len(lives) == 1 and lives[0].meets(want.slots[name.slot]) and lives[0].state in SETTLED
    return ("started", "") if done else None


def _changes(operator: Operator, loaded: Loaded, names: Iterable[str] | None = None) -> Reply:
    changes = operator.controller.difference(loaded, names)
    return {
        "added": list(changes.added),
        "changed": [
            {"name": name, "what": list(what), "restarts": name in changes.restarts} for name, what in changes.changed
        ],
        "removed": list(changes.removed),
        "sections": [name for name, of in SECTIONS.items() if of(loaded) != of(operator.controller.loaded)],
        "problems": list(loaded.problems),
    }


def _results(operator: Operator, names: Iterable[ProcessName], act: Callable[[ProcessName], str]) -> Reply:
    displays = operator.controller.displays()
    results = []
    for name in names:
        word = act(name)
        results.append(_result(name, displays, word or "failed", "" if word else "not running"))
    return {"results": results}


def _result(name: ProcessName, displays: dict[ProcessName, str], word: str, message: str) -> Reply:
    return {"name": str(name), "display": displays.get(name, str(name)), "result": word, "message": message}


async def _follow(
    operator: Operator,
    names: Iterable[ProcessName],
    verdict: Callable[[ProcessName], tuple[str, str] | None],
    progress: Progress,
    *,
    wait: bool,
    promise: str,
    displays: dict[ProcessName, str] | None = None,
) -> Reply:
    """Tell of each process as soon as there is a verdict on it; without `wait` promise it for the rest."""
    control = operator.controller
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
