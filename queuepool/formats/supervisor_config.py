"""The sections of supervisord.conf -> programs and groups with the types and defaults that Supervisor gives them
(supervisor/options.py, ServerOptions). PURE. What queuepool makes of them is supervisor_import.py's matter.

Where Supervisor would refuse the file, a remark says so and what was most likely meant is taken.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from queuepool.domain.pool import Autorestart
from queuepool.domain.supervisor_events import TYPES
from queuepool.formats import supervisor_values as values
from queuepool.formats.supervisor_ini import Ini, Option, Section, Where
from queuepool.formats.supervisor_model import Config, Group, Log, Program, Server, Surroundings
from queuepool.formats.supervisor_options import KEEPS_VARIABLES, SECTIONS, kind_of, near_option, near_section
from queuepool.formats.supervisor_remarks import IGNORES, REFUSES, Remark, Verdict, quoted
from queuepool.formats.supervisor_values import Template

T = TypeVar("T")


_INDENTED = re.compile(r"([a-z_]+)\s*=\s*(.*)\Z")
_FORMLESS = re.compile(r"%\((program_name|process_num|group_name|here|host_node_name)\)(?![#0 +-]*[0-9.]*[a-zA-Z])")
"""An expansion that lacks its last letter, as the first editions of Horizon's documentation had it."""
_TEXTS = frozenset({"command", "process_name", "directory", "stdout_logfile", "stderr_logfile", "serverurl"})
"""Options that may hold anything, even more lines."""
WEAK = frozenset({"", "123", "1234", "12345", "123456", "admin", "password", "secret", "user", "supervisor", "root"})


def include_patterns(ini: Ini, around: Surroundings) -> tuple[str, ...]:
    """What `[include] files` names, in its order; relative ones are meant from the directory of the main file."""
    section = ini.sections.get("include")
    said = section.options.get("files") if section else None
    if said is None:
        return ()
    known = {"here": around.here, "host_node_name": around.host, **_env(around.environ)}
    try:
        text = values.template(said.value).render(known)
    except (KeyError, ValueError):
        text = said.value
    return tuple(text.split())


def understand(ini: Ini, around: Surroundings) -> Config:
    """What the sections mean."""
    return _Understanding(ini, around).config()


def _env(environ: Mapping[str, str]) -> dict[str, str]:
    return {f"ENV_{name}": value for name, value in environ.items()}


class _Understanding:
    def __init__(self, ini: Ini, around: Surroundings) -> None:
        self.ini, self.around = ini, around
        self.remarks = [
            Remark(Verdict.WRONG, f.where, "", "", f.what if f.ignored else f"{f.what}; {REFUSES}", f.todo)
            for f in ini.faults
        ]
        self.known: dict[str, str | int] = {
            "here": around.here, "host_node_name": around.host, **_env(around.environ),
        }  # fmt: skip

    def config(self) -> Config:
        programs, groups, servers, others = [], [], [], []
        main = self.ini.sections.get("supervisord")
        environment: Mapping[str, Template] = {}
        user = directory = None
        if main is not None:
            one = _One(self, main, "supervisord", dict(self.known))
            environment = one.environment()
            user, directory = one.text("user"), one.text("directory")
            self.known.update({f"ENV_{name}": _rough(text, self.known) for name, text in environment.items()})
        for section in self.ini.sections.values():
            kind = kind_of(section.name)
            section = self._taken_apart(section, kind)
            self._look(section, kind)
            name = section.name.partition(":")[2].strip()
            one = _One(self, section, section.name, {**self.known, "program_name": name, "group_name": name})
            if kind in ("program", "fcgi-program", "eventlistener"):
                found = one.program(kind, name)
                if found is not None:
                    programs.append(found)
            elif kind == "group":
                groups.append(one.group(name))
            elif kind == "inet_http_server":
                servers += one.server()
            elif kind is not None:
                others.append(section)
        groups = [self._with_known_programs(group, programs) for group in groups]
        return Config(
            tuple(programs), tuple(groups), tuple(servers), environment, user, directory, tuple(others),
            tuple(self.remarks),
        )  # fmt: skip

    def _taken_apart(self, section: Section, kind: str | None) -> Section:
        """With the options that are indented, and therefore part of the value above, as options of their own."""
        known = SECTIONS.get(kind or "") or frozenset()
        options = dict(section.options)
        for name, option in section.options.items():
            if name == "environment" or "\n" not in option.value or not _whole(option.value.partition("\n")[0]):
                continue
            kept: list[str] = []
            found: dict[str, Option] = {}
            for line in option.value.split("\n"):
                match = _INDENTED.match(line) if kept else None
                if match is not None and match[1] in known:
                    found[match[1]] = replace(option, value=match[2])
                else:
                    kept.append(line)
            if found:
                what = f"takes in what is indented below it: {', '.join(found)}"
                what += "" if name in _TEXTS else f"; {REFUSES}"
                todo = "nothing: read as options of their own"
                self.wrong(option.where, f"[{section.name}]", name, what, todo)
                options = {**found, **options, name: replace(option, value="\n".join(kept).rstrip())}
        return replace(section, options=options)

    def _look(self, section: Section, kind: str | None) -> None:
        """Say what Supervisor would not: words that it ignores, what was said twice."""
        where = section.where[0]
        if kind is None:
            near = near_section(section.name)
            todo = f"write {near}" if near else "remove it"
            self.wrong(where, f"[{section.name}]", "", f"is no section of Supervisor, {IGNORES}", todo)
            return
        if len(section.where) > 1:
            again = ", ".join(str(place) for place in section.where[1:])
            self.wrong(
                where, f"[{section.name}]", "",
                f"is given again at {again}; Supervisor merges them into one without a word", "keep one of them",
            )  # fmt: skip
        if kind == "include":
            self._look_at_include(section)
        known = SECTIONS[kind]
        for name, option in section.options.items():
            if known is not None and name not in known:
                self._unknown(section, kind, name, option)
            elif option.before:
                earlier = ", ".join(str(place) for place in option.before)
                self.wrong(
                    option.where, f"[{section.name}]", name, f"replaces what {earlier} says", "keep the one you mean"
                )

    def _look_at_include(self, section: Section) -> None:
        for place in section.where:
            if place.file != self.ini.main:
                what = "stands in an included file: Supervisor reads no file that it names"
                self.wrong(place, "[include]", "", what, "name the files in the main file")
        if "files" not in section.options:
            self.wrong(section.where[0], "[include]", "", f"has no files; {REFUSES}", "write `files=conf.d/*.conf`")

    def _unknown(self, section: Section, kind: str, name: str, option: Option) -> None:
        if name.startswith("//"):
            what = f"begins with //, which is no comment but an option to Supervisor, {IGNORES}"
            self.wrong(option.where, f"[{section.name}]", "", what, "begin a comment with ; or #")
            return
        near = near_option(name, kind)
        shown = name if name.isprintable() and len(name) <= 60 else "an option"
        todo = f"did you mean {near}? Then it was never in force" if near else "remove it"
        self.wrong(option.where, f"[{section.name}]", shown, f"is no option of Supervisor, {IGNORES}", todo)

    def _with_known_programs(self, group: Group, programs: list[Program]) -> Group:
        there = {program.name for program in programs if program.kind != "eventlistener"}
        for name in group.programs:
            if name not in there:
                what = f"names {quoted(name)}, which is no program; {REFUSES}"
                where = group.section.options["programs"].where
                self.wrong(where, f"[{group.section.name}]", "programs", what, "remove it from the group")
        known = tuple(dict.fromkeys(name for name in group.programs if name in there))
        return Group(group.name, group.section, known, group.priority)

    def wrong(self, where: Where, subject: str, option: str, what: str, todo: str = "") -> None:
        self.remarks.append(Remark(Verdict.WRONG, where, subject, option, what, todo))


def _whole(line: str) -> bool:
    """Whether no quote goes on in the next line."""
    try:
        return bool(shlex.split(line))
    except ValueError:
        return False


def _rough(text: Template, known: Mapping[str, str | int]) -> str:
    try:
        return text.render(known)
    except (KeyError, ValueError):
        return ""


class _One:
    """One section; each method reads something of it. known: what %(...)s stands for in its plain options."""

    def __init__(self, whole: _Understanding, section: Section, label: str, known: dict[str, str | int]) -> None:
        self.whole, self.section, self.known = whole, section, known
        self.label = f"[{label}]"

    def program(self, kind: str, name: str) -> Program | None:
        if (fault := values.name_fault(name)) and kind != "eventlistener":
            self._wrong("", f"the name {fault}; {REFUSES}", "rename it")
        command = self.template("command")
        if command is None or not str(command).strip():
            self._wrong("", f"has no command; {REFUSES}", "add one, or remove the section")
            return None
        events = self._events() if kind == "eventlistener" else ()
        buffer_size = self._take("buffer_size", values.integer, 10) if kind == "eventlistener" else 10
        if buffer_size < 1:
            self._wrong("buffer_size", f"is less than 1; {REFUSES}", "remove it: it is 10 then")
        if kind == "eventlistener" and self._take("redirect_stderr", values.boolean, False):
            self._wrong("redirect_stderr", f"cannot be true for an event listener; {REFUSES}", "remove it")
        if kind == "fcgi-program" and not self.text("socket"):
            self._wrong("socket", f"is not given; {REFUSES}", "write `socket=unix:///run/%(program_name)s.sock`")
        numprocs = self._take("numprocs", values.integer, 1)
        process_name = self.template("process_name") or values.template("%(program_name)s")
        if numprocs > 1 and "process_num" not in process_name.names:
            self._wrong(
                "process_name",
                f"has to hold %(process_num)02d where numprocs is more than 1; {REFUSES}",
                "write `process_name=%(program_name)s_%(process_num)02d`",
            )
            process_name = values.template("%(program_name)s_%(process_num)02d")
        stopasgroup = self._take("stopasgroup", values.boolean, False)
        killasgroup = self._take("killasgroup", values.boolean, stopasgroup)
        if stopasgroup and not killasgroup:
            self._wrong("killasgroup", f"is false while stopasgroup is true; {REFUSES}", "remove killasgroup")
            killasgroup = True
        return Program(
            kind=kind,
            name=name,
            section=self.section,
            command=command,
            process_name=process_name,
            numprocs=max(0, numprocs),
            numprocs_start=self._take("numprocs_start", values.integer, 0),
            priority=self._take("priority", values.integer, -1 if kind == "eventlistener" else 999),
            autostart=self._take("autostart", values.boolean, True),
            autorestart=self._take("autorestart", values.autorestart, Autorestart.UNEXPECTED),
            exitcodes=self._take("exitcodes", values.exit_codes, (0,)),
            startsecs=self._take("startsecs", values.integer, 1),
            startretries=self._take("startretries", values.integer, 3),
            stopsignal=self._take("stopsignal", values.signal_number, 15),
            stopwaitsecs=self._take("stopwaitsecs", values.integer, 10),
            stopasgroup=stopasgroup,
            killasgroup=killasgroup,
            user=self.text("user"),
            directory=self.template("directory"),
            umask=self._take("umask", values.octal, None),
            redirect_stderr=self._take("redirect_stderr", values.boolean, False),
            environment=self.environment(),
            stdout=self._log("stdout"),
            stderr=self._log("stderr"),
            events=events,
            buffer_size=max(1, buffer_size),
        )

    def _events(self) -> tuple[str, ...]:
        """What a listener is told of. A name that Supervisor does not know is left out, and said."""
        nothing: tuple[str, ...] = ()
        given = tuple(dict.fromkeys(name.upper() for name in self._take("events", values.strings, nothing)))
        known = tuple(name for name in given if name in TYPES)
        for name in given:
            if name not in known:
                self._wrong("events", f"has {quoted(name)}, which is no event; {REFUSES}", "mend it; it was left out")
        if not given:
            self._wrong("events", f"are not given; {REFUSES}", "write `events=PROCESS_STATE`")
        return known

    def group(self, name: str) -> Group:
        return Group(
            name, self.section, self._take("programs", values.strings, ()), self._take("priority", values.integer, 999)
        )

    def server(self) -> list[Server]:
        if "port" not in self.section.options:
            self._wrong("", f"has no port; {REFUSES}", "write `port=127.0.0.1:9001`")
            return []
        host, port = self._take("port", values.address, ("127.0.0.1", 9001))
        username, password = self.text("username"), self.text("password")
        if (username is None) != (password is None):
            self._wrong("", f"has only one of username and password; {REFUSES}", "give both")
        guarded = username is not None and password is not None
        weak = guarded and ((password or "").lower() in WEAK or password == username)
        return [Server(self.section, host, port, username, guarded, weak)]

    def text(self, option: str) -> str | None:
        """A plain text, with everything filled in; None when it is not given."""
        return self._take(option, str, None)

    def template(self, option: str) -> Template | None:
        """A text whose %(...)s stay."""
        said = self.section.options.get(option)
        if said is None:
            return None
        found = values.template(said.value)
        if found.bare:
            self._bare(option)
            return values.template(_FORMLESS.sub(r"%(\1)s", said.value))
        return found

    def environment(self) -> Mapping[str, Template]:
        """The variables, each with its %(...)s. The text is split as Supervisor does it, after it has filled them in:
        so words stand for them meanwhile."""
        text = self.template("environment")
        if text is None:
            return {}
        mark = "Q"
        while any(mark in piece for piece in text.pieces if isinstance(piece, str)):
            mark += "Q"
        refs = [piece for piece in text.pieces if isinstance(piece, values.Ref)]
        numbers = iter(range(len(refs)))
        marked = "".join(p if isinstance(p, str) else f"{mark}{next(numbers)}z" for p in text.pieces)
        try:
            pairs = values.environment(marked)
        except ValueError as error:
            self._wrong("environment", f"{error}; {REFUSES}", 'write `A="1",B="2"`')
            return {}
        found: dict[str, Template] = {}
        for name, value in pairs.items():
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name, re.ASCII) and mark not in name:
                parts = re.split(f"{mark}([0-9]+)z", value)
                pieces = [refs[int(part)] if at % 2 else part for at, part in enumerate(parts) if part]
                found[name] = Template(tuple(pieces))
            else:
                self._wrong("environment", "holds something that cannot be the name of a variable", "remove it")
        return found

    def _log(self, stream: str) -> Log:
        path = self.template(f"{stream}_logfile")
        if path is not None:  # Supervisor expands the path of a log twice
            path = values.template(str(path))
            if path.bare and not values.template(self.section.options[f"{stream}_logfile"].value).bare:
                self._bare(f"{stream}_logfile", "write %%%% for %: the path of a log is expanded twice")
        kind = "auto" if path is None else values.log_kind(str(path))
        return Log(
            kind=kind,
            path=path or Template(()),
            maxbytes=self._take(f"{stream}_logfile_maxbytes", values.byte_size, 50 * 1024**2),
            backups=self._take(f"{stream}_logfile_backups", values.integer, 10),
            capture_maxbytes=self._take(f"{stream}_capture_maxbytes", values.byte_size, 0),
            events=self._take(f"{stream}_events_enabled", values.boolean, False),
            syslog=self._take(f"{stream}_syslog", values.boolean, False) or kind == "syslog",
        )

    def _take(self, option: str, read: Callable[[str], T], default: T) -> T:
        """The value of an option, or what was most likely meant by it."""
        said = self.section.options.get(option)
        if said is None:
            return default
        found = values.template(said.value)
        if found.bare:
            self._bare(option)
        try:
            text = found.render(self.known)
        except KeyError as error:
            name = str(error.args[0])
            if name.startswith("ENV_"):
                kept = option in KEEPS_VARIABLES
                todo = (
                    "set it where `queuepool up` runs" if kept else "set it for the import, or write the value itself"
                )
                self._wrong(option, f"needs the environment variable {quoted(name[4:])}, which is not set here", todo)
                return default
            shown = f"%({name})s" if name.isidentifier() and option != "password" else "a %(...)s"
            self._wrong(option, f"holds {shown}, whose name is not known; {REFUSES}", "write the value itself")
            return default
        except ValueError as error:
            self._wrong(option, f"{error}; {REFUSES}", "write the value itself")
            return default
        try:
            return read(text)
        except ValueError as error:
            return self._meant(option, text, str(error), read, default)

    def _meant(self, option: str, text: str, fault: str, read: Callable[[str], T], default: T) -> T:
        """A value that cannot be read: without its quotes, or what stands before another line or a mark of a comment,
        may do."""
        if "\n" in text:
            fault = "goes on in the next line: an indented line belongs to the one above"
        for shorter in (text.strip("\"'"), re.split(r"\s*//|\n|[;#]|\s", text, maxsplit=1)[0]):
            try:
                value = read(shorter) if shorter not in ("", text) else None
            except ValueError:
                continue
            if value is not None:
                self._wrong(option, f"{quoted(text)} {fault}; {REFUSES}", f"write `{option}={shorter}`")
                return value
        self._wrong(option, f"{quoted(text)} {fault}; {REFUSES}", "its default was taken; write what you mean")
        return default

    def _bare(self, option: str, todo: str = "write %% for %") -> None:
        what = f"holds a % that is not doubled and begins no %(name)s; {REFUSES}"
        self._wrong(option, what, todo)

    def _wrong(self, option: str, what: str, todo: str) -> None:
        said = self.section.options.get(option)
        where = said.where if said else self.section.where[0]
        self.whole.wrong(where, self.label, option, what, todo)
