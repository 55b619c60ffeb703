"""Finds what a supervisord reads: its main file, where it answers, and where among its included files ours has its
place; reads and writes that one file, and no other. What is in it is formats/supervisor_slots.py's."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch

from queuepool.domain.pool import EngineSpec
from queuepool.errors import QueuepoolError, UsageError
from queuepool.formats import supervisor_ini as ini
from queuepool.formats import supervisor_slots as slots
from queuepool.formats.supervisor_config import include_patterns, understand
from queuepool.formats.supervisor_endpoint import Endpoint, endpoints
from queuepool.formats.supervisor_model import Surroundings

PLACES = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
"""Where supervisord looks for its file, beside its working directory and that of its program."""
_PROGRAMS = frozenset({"program", "eventlistener", "fcgi-program", "group"})


@dataclass(frozen=True, slots=True)
class Installed:
    """A supervisord as its files describe it. config: the main one. patterns: of its [include], absolute. file: where
    ours is to be. covered: whether one of the patterns takes it. endpoints: where it answers. foreign: name of a
    program or group that another file has -> that file."""

    config: str
    patterns: tuple[str, ...]
    file: str
    covered: bool
    endpoints: tuple[Endpoint, ...]
    foreign: Mapping[str, str]


def find(engine: EngineSpec, instance: str, environ: Mapping[str, str]) -> Installed:
    """Read the files of the supervisord that `engine` means. instance: a name for this queuepool.yml, to be part of
    that of our file. Raises UsageError when there are none, or no place for ours."""
    config = engine.config or next((path for path in PLACES if os.path.exists(path)), None)
    if config is None:
        raise UsageError(
            f"cannot find the configuration of supervisord in {', '.join(PLACES)}",
            "name it in queuepool.yml: `engine: {type: supervisord, config: /path/to/supervisord.conf}`",
        )
    here = os.path.dirname(config)
    around = Surroundings(here, os.uname().nodename, environ, _home)
    main = ini.read([_source(config)])
    patterns = tuple(os.path.join(here, pattern) for pattern in include_patterns(main, around))
    file = _place(engine, config, patterns, instance)
    others = []
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            if path not in (config, file) and os.path.realpath(path) != os.path.realpath(file):
                with contextlib.suppress(QueuepoolError):  # Supervisor leaves out what it cannot read as well
                    others.append(_source(path))
    foreign: dict[str, str] = {}
    for source in [_source(config), *others]:
        for name in ini.read([source]).sections:
            kind, _, called = name.partition(":")
            if kind in _PROGRAMS and called:
                foreign.setdefault(called.strip(), source.path)
    found = endpoints(understand(ini.read([_source(config), *others]), around), around)
    covered = any(fnmatch(file, pattern) for pattern in patterns)
    return Installed(config, patterns, file, covered, tuple(_asked(engine, found)), foreign)


def _asked(engine: EngineSpec, found: Sequence[Endpoint]) -> list[Endpoint]:
    """Where to ask: as queuepool.yml says, else as supervisord's own file does."""
    if engine.url is not None:
        kind, _, rest = engine.url.partition("://")
        if kind == "unix":
            told = Endpoint(rest)
        else:
            host, _, port = rest.strip("/").rpartition(":")
            told = Endpoint(None, host or port, int(port) if host and port.isdecimal() else 80)
        same = next((one for one in found if str(one) == str(told)), None)
        found = [same or told]
    if engine.username is not None:
        found = [replace(one, username=engine.username, password=engine.password) for one in found]
    return list(found)


def _place(engine: EngineSpec, config: str, patterns: Sequence[str], instance: str) -> str:
    name = f"queuepool-{instance}"
    if engine.directory is not None:
        fits = [p for p in patterns if os.path.dirname(p) == engine.directory]
        return os.path.join(engine.directory, name + _ending(fits[0] if fits else "*.conf"))
    for pattern in patterns:
        directory = os.path.dirname(pattern)
        file = os.path.join(directory, name + _ending(pattern))
        if not glob.has_magic(directory) and fnmatch(file, pattern):
            return file
    said = f"its [include] names {' '.join(patterns)}" if patterns else "it has no [include]"
    raise UsageError(
        f"cannot find a place for a file of programs among those of {config}: {said}",
        f"add `[include]` with `files = {os.path.dirname(config)}/conf.d/*.conf` to it, and make that "
        "directory; nothing has to be restarted",
    )


def _ending(pattern: str) -> str:
    return os.path.splitext(pattern)[1] or ".conf"


def _source(path: str) -> ini.Source:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return ini.Source(path, os.path.dirname(path), file.read())
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", "run this as a user who may: `sudo queuepool ...`"
        ) from None


def _home(user: str) -> str | None:
    try:
        return pwd.getpwnam(user).pw_dir if user else os.path.expanduser("~")
    except KeyError:
        return None


def owner_at(path: str) -> str:
    """The queuepool.yml that a file among supervisord's was written from; "" where it is not one of ours."""
    try:
        return slots.owner_of(_source(path).text) or ""
    except QueuepoolError:
        return ""


class OurFile:
    """The file that we write. owner: path of the queuepool.yml that it is of."""

    def __init__(self, path: str, owner: str) -> None:
        self.path, self.owner = path, owner

    def read(self) -> slots.Written | None:
        """What it holds; None where there is none. Raises QueuepoolError when it is not ours, or was edited."""
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot("read", self.path, error) from None
        written = slots.read(text)
        if written is None:
            raise UsageError(
                f"cannot use {self.path}: it was not written by queuepool",
                f"look at it, and move it away: `mv {self.path} {self.path}.old`",
            )
        if written.owner != self.owner:
            raise UsageError(
                f"cannot use {self.path}: it is of {written.owner}, not of {self.owner}",
                f"end that one with `queuepool -c {written.owner} down`",
            )
        if not written.whole:
            raise UsageError(
                f"cannot use {self.path}: somebody edited it by hand, and queuepool would undo that",
                f"put it into {self.owner}, then `rm {self.path}` and `queuepool update`: no process is touched so",
            )
        return written

    def write(self, entries: Mapping[str, slots.Entry], uid: int | None) -> None:
        """Put these entries there, by atomic replace; without any the file goes. uid: of supervisord, who has to read
        what holds the environments of programs. Raises QueuepoolError; the file is as it was then."""
        try:
            if not entries:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
                return
            self._replace(slots.render(self.owner, entries.values()).encode("utf-8", "surrogateescape"), uid)
        except OSError as error:
            raise _cannot("write", self.path, error) from None

    def _replace(self, text: bytes, uid: int | None) -> None:
        temporary = f"{self.path}.new"  # no pattern that ends in .conf takes it
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
                self._give(fd, uid)
            os.replace(temporary, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def refuse_unwritable(self) -> None:
        """Raises QueuepoolError where it is plain before anything is done that it could not be written."""
        directory = os.path.dirname(self.path)
        if not os.path.isdir(directory):
            code = errno.ENOTDIR if os.path.lexists(directory) else errno.ENOENT
        elif not os.access(directory, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            code = errno.EROFS if os.statvfs(directory).f_flag & os.ST_RDONLY else errno.EACCES
        else:
            return
        raise _cannot("write", self.path, OSError(code, os.strerror(code)))

    def _give(self, fd: int, uid: int | None) -> None:
        """The mode and owner that the file had, else readable for supervisord alone."""
        try:
            had = os.stat(self.path)
        except FileNotFoundError:
            if uid is not None and uid != os.geteuid() == 0:
                os.fchown(fd, uid, -1)
            return
        os.fchmod(fd, had.st_mode & 0o777)
        if os.geteuid() == 0:
            os.fchown(fd, had.st_uid, had.st_gid)


def _cannot(what: str, path: str, error: OSError) -> QueuepoolError:
    """What to say where our file cannot be read or written."""
    directory = os.path.dirname(path)
    remedies = {
        errno.ENOENT: f"make its directory: `mkdir -p {directory}`; supervisord need not be restarted",
        errno.ENOTDIR: f"look at what is in the place of its directory: `ls -ld {directory}`",
        errno.EISDIR: f"look at what is in its place: `ls -la {path}`",
        errno.ENOSPC: f"make room there: `df -h {directory}`",
        errno.EDQUOT: f"make room there, or raise the quota of this user: `df -h {directory}`",
        errno.EROFS: f"mount {directory} for writing, or name another `directory` below `engine` that [include] covers",
    }
    may = "run this as a user who may: `sudo queuepool ...`"
    return QueuepoolError(f"cannot {what} {path}: {error.strerror}", remedies.get(error.errno or 0, may))
