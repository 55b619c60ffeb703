"""What Supervisor's files say, as values: programs, groups, servers, and what surrounds them. PURE. They are made by
supervisor_config.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from queuepool.domain.pool import Autorestart
from queuepool.formats.supervisor_ini import Option, Section, Where
from queuepool.formats.supervisor_remarks import Remark
from queuepool.formats.supervisor_values import Template


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the meaning of a file depends on beside its text. here: directory of the main file. environ: of
    supervisord, as far as it is known. home: user, or "" for the one that runs supervisord -> home directory."""

    here: str = "/etc/supervisor"
    host: str = "localhost"
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    home: Callable[[str], str | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Log:
    """Where one stream of a program goes. kind: auto, none, syslog or path. path: what is written there."""

    kind: str
    path: Template
    maxbytes: int
    backups: int
    capture_maxbytes: int
    events: bool
    syslog: bool


@dataclass(frozen=True, slots=True)
class Program:
    """A [program:x], [fcgi-program:x] or [eventlistener:x] as Supervisor understands it. Of the templates, nothing is
    filled in. events, buffer_size: of an event listener."""

    kind: str
    name: str
    section: Section
    command: Template
    process_name: Template
    numprocs: int
    numprocs_start: int
    priority: int
    autostart: bool
    autorestart: Autorestart
    exitcodes: tuple[int, ...]
    startsecs: int
    startretries: int
    stopsignal: int
    stopwaitsecs: int
    stopasgroup: bool
    killasgroup: bool
    user: str | None
    directory: Template | None
    umask: int | None
    redirect_stderr: bool
    environment: Mapping[str, Template] = field(repr=False)
    stdout: Log
    stderr: Log
    events: tuple[str, ...] = ()
    buffer_size: int = 10

    def said(self, option: str) -> Option | None:
        """What the file says of an option, None when nothing."""
        return self.section.options.get(option)

    def where(self, option: str = "") -> Where:
        """The line of an option, else of the section."""
        said = self.said(option)
        return said.where if said else self.section.where[0]


@dataclass(frozen=True, slots=True)
class Group:
    """A [group:x]."""

    name: str
    section: Section
    programs: tuple[str, ...]
    priority: int


@dataclass(frozen=True, slots=True)
class Server:
    """An [inet_http_server]. guarded: whether it asks for a password; weak: whether that is one of those that are
    tried first."""

    section: Section
    host: str
    port: int
    username: str | None
    guarded: bool
    weak: bool


@dataclass(frozen=True, slots=True)
class Config:
    """All that the files say. environment: of every program. others: the sections that are not programs or groups."""

    programs: tuple[Program, ...]
    groups: tuple[Group, ...]
    servers: tuple[Server, ...]
    environment: Mapping[str, Template] = field(repr=False)
    user: str | None
    directory: str | None
    others: tuple[Section, ...]
    remarks: tuple[Remark, ...]
