"""One program of the file -> its pool: the merged options, the command line, user, environment, logs and stopping, and
what in them contradicts itself. What goes beyond one program is resolve.py's matter."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queuepool.domain import command
from queuepool.domain.capture import Tap
from queuepool.domain.expand import CannotExpand, Template, template
from queuepool.domain.names import ProcessName
from queuepool.domain.places import Fault, File, Membership, Path, absolute, key_of
from queuepool.domain.pool import COMMANDS, Launch, Listening, LogPolicy, Policy, PoolSpec, ProcessSpec, Strategy
from queuepool.domain.slots import Slots, at
from queuepool.domain.spec import KIND_DEFAULTS, Program, Settings
from queuepool.domain.supervised import NOT_SUPERVISED, OTHERWISE_SUPERVISED

LARAVEL_TIMEOUT = 60
LARAVEL_SLEEP = 3.0
STOP_MARGIN = 15.0
"""Seconds that a worker gets to end beyond its job and its sleep: shutting down, a slow disk, a block_for of 5."""
NO_LIMIT_STOP = 3600.0
"""Grace for workers whose jobs may take for ever; Laravel's documentation gives its Supervisor example the same."""
RECYCLE_CODES = frozenset({0, 12})

_ROTATE_SECONDS = {"never": 0, "hourly": 3600, "daily": 86400}
ARTISAN_KEYS = frozenset().union(*(command.keys(kind) for kind in command.ARTISAN)) | {"command"}


@dataclass(frozen=True, slots=True)
class Inherited:
    """What programs of one kind begin with. values: field -> value. said: field -> number of the file whose `defaults`
    say so; a field that is absent there is built in."""

    values: Mapping[str, Any]
    said: Mapping[str, int]


class OneProgram:
    """One program on its way to a pool; each method answers one question. What is wrong goes to `faults`."""

    def __init__(
        self, name: str, program: Program, files: Sequence[File], inherited: Inherited, member: Membership
    ) -> None:
        """files: the main file and, where it is another, the one of the program. inherited: see there."""
        self.name, self.program, self.files, self.place = name, program, files, files[-1].place
        self.kind = kind_of(program)
        self.faults: list[Fault] = []
        self.own = len(self.files)
        """The level of what the program says itself; below stand the files' defaults."""
        self.said = {**inherited.said, **dict.fromkeys(program.model_fields_set, self.own)}
        self.want = program.model_copy(
            update={**inherited.values, **{n: getattr(program, n) for n in program.model_fields_set}}
        )
        self.values = _Values(
            program_name=name,
            group_name=member.group,
            here=self.place.here,
            host_node_name=self.place.host,
            numprocs=self.want.numprocs,
        )
        self.values.environ = self.place.environ
        self.home = member.group
        self.priority = self.want.priority
        if "priority" not in self.said and member.priority is not None:
            self.priority = member.priority

    def pool(self) -> PoolSpec | None:
        """The pool, or None when nothing could be made of it; what is wrong is in `faults`."""
        self._check_keys()
        if self.kind in COMMANDS and self.want.command is None:
            self._fault("", "has no `command`, what it is to run", "add it, or remove `type`: then it is a worker")
            return None
        self._check_listener()
        try:
            slots = self._slots()
            first = slots(0)
        except _Abandon:
            return None
        self._check_first(slots, first)
        artisan = self.kind not in COMMANDS
        says, verbose = command.says(first.launch.argv) if artisan else (False, False)
        return PoolSpec(
            name=self.name,
            kind=self.kind,
            numprocs=self.want.numprocs,
            process=slots,
            priority=self.priority,
            autostart=self.want.autostart,
            depends_on=self.want.depends_on,
            pace=self.want.pace,
            app=self.place.app if artisan or self.place.laravel else None,
            php=self._php(),
            connection=self.want.connection if artisan else None,
            queues=(self.want.queue or ()) if artisan else (),
            strategy=self._strategy(),
            says=says,
            verbose=verbose,
            requeue=self.want.requeue,
            stop_follows=artisan and "stopwaitsecs" not in self.said,
            home=self.home,
            listening=Listening(self.want.events, self.want.buffer_size) if self.kind == "eventlistener" else None,
            source=self.place.source(("programs", self.name)),
        )

    def _slots(self) -> Slots:
        environment = self._environment()
        self.values.environ = {**self.place.environ, **{name: text.render({}) for name, text in environment.items()
                                                        if not text.per_slot}}  # fmt: skip
        directory = self._path("directory", self.want.directory or self.place.app)
        argv = tuple(self._bound("command", word) for word in self._argv(directory))
        user, group, groups = self._identity()
        stdout, stderr = self._log("stdout", user, group), None
        redirect = self._redirects()
        if not redirect:
            stderr = self._log("stderr", user, group)
        at_first: dict[str, str | int] = {"process_num": self.want.numprocs_start}
        launch = Launch(
            argv=tuple(word.render(at_first) for word in argv),
            directory=directory.render(at_first),
            user=user,
            group=group,
            groups=groups,
            umask=self.want.umask,
            nice=self.want.nice,
            rlimits=tuple((name, *limit) for name, limit in sorted(self.want.rlimits.items())),
            environment=tuple((name, text.render(at_first)) for name, text in sorted(environment.items())),
            clear_env=self.want.clear_env,
            redirect_stderr=redirect,
            hears=self.kind == "eventlistener",
        )
        return Slots(
            first=self.want.numprocs_start,
            process_name=self._bound("process_name", self._process_name()),
            argv=argv,
            directory=directory,
            environment=tuple(sorted(environment.items())),
            stdout=stdout[1],
            stderr=stderr and stderr[1],
            spec=ProcessSpec(
                ProcessName(self.name, 0), "", launch, self._policy(),
                at(*stdout, at_first), stderr and at(*stderr, at_first), self._taps(redirect),
            ),
        )  # fmt: skip

    def _taps(self, redirect: bool) -> tuple[Tap, Tap]:
        """What of stdout and stderr goes to event listeners."""
        want, own = self.want, self.kind == "eventlistener"
        stdout = Tap() if own else Tap(want.stdout_capture_maxbytes, want.stdout_events_enabled)
        stderr = Tap(want.stderr_capture_maxbytes, want.stderr_events_enabled)
        if redirect and stderr:
            key = "stderr_capture_maxbytes" if stderr.capture else "stderr_events_enabled"
            what = "has no effect, for redirect_stderr is true: all goes to stdout"
            self._fault(key, what, "give it for stdout, or set redirect_stderr to false", warning=True)
        return stdout, Tap() if redirect else stderr

    def _argv(self, directory: Template) -> tuple[str, ...]:
        if self.kind in COMMANDS:
            return self.want.command or ()
        keys = command.keys(self.kind)
        given = {key_of(name): getattr(self.want, name) for name in self.said if key_of(name) in keys}
        extra = given.pop("options", ())
        artisan = "artisan" if directory.pieces == (self.place.app,) else posixpath.join(self.place.app, "artisan")
        asked = command.ArtisanCommand(self.kind, given, extra, self._php(), artisan)
        return command.render(command.with_ids(asked))

    def _php(self) -> tuple[str, ...]:
        file = next((f for f in reversed(self.files) if "php" in f.section.model_fields_set), self.files[0])
        binary, *flags = file.section.php
        return (absolute(file.place.here, binary) if "/" in binary else binary, *flags)

    def _process_name(self) -> str:
        if self.want.process_name is not None:
            return self.want.process_name
        single = self.kind in (*COMMANDS, "horizon") and self.want.numprocs <= 1
        return "%(program_name)s" if single else "%(program_name)s_%(process_num)02d"

    def _policy(self) -> Policy:
        want = self.want
        return Policy(
            startsecs=want.startsecs,
            startretries=want.startretries,
            autorestart=want.autorestart,
            exitcodes=frozenset(want.exitcodes),
            recycle_codes=frozenset() if self.kind in COMMANDS else RECYCLE_CODES,
            stopsignal=want.stopsignal,
            stop_seconds=self._stop_seconds(),
            stopasgroup=want.stopasgroup,
            killasgroup=want.killasgroup,
            fatal_retry_seconds=want.fatal_retry,
            memory_limit=want.memory_limit,
            sweep_signal=0 if self.kind == "listen" else 15,  # TERM would kill the job of queue:work --once
        )

    def _stop_seconds(self) -> float:
        if self.kind not in ("worker", "listen"):
            return self.want.stopwaitsecs or 0.0
        timeout = LARAVEL_TIMEOUT if self.want.timeout is None else self.want.timeout
        if self.want.stopwaitsecs is None:
            sleep = LARAVEL_SLEEP if self.want.sleep is None else self.want.sleep
            return timeout + sleep + STOP_MARGIN if timeout else NO_LIMIT_STOP
        if self.want.stopwaitsecs < timeout:
            self._fault(
                "stopwaitsecs",
                f"is less than the timeout of {timeout} s: a longer job is killed when its worker is stopped",
                "leave stopwaitsecs out, it follows the timeout",
                warning=True,
            )
        return self.want.stopwaitsecs

    def _strategy(self) -> Strategy:
        said = self.want.strategy
        usual = KIND_DEFAULTS[self.kind].get("strategy", said)
        surge = said.max_surge if "max_surge" in said.model_fields_set else usual.max_surge
        missing = said.max_unavailable
        if surge in (0, "0%") and "max_unavailable" not in said.model_fields_set:
            missing = 1
        return Strategy(surge, missing, said.batch, said.pause_between)

    def _identity(self) -> tuple[str | None, str | None, tuple[str, ...] | None]:
        """User, group and supplementary groups. A user brings its own groups: those that were given together with a
        user further out are not for it."""
        levels: list[tuple[Path, str | None, str | None, tuple[str, ...] | None]] = []
        for file in self.files:
            section = file.section
            levels.append((("user",), section.user, section.group, None))
            levels.append((("defaults", "user"), *_who(section.defaults)))
        levels.append((("programs", self.name, "user"), *_who(self.program)))
        user = group = groups = None
        for where, its_user, its_group, its_groups in reversed(levels):
            group, groups = group or its_group, its_groups if groups is None else groups
            if its_user is not None:
                user, colon, its_own = its_user.partition(":")
                if colon and (not user or not its_own or (its_group or its_own) != its_own):
                    wrong = f"names another group than `group`, {its_group}" if user and its_own else "is no user:group"
                    self.faults.append(Fault(where, wrong, "give the user alone, and its `group`"))
                return user, group or its_own or None, groups
        return user, group, groups

    def _environment(self) -> dict[str, Template]:
        """Every variable that the file gives: its env_files and environments, from the outermost in."""
        found: dict[str, str] = {}
        for file in self.files:
            section, known = file.section, file.place.env_files
            for names, pairs in (
                (section.env_file, section.environment), (section.defaults.env_file, section.defaults.environment),
            ):  # fmt: skip
                for name in names or ():
                    found.update({k: v.replace("%(", "%%(") for k, v in known.get(name, {}).items()})
                found.update(pairs)
        for name in self.program.env_file or ():
            found.update({k: v.replace("%(", "%%(") for k, v in self.place.env_files.get(name, {}).items()})
        found.update(self.program.environment)
        return {name: self._bound("environment", value) for name, value in found.items()}

    def _redirects(self) -> bool:
        log, redirect = self.said.get("stderr_logfile", -1), self.said.get("redirect_stderr", -1)
        if log == redirect != -1 and self.want.redirect_stderr and self.want.stderr_logfile.lower() not in _NOWHERE:
            self._fault("stderr_logfile", "would stay empty, for redirect_stderr is true", "leave one of them out")
        return self.want.redirect_stderr if redirect >= log else False

    def _log(self, stream: str, user: str | None, group: str | None) -> tuple[LogPolicy, Template | None]:
        want = self.want
        target: str = getattr(want, f"{stream}_logfile")
        path = None
        if target.lower() in ("auto", "default"):
            folder = "storage/logs" if self.kind not in COMMANDS or self.place.laravel else "logs"
            ending = ".err.log" if stream == "stderr" else ".log"
            path = Template((posixpath.join(self.place.app, folder, self.name + ending),))
        elif target.lower() not in _NOWHERE:
            path = self._path(f"{stream}_logfile", target)
        device = path is not None and str(path.pieces[0]).startswith("/dev/")
        policy = LogPolicy(
            path=path.render({"process_num": want.numprocs_start}) if path else None,
            maxbytes=0 if device else getattr(want, f"{stream}_logfile_maxbytes"),
            backups=getattr(want, f"{stream}_logfile_backups"),
            rotate_seconds=0 if device else _ROTATE_SECONDS[getattr(want, f"{stream}_logfile_rotate")],
            compress=getattr(want, f"{stream}_logfile_compress"),
            timestamp="time" in want.log_prefix,
            slot="slot" in want.log_prefix,
            json=want.log_format == "json",
            user=user,
            group=group,
        )
        return policy, path

    def _path(self, key: str, text: str) -> Template:
        """An absolute path; a relative one is meant from the file that says it."""
        level = self.said.get(key, self.own)
        here = self.files[level].place.here if level < self.own else self.place.here
        bound = self._bound(key, text)
        first = bound.pieces[0]
        if not isinstance(first, str):
            return Template((here.rstrip("/") + "/", *bound.pieces))
        return Template((absolute(here, first), *bound.pieces[1:]))

    def _bound(self, key: str, text: str) -> Template:
        try:
            return template(text).bind(self.values)
        except CannotExpand as error:
            self._fault(key, str(error))
            raise _Abandon from None

    def _check_keys(self) -> None:
        keys = command.keys(self.kind)
        for name in sorted(self.program.model_fields_set & _ALL):
            key = key_of(name)
            if key == "command":
                if self.kind not in COMMANDS:
                    self._fault(key, f"is for programs of `type: command`, this is {_A_KIND[self.kind]}")
            elif key not in keys:
                self._fault(key, f"has no meaning for {_A_KIND[self.kind]}", _INSTEAD.get(self.kind, ""))
        main = self.files[0].section
        if isinstance(main, Settings) and main.engine.type == "supervisord":
            self._check_supervised()
        if self.want.stopasgroup and not self.want.killasgroup:
            self._fault("killasgroup", "is false while stopasgroup is true: what ignores the stop would be left behind")
        if self.kind == "horizon" and self.want.numprocs > 1:
            self._fault(
                "numprocs", "starts several Horizon masters, each with all its workers",
                "set maxProcesses in config/horizon.php instead", warning=True,
            )  # fmt: skip

    def _check_listener(self) -> None:
        """What has a meaning for event listeners alone, or none for them."""
        given = self.program.model_fields_set
        if self.kind != "eventlistener":
            for key in sorted(given & {"events", "buffer_size"}):
                self._fault(key, f"is for event listeners, this is {_A_KIND[self.kind]}", "add `type: eventlistener`")
            return
        if not self.want.events:
            what = "has no `events`, what it is to be told of"
            self._fault("events" if "events" in given else "", what, "add them: `events: [PROCESS_STATE]`")
        if self.want.redirect_stderr:
            self._fault("redirect_stderr", "cannot be true: stdout of an event listener is the protocol", "remove it")
        for key in sorted(given & _OF_STDOUT):
            self._fault(key, "has no meaning: stdout of an event listener is the protocol", "give it for stderr")

    def _check_supervised(self) -> None:
        """What `engine: supervisord` cannot do, or does otherwise. Defaults that nobody asked for are no fault."""
        if self.kind == "eventlistener":
            self._fault("type", "cannot be had with `engine: supervisord`: an event listener there is Supervisor's own",
                        "write it into supervisord's files")  # fmt: skip
        for name in sorted(self.said):
            value = getattr(self.want, name)
            if name in NOT_SUPERVISED and value not in NOT_SUPERVISED[name][0]:
                self._fault(key_of(name), f"cannot be had with `engine: supervisord`: {NOT_SUPERVISED[name][1]}",
                            NOT_SUPERVISED[name][2])  # fmt: skip
            elif name in OTHERWISE_SUPERVISED and value not in OTHERWISE_SUPERVISED[name][0]:
                self._fault(key_of(name), OTHERWISE_SUPERVISED[name][1], warning=True)
        strategy = self.want.strategy
        if "strategy" in self.said and "max_surge" in strategy.model_fields_set and strategy.max_surge not in (0, "0%"):
            self._fault(
                "strategy", "wants max_surge, which cannot be had with `engine: supervisord`: it replaces a process in "
                "its place", "give max_unavailable: how many may be missing meanwhile",
            )  # fmt: skip
        if self._identity()[1] is not None:
            self._fault(
                "group", "cannot be had with `engine: supervisord`: Supervisor has no option for it",
                "leave it out: the processes have the groups of their user",
            )  # fmt: skip

    def _check_first(self, slots: Slots, first: ProcessSpec) -> None:
        shown = slots.process_name.render({"process_num": slots.first})
        if not shown or any(c.isspace() or c in ":/" for c in shown):
            self._fault("process_name", "gives a name with a blank, a colon or a slash, or an empty one")
        if not first.launch.argv[0]:
            self._fault("command", "is an empty command")

    def _fault(self, key: str, what: str, hint: str = "", *, warning: bool = False) -> None:
        where: Path = ("programs", self.name, key) if key else ("programs", self.name)
        self.faults.append(Fault(where, what, hint, warning))


class _Values(dict[str, str | int]):
    """The names of %(...)s, with the environment behind them as ENV_<name>."""

    environ: Mapping[str, str]

    def __missing__(self, name: str) -> str:
        if name.startswith("ENV_"):
            return self.environ[name[4:]]
        raise KeyError(name)


class _Abandon(Exception):
    """The program cannot be resolved; why is already among the faults."""


_NOWHERE = frozenset({"none", "off", "false"})
_OF_STDOUT = frozenset({"stdout_capture_maxbytes", "stdout_events_enabled"})
_ALL = frozenset(name for name in Program.model_fields if key_of(name) in ARTISAN_KEYS)
_A_KIND = {"worker": "a worker", "listen": "queue:listen", "horizon": "Horizon", "command": "a command",
           "eventlistener": "an event listener"}  # fmt: skip
_INSTEAD = {
    "horizon": "it is set in config/horizon.php",
    "command": "remove it, or remove `command`: then it is a worker",
    "eventlistener": "remove it",
}


def kind_of(program: Program) -> str:
    """worker, listen, horizon, command or eventlistener; what has a `command` need not say that it is one."""
    return program.type or ("command" if "command" in program.model_fields_set else "worker")


def _who(options: Program) -> tuple[str | None, str | None, tuple[str, ...] | None]:
    return options.user, options.group, options.groups
