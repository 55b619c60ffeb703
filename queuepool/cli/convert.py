"""`import` and `export`: queuepool.yml from and to the files of other process managers. They work on files and need no
daemon. What the files mean is formats/'s matter; where they are, and what is said, stands here."""

from __future__ import annotations

import glob
import os
import pwd
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from queuepool.cli.context import context_of
from queuepool.cli.options import Group
from queuepool.cli.render import clean
from queuepool.domain.pool import COMMANDS
from queuepool.errors import ConfigError, ExitCode, QueuepoolError, UsageError
from queuepool.formats import supervisor_ini as ini
from queuepool.formats.supervisor_config import include_patterns, understand
from queuepool.formats.supervisor_ini import Ini, Source, Where
from queuepool.formats.supervisor_model import Config, Surroundings
from queuepool.formats.supervisor_remarks import Remark, Verdict, quoted

if TYPE_CHECKING:
    from queuepool.domain.pool import PoolSpec
    from queuepool.formats.supervisor_import import Drafts

MAX_BYTES = 16 * 1024 * 1024
"""No configuration of Supervisor is longer."""
_MOST_PLACES = 3


@click.group("import", cls=Group)
def import_() -> None:
    """Write queuepool.yml from the configuration of another process manager."""


@click.group(cls=Group)
def export() -> None:
    """Write the programs of queuepool.yml as another process manager's configuration."""


@import_.command("supervisor")
@click.argument("files", metavar="[FILE...]", nargs=-1, type=click.Path())
@click.option("--print", "only_print", is_flag=True, help="Print the text, write nothing; the report goes to stderr.")
@click.option("--output", metavar="FILE", help="The file to write, instead of queuepool.yml here. It must not exist.")
@click.option(
    "--take-over",
    "take_over",
    is_flag=True,
    help="Then move what runs in the live supervisord here, group by group, and back where it fails.",
)
@click.option("--plan", "only_plan", is_flag=True, help="With --take-over: say what would be done, change nothing.")
@click.pass_context
def import_supervisor(
    ctx: click.Context, files: tuple[str, ...], only_print: bool, output: str | None, take_over: bool, only_plan: bool
) -> None:
    """Write queuepool.yml from Supervisor's configuration. FILE is supervisord.conf, or files and directories of
    conf.d; without one, the file is searched for where Supervisor does. What it includes is read as well. The report
    says what was carried, what changed, and what was wrong; no file of Supervisor is touched."""
    from queuepool.formats.supervisor_import import draft
    from queuepool.formats.supervisor_yaml import render

    if only_plan and not take_over:
        raise UsageError("cannot plan without --take-over", "add it: `queuepool import supervisor --take-over --plan`")
    if take_over and only_print:
        raise UsageError("cannot both print and take over", "leave --print away; `--plan` says what would be done")
    target = os.path.abspath(output or context_of(ctx).config or "queuepool.yml")
    found = read_files(_files(files), os.environ)
    drafts = draft(found.config, found.around)
    if not drafts.programs:
        _report([*found.remarks, *drafts.remarks], err=True)
        raise UsageError(
            f"cannot import {_shown(found.sources)}: there is no program in it that queuepool can run",
            "name the file that has [program:...] sections",
        )
    texts = render(drafts, os.path.dirname(target), [source.path for source in found.sources], found.config.servers)
    if take_over:
        _take_over(ctx, found, drafts, target, texts, files, only_plan=only_plan)
        return
    if only_print:
        for name, text in texts.items():
            click.echo(f"# file: {name}\n{text}" if len(texts) > 1 else text, nl=False)
    else:
        _write(target, texts)
    click.echo(f"read {_shown(found.sources)}", err=only_print)
    for name in () if only_print else texts:
        click.echo(f"wrote {clean(_beside(target, name))}")
    _carried(drafts, err=only_print)
    _report([*found.remarks, *drafts.remarks], err=only_print)
    if not only_print:
        _check(ctx, target)


def _take_over(
    ctx: click.Context,
    found: Found,
    drafts: Drafts,
    target: str,
    texts: dict[str, str],
    files: Sequence[str],
    *,
    only_plan: bool,
) -> None:
    """The import as without it, unless the file is there already; then the move."""
    from queuepool.cli.takeover import Request, show_plan, take_over

    there = os.path.lexists(target)
    named = [context_of(ctx).config or "", *files]
    again = f"queuepool{' -c ' + shlex.quote(named[0]) if named[0] else ''} import supervisor"
    again += f" --output {shlex.quote(target)}" if target != os.path.abspath(named[0] or "queuepool.yml") else ""
    again += "".join(f" {shlex.quote(name)}" for name in files) + " --take-over"
    request = Request(found, drafts, target, {} if there else texts, again)
    click.echo(f"read {_shown(found.sources)}")
    if there:
        click.echo(f"{clean(target)} is there already, and is used as it is")
    else:
        _carried(drafts, err=False)
        _report([*found.remarks, *drafts.remarks], err=False)
    if only_plan:
        show_plan(request)
        return

    def write() -> None:
        _write(target, texts)
        for name in texts:
            click.echo(f"\nwrote {clean(_beside(target, name))}")

    take_over(request, write)


@export.command("supervisor")
@click.option("--per-slot", is_flag=True, help="A section for each process, so that scaling changes no other section.")
@click.option("--output", metavar="FILE", help="The file to write, instead of standard output. It must not exist.")
@click.pass_context
def export_supervisor(ctx: click.Context, per_slot: bool, output: str | None) -> None:
    """Print the programs of queuepool.yml as sections for Supervisor, for its conf.d. What Supervisor has no option
    for is said on stderr."""
    from queuepool.config.load import load
    from queuepool.formats.supervisor_export import render

    loaded = load(context_of(ctx).config_path(), os.environ)
    users = {pool.process(0).launch.user for pool in loaded.pools.values()}
    homes = {user: home for user in users if user and (home := _home(user)) is not None}
    made = render(loaded.pools, loaded.groups, homes, per_slot=per_slot)
    if output is None:
        click.echo(made.text, nl=False)
    else:
        _create(os.path.abspath(output), made.text, "print it instead: leave --output away")
        click.echo(f"wrote {clean(output)}", err=True)
    for problem in loaded.problems:
        click.echo(f"warning: {clean(problem)}", err=True)
    for directory in _without_directory(loaded.pools.values()):
        click.echo(f"warning: {clean(f'Supervisor refuses a log in {directory}, which is not here')}", err=True)
    for name, what in made.lost:
        click.echo(f"not carried: {clean(f'{name}: Supervisor has no option for {what}')}", err=True)
    for name, why in made.refused:
        click.echo(f"left out: {clean(f'{name}: {why}')}", err=True)
    if made.refused:
        ctx.exit(ExitCode.FAILED)


def _without_directory(pools: Iterable[PoolSpec]) -> list[str]:
    """The directories of logs that are not here: Supervisor makes none, and refuses the whole configuration."""
    specs = [pool.process(0) for pool in pools]
    paths = [log.path for spec in specs for log in (spec.stdout, spec.stderr) if log is not None and log.path]
    return [path for path in dict.fromkeys(map(os.path.dirname, paths)) if not os.path.isdir(path)]


@dataclass(slots=True)
class Found:
    """A configuration of Supervisor as it was read. remarks: on files, beside those of the configuration itself."""

    sources: list[Source]
    config: Config
    around: Surroundings
    remarks: list[Remark] = field(default_factory=list)


def _files(named: Sequence[str]) -> list[str]:
    """The files that were named, else the one that supervisord would find (supervisor/options.py)."""
    if named:
        found: list[str] = []
        for name in map(os.path.expanduser, named):
            if os.path.isdir(name):
                inside = sorted(glob.glob(os.path.join(glob.escape(name), "*.conf")))
                inside += sorted(glob.glob(os.path.join(glob.escape(name), "*.ini")))
                if not inside:
                    raise UsageError(f"cannot find a .conf or .ini file in {name}", "name the files of Supervisor")
                found += inside
            else:
                found.append(name)
        return list(dict.fromkeys(found))
    program = shutil.which("supervisord") or "/usr/bin/supervisord"
    beside = os.path.dirname(os.path.dirname(program))
    places = [os.path.join(beside, "etc/supervisord.conf"), os.path.join(beside, "supervisord.conf"),
              "supervisord.conf", "etc/supervisord.conf", "/etc/supervisord.conf",
              "/etc/supervisor/supervisord.conf"]  # fmt: skip
    for place in places:
        if os.path.exists(place):
            return [place]
    raise UsageError(
        f"cannot find a configuration of Supervisor in {', '.join(places)}",
        "name it: `queuepool import supervisor /etc/supervisor/supervisord.conf`",
    )


def read_files(files: Sequence[str], environ: Mapping[str, str]) -> Found:
    """Read the files and what the first of them includes. environ: of supervisord, as far as it is known. Raises
    QueuepoolError for a file that cannot be read or is not of Supervisor."""
    remarks: list[Remark] = []
    sources = [_source(files[0], remarks)]
    around = Surroundings(sources[0].here, os.uname().nodename, environ, _home)
    main = ini.read(sources)
    for path in [*_included(files[0], main, include_patterns(main, around), remarks), *files[1:]]:
        if path not in [source.path for source in sources]:
            try:
                sources.append(_source(path, remarks))
            except QueuepoolError as error:
                if path in files:
                    raise
                remarks.append(_about_file(path, f"{error.message}; Supervisor leaves it out without a word"))
    whole = ini.read(sources)
    if not whole.sections:
        first = f"; {whole.faults[0].where} {whole.faults[0].what}" if whole.faults else ""
        raise UsageError(
            f"cannot import {_shown(sources)}: it holds no [section] of Supervisor{clean(first)}",
            "name a file such as /etc/supervisor/supervisord.conf",
        )
    return Found(sources, understand(whole, around), around, remarks)


def _included(file: str, main: Ini, patterns: Sequence[str], remarks: list[Remark]) -> Iterator[str]:
    for pattern in patterns:
        names = sorted(glob.glob(os.path.join(os.path.dirname(file), pattern)))
        if not names:
            where = main.sections["include"].options["files"].where
            remarks.append(Remark(Verdict.WRONG, where, "[include]", "files", f"{quoted(pattern)} matches no file"))
        yield from (name for name in names if not os.path.isdir(name))


def _source(path: str, remarks: list[Remark]) -> Source:
    """The file as text. Raises QueuepoolError where it cannot be read or is no text."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no path"
        raise UsageError(f"cannot read {path!r}: {why}", "name a file that you may read") from None
    if len(data) > MAX_BYTES or b"\0" in data:
        what = "it is longer than 16 MB" if len(data) > MAX_BYTES else "it is not a text file"
        raise UsageError(f"cannot read {path!r}: {what}", "name a configuration of Supervisor")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        remarks.append(_about_file(path, "is not UTF-8: what could not be read stands as \ufffd"))
    return Source(path, os.path.dirname(os.path.abspath(path)), text)


def _about_file(path: str, what: str) -> Remark:
    return Remark(Verdict.WRONG, Where(path, 1), "", "", what)


def _home(user: str) -> str | None:
    try:
        if not user:
            return os.path.expanduser("~")
        return (pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)).pw_dir
    except (KeyError, ValueError, OverflowError):
        return None


def _write(target: str, texts: dict[str, str]) -> None:
    """The main file last, so that what it includes is there. None may be there before."""
    places = [(_beside(target, name), text) for name, text in texts.items()]
    for path, _ in places:
        if os.path.lexists(path):
            raise UsageError(
                f"cannot write {path}: it is there already, and import never overwrites a file",
                "print it with `--print`, or write another with `--output FILE`",
            )
    for path, text in reversed(places):
        _create(path, text, "print it instead with `--print`")


def _beside(target: str, name: str) -> str:
    from queuepool.formats.supervisor_yaml import MAIN

    return target if name == MAIN else os.path.join(os.path.dirname(target), name)


def _create(path: str, text: str, hint: str) -> None:
    """Passwords may stand in it, so not everybody can read it."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"cannot write {path}: it is there already", "write another with `--output FILE`") from None
    except OSError as error:
        raise QueuepoolError(f"cannot write {path}: {error.strerror}", hint) from None


def _shown(sources: Sequence[Source]) -> str:
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return clean(sources[0].path) + more


def _carried(drafts: Drafts, *, err: bool) -> None:
    """A line for each program."""
    width = max(len(one.name) for one in drafts.programs)
    click.echo("\ncarried", err=err)
    for one in drafts.programs:
        what = one.keys.get("command") or "Horizon"
        if one.kind in ("worker", "listen"):
            queue = one.keys.get("queue", "the default queue")
            names = ", ".join(queue) if isinstance(queue, list) else queue
            what = f"{one.kind} of {names} on {one.keys.get('connection', 'the default connection')}"
        place = f" in {one.app}" if one.app and one.kind not in COMMANDS else ""
        click.echo(clean(f"  {one.name:<{width}}  {one.keys.get('numprocs', 1)} x {what}{place}"), err=err)


def _report(remarks: Sequence[Remark], *, err: bool) -> None:
    """Every remark below its heading. What holds of several places is said once."""
    for verdict in Verdict:
        same: dict[tuple[str, str, str], list[Remark]] = {}
        for remark in sorted(remarks, key=lambda remark: remark.where):
            if remark.verdict is verdict:
                same.setdefault((remark.option, remark.what, remark.todo), []).append(remark)
        if same:
            click.echo(f"\n{verdict.value}", err=err)
        for places in same.values():
            text = str(places[0])
            if len(places) > 1:
                others = ", ".join(str(place.where) for place in places[1 : 1 + _MOST_PLACES])
                more = len(places) - 1 - _MOST_PLACES
                text += f"; so too {others}" + (f" and {more} more" if more > 0 else "")
            click.echo(f"  {clean(text)}", err=err)


def _check(ctx: click.Context, target: str) -> None:
    """Load what was written, and say what is to be done next."""
    from queuepool.config.load import load

    click.echo("")
    try:
        loaded = load(target, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"to do: {clean(problem)}")
        click.echo(f"next: mend {clean(target)}, then `queuepool -c {clean(target)} config check`")
        ctx.exit(ExitCode.NOT_AS_WANTED)
    for problem in loaded.problems:
        click.echo(f"to do: {clean(problem)}")
    here = os.path.dirname(target) == os.getcwd() and os.path.basename(target) == "queuepool.yml"
    option = "" if here else f" -c {clean(target)}"
    click.echo(f"next: queuepool{option} config check")
    click.echo(
        "before `queuepool up`, stop these programs in Supervisor: else both run them; or add --take-over, which does"
    )
    ctx.exit(ExitCode.NOT_AS_WANTED if loaded.broken else ExitCode.DONE)
