"""One program of Supervisor -> a draft of a program of queuepool.yml, with a remark on all that changes. PURE. What
goes beyond one program is supervisor_import.py's matter, how drafts become a file supervisor_yaml.py's.

A key is left out where queuepool's own default is equal or better; a test holds every difference that the real
supervisord would see against the remarks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from queuepool.domain import spec as queuepool
from queuepool.domain.exits import signal_name
from queuepool.domain.places import key_of
from queuepool.domain.pool import COMMANDS, Autorestart
from queuepool.domain.program import LARAVEL_SLEEP, LARAVEL_TIMEOUT, NO_LIMIT_STOP, STOP_MARGIN
from queuepool.formats.supervisor_command import Command, understand
from queuepool.formats.supervisor_logs import Logs
from queuepool.formats.supervisor_model import Program
from queuepool.formats.supervisor_options import KEEPS_VARIABLES, PROCESS, near_option
from queuepool.formats.supervisor_remarks import REFUSES, Verdict
from queuepool.formats.supervisor_translate import Octal, Part, Seconds, Translator, Variable, plain
from queuepool.formats.supervisor_values import Ref, Template, name_fault, template

TERM, QUIT = 15, 3
_USUAL_RETRIES = 10
MOST_EVENTS = 10_000
"""The largest buffer_size of queuepool.yml."""
_ENDS = {
    "worker": "a worker that ends itself with 0, as after --max-time, queue:restart or a deploy",
    "listen": "a listener that ends with 0, as after queue:restart or a deploy",
    "horizon": "a Horizon that ends with 0, as after horizon:terminate in a deploy",
    "command": "a program that ends with 0, though it is to run for ever",
    "eventlistener": "a listener that ends with 0, though it is to run for ever",
}
_ENDS_ITS_PARENT = re.compile(r"kill\b.*(\$PPID|\$\{PPID\}|supervisord?\.pid|getppid)|\bkill\b.* 1\b", re.DOTALL)
_NUMBERED = "%(program_name)s_%(process_num)02d"


@dataclass(slots=True)
class Draft:
    """A program on its way into queuepool.yml. kind: worker, listen, horizon, command or eventlistener. app: the
    Laravel root; None where the command has none. below: comments after the keys. shell: whether Supervisor starts a
    shell, which starts it."""

    name: str
    program: Program
    kind: str
    keys: dict[str, Any] = field(repr=False)
    app: str | None = None
    php: tuple[str, ...] = ("php",)
    below: list[str] = field(default_factory=list)
    shell: bool = False


class OneProgram(Part):
    """One program; each method answers one question, with keys or with remarks."""

    def __init__(self, whole: Translator, program: Program, name: str) -> None:
        super().__init__(whole, program, f"[{program.section.name}]", {})
        self.name = name
        self.logs = Logs(whole, program, self.label, self.keys)
        self.below: list[str] = []

    def draft(self) -> Draft | None:
        """The draft, None where the program cannot be carried."""
        program = self.program
        found = understand(program, self.whole.config.directory, self.text, self.say, self.whole.around)
        if found is None:
            return None
        if program.kind == "eventlistener":
            found = replace(found, kind=program.kind)
        self.command = found
        self.artisan = found.kind not in COMMANDS
        self.keys.update(found.keys)
        if (variable := self._outer(template(str(found.keys.get("queue"))))) is not None:
            self.keys["queue"] = f"${{{variable}}}"  # so that a list in it is taken apart
        if found.kind == "eventlistener" and not self._listens():
            return None
        self._count()
        self._place(found)
        self._restart()
        self._start()
        self._stop()
        self.logs.carry()
        self._environment()
        self._without_equivalent()
        if found.instead:
            self.below.append(
                f"command: {found.instead}   # instead, from Laravel 8 on: it looks every minute by itself"
            )
        self._typos()
        self._only_what_fits()
        return Draft(self.name, program, found.kind, self.keys, found.app, found.php, self.below, found.shell)

    def _listens(self) -> bool:
        """What an event listener is told of; whether it is anything."""
        program = self.program
        if not program.events:
            self.say(Verdict.LEFT, "events", "name no event, so it would be told of nothing", "write it anew")
            return False
        if _ENDS_ITS_PARENT.search(str(program.command)):
            what = "ends its parent, which was supervisord, and is queuepool here: then every program is stopped"
            todo = "leave it out: a program that fails is tried again; `queuepool status` exits with 3 meanwhile"
            self.say(Verdict.WRONG, "command", what, todo)
        self.keys |= {"type": "eventlistener", "events": list(program.events)}
        if program.buffer_size != 10:
            self.keys["buffer_size"] = min(program.buffer_size, MOST_EVENTS)
        if program.said("result_handler"):
            what = "is a function in Python for Supervisor alone: here `OK` is yes, and all else no"
            self.say(Verdict.LEFT, "result_handler", what)
        return True

    def _count(self) -> None:
        program = self.program
        if program.numprocs != 1:
            self.keys["numprocs"] = program.numprocs
        if program.numprocs_start:
            self.keys["numprocs_start"] = program.numprocs_start
        if program.priority != (-1 if program.kind == "eventlistener" else 999):
            self.keys["priority"] = program.priority
        if not program.autostart:
            self.keys["autostart"] = False
        for option, now in (("numprocs", program.numprocs), ("autostart", program.autostart)):
            if (name := self._variable(option)) is not None:
                self.keys[option] = Variable(name, now)
        wanted = program.process_name
        literal = "".join(piece for piece in wanted.pieces if isinstance(piece, str))
        if name_fault(literal):
            self.wrong("process_name", f"{name_fault(literal)}; {REFUSES}", "its usual form was taken")
            return
        single = self.command.kind in (*COMMANDS, "horizon") and program.numprocs <= 1
        usual = "%(program_name)s" if single else _NUMBERED
        names: dict[str, str | int] = {"program_name": program.name}
        if not any(program.name in group.programs for group in self.whole.config.groups):
            names["group_name"] = program.name
        flat = Template(tuple(wanted.known(names).pieces)) if _safe(wanted) else wanted
        said = self.text(wanted, "process_name")
        if said is None or str(flat) == str(template(usual).known(names)):
            return
        if not single and program.numprocs <= 1 and str(flat) == str(template(program.name)):
            what = f"the process is called {self.name}:{self.name}_00, so that a second one can be added"
            self.changed("process_name", what, f"`{self.name}` still names it")
            return
        self.keys["process_name"] = said

    def _variable(self, option: str) -> str | None:
        """The environment variable that is the whole value of an option, None where it is something else."""
        said = self.program.said(option) if option in KEEPS_VARIABLES else None
        return self._outer(template(said.value)) if said else None

    def _outer(self, value: Template) -> str | None:
        """The name of the variable that is all of this value, if it is not one that the files themselves set."""
        piece = value.pieces[0] if len(value.pieces) == 1 else ""
        name = piece.name if isinstance(piece, Ref) else ""
        own = {*self.whole.config.environment, *self.program.environment}
        return name[4:] if name.startswith("ENV_") and name[4:] not in own else None

    def _place(self, found: Command) -> None:
        program, config = self.program, self.whole.config
        if found.directory is not None:
            self.keys["directory"] = found.directory
        elif program.directory is None:
            what = "was not given: programs ran where supervisord was started, here they run in `app`"
            self.changed("directory", what)
        user = found.user or program.user or config.user
        if found.user is None and (name := self._variable("user")) is not None:
            self.keys["user"] = user = f"${{{name}}}"
        elif user:
            self.keys["user"] = user.replace("${", "$${")  # there is no variable in it
            if ":" in user:
                what = f"names a group, which Supervisor does not know: `Invalid user name`; {REFUSES}"
                self.wrong("user", what, "queuepool takes it as user and group")
        if (not user or user in ("root", "0")) and (self.artisan or "artisan" in self.keys.get("command", "")):
            what = "runs as root, if supervisord does: what it writes into storage/ belongs to root then"
            self.wrong("user", what, "add `user: www-data`, or whoever owns storage/")
        if program.umask is not None:
            self.keys["umask"] = Octal(program.umask)

    def _restart(self) -> None:
        program, when = self.program, self.program.autorestart
        if when is Autorestart.UNEXPECTED and not program.exitcodes:
            self.changed("autorestart", "is true here, for no exit code is expected")
            when = Autorestart.ALWAYS
        if when is Autorestart.UNEXPECTED and (self.artisan or self.command.endless):
            if 0 in program.exitcodes:
                how = "" if program.said("autorestart") else " (Supervisor's default)"
                what = f"is unexpected{how}: {_ENDS[self.command.kind]}, is not started again"
                self.wrong("autorestart", what, "nothing: true is the default here")
            else:
                self.changed("autorestart", "is true here; every end of a worker is followed by a new one")
            when = Autorestart.ALWAYS
        if when is not Autorestart.ALWAYS:
            self.keys["autorestart"] = False if when is Autorestart.NEVER else "unexpected"
        if program.exitcodes != (0,) and when is not Autorestart.ALWAYS:
            codes = program.exitcodes
            self.keys["exitcodes"] = codes[0] if len(codes) == 1 else list(codes)
        elif program.exitcodes != (0,):
            self.changed("exitcodes", "was left out: it means nothing where every exit is followed by a start")

    def _start(self) -> None:
        program = self.program
        if program.startsecs == 0 and (self.artisan or program.autorestart is not Autorestart.NEVER):
            what = "is 0: a program that fails at once counts as RUNNING, and startretries has no effect"
            self.wrong("startsecs", what, "nothing: it is 1 here" if self.artisan else "give it a second")
        if program.startsecs != 1 and not (self.artisan and program.startsecs == 0):
            self.keys["startsecs"] = program.startsecs
        usual = _USUAL_RETRIES if self.artisan else 3
        if program.startretries > usual or (not self.artisan and program.startretries != usual):
            self.keys["startretries"] = program.startretries
        elif program.startretries != usual:
            what = f"is {usual} here, with growing pauses, and FATAL is tried again every minute"
            self.changed("startretries", what)

    def _stop(self) -> None:
        program = self.program
        if program.stopsignal != TERM:
            name = signal_name(program.stopsignal).removeprefix("SIG")
            if not self.artisan:
                self.keys["stopsignal"] = name if not name.startswith("signal") else program.stopsignal
            elif program.stopsignal == QUIT:
                self.changed("stopsignal", "is TERM here, which every Laravel knows; QUIT only since 9.24")
            else:
                self.wrong("stopsignal", f"{name} ends a worker in the middle of its job", "nothing: TERM is used here")
        if self.artisan:
            self._patience()
        elif program.stopwaitsecs != 10:
            self.keys["stopwaitsecs"] = Seconds(program.stopwaitsecs)
        if program.stopasgroup and self.artisan:
            what = "was left out: TERM goes to the worker, so that what its job started can end; its tree follows"
            self.changed("stopasgroup", what)
        elif program.stopasgroup:
            self.keys["stopasgroup"] = True
        elif self.command.shell:
            what = "is not set, and the command is a shell: a stop ends the shell and what it started runs on"
            todo = "nothing: the whole tree is ended here; better run the program itself, with `directory`"
            todo = "nothing: there is no shell here" if self.artisan else todo
            self.wrong("stopasgroup", what, todo)
        if not program.killasgroup and program.said("killasgroup"):
            self.keys["killasgroup"] = False
        elif not program.killasgroup:
            self.changed("killasgroup", "is true here: SIGKILL reaches what the program started, too")

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
            self.wrong("stopwaitsecs", what, f"nothing: left out, it is {usual:.0f} s here")
        elif given != usual:
            self.changed("stopwaitsecs", f"was left out: it follows the timeout here, {usual:.0f} s")

    def _environment(self) -> None:
        found: dict[str, str] = {}
        for name, value in self.program.environment.items():
            text = self.text(value, "environment")
            if text is not None:
                found[name] = text
        found |= self.command.environment
        user = self.keys.get("user")
        usual = {"HOME": self.whole.around.home(user), "USER": user} if user else {}
        for name in [name for name, text in usual.items() if name in found and found[name] == text]:
            del found[name]
            self.changed("environment", f"{name} was left out: queuepool sets it for the program's user")
        if found:
            self.keys["environment"] = found

    def _without_equivalent(self) -> None:
        program = self.program
        for stream, log in (("stdout", program.stdout), ("stderr", program.stderr)):
            if log.syslog:
                option = f"{stream}_syslog" if program.said(f"{stream}_syslog") else f"{stream}_logfile"
                what = "goes to syslog, which queuepool does not write: it has a file here"
                self.say(Verdict.LEFT, option, what, "let a log shipper read the file")
        if program.said("serverurl"):
            self.say(Verdict.LEFT, "serverurl", "is for programs that call Supervisor's XML-RPC")

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
                        self.say(Verdict.LEFT, option, what[:200])


def _safe(value: Template) -> bool:
    try:
        value.known({"program_name": "x", "group_name": "x"})
    except ValueError:
        return False
    return True
