"""Does the fixes of findings: as little as is needed, the same a second time without effect, and never more than the
finding names. What may be fixed is finding.py's matter; asking the person cli/doctor.py's.

Root acts here in directories that belong to others, so no path is trusted: each is walked from the root of the file
system, step by step and held open, and a symlink on the way counts only where its maker could have done the same at
its end. What has a second name (a hard link) is left alone: that name may be /etc/shadow."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from queuepool.doctor.finding import Finding, Fix, GiveTo, MakeDirectory, RemoveStale, RunCommand, SetMode
from queuepool.errors import QueuepoolError
from queuepool.logs.opening import Owner, find_owner

_SYMLINKS = 40  # as many as the kernel follows (path_resolution(7))
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

SYSTEM = frozenset((
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media", "/mnt", "/opt", "/proc",
    "/root", "/run", "/sbin", "/srv", "/sys", "/tmp",  # noqa: S108 - as names
    "/usr", "/var", "/var/lib", "/var/log", "/var/run",
    "/var/spool", "/var/tmp",  # noqa: S108
    "/var/www", "/Users", "/System", "/Library", "/private",
))  # fmt: skip
"""Directories that are given to nobody with all that is in them, whatever a finding says."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a fix. what: in words; why, when it failed, and what was left out, when it was done."""

    what: str = ""
    failed: bool = False


class Refused(QueuepoolError):
    """A fix is not done, since that would reach further than the finding."""


def fixes_of(findings: Iterable[Finding]) -> list[tuple[Finding, Fix]]:
    """Each fix once, with the first finding that asks for it, in the order in which they are to be done."""
    first: dict[Fix, Finding] = {}
    for finding in findings:
        if finding.fix is not None:
            first.setdefault(finding.fix, finding)
    order = (MakeDirectory, GiveTo, SetMode, RemoveStale, RunCommand)
    return sorted(((finding, fix) for fix, finding in first.items()), key=lambda item: order.index(type(item[1])))


def perform(fix: Fix) -> Outcome:
    """Do one fix. Nothing is raised: what went wrong is in the outcome."""
    try:
        if isinstance(fix, MakeDirectory):
            return Outcome(_make_directory(fix))
        if isinstance(fix, GiveTo):
            return Outcome(_give(fix))
        if isinstance(fix, SetMode):
            return Outcome(_set_mode(fix))
        if isinstance(fix, RemoveStale):
            return Outcome(_remove(fix))
        return _run(fix)
    except QueuepoolError as error:
        return Outcome(error.message + (f" ({error.hint})" if error.hint else ""), failed=True)
    except LookupError as error:
        return Outcome(f"there is no such user or group: {error.args[0] if error.args else ''}", failed=True)
    except OSError as error:
        root = "; root may: `sudo queuepool doctor --fix`" if error.errno == errno.EPERM and os.geteuid() else ""
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return Outcome(f"{where}{(error.strerror or str(error)).lower()}{root}", failed=True)


# --- reaching ---------------------------------------------------------------------------------------------------------


@contextmanager
def _held(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _reached(path: str, receiver: int | None = None) -> Iterator[tuple[int, str]]:
    """The directory that holds `path`, open, and the name in it, which is no symlink (nor need it be there). receiver:
    the uid that is given something: a symlink of its own making is not followed. Raises Refused, OSError."""
    _must_be_plain(path)
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    folder, hops = os.open("/", _OPEN | os.O_DIRECTORY), 0
    way: list[str] = []
    try:
        while todo:
            name = todo.pop()
            try:
                seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                if todo:
                    raise FileNotFoundError(errno.ENOENT, "no such directory", "/" + "/".join([*way, name])) from None
                yield folder, name
                return
            if stat.S_ISLNK(seen.st_mode):
                hops += 1
                if hops > _SYMLINKS:
                    raise Refused(f"too many symlinks on the way to {path}")
                target = os.readlink(name, dir_fd=folder)
                _must_be_trusted("/" + "/".join([*way, name]), seen, folder, name, receiver)
                if target.startswith("/"):
                    os.close(folder)
                    folder, way = os.open("/", _OPEN | os.O_DIRECTORY), []
                todo += [part for part in target.split("/") if part not in ("", ".")][::-1]
                continue
            if not todo:
                yield folder, name
                return
            inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
            way = way[:-1] if name == ".." else [*way, name]
        raise Refused(f"{path} is no file or directory of an application")
    finally:
        os.close(folder)


def _must_be_plain(path: str) -> None:
    if not os.path.isabs(path) or ".." in path.split("/"):
        raise Refused(f"{path} is no absolute path without `..`")


def _must_be_trusted(shown: str, link: os.stat_result, folder: int, name: str, receiver: int | None) -> None:
    """Raise Refused for a symlink that could be a trap: one whose maker has no right to what it leads to."""
    if link.st_uid in (0, os.geteuid()):
        return
    with suppress(OSError):
        if link.st_uid != receiver and os.stat(name, dir_fd=folder).st_uid == link.st_uid:
            return
    raise Refused(
        f"{shown} is a symlink of uid {link.st_uid}, which is not followed: it may lead anywhere",
        f"look where it leads (`readlink -f {shown}`), then do it there by hand",
    )


def _opened(path: str, folder: int, name: str) -> int:
    """The file or directory itself, open; never a device, nor a file that has a second name."""
    seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not (stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode)):
        raise Refused(f"{path} is neither a file nor a directory")
    fd = os.open(name, _OPEN, dir_fd=folder)
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        os.close(fd)
        raise Refused(f"{path} has a second name (a hard link), so it is left alone")
    return fd


# --- the fixes --------------------------------------------------------------------------------------------------------


def _make_directory(fix: MakeDirectory) -> str:
    owner = find_owner(fix.user, fix.group)
    _must_be_plain(fix.path)
    missing: list[str] = []
    path = fix.path.rstrip("/") or "/"
    while not os.path.lexists(path):
        missing.append(os.path.basename(path))
        path = os.path.dirname(path)
    with _directory(path, owner.uid if owner else None) as fd:
        return _make_below(fix, fd, missing[::-1], owner)


@contextmanager
def _directory(path: str, receiver: int | None) -> Iterator[int]:
    if path == "/":
        with _held(os.open("/", _OPEN | os.O_DIRECTORY)) as fd:
            yield fd
        return
    with _reached(path, receiver) as (folder, name), _held(os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=folder)) as fd:
        yield fd


def _make_below(fix: MakeDirectory, fd: int, missing: list[str], owner: Owner | None) -> str:
    if not missing:
        return "it is there already"
    inner = os.dup(fd)
    try:
        for name in missing:
            with suppress(FileExistsError):  # made by somebody else just now; O_NOFOLLOW sees to what it is
                os.mkdir(name, 0o700, dir_fd=inner)
                made = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=inner)
                with _held(made):
                    if owner is not None:
                        os.fchown(made, owner.uid, owner.gid)
                    os.fchmod(made, fix.mode)
            step = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=inner)
            os.close(inner)
            inner = step
    finally:
        os.close(inner)
    return ""


def _give(fix: GiveTo) -> str:
    owner = find_owner(fix.user, fix.group)
    assert owner is not None
    given = _Given(owner.uid, owner.gid, fix.add_mode)
    for path in fix.paths:
        if fix.recursive and (os.path.normpath(path) in SYSTEM or os.path.realpath(path) in SYSTEM):
            raise Refused(f"{path} belongs to the system, and is given to nobody with all that is in it")
        with _reached(path, owner.uid) as (folder, name), _held(_opened(path, folder, name)) as fd:
            given.change(fd)
            if fix.recursive and stat.S_ISDIR(os.fstat(fd).st_mode):
                given.below(fd, path)
    return given.told()


class _Given:
    """Gives what is open to a user, and counts."""

    def __init__(self, uid: int, gid: int, add_mode: int) -> None:
        self._uid, self._gid, self._add_mode = uid, gid, add_mode
        self._changed = 0
        self._left: list[str] = []

    def change(self, fd: int) -> None:
        """Change the owner where it is another, and add to the mode where a bit is missing."""
        seen = os.fstat(fd)
        mode = stat.S_IMODE(seen.st_mode)
        changed = False
        if (seen.st_uid, seen.st_gid) != (self._uid, self._gid):
            os.fchown(fd, self._uid, self._gid)
            changed = True
        if mode | self._add_mode != mode:
            os.fchmod(fd, mode | self._add_mode)
            changed = True
        self._changed += changed

    def below(self, fd: int, path: str) -> None:
        """All that is in a directory, and in those in it, on the same file system. Symlinks are left as they are."""
        device = os.fstat(fd).st_dev
        for entry in os.listdir(fd):
            shown = os.path.join(path, entry)
            try:
                seen = os.stat(entry, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISLNK(seen.st_mode) or seen.st_dev != device:
                    continue
                inner = _opened(shown, fd, entry)
            except FileNotFoundError:
                continue  # a worker has removed it meanwhile
            except (OSError, Refused):
                self._left.append(shown)
                continue
            with _held(inner):
                self.change(inner)
                if stat.S_ISDIR(os.fstat(inner).st_mode):
                    self.below(inner, shown)

    def told(self) -> str:
        """What was done, in words."""
        text = f"{self._changed} changed" if self._changed else "it is so already"
        if self._left:
            more = f" and {len(self._left) - 3} more" if len(self._left) > 3 else ""
            text += f"; left alone: {', '.join(self._left[:3])}{more}"
        return text


def _set_mode(fix: SetMode) -> str:
    with _reached(fix.path) as (folder, name), _held(_opened(fix.path, folder, name)) as fd:
        if stat.S_IMODE(os.fstat(fd).st_mode) == fix.mode:
            return "it is so already"
        os.fchmod(fd, fix.mode)
    return ""


def _remove(fix: RemoveStale) -> str:
    try:
        with _reached(fix.path) as (folder, name):
            seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                raise Refused(f"{fix.path} is a directory")
            if stat.S_ISSOCK(seen.st_mode):
                _must_be_silent(fix.path)
            elif stat.S_ISREG(seen.st_mode):
                with _held(os.open(name, _OPEN, dir_fd=folder)) as fd:
                    _must_be_unlocked(fd, fix.path)
            elif not stat.S_ISFIFO(seen.st_mode):
                raise Refused(f"{fix.path} is a device")
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return "it is gone already"
    return ""


def _must_be_silent(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(2.0)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            raise Refused(f"{path} may be in use: {(error.strerror or 'no answer').lower()}") from None
    raise Refused(f"{path} is in use: something answers there")


def _must_be_unlocked(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(f"{path} is in use: a process holds its lock") from None


def _run(fix: RunCommand) -> Outcome:
    from queuepool.system import commands

    done = asyncio.run(commands.run(fix.launch, {}, seconds=fix.seconds))
    if done.code == 0:
        return Outcome()
    last = next((line.strip() for line in reversed(done.lines) if line.strip()), "")
    how = f"it took longer than {fix.seconds:g} s" if done.late else f"exit code {done.code}"
    return Outcome(how + (f": {last}" if last else ""), failed=True)
