"""Gathers the facts: reads the file and runs every look side by side, each with its own limit of time. What a look
cannot see is a fact as well. What follows from them is checks/'s matter."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from queuepool.doctor.facts import Facts, Unseen
from queuepool.doctor.facts.program import FileFacts, ProgramFacts
from queuepool.doctor.looks import file as file_look
from queuepool.domain.names import ProcessName, UnknownName, select
from queuepool.domain.pool import Loaded, PoolSpec
from queuepool.errors import QueuepoolError, UsageError

if TYPE_CHECKING:
    from queuepool.doctor.checks.base import Check
    from queuepool.doctor.looks.scene import Scene


@dataclass(frozen=True, slots=True)
class Look:
    """One look. what: in words. module: which looks, below queuepool.doctor.looks; it is imported when it is needed.
    seconds: for all of it, so that one thing that hangs hides only itself. Parts of a look have shorter ones."""

    what: str
    module: str
    seconds: float


LOOKS: dict[str, Look] = {
    "applications": Look("the applications", "application", 25.0),
    "access": Look("what users may do", "access", 20.0),
    "running": Look("what runs", "running", 15.0),
    "host": Look("this machine", "host", 15.0),
    "supervised": Look("supervisord", "supervised", 10.0),
    "queues": Look("queues and Redis", "queues", 25.0),
}
"""Field of Facts -> who looks. The first to begin are those that wait for other processes: the rest is loaded
meanwhile."""

PROGRESS_SECONDS = 1.0
END_SECONDS = 3.0

Progress = Callable[[Sequence[str]], None]


def needed(checks: Iterable[Check]) -> tuple[str, ...]:
    """The looks that these checks cannot do without, in the order of LOOKS."""
    wanted: set[str] = set()
    for check in checks:
        wanted |= set(LOOKS if check.needs is None else check.needs)
    return tuple(name for name in LOOKS if name in wanted)


def examine(
    path: str,
    environ: Mapping[str, str],
    names: Sequence[str] = (),
    looks: Iterable[str] = tuple(LOOKS),
    progress: Progress | None = None,
) -> Facts:
    """Everything about the file at `path`, which may be broken. names: selectors of the programs that matter; none:
    all. looks: those of LOOKS to be done. progress: told what is still looked at, several times a second, when that
    takes longer than one. Raises UsageError for a selector that selects nothing."""
    file, loaded = file_look.look(path, environ)
    pools = _chosen(names, loaded, file)
    with _loop() as runner:
        return runner.run(_look(path, environ, file, loaded, pools, tuple(looks), progress))


def _chosen(names: Sequence[str], loaded: Loaded, file: FileFacts) -> dict[str, PoolSpec]:
    if not names:
        return dict(loaded.pools)
    displays = {
        ProcessName(name, slot): pool.process(slot).display
        for name, pool in loaded.pools.items()
        for slot in range(max(pool.numprocs, 1))
    }
    try:
        wanted = {name.pool for name in select(names, displays, loaded.groups)}
    except UnknownName as unknown:
        if not file.problems:
            raise _no_such(unknown.text, loaded) from None
        wanted = set()  # it may be what is broken; what is wrong with the file is said
    return {name: pool for name, pool in loaded.pools.items() if name in wanted}


def _no_such(text: str, loaded: Loaded) -> UsageError:
    from difflib import get_close_matches

    known = [*loaded.pools, *loaded.groups]
    near = get_close_matches(text, known, 1)
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    hint = f"did you mean {near[0]}?" if near else f"the programs are: {', '.join(known[:10])}{more}"
    return UsageError(f"cannot find {text}: there is no such program, group or process in {loaded.path}", hint)


async def _look(
    path: str,
    environ: Mapping[str, str],
    file: FileFacts,
    loaded: Loaded,
    pools: Mapping[str, PoolSpec],
    names: Sequence[str],
    progress: Progress | None,
) -> Facts:
    programs = tuple(map(program_facts, pools.values()))
    if not names:
        return Facts(time.time(), os.geteuid(), file, programs)
    scene = _scene(path, environ, loaded, pools)
    tasks = {name: asyncio.create_task(_within(LOOKS[name], scene)) for name in LOOKS if name in names}
    telling = asyncio.create_task(_tell(progress, tasks)) if progress else None
    try:
        seen = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
    finally:
        if telling:
            telling.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await scene.insight.close()
    found = {name: value for name, value in seen.items() if not isinstance(value, Unseen)}
    unseen = tuple(value for value in seen.values() if isinstance(value, Unseen))
    return Facts(time.time(), os.geteuid(), file, programs, unseen=unseen, **found)


def _scene(path: str, environ: Mapping[str, str], loaded: Loaded, pools: Mapping[str, PoolSpec]) -> Scene:
    from queuepool.control.client import Client
    from queuepool.controller.insight import Insight
    from queuepool.doctor.looks.scene import Scene
    from queuepool.system.rundir import RunDirectory

    directory = RunDirectory(path, environ)
    client = Client(directory.socket, 5.0)
    if loaded.engine.type == "supervisord" and directory.pid() is None:
        from queuepool.control.inprocess import InProcess

        client = InProcess(path)
    return Scene(path, environ, loaded, pools, Insight(lambda: pools), client)


async def _within(look: Look, scene: Scene) -> Any:
    """What is seen, or why it could not be."""
    try:
        async with asyncio.timeout(look.seconds):
            return await import_module(f"queuepool.doctor.looks.{look.module}").look(scene)
    except TimeoutError:
        return Unseen(look.what, f"it took longer than {look.seconds:g} s")
    except QueuepoolError as error:
        return Unseen(look.what, error.message, error.hint)
    except ImportError as error:
        return Unseen(look.what, f"the Python module {error.name} is missing", "install queuepool anew")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return Unseen(look.what, f"{where}{error.strerror or type(error).__name__}")
    except Exception as error:  # noqa: BLE001 - whatever one look meets, the others go on, and the report says it
        return Unseen(look.what, f"{type(error).__name__}, by a defect of queuepool", "report it, please")


async def _tell(progress: Progress, tasks: Mapping[str, asyncio.Task[Any]]) -> None:
    """Say what is still looked at, once it takes long."""
    await asyncio.sleep(PROGRESS_SECONDS)
    while True:
        progress([LOOKS[name].what for name, task in tasks.items() if not task.done()])
        await asyncio.sleep(0.2)


@contextmanager
def _loop() -> Iterator[asyncio.Runner]:
    """A loop whose end does not wait for threads: one that hangs, in a dead network disk perhaps, hangs for ever."""
    with asyncio.Runner() as runner:
        threads = _Unwaited(thread_name_prefix="look")
        runner.get_loop().set_default_executor(threads)
        yield runner


class _Unwaited(ThreadPoolExecutor):
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave threads alone that are still at work."""
        super().shutdown(wait=False, cancel_futures=True)


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
