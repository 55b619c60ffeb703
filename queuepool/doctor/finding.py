"""What a check finds, as values. PURE. The checks themselves are in checks/, how fixes are done in fixes.py."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum

from queuepool.domain.pool import Launch


class Severity(Enum):
    """How bad a finding is. error: something does not work, or loses jobs. warning: it will, or may. info: worth
    knowing. ok: a check that found nothing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    OK = "ok"

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Make a directory and its missing parents. user, group: the owners of those that are made, by name or number."""

    path: str
    user: str | None = None
    group: str | None = None
    mode: int = 0o775


@dataclass(frozen=True, slots=True)
class GiveTo:
    """Give these files and directories to a user; nothing is deleted. recursive: all in them as well, links not
    followed. mode: bits to be added for the owner (0o200: may write)."""

    paths: tuple[str, ...]
    user: str
    group: str | None = None
    recursive: bool = False
    add_mode: int = 0


@dataclass(frozen=True, slots=True)
class SetMode:
    """Set the permissions of a file or directory."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class RemoveStale:
    """Remove a file that nobody uses any more, such as the socket of a daemon that was killed; only that one."""

    path: str


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Run a command of the application, such as `artisan config:clear`, as its workers are run. shown: as a person
    would type it. seconds: after that it is ended."""

    launch: Launch
    shown: str
    seconds: float = 60.0


Fix = MakeDirectory | GiveTo | SetMode | RemoveStale | RunCommand
"""A safe remedy that `doctor --fix` can do. It never deletes data, and a second time it does nothing."""


def as_command(fix: Fix) -> str:
    """The command that does what the fix does, to be read, or typed instead."""
    if isinstance(fix, RunCommand):
        return fix.shown
    if isinstance(fix, MakeDirectory):
        owner = [*(("-o", fix.user) if fix.user else ()), *(("-g", fix.group) if fix.group else ())]
        return shlex.join(["install", "-d", "-m", f"{fix.mode:o}", *owner, fix.path])
    if isinstance(fix, SetMode):
        return shlex.join(["chmod", f"{fix.mode:o}", fix.path])
    if isinstance(fix, RemoveStale):
        return shlex.join(["rm", fix.path])
    recursive = ["-R"] if fix.recursive else []
    command = shlex.join(["chown", *recursive, f"{fix.user}:{fix.group or ''}", *fix.paths])
    bits = "".join(letter for bit, letter in ((0o400, "r"), (0o200, "w"), (0o100, "x")) if fix.add_mode & bit)
    return f"{command} && {shlex.join(['chmod', *recursive, f'u+{bits}', *fix.paths])}" if bits else command


@dataclass(frozen=True, slots=True)
class Note:
    """What a check says about one subject. subject: what it is about: "application /srv/app", "program mail", "redis
    127.0.0.1:6379", "this machine". what: one sentence, without a full stop. evidence: lines that prove it: what was
    run, read or measured, and what came of it. remedy: what to type, or to do; it is never empty but for infos.
    programs: those that suffer; empty: all. severity: when it is not the check's own. fix: what `--fix` may do."""

    subject: str
    what: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    programs: tuple[str, ...] = ()
    severity: Severity | None = None
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A note with the check that it comes from. id: of the check, `group.name`. subject: what it is about. what: one
    sentence. evidence: lines that prove it. remedy: what to type, or to do. doc: where the check is explained.
    programs: those that suffer; empty: all. Its JSON is that of `queuepool doctor --json`: fields may be added, never
    renamed."""

    id: str
    severity: Severity
    subject: str
    what: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    doc: str = ""
    programs: tuple[str, ...] = ()
    fix: Fix | None = None
