"""The file. PURE."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.program import PartFacts, ProgramFacts
from queuepool.doctor.finding import Note, SetMode, Severity

CHECKS = Checks("file", needs=())

_ENV_FILE = re.compile(r"(?P<where>\S+:\d+): (?:\S+\.)?env_file\S*: names (?P<file>.+), (?:which|where) (?P<why>.+)")
_EMPTY = re.compile(r"\S+:\d+: (?:holds no programs|is empty)\b")
_MOST = 20
"""Lines of problems that are shown; `queuepool config check` shows all."""


@CHECKS.add("valid", Severity.ERROR, "queuepool.yml can be used")
def valid(facts: Facts) -> Iterator[Note]:
    """Something in queuepool.yml is not understood: a syntax error, a key or a value that does not exist, a name that
    is given twice. `queuepool up` starts nothing then, and `update` changes nothing: a daemon that runs goes on with
    what it read before. The evidence is every such place with its line, and what was probably meant. Programs in which
    nothing is wrong are looked at all the same."""
    lines = [line for line in _of_main(facts) if not (_ENV_FILE.match(line) or _EMPTY.match(line))]
    if lines:
        count = "one place" if len(lines) == 1 else f"{len(lines)} places"
        yield Note(
            facts.file.path,
            f"cannot be used: {count} in it cannot be understood",
            _some(lines),
            "mend these lines; then `queuepool config check` checks them again",
        )


@CHECKS.add("env_file", Severity.ERROR, "Every env_file can be read")
def env_file(facts: Facts) -> Iterator[Note]:
    """A file that `env_file` names is missing, cannot be read, or has a line that is not NAME=value. The variables in
    it would be absent, so the whole file that names it is refused. Often it is a path relative to another directory:
    it is meant as seen from the directory of the file that names it."""
    for line in facts.file.problems:
        if found := _ENV_FILE.match(line):
            name, why = found["file"], found["why"]
            missing = "no such file" in why
            remedy = f"write it, or correct the path at {found['where']}" if missing else f"make {name} readable"
            if "form NAME=value" in why:
                remedy = f"mend that line of {name}"
            yield Note(facts.file.path, f"names the env_file {name}, which cannot be used", (line,), remedy)


@CHECKS.add("include", Severity.ERROR, "Every included file can be used")
def include(facts: Facts) -> Iterator[Note]:
    """A file that `include` names is missing or broken. Only its own programs are left out: at the next `up` they do
    not run, while a daemon that ran them before goes on with what it knew."""
    for shown in facts.file.broken:
        lines = [line for line in facts.file.problems if line.startswith(f"{shown}:")]
        if lines and all(map(_ENV_FILE.match, lines)):
            continue
        missing = any("no such file" in line for line in lines)
        remedy = "mend these lines; then `queuepool config check` checks them again"
        if missing:
            remedy = f"write {shown}, or take it out of `include`"
        what = "is not there" if missing else "cannot be used, so none of its programs run"
        yield Note(f"included file {shown}", what, _some(lines) or (f"named by {facts.file.path}",), remedy)


@CHECKS.add("empty", Severity.ERROR, "There is a program", unless=("file.valid", "file.include", "file.env_file"))
def empty(facts: Facts) -> Iterator[Note]:
    """queuepool.yml gives no program, so nothing works on any queue. Perhaps it is the wrong file (`-c`, the variable
    QUEUEPOOL_CONFIG and the current directory decide which one is used), or the pattern of `include` matches nothing.
    `queuepool init` writes a file to begin with."""
    if facts.file.found and not facts.programs and all(map(_EMPTY.match, facts.file.problems)):
        yield Note(
            facts.file.path,
            "gives no program, so nothing runs",
            facts.file.problems or ("programs: none, in it or in what it includes",),
            "write a program below `programs:`, as `queuepool init` does, or name another file with `-c`",
        )


@CHECKS.add("warnings", Severity.WARNING, "Nothing in queuepool.yml is doubtful")
def warnings(facts: Facts) -> Iterator[Note]:
    """Something in the file can be used and is probably not meant so: two programs that write one log by different
    rules, a second Horizon of one application, a name that only a broken included file could explain. Each line says
    what follows, and what to do."""
    if facts.file.warnings:
        lines = facts.file.warnings
        yield Note(facts.file.path, "holds something doubtful", _some(lines), f"look at {_place(lines[0])}")


@CHECKS.add(
    "machine", Severity.ERROR, "This machine has what the programs need",
    unless=("php.*", "application.*", "permissions.*", "processes.*"),  # which know more of it
)  # fmt: skip
def machine(facts: Facts) -> Iterator[Note]:
    """A user, a group, a directory or a program that the file names does not exist on this machine, or is not where it
    is looked for. `queuepool up` says the same before it starts the other programs; a process that lacks it is BACKOFF
    and then FATAL. Mostly the file was written for another machine, or a path has a typing error."""
    known = {program.name for program in facts.programs}
    for lack in facts.file.lacks:
        programs = tuple(name for name in lack.programs if name in known)
        if programs:
            what = "cannot run here" if lack.fatal else "cannot keep its log"
            severity = None if lack.fatal else Severity.WARNING
            evidence = (f"needed by {', '.join(programs)}: {lack.what}",)
            remedy = lack.remedy or f"look at {facts.file.path}"
            yield Note(f"program {programs[0]}", f"{what}: {lack.what}", evidence, remedy, programs, severity)


@CHECKS.add("mode", Severity.ERROR, "Only its owner may change what says which commands run")
def mode(facts: Facts) -> Iterator[Note]:
    """Whoever may write queuepool.yml, or a file that it includes, decides which commands run as which user; where
    queuepool runs as root that is root. So nobody else may write it (nor replace it in its directory), and root should
    own what root's daemon reads. An env_file counts too: it sets PATH and LD_PRELOAD of the workers."""
    for part in facts.file.parts:
        if part.mode is not None and part.mode & 0o002:
            yield Note(
                part.path,
                "may be changed by everybody on this machine",
                (f"{part.path}: mode {part.mode & 0o7777:04o}, owned by uid {part.uid}",),
                f"chmod o-w {shlex.quote(part.path)}",
                fix=SetMode(part.path, _closed(part, facts)),
            )
        if facts.uid == 0 and part.uid and part.role != "env_file":
            yield Note(
                part.path,
                f"belongs to uid {part.uid}, who thereby decides what root runs",
                (f"{part.path}: owned by uid {part.uid}, while queuepool runs as root",),
                f"chown root: {shlex.quote(part.path)}",
                severity=Severity.WARNING,
            )
    for folder, folder_mode in facts.file.open:
        yield Note(
            facts.file.path,
            f"can be replaced by everybody: {folder} is open to all",
            (f"{folder}: mode {folder_mode & 0o7777:04o}",),
            f"chmod o-w {shlex.quote(folder)}",
        )


@CHECKS.add("secrets", Severity.WARNING, "No password can be read by everybody")
def secrets(facts: Facts) -> Iterator[Note]:
    """A password, token or key stands in a file that every user of this machine can read. Keep it out of the file: in
    the application's `.env`, in an `env_file` of its own with mode 640, or in a variable (`${NAME}`). queuepool itself
    shows no such value anywhere."""
    for part in facts.file.parts:
        if part.secrets and part.mode is not None and part.mode & 0o004:
            yield Note(
                part.path,
                "holds secrets and can be read by everybody",
                (f"mode {part.mode & 0o7777:04o}", *_some(part.secrets)),
                f"chmod o= {shlex.quote(part.path)}",
                fix=SetMode(part.path, _closed(part, facts)) if _needs_no_reader(part, facts) else None,
            )


@CHECKS.add("release", Severity.WARNING, "queuepool.yml is the one of the current release")
def release(facts: Facts) -> Iterator[Note]:
    """The file lies in a release that is not the current one. A daemon is known by the path of its file: started with
    this one it runs the old release's settings and is another daemon beside the one of `current`. Name it through the
    link, which stays the same in every release."""
    if facts.file.current:
        yield Note(
            facts.file.path,
            "is in a release that is not the current one",
            (f"the current release has {facts.file.current}",),
            f"name it through the link: `-c {shlex.quote(facts.file.current)}`",
        )


@CHECKS.add("queues", Severity.INFO, "Programs that share a queue treat its jobs alike")
def queues(facts: Facts) -> Iterator[Note]:
    """Two programs work on one queue with another `--tries`, `--timeout` or `--backoff`. Which of them takes a job is
    chance, so the same job is tried once or three times, and is killed after one minute or after ten. Give both the
    same values (in `defaults:`), or the job its own: `$tries`, `$timeout` and `backoff` of a job's class win."""
    workers = [program for program in facts.programs if program.kind in ("worker", "listen")]
    by_queue: dict[tuple[str | None, str | None, str], list[ProgramFacts]] = {}
    for program in workers:
        for name in program.queues or ("default",):
            by_queue.setdefault((program.app, program.connection, name), []).append(program)
    told: dict[tuple[str, str], list[str]] = {}
    for (_, _, name), programs in by_queue.items():
        for other in programs[1:]:
            told.setdefault((programs[0].name, other.name), []).append(name)
    known: Mapping[str, ProgramFacts] = {program.name: program for program in workers}
    for (first, second), names in told.items():
        one, other = known[first], known[second]
        lines = tuple(
            f"--{option}: {first} {one.option(option, default)}, {second} {other.option(option, default)}"
            for option, default in (("tries", "1"), ("timeout", "60"), ("backoff", "0"))
            if one.option(option, default) != other.option(option, default)
        )
        if lines:
            yield Note(
                f"programs {first} and {second}",
                f"work on the same queue ({', '.join(dict.fromkeys(names))}) by different rules",
                lines,
                f"give both the same options, at {one.source} and {other.source}",
                (first, second),
            )


def _of_main(facts: Facts) -> list[str]:
    if facts.file.usable:
        return []
    included = tuple(f"{name}:" for name in facts.file.broken)
    return [line for line in facts.file.problems if not line.startswith(included)]


def _closed(part: PartFacts, facts: Facts) -> int:
    """The mode that it should have: one for all that is wrong with it."""
    others = 0o007 if part.secrets and _needs_no_reader(part, facts) else 0o002
    return (part.mode or 0) & 0o7777 & ~others


def _needs_no_reader(part: PartFacts, facts: Facts) -> bool:
    """Whether only root reads it: then closing it takes nothing from anybody. An env_file may be the application's."""
    return facts.uid == 0 and part.uid == 0 and part.role != "env_file"


def _some(lines: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    more = (f"and {len(lines) - _MOST} more; `queuepool config check` shows all",) if len(lines) > _MOST else ()
    return (*lines[:_MOST], *more)


def _place(line: str) -> str:
    found = re.match(r"\S+:\d+", line)
    return found[0] if found else line
