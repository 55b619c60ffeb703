"""Gathers the facts: reads the file and runs every look side by side, each with its own limit of time. What a look
cannot see is a fact as well. What follows from them is checks/'s matter."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from queuepool.control.client import Client
from queuepool.controller.insight import Insight
from queuepool.doctor.facts import Facts, Unseen
from queuepool.doctor.facts.program import FileFacts, ProgramFacts
from queuepool.doctor.looks import access, application, host, queues, running
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import Loaded, PoolSpec
from queuepool.errors import ConfigError, NoConfig, UsageError
from queuepool.system.rundir import RunDirectory

LOOK_SECONDS = 25.0
"""For each look as a whole, so that one thing that hangs hides only itself. Parts of a look have shorter ones."""

LOOKS: dict[str, tuple[str, Callable[[Scene], Awaitable[Any]]]] = {
    "applications": ("the applications", application.look),
    "access": ("what users may do", access.look),
    "queues": ("queues and Redis", queues.look),
    "host": ("this machine", host.look),
    "running": ("what runs", running.look),
}
"""Field of Facts -> in words, and who looks."""


def examine(path: str, environ: Mapping[str, str], names: Sequence[str] = ()) -> Facts:
    """Everything about the file at `path`. names: programs that matter; none: all. Raises NoConfig where there is no
    such file, UsageError for a program that is not in it."""
    file, loaded = _read(path, environ)
    for name in names:
        if name not in loaded.pools and name not in loaded.groups:
            raise UsageError(f"no such program: {name}", "programs are: " + ", ".join(loaded.pools))
    wanted = {member for name in names for member in loaded.groups.get(name, (name,))} or set(loaded.pools)
    pools = {name: pool for name, pool in loaded.pools.items() if name in wanted}
    return asyncio.run(_look(path, environ, file, loaded, pools))


async def _look(
    path: str, environ: Mapping[str, str], file: FileFacts, loaded: Loaded, pools: Mapping[str, PoolSpec]
) -> Facts:
    insight = Insight(lambda: pools)
    scene = Scene(path, environ, loaded, pools, insight, Client(RunDirectory(path, environ).socket, 5.0))
    try:
        seen = await asyncio.gather(*(_within(LOOK_SECONDS, what, look(scene)) for what, look in LOOKS.values()))
    finally:
        await insight.close()
    found = {name: value for name, value in zip(LOOKS, seen, strict=True) if not isinstance(value, Unseen)}
    unseen = tuple(value for value in seen if isinstance(value, Unseen))
    return Facts(time.time(), os.geteuid(), file, tuple(map(program_facts, pools.values())), unseen=unseen, **found)


async def _within(seconds: float, what: str, looking: Awaitable[Any]) -> Any:
    """What is seen, or why it could not be."""
    try:
        async with asyncio.timeout(seconds):
            return await looking
    except TimeoutError:
        return Unseen(what, f"it took longer than {seconds:g} s")
    except Exception as error:  # noqa: BLE001 - whatever one look meets, the others go on, and the report says it
        return Unseen(what, f"{type(error).__name__}: {error}")


def _read(path: str, environ: Mapping[str, str]) -> tuple[FileFacts, Loaded]:
    from queuepool.config.load import load

    mode = uid = None
    with suppress(OSError):
        status = os.stat(path)
        mode, uid = status.st_mode & 0o7777, status.st_uid
    try:
        loaded = load(path, environ)
    except NoConfig:
        raise
    except ConfigError as error:
        problems = error.problems or (error.message,)
        return FileFacts(path, problems=problems, mode=mode, uid=uid), Loaded(path, {}, {})
    return FileFacts(path, problems=loaded.problems, broken=loaded.broken, mode=mode, uid=uid), loaded


def program_facts(pool: PoolSpec) -> ProgramFacts:
    """What checks know of one program."""
    spec = pool.process(0)
    options = dict(word[2:].split("=", 1) for word in spec.launch.argv if word.startswith("--") and "=" in word)
    logs = (spec.stdout.path, spec.stderr.path if spec.stderr else None)
    return ProgramFacts(
        name=pool.name,
        kind=pool.kind,
        numprocs=pool.numprocs,
        argv=spec.launch.argv,
        directory=spec.launch.directory,
        user=spec.launch.user,
        group=spec.launch.group,
        connection=pool.connection,
        queues=pool.queues,
        options=options if pool.kind in ("worker", "listen") else {},
        stop_seconds=spec.policy.stop_seconds,
        startsecs=spec.policy.startsecs,
        autostart=pool.autostart,
        logs=tuple(path for path in logs if path),
        app=pool.app,
        source=pool.source,
        stop_follows=pool.stop_follows,
    )
