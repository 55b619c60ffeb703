"""Opening log files, also as root in directories that belong to somebody else, without lending root's power to them.

The rule: where the worker's user could have arranged the directory (it owns or may write any part of the path), root
acts as that user, so that a symlink or hard link planted there reaches no further than the user could by itself.
Where the user has no power over the path, root acts as root, follows no symlink at the end of it, and hands over what
it made. What is written is rotating.py's matter."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

DIRECTORY_MODE = 0o755
_SYMLINKS = 40  # as many as the kernel follows (path_resolution(7))


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that log files belong to. groups: all that it is in, `gid` too."""

    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """An open log. regular: a file that can be rotated, not a device or pipe. owner: as whom root has to act in its
    directory, None: as itself. real: its path with a symlink at the end of it followed."""

    fd: int
    regular: bool
    owner: Owner | None
    real: str


def find_owner(user: str | None, group: str | None) -> Owner | None:
    """The owner that a LogPolicy names; None: whoever the daemon is. Raises LookupError for one there is not."""
    if user is None and group is None:
        return None
    entry = _user(user) if user is not None else None
    uid = entry.pw_uid if entry else int(user) if user is not None else os.geteuid()
    gid = _group(group) if group is not None else entry.pw_gid if entry else os.getegid()
    groups = os.getgrouplist(entry.pw_name, gid) if entry else [gid]
    return Owner(uid, gid, tuple(groups))


@contextlib.contextmanager
def acting_as(owner: Owner | None) -> Iterator[None]:
    """Let the kernel judge what is done with files in here as if `owner` did it. Only root can, and needs to.

    On Linux only this thread changes (setfsuid(2)): another one, which may be loading code from a directory that is
    root's alone, must not find itself to be `owner`. The groups change for all threads, which root does not mind.
    """
    if owner is None or os.geteuid() != 0 or owner.uid == 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    set_user, set_group = _of_thread() if sys.platform == "linux" else (os.seteuid, os.setegid)
    try:
        os.setgroups(owner.groups)
        set_group(owner.gid)
        set_user(owner.uid)
        yield
    finally:
        set_user(0)
        set_group(gid)
        os.setgroups(groups)


@cache
def _of_thread() -> tuple[Callable[[int], None], Callable[[int], None]]:
    """setfsuid and setfsgid, which tell of no failure by themselves; asked again, they tell who is in force."""
    import ctypes

    libc = ctypes.CDLL(None)

    def setter(function: Callable[[int], int]) -> Callable[[int], None]:
        def change(number: int) -> None:
            function(number)
            if function(-1) != number:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        return change

    return setter(libc.setfsuid), setter(libc.setfsgid)


def open_log(path: str, owner: Owner | None, mode: int, set_aside: Callable[[str], None]) -> Opened:
    """Open a log to append to; it and missing directories are made, belonging to `owner`. OSError when it cannot be.

    mode: of a file that is made. set_aside: renames a file out of the way; called as `owner` for a file in the owner's
    own directory that it may not write, which is what a supervisor that ran as root leaves behind.
    """
    if _is_device(path):
        return _open_device(path)
    if owner is None or os.geteuid() != 0 or owner.uid == 0:
        return _open_as_root(path, owner, mode) if os.geteuid() == 0 else _open_as_owner(path, mode)
    try:
        with acting_as(owner):
            return _with_owner(_open_as_owner(path, mode), owner)
    except PermissionError as error:
        if out_of_reach(os.path.dirname(path), owner):
            return _open_as_root(path, owner, mode)
        with acting_as(owner):
            if not (os.path.isfile(path) and not os.path.islink(path) and os.access(os.path.dirname(path), os.W_OK)):
                raise
            try:
                set_aside(path)
            except OSError:
                raise error from None
            return _with_owner(_open_as_owner(path, mode), owner)


def open_existing(path: str, owner: Owner | None) -> int | None:
    """A descriptor to read and cut a log that `open_log` opened before; None when it is not there any more."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        with acting_as(owner):
            return os.open(path, flags | (os.O_NOFOLLOW if os.geteuid() == 0 else 0))
    except FileNotFoundError:
        return None
    except PermissionError:
        if owner is None or not out_of_reach(os.path.dirname(path), owner):
            raise
    return os.open(path, flags | os.O_NOFOLLOW)


def out_of_reach(directory: str, owner: Owner) -> bool:
    """Whether `owner` can change nothing about where this path leads, and nothing in the directory at its end. Of a
    symlink both the place where it lies and the one to which it leads count; a path is followed as far as it exists."""
    todo = directory.split("/")[::-1]
    here, hops = "/", 0
    shared = False  # `here` is like /tmp: anybody may make names in it, but not replace those of others
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        try:
            seen = os.lstat(os.path.join(here, name))
        except FileNotFoundError:
            return not shared
        except OSError:
            return False
        if seen.st_uid == owner.uid:
            return False
        if stat.S_ISLNK(seen.st_mode):
            hops += 1
            target = os.readlink(os.path.join(here, name))
            if hops > _SYMLINKS:
                return False
            here = "/" if target.startswith("/") else here
            todo += target.split("/")[::-1]
            continue
        here = os.path.join(here, name)
        group_may = seen.st_mode & stat.S_IWGRP and seen.st_gid in (owner.gid, *owner.groups)
        shared = bool(group_may or seen.st_mode & stat.S_IWOTH)
        if shared and not seen.st_mode & stat.S_ISVTX:
            return False
    return not shared


def _open_as_owner(path: str, mode: int) -> Opened:
    """As an ordinary program would: whatever the path leads to, the user could have written to it anyway."""
    os.makedirs(os.path.dirname(path), DIRECTORY_MODE, exist_ok=True)
    fd, made = _open_or_make(path, mode, 0)
    try:
        _refuse_special(fd, path)
        if made:
            os.fchmod(fd, mode)
    except BaseException:
        os.close(fd)
        raise
    return Opened(fd, True, None, os.path.realpath(path) if os.path.islink(path) else path)


def _open_as_root(path: str, owner: Owner | None, mode: int) -> Opened:
    _make_directories(os.path.dirname(path), owner)
    try:
        fd, made = _open_or_make(path, mode, os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symlink, which root does not follow", path) from None
        raise
    try:
        if _refuse_special(fd, path).st_nlink > 1:
            raise OSError(errno.EMLINK, "it has a second name (hard link), and root does not write to such", path)
        if made:
            os.fchmod(fd, mode)
            if owner is not None:
                os.fchown(fd, owner.uid, owner.gid)
    except BaseException:
        os.close(fd)
        raise
    return Opened(fd, True, None, path)


def _open_or_make(path: str, mode: int, flags: int) -> tuple[int, bool]:
    # Readable too: whether the last byte ends a line is looked up in the file. Non-blocking: it may be a FIFO.
    flags |= os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    for _ in range(8):  # made and removed by somebody else in between: again
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags), False
        with contextlib.suppress(FileExistsError):
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, mode), True
    raise FileNotFoundError(errno.ENOENT, "it is a symlink to nowhere", path)


def _refuse_special(fd: int, path: str) -> os.stat_result:
    seen = os.fstat(fd)
    if not stat.S_ISREG(seen.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return seen


def _make_directories(directory: str, owner: Owner | None) -> None:
    missing = []
    while directory and not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for index, path in enumerate(reversed(missing)):
        # Only the first is made where root alone has a say; in a directory that is the owner's already, the owner acts.
        with acting_as(owner if index else None):
            os.mkdir(path, DIRECTORY_MODE)
        if owner is not None and not index:
            os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def _open_device(path: str) -> Opened:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, flags)
    except OSError as error:
        number = {"stdout": 1, "stderr": 2}.get(os.path.basename(path))
        if error.errno != errno.ENXIO or number is None:  # a socket (as under systemd) cannot be opened by its name
            raise
        fd = os.dup(number)
    return Opened(fd, False, None, path)


def _with_owner(opened: Opened, owner: Owner) -> Opened:
    return Opened(opened.fd, opened.regular, owner, opened.real)


def _user(name: str) -> pwd.struct_passwd | None:
    """None for a number that is no account of this system; a process may run under one all the same."""
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if name.isdecimal():
            return None
        raise LookupError(f"there is no user {name}") from None


def _group(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {name}") from None


def _is_device(path: str) -> bool:
    """Whether a path is taken as it is: /dev/stdout, also where that leads to a file. /dev/shm holds ordinary files."""
    path = os.path.normpath(path)
    return path.startswith("/dev/") and path.split("/")[2] != "shm"
