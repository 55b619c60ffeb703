"""`import supervisor --take-over`: the running programs of a live supervisord move here, group by group. What is moved
is formats/supervisor_takeover.py's decision; how, takeover_moves.py's matter; here it is checked and told."""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from queuepool.cli import render
from queuepool.cli.render import clean
from queuepool.cli.takeover_moves import Mover, count
from queuepool.domain.names import ProcessName
from queuepool.engines.supervisord_client import Supervisord, reach
from queuepool.errors import ConfigError, ExitCode, NotAsWanted, QueuepoolError, UsageError
from queuepool.formats.supervisor_endpoint import endpoints
from queuepool.formats.supervisor_takeover import (
    Plan,
    counterparts,
    files_done,
    job_seconds,
    plan,
)

if TYPE_CHECKING:
    from queuepool.cli.convert import Found
    from queuepool.domain.pool import Loaded
    from queuepool.formats.supervisor_import import Drafts


@dataclass(frozen=True, slots=True)
class Request:
    """One call. target: the queuepool.yml. texts: what is to be written there, {} where it is there already. again: the
    command line that goes on with it."""

    found: Found
    drafts: Drafts
    target: str
    texts: dict[str, str]
    again: str


def show_plan(request: Request) -> None:
    """Print what a take-over would do; change nothing. Raises what would keep it from beginning."""
    supervisord = _reach(request)
    with tempfile.TemporaryDirectory(prefix="queuepool-") as directory:
        path = os.path.join(directory, "queuepool.yml") if request.texts else request.target
        loaded = _loaded(request, path, directory)
        whole = _Whole(request, supervisord, loaded)
        decided = whole.decide()
        click.echo(f"\nto take over from supervisord {clean(supervisord.version)} at {supervisord.endpoint}")
        for number, (step, warnings) in enumerate(whole.steps(decided), 1):
            click.echo(clean(f"  {number}. {step}"))
            for warning in warnings:
                click.echo("     " + click.style("warning: ", fg="yellow", bold=True) + clean(warning))
        _tell_rest(decided)
        whole.look_ahead(decided)
    click.echo("\nnothing was changed; without --plan it is done")


def take_over(request: Request, write: Callable[[], None]) -> None:
    """Do it. write: writes the files of `request.texts`. Raises QueuepoolError when a group could not be moved, and
    runs where it ran; NotRolledBack when it does not."""
    supervisord = _reach(request)
    if request.texts:
        write()
    whole = _Whole(request, supervisord, _loaded(request, request.target, ""))
    decided = whole.decide()
    whole.look_ahead(decided)
    _tell_rest(decided)
    if not decided.moves:
        click.echo("\nnothing is left to be moved")
        return
    # A terminal that goes away must not leave a group stopped in the middle.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        whole.mover.move(decided, whole.decide)
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted; this goes on with it: {clean(request.again)}", err=True)
        click.get_current_context().exit(ExitCode.INTERRUPTED)
    _tell_end(request, decided)


def _reach(request: Request) -> Supervisord:
    return reach(endpoints(request.found.config, request.found.around))


def _loaded(request: Request, path: str, directory: str) -> Loaded:
    """The file as it is, or as it would be written. directory: where the latter may lie for a moment."""
    from queuepool.config.load import load
    from queuepool.formats.supervisor_yaml import render as written

    if directory and request.texts:
        sources = [source.path for source in request.found.sources]
        for name, text in written(request.drafts, directory, sources, request.found.config.servers).items():
            os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
    beside = os.path.dirname(request.target)
    try:
        loaded = load(path, os.environ)
    except ConfigError as error:
        problems = tuple(problem.replace(directory or beside, beside) for problem in error.problems)
        message = f"cannot take over: {request.target} cannot be used"
        raise ConfigError(message, problems, f"mend it, then: {request.again}") from None
    for problem in loaded.problems:
        click.echo(f"to do: {clean(problem.replace(directory or beside, beside))}")
    if loaded.broken:
        raise NotAsWanted(f"cannot take over: a file of {request.target} cannot be used", f"mend it: {request.again}")
    return loaded


def _tell_rest(decided: Plan) -> None:
    for group in decided.done:
        click.echo(clean(f"  moved already: {group}"))
    for what, why in decided.stays:
        click.echo(clean(f"  not moved: {what} {why}"))


def _tell_end(request: Request, decided: Plan) -> None:
    """What is left to be done by hand: nothing of Supervisor's files is touched."""
    partly = [move.group for move in decided.moves if not move.whole]
    groups = [*decided.done, *(move.group for move in decided.moves)]
    wholly = [group for group in groups if group not in partly]
    files, sections = files_done(request.found.config, request.drafts, groups)
    click.echo(f"\nmoved: {clean(', '.join(groups))}")
    click.echo("so that it stays so when supervisord or the machine starts again:")
    if wholly:
        click.echo(clean(f"  supervisorctl remove {' '.join(map(shlex.quote, wholly))}"))
    for file in files:
        click.echo(clean(f"  mv {shlex.quote(file)} {shlex.quote(file + '.moved')}"))
    for file, names in sections.items():
        click.echo(clean(f"  take {', '.join(f'[{name}]' for name in names)} out of {file}"))
    click.echo(clean(f"  queuepool{_option(request.target)} startup"))


def _option(target: str) -> str:
    return "" if target == os.path.abspath("queuepool.yml") else f" -c {target}"


class _Whole:
    """Both sides of one take-over."""

    def __init__(self, request: Request, supervisord: Supervisord, loaded: Loaded) -> None:
        self.request, self.supervisord, self.loaded = request, supervisord, loaded
        self.mover = Mover(supervisord, request.target, request.again)

    def decide(self) -> Plan:
        """What is to be done. Raises UsageError where the daemon runs with another file."""
        there = self.supervisord.processes()
        here = counterparts(self.request.found.config, self.request.drafts, self.request.found.around, len(there))
        sizes = {name: pool.numprocs for name, pool in self.loaded.pools.items()}
        jobs = {draft.name: job_seconds(draft) for draft in self.request.drafts.programs}
        shells = {one.name for one in self.request.drafts.programs if one.shell and not one.program.stopasgroup}
        running: set[ProcessName] = set()
        if self.mover.directory.pid() is not None:
            status = self.mover.client.status()
            known = {program["name"] for program in status["programs"]}
            if missing := [name for name in sizes if name not in known and name in jobs]:
                raise UsageError(
                    f"cannot take over: the daemon of {self.request.target} does not have {', '.join(missing)} yet",
                    "end it with `queuepool down`, then again; or `queuepool update`, and both run them for a moment",
                )
            running = {ProcessName(p["program"], p["slot"]) for p in status["processes"] if p["pid"] and p["wanted"]}
        return plan(there, here, sizes, jobs, running, self.mover.memory, shells)

    def look_ahead(self, decided: Plan) -> None:
        """Tell what the programs lack. Raises QueuepoolError when one that is to be moved cannot run here."""
        from queuepool.doctor.preflight import preflight

        moving = {name.pool for move in decided.moves for name in move.start}
        lacks = preflight(pool for pool in self.loaded.pools.values() if pool.name in moving).lacks
        for lack in lacks:
            for line in render.lack(lack.programs, lack.what, lack.remedy, fatal=lack.fatal):
                click.echo(line, err=True)
        if fatal := dict.fromkeys(name for lack in lacks if lack.fatal for name in lack.programs):
            raise QueuepoolError(
                f"cannot take over: {', '.join(fatal)} cannot run here; everything is as before",
                f"mend what is said above, then: {self.request.again}",
            )

    def steps(self, decided: Plan) -> Iterator[tuple[str, Sequence[str]]]:
        """The plan in sentences, each with its warnings."""
        if self.request.texts:
            yield f"write {self.request.target}", ()
        if decided.moves and self.mover.directory.pid() is None:
            yield "start the daemon, and hold these programs until their turn", ()
        for move in decided.moves:
            stop = f"stop {count(len(move.stop))} there" if move.stop else "all are stopped there already"
            yield f"{move.group}: {stop}, start {count(len(move.start))} here", move.warnings
