"""A configuration of Supervisor -> drafts of what queuepool.yml will hold, with a remark on all that changes. PURE. One
program is supervisor_program.py's matter, the text supervisor_yaml.py's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from queuepool.domain.names import PROGRAM_NAME
from queuepool.formats.supervisor_memmon import limits
from queuepool.formats.supervisor_model import Config, Program, Server, Surroundings
from queuepool.formats.supervisor_program import Draft, OneProgram
from queuepool.formats.supervisor_remarks import Remark, Verdict, quoted
from queuepool.formats.supervisor_translate import Size, Translator


@dataclass(frozen=True, slots=True)
class Drafts:
    """What a configuration becomes. groups: name -> (programs, priority or None)."""

    programs: tuple[Draft, ...]
    groups: Mapping[str, tuple[tuple[str, ...], int | None]]
    environment: Mapping[str, str] = field(repr=False)
    remarks: tuple[Remark, ...] = ()


def draft(config: Config, around: Surroundings) -> Drafts:
    """Every program that queuepool can run, and a remark on all that is not as it was."""
    return _Whole(config, around).drafts()


class _Whole(Translator):
    def __init__(self, config: Config, around: Surroundings) -> None:
        super().__init__(config, around)
        self.names: dict[str, str] = {}

    def drafts(self) -> Drafts:
        drafts: list[Draft] = []
        logs: dict[str, str] = {}
        for program in sorted(self.config.programs, key=lambda program: program.kind == "eventlistener"):
            if program.kind == "fcgi-program":
                what = "is a FastCGI program, which queuepool does not run"
                todo = "php-fpm manages such processes itself"
                self.say(Verdict.LEFT, program.where(), f"[{program.section.name}]", "", what, todo)
            elif program.kind != "eventlistener" or not self._memory(program, drafts):
                one = OneProgram(self, program, self._name(program))
                if (made := one.draft()) is not None:
                    drafts.append(made)
                    one.logs.look(logs)
        groups = self._groups({one.program.name: one.name for one in drafts})
        if drafts:
            what = "is clean here: HOME, USER, PATH of the user and what the file gives, no more that of supervisord"
            where = drafts[0].program.where()
            self.say(Verdict.CHANGED, where, "[program:...]", "environment", what, "`clear_env: false` passes it on")
        environment = {
            name: self.text(value, section.options["environment"].where, "[supervisord]", "environment") or ""
            for section in self.config.others
            if section.name == "supervisord"
            for name, value in self.config.environment.items()
        }
        self._others()
        return Drafts(tuple(drafts), groups, environment, tuple(self.remarks))

    def _memory(self, listener: Program, drafts: Sequence[Draft]) -> bool:
        """Whether this is memmon, whose limits the programs have got now. One that mails is carried as it is."""
        found = limits(str(listener.command))
        found = None if found is None or found.mails else found
        limited = []
        for one in drafts if found else ():
            program = one.program
            groups = [group.name for group in self.config.groups if program.name in group.programs] or [program.name]
            limit = found.of({program.name, *_process_names(program)}, groups) if found else None
            if limit is not None and limit > 0:
                one.keys["memory_limit"] = Size(limit)
                limited.append(one.name)
        if limited:
            what = f"is memmon; {', '.join(limited[:20])} got `memory_limit`: a worker above it ends after its job"
            self.say(Verdict.CHANGED, listener.where("command"), f"[{listener.section.name}]", "", what)
        return bool(limited)

    def _name(self, program: Program) -> str:
        name = _named(program.name, self.names.values(), "program")
        self.names[program.section.name] = name
        if name != program.name:
            what = f"is named {name} here: a name is made of letters, digits, _ . @ and -"
            self.say(Verdict.CHANGED, program.where(), f"[{program.section.name}]", "name", what)
        return name

    def _groups(self, carried: Mapping[str, str]) -> dict[str, tuple[tuple[str, ...], int | None]]:
        found: dict[str, tuple[tuple[str, ...], int | None]] = {}
        owner: dict[str, str] = {}
        for group in self.config.groups:
            label, where = f"[{group.section.name}]", group.section.where[0]
            members = tuple(carried[name] for name in group.programs if name in carried)
            for name in members:
                if name in owner:
                    what = f"has {name}, which is in {owner[name]} too: Supervisor runs it twice, queuepool once"
                    self.say(Verdict.CHANGED, where, label, "programs", what, "give it a program of its own")
                owner.setdefault(name, label)
            priority = group.priority if group.priority != 999 else None
            if priority is not None and members:
                what = "is that of each of its programs which has none of its own"
                self.say(Verdict.CHANGED, group.section.options["priority"].where, label, "priority", what)
            if members:
                name = _named(group.name, {*carried.values(), *found}, "group")
                if name != group.name:
                    self.say(Verdict.CHANGED, where, label, "name", f"is named {name} here: its name is not free")
                found[name] = members, priority
            else:
                self.say(Verdict.LEFT, where, label, "", "has no program that was carried")
        if found:
            what = "a process is called by its program, `mail:mail_00`; the group is a name for all of them"
            where = self.config.groups[0].section.where[0]
            self.say(Verdict.CHANGED, where, "[group:...]", "group", what)
        return found

    def _others(self) -> None:
        """The sections that are about supervisord itself."""
        for section in self.config.others:
            kind = section.name.partition(":")[0]
            label, where = f"[{section.name}]", section.where[0]
            if kind == "supervisord":
                own = [name for name in section.options if name not in ("environment", "user", "directory")]
                if own:
                    what = f"{', '.join(sorted(own)[:20])}: of supervisord itself; queuepool needs none of them"
                    self.say(Verdict.LEFT, where, label, "", what)
                if self.config.user is not None:
                    what = f"programs without one of their own run as {quoted(self.config.user)}, which was carried"
                    self.say(Verdict.CHANGED, section.options["user"].where, label, "user", what)
            elif kind == "ctlplugin" or (kind == "rpcinterface" and section.name != "rpcinterface:supervisor"):
                self.say(Verdict.LEFT, where, label, "", "is a plugin in Python for Supervisor alone")
        for server in self.config.servers:
            label, where = f"[{server.section.name}]", server.section.where[0]
            if fault := _exposed(server):
                self.say(Verdict.WRONG, where, label, "", fault, "listen on 127.0.0.1, with a long password")
            what = "is in the file as a comment, for two daemons cannot listen on one port"
            todo = "when Supervisor is gone, set QUEUEPOOL_PASSWORD and remove the marks"
            self.say(Verdict.LEFT, where, label, "", what, todo)


def _named(name: str, taken: Collection[str], instead: str) -> str:
    """A name that queuepool takes and that is not taken yet. instead: what to put before one that cannot be."""
    wanted = "".join(c if c.isascii() and (c.isalnum() or c in "_.@-") else "-" for c in name)[:90]
    if not PROGRAM_NAME.match(wanted) or wanted.lower() == "all":
        wanted = f"{instead}-{wanted.lstrip('.@-')}".rstrip("-")
    found, number = wanted, 2
    while found in taken:
        found, number = f"{wanted}-{number}", number + 1
    return found


def _process_names(program: Program) -> set[str]:
    """The names of its processes, as far as they do not depend on anything else."""
    names: dict[str, str | int] = {
        "program_name": program.name,
        "group_name": program.name,
        "numprocs": program.numprocs,
    }
    first, count = program.numprocs_start, min(program.numprocs, 1000)
    try:
        return {program.process_name.render({**names, "process_num": first + slot}) for slot in range(count)}
    except (KeyError, ValueError):
        return set()


def _exposed(server: Server) -> str:
    """What is dangerous about a server, "" when nothing is."""
    everywhere = server.host in ("", "0.0.0.0")  # noqa: S104 - it is looked for, not listened on
    at = f"*:{server.port}" if everywhere else f"{server.host}:{server.port}"
    if server.weak:
        return f"has a password on {at} that is the first to be guessed; with it anybody stops your programs"
    if not server.guarded:
        return f"has no password on {at}: whoever reaches it stops your programs"
    return f"listens on {at} without encryption, so that the password can be read on its way" if everywhere else ""
