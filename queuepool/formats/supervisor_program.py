"""One program of Supervisor -> a draft of a program of queuepool.yml, with a remark on all that changes. PURE. What
goes beyond one program is supervisor_import.py's matter, how drafts become a file supervisor_yaml.py's.

A key is left out where queuepool's own default is equal or better; a test holds every difference that the real
supervisord would see against the remarks.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from queuepool.domain import spec as queuepool
from queuepool.domain.exits import signal_name
from queuepool.domain.places import key_of
from queuepool.domain.pool import Autorestart
from queuepool.domain.program import LARAVEL_SLEEP, LARAVEL_TIMEOUT, NO_LIMIT_STOP, STOP_MARGIN
from queuepool.formats.supervisor_command import Command, understand
from queuepool.formats.supervisor_model import Log, Program
from queuepool.formats.supervisor_options import PROCESS, near_option
from queuepool.formats.supervisor_remarks import REFUSES, Verdict
from queuepool.formats.supervisor_translate import Translator
from queuepool.formats.supervisor_values import Template, name_fault, template

TERM, QUIT = 15, 3
_USUAL_RETRIES = 10
_ENDS = {
    "worker": "a worker that ends itself with 0, as after --max-time, queue:restart or a deploy",
    "listen": "a listener that ends with 0, as after queue:restart or a deploy",
    "horizon": "a Horizon that ends with 0, as after horizon:terminate in a deploy",
    "command": "a program that ends with 0, though it is to run for ever",
}
_DEFAULT_BYTES = 50 * 1024**2
_NUMBERED = "%(program_name)s_%(process_num)02d"


@dataclass(slots=True)
class Draft:
    """A program on its way into queuepool.yml. kind: worker, listen, horizon or command. app: the Laravel root; None
    where the command has none. notes: key -> comment behind it. below: comments after the keys."""

    name: str
    program: Program
    kind: str
    keys: dict[str, Any] = field(repr=False)
    app: str | None = None
    php: tuple[str, ...] = ("php",)
    notes: dict[str, str] = field(default_factory=dict)
    below: list[str] = field(default_factory=list)


class OneProgram:
    """One program; each method answers one question, with keys or with remarks."""

    def __init__(self, whole: Translator, program: Program, name: str) -> None:
        self.whole, self.program, self.name = whole, program, name
        self.label = f"[{program.section.name}]"
        self.keys: dict[str, Any] = {}
        self.notes: dict[str, str] = {}
        self.below: list[str] = []

    def draft(self) -> Draft | None:
        """The draft, None where the program cannot be carried."""
        program = self.program
        found = understand(program, self.whole.config.directory, self._text, self._say, self.whole.around)
        if found is None:
            return None
        self.command = found
        self.artisan = found.kind != "command"
        self.keys.update(found.keys)
        self._count()
        self._place(found)
        self._restart()
        self._start()
        self._stop()
        self._logs()
        self._environment()
        self._without_equivalent()
        self._typos()
        self._only_what_fits()
        return Draft(self.name, program, found.kind, self.keys, found.app, found.php, self.notes, self.below)

    def _count(self) -> None:
        program = self.program
        if program.numprocs != 1:
            self.keys["numprocs"] = program.numprocs
        if program.numprocs_start:
            self.keys["numprocs_start"] = program.numprocs_start
        if program.priority != 999:
            self.keys["priority"] = program.priority
        if not program.autostart:
            self.keys["autostart"] = False
        wanted = program.process_name
        literal = "".join(piece for piece in wanted.pieces if isinstance(piece, str))
        if name_fault(literal):
            self._wrong("process_name", f"{name_fault(literal)}; {REFUSES}", "its usual form was taken")
            return
        single = self.command.kind in ("command", "horizon") and program.numprocs <= 1
        usual = "%(program_name)s" if single else _NUMBERED
        names: dict[str, str | int] = {"program_name": program.name, "group_name": program.name}
        flat = Template(tuple(wanted.known(names).pieces)) if _safe(wanted) else wanted
        said = self._text(wanted, "process_name")
        if said is None or _same(flat, template(usual).known(names)):
            return
        if not single and program.numprocs <= 1 and _same(flat, template(program.name)):
            what = f"the process is called {self.name}:{self.name}_00, so that a second one can be added"
            self._changed("process_name", what, f"`{self.name}` still names it")
            return
        self.keys["process_name"] = said

    def _place(self, found: Command) -> None:
        program, config = self.program, self.whole.config
        if found.directory is not None:
            self.keys["directory"] = found.directory
        elif program.directory is None:
            what = "was not given: programs ran where supervisord was started, here they run in `app`"
            self._changed("directory", what)
        user = program.user or config.user
        if user:
            self.keys["user"] = user.replace("${", "$${")  # there is no variable in it
            if ":" in user:
                what = f"names a group, which Supervisor does not know: `Invalid user name`; {REFUSES}"
                self._wrong("user", what, "queuepool takes it as user and group")
        if (not user or user in ("root", "0")) and (self.artisan or "artisan" in self.keys.get("command", "")):
            what = "runs as root, if supervisord does: what it writes into storage/ belongs to root then"
            self._wrong("user", what, "add `user: www-data`, or whoever owns storage/")
        if program.umask is not None:
            self.keys["umask"] = Octal(program.umask)

    def _restart(self) -> None:
        program, when = self.program, self.program.autorestart
        if when is Autorestart.UNEXPECTED and not program.exitcodes:
            self._changed("autorestart", "is true here, for no exit code is expected")
            when = Autorestart.ALWAYS
        if when is Autorestart.UNEXPECTED and (self.artisan or self.command.endless):
            if 0 in program.exitcodes:
                how = "" if program.said("autorestart") else " (Supervisor's default)"
                what = f"is unexpected{how}: {_ENDS[self.command.kind]}, is not started again"
                self._wrong("autorestart", what, "nothing: true is the default here")
            else:
                self._changed("autorestart", "is true here; every end of a worker is followed by a new one")
            when = Autorestart.ALWAYS
        if when is not Autorestart.ALWAYS:
            self.keys["autorestart"] = False if when is Autorestart.NEVER else "unexpected"
        if program.exitcodes != (0,) and when is not Autorestart.ALWAYS:
            codes = program.exitcodes
            self.keys["exitcodes"] = codes[0] if len(codes) == 1 else list(codes)
        elif program.exitcodes != (0,):
            self._changed("exitcodes", "was left out: it means nothing where every exit is followed by a start")

    def _start(self) -> None:
        program = self.program
        if program.startsecs == 0 and (self.artisan or program.autorestart is not Autorestart.NEVER):
            what = "is 0: a program that fails at once counts as RUNNING, and startretries has no effect"
            self._wrong("startsecs", what, "nothing: it is 1 here" if self.artisan else "give it a second")
        if program.startsecs != 1 and not (self.artisan and program.startsecs == 0):
            self.keys["startsecs"] = program.startsecs
        usual = _USUAL_RETRIES if self.artisan else 3
        if program.startretries > usual or (not self.artisan and program.startretries != usual):
            self.keys["startretries"] = program.startretries
        elif program.startretries != usual:
            what = f"is {usual} here, with growing pauses, and FATAL is tried again every minute"
            self._changed("startretries", what)

    def _stop(self) -> None:
        program = self.program
        if program.stopsignal != TERM:
            name = signal_name(program.stopsignal).removeprefix("SIG")
            if not self.artisan:
                self.keys["stopsignal"] = name if not name.startswith("signal") else program.stopsignal
            elif program.stopsignal == QUIT:
                self._changed("stopsignal", "is TERM here, which every Laravel knows; QUIT only since 9.24")
            else:
                self._wrong(
                    "stopsignal", f"{name} ends a worker in the middle of its job", "nothing: TERM is used here"
                )
        if self.artisan:
            self._patience()
        elif program.stopwaitsecs != 10:
            self.keys["stopwaitsecs"] = Seconds(program.stopwaitsecs)
        if program.stopasgroup and self.artisan:
            what = "was left out: TERM goes to the worker, so that what its job started can end; its tree follows"
            self._changed("stopasgroup", what)
        elif program.stopasgroup:
            self.keys["stopasgroup"] = True
        elif self.command.shell:
            what = "is not set, and the command is a shell: a stop ends the shell and what it started runs on"
            todo = "nothing: the whole tree is ended here; better run the program itself, with `directory`"
            self._wrong("stopasgroup", what, todo)
        if not program.killasgroup and program.said("killasgroup"):
            self.keys["killasgroup"] = False
        elif not program.killasgroup:
            self._changed("killasgroup", "is true here: SIGKILL reaches what the program started, too")

    def _patience(self) -> None:
        """stopwaitsecs of a worker, which has to let the job in hand end."""
        program, given = self.program, self.program.stopwaitsecs
        if self.command.kind == "horizon":
            limit = usual = NO_LIMIT_STOP
            job = "Horizon's workers need to end their jobs: up to an hour here"
        else:
            timeout = self.keys.get("timeout", LARAVEL_TIMEOUT)
            sleep = self.keys.get("sleep", LARAVEL_SLEEP)
            limit = timeout or NO_LIMIT_STOP
            usual = timeout + sleep + STOP_MARGIN if timeout else NO_LIMIT_STOP
            job = f"a job may take: {timeout} s" if timeout else "a job may take: there is no limit"
        if given > usual:
            self.keys["stopwaitsecs"] = Seconds(given)
        elif given < limit:
            how = f"{given} s" + ("" if program.said("stopwaitsecs") else ", Supervisor's default")
            what = f"is less ({how}) than {job}; every stop and deploy kills the job in hand"
            self._wrong("stopwaitsecs", what, f"nothing: left out, it is {usual:.0f} s here")
        elif given != usual:
            self._changed("stopwaitsecs", f"was left out: it follows the timeout here, {usual:.0f} s")

    def _logs(self) -> None:
        program = self.program
        stdout, stderr = program.stdout, program.stderr
        self._log("stdout", stdout)
        same = stdout.kind == stderr.kind == "path" and _same(stdout.path, stderr.path)
        if program.redirect_stderr:
            if stderr.kind == "path":
                self._wrong("stderr_logfile", "is never written, for redirect_stderr is true", "nothing: left out")
        elif same:
            what = "is the same file as stdout_logfile: two writers, each rotating it under the other"
            self._wrong("stderr_logfile", what, "nothing: stderr goes into the log of stdout here")
            self._changed("redirect_stderr", "is true here: stderr goes into the log of stdout")
        elif stderr.kind in ("path", "none"):
            self._log("stderr", stderr)
        else:
            self._changed("stderr_logfile", "goes into the log of stdout here; Supervisor wiped its own at each start")
            self._changed("redirect_stderr", "is true here: stderr goes into the log of stdout")

    def _log(self, stream: str, log: Log) -> None:
        key = f"{stream}_logfile"
        if log.kind == "none":
            self.keys[key] = "NONE"
            return
        if log.kind == "path":
            path = self._text(log.path, key)
            if path is None:
                return
            if path.startswith("~"):
                path = self._home(path)
            elif not path.startswith(("/", "%(")):
                base = self.whole.config.directory
                what = "is relative, so it was where supervisord was started"
                self._wrong(key, what, "write the whole path" if base is None else "")
                path = path if base is None else posixpath.join(base, path)
            self.keys[key] = path
            if path in ("/dev/stdout", "/dev/stderr") or path.startswith("/dev/fd/"):
                return
        elif log.kind == "auto" and stream == "stdout":
            self._changed(
                key, "is a file in storage/logs or logs here, and kept; Supervisor wiped its own at each start"
            )
        if log.maxbytes != _DEFAULT_BYTES:
            self.keys[f"{key}_maxbytes"] = Size(log.maxbytes)
        if log.backups != 10:
            self.keys[f"{key}_backups"] = log.backups

    def _home(self, path: str) -> str:
        user, slash, rest = path[1:].partition("/")
        home = self.whole.around.home(user)
        return path if home is None else home.rstrip("/") + slash + rest

    def look_at_log(self, logs: dict[str, str]) -> None:
        """Say of a log with several writers in Supervisor. logs: path -> label of the one that has it."""
        program, path = self.program, self.keys.get("stdout_logfile")
        if not isinstance(path, str) or path == "NONE" or path.startswith("/dev/"):
            return
        todo = "nothing: a log has one writer here"
        if program.numprocs > 1 and "process_num" not in program.stdout.path.names:
            what = (
                f"is one file for {program.numprocs} processes: each rotates it under the others, lines end up anywhere"
            )
            self._wrong("stdout_logfile", what, todo)
        elif path in logs:
            self._wrong("stdout_logfile", f"is the log of {logs[path]} too", "give each program a log of its own")
        logs.setdefault(path, self.label)

    def _environment(self) -> None:
        found: dict[str, str] = {}
        for name, value in self.program.environment.items():
            text = self._text(value, "environment")
            if text is not None:
                found[name] = text
        user = self.keys.get("user")
        usual = {"HOME": self.whole.around.home(user), "USER": user} if user else {}
        for name in [name for name, text in usual.items() if name in found and found[name] == text]:
            del found[name]
            self._changed("environment", f"{name} was left out: queuepool sets it for the program's user")
        if found:
            self.keys["environment"] = found

    def _without_equivalent(self) -> None:
        program = self.program
        for stream, log in (("stdout", program.stdout), ("stderr", program.stderr)):
            if log.capture_maxbytes:
                self._say(Verdict.LEFT, f"{stream}_capture_maxbytes", "PROCESS_COMMUNICATION events do not exist here")
            if log.syslog:
                option = f"{stream}_syslog" if program.said(f"{stream}_syslog") else f"{stream}_logfile"
                what = "goes to syslog, which queuepool does not write: it has a file here"
                self._say(Verdict.LEFT, option, what, "let a log shipper read the file")
            if log.events:
                self._say(Verdict.LEFT, f"{stream}_events_enabled", "PROCESS_LOG events do not exist here")
        if program.said("serverurl"):
            self._say(Verdict.LEFT, "serverurl", "is for programs that call Supervisor's XML-RPC")

    def _typos(self) -> None:
        """An option that Supervisor ignored, as a comment: now somebody can decide about it."""
        for name, option in self.program.section.options.items():
            if name in PROCESS or name.startswith("//"):
                continue
            meant = near_option(name, "program")
            if (
                meant
                and meant in queuepool.Program.model_fields
                and option.value.isprintable()
                and meant != "environment"
            ):
                self.below.append(f"{meant}: {option.value[:60]}   # Supervisor ignored this: it was spelt {name[:60]}")

    def _only_what_fits(self) -> None:
        """What queuepool would refuse is left out, and said."""
        for _ in range(3):
            try:
                queuepool.Program.model_validate({key: plain(value) for key, value in self.keys.items()})
                return
            except ValidationError as error:
                for item in error.errors(include_url=False, include_input=False):
                    key = key_of(str(item["loc"][0])) if item["loc"] else ""
                    if self.keys.pop(key, None) is not None:
                        option = key if self.program.said(key) else "command"
                        what = f"{key} was not carried: it {item['msg'].removeprefix('Value error, ')}"
                        self._say(Verdict.LEFT, option, what[:200])

    def _text(self, value: Template, option: str) -> str | None:
        return self.whole.text(value, self.program.where(option), self.label, option)

    def _say(self, verdict: Verdict, option: str, what: str, todo: str = "") -> None:
        self.whole.say(verdict, self.program.where(option), self.label, option, what, todo)

    def _wrong(self, option: str, what: str, todo: str) -> None:
        self._say(Verdict.WRONG, option, what, todo)

    def _changed(self, option: str, what: str, todo: str = "") -> None:
        self._say(Verdict.CHANGED, option, what, todo)


class Octal(int):
    """A mask, written 022."""


class Seconds(int):
    """A duration, written 1h where that is shorter."""


class Size(int):
    """Bytes, written 50MB."""


def plain(value: Any) -> Any:
    """The value as the loader would have it."""
    return f"{value:03o}" if isinstance(value, Octal) else int(value) if isinstance(value, Seconds | Size) else value


def _safe(value: Template) -> bool:
    try:
        value.known({"program_name": "x", "group_name": "x"})
    except ValueError:
        return False
    return True


def _same(one: Template, other: Template) -> bool:
    return "".join(map(str, one.pieces)) == "".join(map(str, other.pieces))
