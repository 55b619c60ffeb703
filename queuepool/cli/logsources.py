"""Which logs there are, and who prints into them: as the daemon says, or as the file does where none runs. Showing what
stands in them is logs.py's matter."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from queuepool.cli.context import Context
from queuepool.errors import DaemonUnreachable, QueuepoolError, UsageError


@dataclass(slots=True)
class Source:
    """A log and who prints into it. chosen: the processes that were asked for, empty when they are all there are."""

    path: str
    program: str
    title: str
    chosen: frozenset[str] = frozenset()
    undecided: bool = field(default=False)


def find_sources(context: Context, names: Sequence[str]) -> list[Source]:
    """The logs of the processes that the selectors name: as the daemon says, or, when none runs, as the file says.

    Raises UsageError for a selector that selects nothing, and when nothing of what it selects has a log.
    """
    try:
        client = context.client()
        chosen = client.status(names)["processes"]
        everybody = client.status()["processes"] if {"all"} != set(names) else chosen
    except DaemonUnreachable:
        chosen, everybody = _from_file(context, names)
    if not chosen:
        raise UsageError(f"{' '.join(names)} has no process now, and so no log", f"`queuepool status {names[0]}`")
    return sources_of(chosen, everybody)


def sources_of(chosen: Sequence[dict[str, Any]], everybody: Sequence[dict[str, Any]]) -> list[Source]:
    """One source per file, in the order of the processes. Both are processes as in `status --json`."""
    wanted: dict[str, dict[str, None]] = {}
    for process in chosen:
        if process["log"]:
            wanted.setdefault(process["log"], {})[process["name"]] = None
    if chosen and not wanted:
        name = ", ".join(dict.fromkeys(process["program"] for process in chosen))
        raise UsageError(f"{name} keeps no log", "set stdout_logfile in queuepool.yml, then `queuepool update`")
    program_of = {process["name"]: process["program"] for process in chosen}
    files_of = {program: {p["log"] for p in chosen if p["program"] == program} for program in program_of.values()}
    found = []
    for path, names in wanted.items():
        program = program_of[next(iter(names))]
        all_of_it = {process["name"] for process in everybody if process["log"] == path} <= set(names)
        title = program if len(files_of[program]) == 1 else next(iter(names))
        found.append(Source(path, program, title, frozenset() if all_of_it else frozenset(names)))
    return found


def new_sources(context: Context, names: Sequence[str], known: Iterable[str]) -> list[Source]:
    """Logs that were not there before. A daemon that does not answer, or restarts, is no reason to stop."""
    with contextlib.suppress(QueuepoolError):
        client = context.client(timeout=1.0)
        processes = client.status(names)["processes"]
        return [source for source in sources_of(processes, client.status()["processes"]) if source.path not in known]
    return []


def _from_file(context: Context, names: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from queuepool.config.load import load
    from queuepool.domain.names import ProcessName, UnknownName, select

    loaded = load(context.config_path(), os.environ)
    specs = {
        ProcessName(pool.name, slot): pool.process(slot)
        for pool in loaded.pools.values()
        for slot in range(pool.numprocs)
    }
    everybody = {name: {"name": str(name), "program": name.pool, "log": spec.log} for name, spec in specs.items()}
    try:
        chosen = select(names, {name: spec.display for name, spec in specs.items()}, loaded.groups)
    except UnknownName as error:
        raise UsageError(str(error), "`queuepool config show` lists the programs of the file") from None
    return [everybody[name] for name in chosen], list(everybody.values())


def errors_of(context: Context, name: str) -> list[Source]:
    """The standard error of a process, which only the file tells."""
    from queuepool.config.load import load
    from queuepool.domain.names import ProcessName

    chosen = _processes(context, name)
    pools = load(context.config_path(), os.environ).pools
    processes = []
    for process in chosen:
        parsed = ProcessName.parse(process["name"])
        pool = pools.get(parsed.pool)
        policy = pool.process(parsed.slot).stderr if pool is not None else None
        if policy is None:
            raise UsageError(
                f"the standard error of {process['program']} goes to its standard output (redirect_stderr)",
                f"`queuepool tail {name}`",
            )
        processes.append({**process, "log": policy.path})
    return sources_of(processes, processes)


def _processes(context: Context, name: str) -> list[dict[str, Any]]:
    """The processes that a selector names, from the daemon or from the file."""
    try:
        processes: list[dict[str, Any]] = context.client().status((name,))["processes"]
    except DaemonUnreachable:
        processes = _from_file(context, (name,))[0]
    return processes


def only(name: str, sources: list[Source]) -> Source:
    """The one log of a process. Raises UsageError when there are several, or none."""
    if len(sources) != 1:
        titles = ", ".join(source.title for source in sources[:5]) + (", ..." if len(sources) > 5 else "")
        count = f"{len(sources)} logs: {titles}" if sources else "no log"
        raise UsageError(f"{name} has {count}", f"`queuepool logs {name}` shows all of them")
    source = sources[0]
    source.chosen = frozenset()  # the end of a file is what Supervisor's tail shows
    return source


@contextlib.contextmanager
def readable(path: str) -> Iterator[None]:
    """An OSError of a log becomes a sentence; one of standard output does not."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            raise
        raise QueuepoolError(
            f"cannot read {error.filename}: {error.strerror}", f"`ls -l {path}` shows who may"
        ) from None


def say_if_missing(source: Source) -> None:
    """A note of a log that is not there yet. Raises UsageError where none is kept."""
    from queuepool.logs.tail import files_of

    if source.path.startswith("/dev/") and not source.path.startswith("/dev/shm/"):  # noqa: S108
        raise UsageError(
            f"{source.title} prints to {source.path}, which keeps nothing", "look where the daemon's own output goes"
        )
    if not files_of(source.path):
        note(f"{source.title} has printed nothing yet: there is no {source.path}")


def note(text: str) -> None:
    """A line beside what was asked for."""
    click.echo(text, err=True)
