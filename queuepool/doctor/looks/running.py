"""Looks at what runs: asks the daemon, looks at it from outside, and at who else does the same work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, TypeVar

from queuepool import __version__
from queuepool.control.messages import DeployStatus, Reread
from queuepool.doctor.facts.running import Crashes, Gone, RunningFacts, Stuck
from queuepool.doctor.looks import daemon, managers
from queuepool.doctor.looks.bounded import bounded
from queuepool.doctor.looks.crowd import Crowd
from queuepool.doctor.looks.places import Places, read
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView
from queuepool.errors import DaemonUnreachable, QueuepoolError
from queuepool.system import procstat
from queuepool.system.rundir import RunDirectory

View = TypeVar("View", DaemonView, ProgramView, ProcessView)
A = TypeVar("A")
T = TypeVar("T")
DENIED = "permission denied"
LOOK_SECONDS = 12.0
"""More than a client waits for a daemon that hangs."""
ANSWER_SECONDS = 3.0


async def look(scene: Scene) -> RunningFacts:
    """The daemon's own account, where one answers, and the traces that it leaves where none does."""
    facts = await bounded(LOOK_SECONDS, _look, scene)
    if facts.daemon is None:
        return facts
    directory = RunDirectory(scene.path, scene.environ)
    none: tuple[str, ...] = ()
    no_crashes: tuple[Crashes, ...] = ()
    changes, deploying, crashes = await asyncio.gather(
        _answer(_changes, scene, none),
        _answer(_deploying, scene, False),
        _answer(daemon.crashes, directory, no_crashes),
    )
    return replace(facts, changes=changes, deploying=deploying, crashes=crashes)


async def _answer(act: Callable[[A], T], about: A, otherwise: T) -> T:
    """What one question gives; a daemon that does not answer it in time hides nothing else."""
    try:
        return await bounded(ANSWER_SECONDS, act, about)
    except TimeoutError:
        return otherwise


def _look(scene: Scene) -> RunningFacts:
    directory, places = RunDirectory(scene.path, scene.environ), Places(scene.environ)
    try:
        seen, pids = _told(scene, scene.client.status())
    except DaemonUnreachable as error:
        seen, pids = RunningFacts(unreachable=error.message), set()
    pid = seen.daemon.pid if seen.daemon and not scene.client.alone else directory.pid()
    recorded = daemon.survivors(directory) if pid is None or seen.unreachable else ()
    crowd = Crowd(places)
    crowd.look()
    ours = {os.getpid(), *pids, *(one.pid for one in recorded), *([pid] if pid else daemon.same_file(directory, crowd))}
    return replace(
        seen,
        version=__version__,
        pid=pid,
        survivors=recorded if pid is None else (),
        place=daemon.place(directory, denied=DENIED in seen.unreachable, pid=pid, crowd=crowd),
        boot=daemon.boot(directory, places, scene.environ, pid),
        expected=tuple((name, _expected(scene, name)) for name in scene.pools),
        gone=tuple(_gone(seen.processes)),
        stuck=tuple(_stuck(scene, seen.processes)),
        others=managers.look(scene.pools, places, crowd, ours, directory.config),
    )


def _told(scene: Scene, reply: Mapping[str, Any]) -> tuple[RunningFacts, set[int]]:
    """What the daemon says of itself and of the programs that were asked for; the pids of all its processes."""
    facts = RunningFacts(
        daemon=_view(DaemonView, reply["daemon"]),
        programs=tuple(_view(ProgramView, each) for each in reply["programs"] if each["name"] in scene.pools),
        processes=tuple(_view(ProcessView, each) for each in reply["processes"] if each["program"] in scene.pools),
    )
    return facts, {each["pid"] for each in reply["processes"] if each["pid"]}


def _expected(scene: Scene, name: str) -> tuple[int, ...]:
    policy = scene.pools[name].process(0).policy
    return tuple(sorted(policy.exitcodes | policy.recycle_codes))


def _gone(views: Sequence[ProcessView]) -> list[Gone]:
    found = []
    for view in views:
        path = procstat.directory(view.pid) if view.pid else None
        if view.pid and path and path.endswith(" (deleted)"):
            found.append(Gone(view.name, view.program, view.pid, path.removesuffix(" (deleted)")))
    return found


def _stuck(scene: Scene, views: Sequence[ProcessView]) -> list[Stuck]:
    found = []
    for view in views:
        if view.pid and view.state == "STOPPING" and view.changed_at:
            text = (read(f"/proc/{view.pid}/stat", 4096) or "").rpartition(")")[2].split()
            limit = scene.pools[view.program].process(view.slot).policy.stop_seconds
            seconds = time.time() - view.changed_at
            found.append(Stuck(view.name, view.program, view.pid, text[0] if text else "", seconds, limit))
    return found


def _changes(scene: Scene) -> tuple[str, ...]:
    """What `queuepool update` would do; nothing where the file cannot be used now, which is said elsewhere."""
    try:
        reply = scene.client.ask(Reread())
    except QueuepoolError:
        return ()
    changed = [f"{each['name']} is changed: {'; '.join(each['what']) or 'its settings'}" for each in reply["changed"]]
    return (
        *(f"{name} is new" for name in reply["added"]),
        *changed,
        *(f"{name} is gone" for name in reply["removed"]),
    )


def _deploying(scene: Scene) -> bool:
    with suppress(QueuepoolError):
        return bool(scene.client.ask(DeployStatus()).get("result") == "running")
    return False


def _view(kind: type[View], told: Mapping[str, Any]) -> View:
    """A view as the daemon told it, which may be older or newer than we are: what we do not know is left out."""
    known = {item.name for item in fields(kind)} - {"work"}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return kind(**{name: value for name, value in values.items() if name in known})
