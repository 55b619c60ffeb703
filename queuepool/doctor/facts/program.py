"""The file and its programs, as the doctor sees them. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartFacts:
    """One file that the configuration is made of. path: absolute. role: "main", "include" or "env_file". mode, uid: of
    the file; None: unknown. secrets: what in it holds a password, as "file:line: key"."""

    path: str
    role: str
    mode: int | None = None
    uid: int | None = None
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LackFacts:
    """Something that programs lack on this machine, as far as files tell. what, remedy: for a person. fatal: whether
    they cannot run at all."""

    programs: tuple[str, ...]
    what: str
    remedy: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class FileFacts:
    """queuepool.yml. path: absolute. found: whether there is one. problems: "file:line: path: what is wrong (hint)",
    each of which keeps a program or all of it from being used; warnings: in the same form, those that do not. broken:
    included files that could not be used, as problems call them. mode, uid: of the file; None: unknown. secrets: keys
    that hold a password in the file itself, as "file:line: key". parts: it and the other files that it consists of.
    usable: whether nothing in the main file keeps all of it from being used. open: directories on the way to it that
    anybody may change, each with its mode. current: the path of the same file in the release that is current, when
    this one is in another; "" otherwise. lacks: what its programs lack here."""

    path: str
    found: bool = True
    problems: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    mode: int | None = None
    uid: int | None = None
    secrets: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    parts: tuple[PartFacts, ...] = ()
    usable: bool = True
    open: tuple[tuple[str, int], ...] = ()
    current: str = ""
    lacks: tuple[LackFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """One program, resolved (domain/pool.py). argv: of slot 0. options: the long options of a worker's argv by name
    without dashes ("timeout": "60"), as given; absent: Laravel's default. user, group: None where it is our own.
    stop_seconds, startsecs: of its policy. logs: paths of its log files. app: the Laravel root. source: "file:line"."""

    name: str
    kind: str
    numprocs: int
    argv: tuple[str, ...]
    directory: str
    user: str | None = None
    group: str | None = None
    connection: str | None = None
    queues: tuple[str, ...] = ()
    options: Mapping[str, str] | None = None
    stop_seconds: float = 10.0
    startsecs: float = 1.0
    autostart: bool = True
    logs: tuple[str, ...] = ()
    app: str | None = None
    source: str = ""
    stop_follows: bool = False

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"program {self.name}"

    def option(self, name: str, default: str) -> str:
        """What it is given on the command line, else Laravel's default."""
        return (self.options or {}).get(name, default)
